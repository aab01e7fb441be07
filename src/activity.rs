//! What the worker threads do, for all connections together, and whether all of them are stuck.
//!
//! Every link shares the workers, so no link alone can tell that none is left. Each call of the application counts
//! itself here, and the dispatcher's watchdog looks now and then: where all workers run the application and none of
//! them has begun, ended or sent anything for some time, they are stuck.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// Adds to the number of changes, which is the upper half of [`Activity::state`].
const CHANGE: u64 = 1 << 32;

/// No state: that many calls never run.
const NEVER: u64 = u64::MAX;

/// Calls of the application: how many run now, and whether that changes.
#[derive(Debug)]
pub(crate) struct Activity {
    /// Calls that run (lower half), and how often that has changed (upper half): one addition for each change.
    state: AtomicU64,
    /// The state in which all workers were found stuck. They no longer are once it has changed.
    stuck: AtomicU64,
    /// Links that have left their broker until a worker is free.
    withdrawn: AtomicUsize,
}

impl Default for Activity {
    fn default() -> Self {
        Self { state: AtomicU64::new(0), stuck: AtomicU64::new(NEVER), withdrawn: AtomicUsize::new(0) }
    }
}

/// A call of the application, until it is dropped.
pub(crate) struct Busy<'a>(&'a Activity);

impl Activity {
    pub(crate) fn begin(&self) -> Busy<'_> {
        self.state.fetch_add(CHANGE + 1, Ordering::Relaxed);
        Busy(self)
    }

    pub(crate) fn state(&self) -> u64 {
        self.state.load(Ordering::Relaxed)
    }

    /// All workers are stuck, and have been since this state.
    pub(crate) fn set_stuck(&self, state: u64) {
        self.stuck.store(state, Ordering::Relaxed);
    }

    /// Whether all workers are stuck.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed) == self.state()
    }

    /// A link has left its broker.
    pub(crate) fn withdrew(&self) {
        self.withdrawn.fetch_add(1, Ordering::Relaxed);
    }

    /// It is on its way back.
    pub(crate) fn returns(&self) {
        self.withdrawn.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn withdrawn(&self) -> usize {
        self.withdrawn.load(Ordering::Relaxed)
    }
}

impl Busy<'_> {
    /// Runs what may wait for the broker rather than for the application. It counts as a change, too.
    pub(crate) fn pause<R>(&self, work: impl FnOnce() -> R) -> R {
        self.0.state.fetch_add(CHANGE - 1, Ordering::Relaxed);
        let result = work();
        self.0.state.fetch_add(CHANGE + 1, Ordering::Relaxed);
        result
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_add(CHANGE - 1, Ordering::Relaxed);
    }
}

/// What the watchdog has seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// All workers are stuck, and have been for so long.
    Stuck(Duration),
    /// They were, and one of them goes on.
    Moving,
}

/// The watchdog: looks every [`interval`](Self::interval).
#[derive(Debug)]
pub(crate) struct Watchdog {
    workers: usize,
    after: Duration,
    /// Slow calls make it wait twice as long the next time, where nothing else bounds them.
    lenient: bool,
    looked: Instant,
    seen: u64,
    /// How long that has not changed.
    still: Duration,
    stuck: bool,
}

impl Watchdog {
    /// Of so many workers, which are stuck after this time. Calls that take longer are not stuck but slow, and
    /// those that run then are served once more (by whoever the broker gives them to). Where they have no time
    /// limit, `lenient` has that happen to them a few times at most: the time doubles with each.
    pub(crate) fn new(now: Instant, workers: usize, after: Duration, lenient: bool) -> Self {
        Self { workers, after, lenient, looked: now, seen: NEVER, still: Duration::ZERO, stuck: false }
    }

    /// How often to look.
    pub(crate) fn interval(&self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(1);
        (self.after / 4).clamp(Duration::from_millis(1), LONGEST)
    }

    /// After how long they are stuck, from now on.
    pub(crate) fn after(&self) -> Duration {
        self.after
    }

    /// Looks at an [`Activity::state`].
    pub(crate) fn look(&mut self, now: Instant, state: u64) -> Option<Finding> {
        let since = now.saturating_duration_since(self.looked);
        self.looked = now;
        if state != self.seen {
            (self.seen, self.still) = (state, Duration::ZERO);
            let moving = std::mem::take(&mut self.stuck);
            if moving && self.lenient {
                self.after = self.after.saturating_mul(2);
            }
            return moving.then_some(Finding::Moving);
        }
        // While the whole process was stopped, or the machine asleep, nobody could do anything.
        self.still += since.min(2 * self.interval());
        let running = usize::try_from(state % CHANGE).unwrap_or(usize::MAX);
        if self.stuck || running < self.workers || self.still < self.after {
            return None;
        }
        self.stuck = true;
        Some(Finding::Stuck(self.still))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct Bench {
        activity: Activity,
        watchdog: Watchdog,
        now: Instant,
    }

    impl Bench {
        fn new(lenient: bool) -> Self {
            let now = Instant::now();
            let watchdog = Watchdog::new(now, 2, 60 * SECOND, lenient);
            Self { activity: Activity::default(), watchdog, now }
        }

        /// Looks every second for so long, and says what was found, and after how many seconds.
        fn pass(
            watchdog: &mut Watchdog,
            now: &mut Instant,
            activity: &Activity,
            seconds: u64,
        ) -> Vec<(u64, Finding)> {
            (1..=seconds)
                .filter_map(|second| {
                    *now += watchdog.interval();
                    watchdog.look(*now, activity.state()).map(|finding| (second, finding))
                })
                .collect()
        }
    }

    #[test]
    fn all_workers_are_stuck_where_nothing_changes() {
        let Bench { activity, mut watchdog, mut now } = Bench::new(true);
        let mut pass = |seconds| Bench::pass(&mut watchdog, &mut now, &activity, seconds);
        let first = activity.begin();
        assert_eq!(pass(300), [], "one is free");
        let second = activity.begin();
        assert_eq!(pass(40), []);
        drop(second);
        let second = activity.begin();
        assert_eq!(pass(60), [], "one has ended, another has begun");
        assert_eq!(pass(100), [(1, Finding::Stuck(60 * SECOND))], "once");
        activity.set_stuck(activity.state());
        assert!(activity.is_stuck());
        drop(first);
        assert!(!activity.is_stuck(), "at once");
        assert_eq!(pass(100), [(1, Finding::Moving)]);
        drop(second);
        assert_eq!(pass(100), []);
        assert_eq!(activity.state() % CHANGE, 0);
    }

    #[test]
    fn who_sends_something_is_not_stuck() {
        let Bench { activity, mut watchdog, mut now } = Bench::new(true);
        let mut pass = |seconds| Bench::pass(&mut watchdog, &mut now, &activity, seconds);
        let (streaming, _hanging) = (activity.begin(), activity.begin());
        for _ in 0..10 {
            assert_eq!(pass(59), []);
            streaming.pause(|| ());
        }
        // A broker that takes nothing is not the application's fault.
        streaming.pause(|| assert_eq!(pass(300), []));
        assert_eq!(pass(62), [(61, Finding::Stuck(60 * SECOND))]);
    }

    #[test]
    fn slow_calls_are_taken_for_stuck_fewer_and_fewer_times() {
        for (lenient, expected) in [(true, [60, 120, 240]), (false, [60, 60, 60])] {
            let Bench { activity, mut watchdog, mut now } = Bench::new(lenient);
            for after in expected {
                let _calls = [activity.begin(), activity.begin()];
                let found = Bench::pass(&mut watchdog, &mut now, &activity, 500);
                let stuck = found.iter().find(|(_, finding)| matches!(finding, Finding::Stuck(_)));
                assert_eq!(stuck.unwrap().1, Finding::Stuck(after * SECOND));
                drop(_calls);
                Bench::pass(&mut watchdog, &mut now, &activity, 2);
            }
        }
    }

    #[test]
    fn a_stopped_process_is_not_stuck() {
        let Bench { activity, mut watchdog, now } = Bench::new(true);
        let _calls = [activity.begin(), activity.begin()];
        for n in 1..=10 {
            assert_eq!(watchdog.look(now + n * 3600 * SECOND, activity.state()), None);
        }
    }
}

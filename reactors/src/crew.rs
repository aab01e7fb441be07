//! How many workers are worth it: one, or all.
//!
//! Where jobs need something that only one of them can have, such as an interpreter's lock, all workers get no more done
//! than one would, and pay for taking turns. A reactor cannot know. But what jobs get done in a second shows in the processor
//! time that they use in it, for all together: who waits uses none. So now and then one worker is tried, and stays
//! alone while it uses nearly as much as all of them did.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::{LOOK, pace::Pace};

/// So many jobs are compared; where one worker does them, only until it has waited for so long.
const WINDOW: u32 = 64;
const LONGEST_WAIT: Duration = LOOK;

/// So many jobs before the other way is tried. Twice as many each time that it was in vain.
const SHORTEST: u32 = 64;
const LONGEST: u32 = 4096;

/// One worker alone must use this part of what all used, in cores, and this much at least: where it mostly waits, nothing
/// would tell that there is more to do, once it reads as well.
const PART: f64 = 0.8;
const BUSY: f64 = 1.0 / 3.0;

/// Beside a job that takes longer, turns cost little; and the lookout would take it to be stuck.
const LONGEST_JOB: Duration = Duration::from_micros(500);

/// How quick jobs are, and whether one worker is enough for them.
#[derive(Debug)]
pub(crate) struct Crew {
    pace: Pace,
    alone: bool,
    /// How often that has changed, and how many jobs ago.
    turn: u32,
    since: u32,
    /// So many jobs before one worker is tried, and then before all are tried again.
    patience: u32,
    trust: u32,
    window: Window,
    /// Up to here time has been counted, while there was a job.
    counted: Option<Instant>,
    /// What all used together in the last window of theirs.
    all: Means,
}

/// What a job uses while it runs.
pub(crate) struct Watch {
    turn: u32,
    began: Duration,
    used: Duration,
}

/// Jobs in hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
}

#[derive(Debug, Default)]
struct Window {
    jobs: u32,
    used: Duration,
    elapsed: Duration,
    load: usize,
}

#[derive(Debug, Default)]
struct Means {
    cores: f64,
    job: Duration,
    load: f64,
}

impl Default for Crew {
    fn default() -> Self {
        Self {
            pace: Pace::default(),
            alone: false,
            turn: 0,
            since: 0,
            patience: SHORTEST,
            trust: SHORTEST,
            window: Window::default(),
            counted: None,
            all: Means::default(),
        }
    }
}

impl Crew {
    /// Whether more workers would get no more done. Then what jobs give may wait for what the next ones give.
    pub(crate) fn one_is_enough(&self) -> bool {
        self.alone || self.is_quick()
    }

    /// Whether jobs have lately been quick, as [`Pace`] says.
    pub(crate) fn is_quick(&self) -> bool {
        self.pace.is_quick()
    }

    /// Whether what jobs have given goes out now, as [`Pace::is_time`] says.
    pub(crate) fn lets_go(&self, time: Duration, given: usize, waiting: usize) -> bool {
        !self.one_is_enough() || Pace::is_time(time, given, waiting)
    }

    /// A job begins, while others run and the rest of the workers are idle. The turn that it is, where what the job uses is
    /// to be watched.
    pub(crate) fn begin(&mut self, running: usize, idle: usize) -> Option<u32> {
        if running == 0 {
            self.counted = None;
        }
        let due = self.alone || self.since >= self.patience;
        // Nothing to learn where there is only one, nor where jobs are quick.
        (due && running + idle > 0 && !self.pace.is_quick()).then_some(self.turn)
    }

    /// A job took from `start` to `end`.
    pub(crate) fn took(&mut self, start: Instant, end: Instant, watch: Option<Watch>, load: Load) {
        self.pace.took(end - start);
        self.since = self.since.saturating_add(1);
        // What began in an earlier turn says nothing about this one.
        let Some(watch) = watch.filter(|watch| watch.turn == self.turn) else { return };
        let counted = self.counted.unwrap_or(start);
        // Who ended first is not always here first.
        self.counted = Some(counted.max(end));
        self.window.add(end.saturating_duration_since(counted), watch.used, load);
        let late = self.alone && self.window.elapsed >= self.window.used + LONGEST_WAIT;
        if self.window.jobs < WINDOW && !late {
            return;
        }
        let means = std::mem::take(&mut self.window).means();
        if !self.alone {
            let matched = means.cores * PART <= 1.0 && means.job <= LONGEST_JOB;
            self.all = means;
            if matched {
                self.trust = longer(self.trust);
                self.take_turns(true);
            } else {
                self.need_all();
            }
        } else if means.cores < BUSY.max(PART * self.all.cores) {
            self.give_up();
        } else if self.since >= self.trust || means.load > 2.0 * self.all.load {
            self.take_turns(false);
            self.since = self.patience;
        }
    }

    /// One of the jobs is stuck, or was not quick.
    pub(crate) fn got_stuck(&mut self) {
        self.pace = Pace::default();
        if self.alone {
            self.give_up();
        }
    }

    /// One alone does not do.
    fn give_up(&mut self) {
        if self.since > self.patience {
            // It did, for longer than all had before: what made it late may be something else on the machine.
            self.patience = SHORTEST.max(self.patience / 2);
            self.take_turns(false);
        } else {
            self.need_all();
        }
    }

    /// It takes all of them.
    fn need_all(&mut self) {
        (self.patience, self.trust) = (longer(self.patience), SHORTEST);
        self.take_turns(false);
    }

    /// What all used together, in cores.
    #[cfg(test)]
    pub(crate) fn seen(&self) -> f64 {
        self.all.cores
    }

    fn take_turns(&mut self, alone: bool) {
        self.alone = alone;
        self.turn = self.turn.wrapping_add(1);
        self.since = 0;
        self.window = Window::default();
        self.counted = None;
    }
}

impl Watch {
    pub(crate) fn start(turn: u32) -> Self {
        Self { turn, began: processor_time(), used: Duration::ZERO }
    }

    pub(crate) fn stop(&mut self) {
        self.used = processor_time().saturating_sub(self.began);
    }
}

impl Window {
    fn add(&mut self, elapsed: Duration, used: Duration, Load { running, waiting }: Load) {
        self.jobs += 1;
        self.used += used;
        self.elapsed += elapsed;
        self.load += running + waiting;
    }

    fn means(self) -> Means {
        Means {
            cores: self.used.as_secs_f64() / self.elapsed.as_secs_f64(),
            job: self.elapsed / self.jobs,
            load: self.load as f64 / f64::from(self.jobs),
        }
    }
}

fn longer(jobs: u32) -> u32 {
    LONGEST.min(2 * jobs)
}

/// What this thread has used so far.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKERS: usize = 4;

    /// Takes turns for most of a job, waits in it, or computes on the cores that there are.
    #[derive(Clone, Copy)]
    enum Kind {
        Turns(Duration),
        Waits { computes: Duration, waits: Duration },
        Cores(Duration, usize),
    }

    struct Machine {
        crew: Crew,
        now: Instant,
        tries: u32,
    }

    impl Machine {
        fn new() -> Self {
            Self { crew: Crew::default(), now: Instant::now(), tries: 0 }
        }

        /// Has so many jobs done while there are `load` at once, and says how many of them one worker did alone.
        fn run(&mut self, jobs: u32, kind: Kind, load: usize) -> u32 {
            (0..jobs).map(|_| u32::from(self.job(kind, load))).sum()
        }

        /// One job ends, in a steady flow of them.
        fn job(&mut self, kind: Kind, load: usize) -> bool {
            let alone = self.crew.one_is_enough();
            let running = if alone { 1 } else { WORKERS.min(load) };
            let (used, time) = match kind {
                Kind::Turns(computes) => (computes, computes * running as u32),
                Kind::Waits { computes, waits } => (computes, computes + waits),
                Kind::Cores(computes, cores) => {
                    (computes, computes * running as u32 / running.min(cores) as u32)
                }
            };
            let end = self.now + time / running as u32;
            let turn = self.crew.begin(running - 1, WORKERS - running);
            let watch = turn.map(|turn| Watch { turn, began: Duration::ZERO, used });
            self.crew.took(end - time, end, watch, Load { running, waiting: load - running });
            self.now = end;
            self.tries += u32::from(!alone && self.crew.one_is_enough());
            alone
        }
    }

    const fn micros(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    const LOCK: Kind = Kind::Turns(micros(90));
    const SLEEP: Kind = Kind::Waits { computes: micros(20), waits: micros(200) };
    const HASH: Kind = Kind::Cores(micros(300), 2);

    #[test]
    fn one_does_what_takes_turns() {
        for (load, jobs) in [(1, 20_000), (4, 20_000), (32, 20_000)] {
            let alone = Machine::new().run(jobs, LOCK, load);
            assert!(alone > jobs / 100 * 95, "{alone} of {jobs} at {load}");
        }
    }

    #[test]
    fn all_do_what_waits_or_has_cores() {
        // One is tried where all of them use no more than a core, each time for five jobs.
        assert!((1..60).contains(&Machine::new().run(20_000, SLEEP, 32)));
        assert_eq!(Machine::new().run(20_000, HASH, 32), 0);
    }

    #[test]
    fn quick_jobs_need_one_and_no_clock() {
        let mut machine = Machine::new();
        machine.run(32, Kind::Turns(micros(5)), 32);
        assert!(machine.crew.one_is_enough() && machine.crew.begin(0, 3).is_none());
    }

    #[test]
    fn the_only_worker_has_nothing_to_learn() {
        let mut machine = Machine::new();
        machine.run(64, LOCK, 32);
        assert!(machine.crew.begin(0, 0).is_none() && machine.crew.begin(0, 1).is_some());
    }

    #[test]
    fn jobs_may_become_others() {
        let mut machine = Machine::new();
        for _ in 0..3 {
            // At most as long as the longest patience, on both sides.
            assert!(machine.run(2 * LONGEST, LOCK, 32) > LONGEST / 2);
            for kind in [SLEEP, HASH] {
                machine.run(LONGEST + WINDOW, LOCK, 32);
                let alone = machine.run(2 * LONGEST, kind, 32);
                assert!(alone <= LONGEST + WINDOW, "{alone}");
                assert!(machine.run(LONGEST, kind, 32) <= 10);
            }
        }
    }

    /// Alone, whoever waits is noticed within [`LONGEST_WAIT`], and a load that has grown as soon.
    #[test]
    fn what_has_changed_shows_soon() {
        let mut machine = Machine::new();
        machine.run(LONGEST, LOCK, 32);
        assert!(machine.crew.one_is_enough());
        assert!(machine.run(1000, SLEEP, 32) <= WINDOW);

        let mut machine = Machine::new();
        machine.run(LONGEST, HASH, 1);
        assert!(machine.crew.one_is_enough(), "with one at a time there is no telling");
        assert!(machine.run(1000, HASH, 32) <= 2 * WINDOW);
    }

    #[test]
    fn what_is_in_vain_becomes_rare() {
        // All of them together use a core, but one of them mostly waits.
        let kind = Kind::Waits { computes: micros(100), waits: micros(300) };
        let mut machine = Machine::new();
        let alone = machine.run(20 * LONGEST, kind, 32);
        assert!((7..30).contains(&machine.tries), "{} tries", machine.tries);
        // None of them takes longer than it must.
        assert!(alone <= machine.tries * 11, "{alone} jobs in {} tries", machine.tries);
    }

    #[test]
    fn long_jobs_are_left_alone() {
        assert_eq!(Machine::new().run(20_000, Kind::Turns(micros(2000)), 32), 0);
    }

    #[test]
    fn who_is_stuck_is_soon_tried_again_if_that_was_rare() {
        let mut machine = Machine::new();
        machine.run(2 * LONGEST, LOCK, 32);
        machine.crew.got_stuck();
        assert!(!machine.crew.one_is_enough());
        assert!(machine.run(SHORTEST + 2 * WINDOW, LOCK, 32) > 0);

        let mut machine = Machine::new();
        for _ in 0..5 {
            while !machine.crew.one_is_enough() {
                machine.job(LOCK, 32);
            }
            machine.crew.got_stuck();
        }
        assert_eq!(machine.run(16 * SHORTEST, LOCK, 32), 0, "tried in vain five times");
    }

    #[test]
    fn what_all_had_begun_says_nothing_of_one() {
        let mut machine = Machine::new();
        while !machine.crew.one_is_enough() {
            machine.job(LOCK, 32);
        }
        let (start, end, turn) = (machine.now, machine.now + micros(5000), machine.crew.turn - 1);
        for running in 1..=WORKERS {
            let watch = Watch { turn, began: Duration::ZERO, used: micros(90) };
            machine.crew.took(start, end, Some(watch), Load { running, waiting: 28 });
        }
        assert!(machine.crew.one_is_enough());
    }

    #[test]
    fn time_counts_once_and_only_while_there_are_jobs() {
        let mut crew = Crew { since: SHORTEST, ..Crew::default() };
        let zero = Instant::now();
        let mut took = |start, end, used, (before, after)| {
            let turn = crew.begin(before, WORKERS - 1 - before);
            let watch = turn.map(|turn| Watch { turn, began: Duration::ZERO, used: micros(used) });
            crew.took(zero + start, zero + end, watch, Load { running: after, waiting: 0 });
        };
        for n in 0..u64::from(WINDOW / 4) {
            let t = |us| micros(10_000 * n + us);
            // Two at once of 200 us each; who ends first is not the first to say so.
            took(t(0), t(200), 200, (0, 2));
            took(t(0), t(100), 100, (1, 2));
            took(t(100), t(300), 200, (1, 2));
            took(t(200), t(300), 100, (1, 1));
        }
        assert!((crew.all.cores - 2.0).abs() < 1e-6, "{:?}", crew.all);
    }
}

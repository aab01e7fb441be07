//! ACKs that wait for something to go with.

use std::time::{Duration, Instant};

/// How long an ACK waits at most.
const WAIT: Duration = Duration::from_millis(1);

/// It waits where the broker has more to do than this before it confirms a reply,
const BUSY: Duration = Duration::from_micros(600);

/// and while so many other messages are not settled, but no more than a quarter of those that the broker sends at once.
const MANY: usize = 8;

/// When ACKs go out that have nothing to go with.
///
/// An ACK is not urgent, and alone it costs us a write, and the broker a read. What is more, a broker that leaves Nagle's
/// algorithm on (ActiveMQ does) sends a small frame only when it has heard from us, as it does with each ACK: so each
/// RECEIPT would be read and acknowledged by itself. A while later there are many. Where replies wait for each other at the
/// broker anyway, that while costs nothing; where they do not, ACKs go out at once.
#[derive(Debug)]
pub(super) struct Company {
    /// How long the broker has lately taken to confirm a reply, and how long at least. The difference is what it had to do.
    round_trip: Duration,
    least: Duration,
    is_busy: bool,
    /// The last reply that was confirmed, by when it was sent.
    sent: Option<Instant>,
    /// ACKs that wait, and since when.
    waiting: usize,
    since: Option<Instant>,
    /// When some last went out alone, late.
    late: Option<Instant>,
}

impl Default for Company {
    fn default() -> Self {
        Self {
            round_trip: Duration::ZERO,
            least: Duration::MAX,
            is_busy: false,
            sent: None,
            waiting: 0,
            since: None,
            late: None,
        }
    }
}

impl Company {
    /// The broker has confirmed what was sent then.
    pub(super) fn confirmed(&mut self, sent: Instant) {
        self.sent = Some(sent);
    }

    /// Whether one more waits.
    pub(super) fn joins(&mut self) -> bool {
        self.waiting += usize::from(self.is_busy);
        self.is_busy
    }

    /// When those that wait go out alone.
    pub(super) fn until(&self) -> Option<Instant> {
        Some(self.since? + WAIT)
    }

    /// Whether those that wait go out now, while so many other messages are not settled. The broker sends no more than a
    /// `window` of them.
    pub(super) fn goes(&mut self, now: Instant, unsettled: usize, window: usize) -> bool {
        let late = now.saturating_duration_since(*self.since.get_or_insert(now)) >= WAIT;
        if late {
            self.late = Some(now);
        }
        let free = unsettled >= MANY && 4 * (unsettled + self.waiting) <= window;
        let goes = late || !self.is_busy || !free;
        if goes {
            self.leave();
        }
        goes
    }

    /// None waits: those that did have gone with something else.
    pub(super) fn leave(&mut self) {
        (self.waiting, self.since) = (0, None);
    }

    /// Learns from what came at once.
    pub(super) fn learn(&mut self, now: Instant) {
        let Some(sent) = self.sent.take() else { return };
        // What it took because of us does not count.
        let ours = if self.late.is_some_and(|late| late > sent) { WAIT } else { Duration::ZERO };
        let took = now.saturating_duration_since(sent).saturating_sub(ours);
        self.least = self.least.min(took);
        self.round_trip = (self.round_trip * 7 + took) / 8;
        self.is_busy = self.round_trip.saturating_sub(self.least) >= BUSY;
    }
}

//! ACKs that wait for something to go with.

use std::time::{Duration, Instant};

use super::Ledger;

/// How long an ACK waits at most.
const WAIT: Duration = Duration::from_millis(1);

/// It waits where the broker has more to do than this before it confirms a reply,
const BUSY: Duration = Duration::from_micros(600);

/// and while so many other messages are not settled, but no more than a quarter of those that the broker sends at once.
const MANY: usize = 8;

/// One reply that took longer counts as this.
const LONGEST: Duration = Duration::from_millis(50);

/// When ACKs go out that have nothing to go with.
///
/// An ACK is not urgent, and alone it costs us a write, and the broker a read. What is more, a broker that leaves Nagle's
/// algorithm on (ActiveMQ does) sends a small frame only when it has heard from us, as it does with each ACK: so each
/// RECEIPT would be read and acknowledged by itself. A while later there are many. Where replies wait for each other at the
/// broker anyway, that while costs nothing; where they do not, ACKs go out at once.
#[derive(Debug)]
pub(super) struct Company {
    /// How long it has lately taken until a reply was confirmed, but for what ACKs waited meanwhile; and how long at least.
    /// The difference is what the broker had to do.
    round_trip: Duration,
    least: Duration,
    /// The last reply that was confirmed, by when it was sent.
    sent: Option<Instant>,
    /// Since when ACKs wait.
    since: Option<Instant>,
    waiting: usize,
    /// When some last went out that had waited.
    went: Option<Instant>,
}

impl Default for Company {
    fn default() -> Self {
        let (round_trip, least) = (Duration::ZERO, Duration::MAX);
        Self { round_trip, least, sent: None, since: None, waiting: 0, went: None }
    }
}

impl Company {
    /// The broker has confirmed what was sent then.
    pub(super) fn confirmed(&mut self, sent: Instant) {
        self.sent = Some(sent);
    }

    /// Learns from what has come.
    pub(super) fn learn(&mut self, now: Instant) {
        let Some(sent) = self.sent.take() else { return };
        let took = now.saturating_duration_since(sent);
        self.least = self.least.min(took);
        // With Nagle's algorithm it may have waited as well.
        let waited = if self.went.is_some_and(|went| went > sent) { WAIT } else { Duration::ZERO };
        self.round_trip = (self.round_trip * 7 + took.saturating_sub(waited).min(LONGEST)) / 8;
    }

    fn is_busy(&self) -> bool {
        self.round_trip.saturating_sub(self.least) >= BUSY
    }

    /// Whether one more waits.
    pub(super) fn joins(&mut self) -> bool {
        let joins = self.is_busy();
        self.waiting += usize::from(joins);
        joins
    }

    /// When those that wait go out alone.
    pub(super) fn until(&self) -> Option<Instant> {
        Some(self.since? + WAIT)
    }

    /// Whether those that wait go out now; each of them counts against what the broker sends at once.
    pub(super) fn lets_go(&mut self, now: Instant, ledger: &Ledger, prefetch: usize) -> bool {
        let since = *self.since.get_or_insert(now);
        let many = ledger.unsettled() >= MANY && 4 * (ledger.len() + self.waiting) <= prefetch;
        let goes = !self.is_busy() || !many || now.saturating_duration_since(since) >= WAIT;
        if goes {
            self.leave(now);
        }
        goes
    }

    /// None waits any more: those that did went with something else.
    pub(super) fn leave(&mut self, now: Instant) {
        if self.since.take().is_some_and(|since| since < now) {
            self.went = Some(now);
        }
        self.waiting = 0;
    }
}

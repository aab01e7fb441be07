//! Heart-beats: whether a client is dead, and when the broker must send something.

use std::time::{Duration, Instant};

use crate::stomp::{HeartBeat, HeartBeatOffer};

/// Most that a client is granted beyond twice its interval; less where the interval is short.
const TOLERANCE: Duration = Duration::from_millis(200);

/// Heart-beats of one connection, in ActiveMQ's way: the broker takes whatever intervals the client asks for,
/// and closes the connection of a client that is silent for twice its own.
#[derive(Debug)]
pub(super) struct Liveness {
    beat: HeartBeat,
    /// How long the client may be silent.
    silence: Option<Duration>,
    last_received: Instant,
}

impl Liveness {
    /// What the broker offers to a client that offered `theirs`: the same, but nothing shorter than `floor`.
    pub(super) fn offer(theirs: HeartBeatOffer, floor: Duration) -> HeartBeatOffer {
        let mirror = |interval: Duration| if interval.is_zero() { interval } else { interval.max(floor) };
        HeartBeatOffer { send: mirror(theirs.receive), receive: mirror(theirs.send) }
    }

    /// `patience` is for a client that promised no beats.
    pub(super) fn new(
        ours: HeartBeatOffer,
        theirs: HeartBeatOffer,
        patience: Option<Duration>,
        now: Instant,
    ) -> Self {
        let interval = HeartBeat::negotiate(ours, theirs, now).receive_interval();
        Self {
            // Only for the beats that are sent: this side's patience is shorter than a client's should be.
            beat: HeartBeat::negotiate(HeartBeatOffer { receive: Duration::ZERO, ..ours }, theirs, now),
            silence: match interval {
                Some(interval) => {
                    interval.checked_mul(2).and_then(|twice| twice.checked_add(TOLERANCE.min(interval / 2)))
                }
                None => patience,
            },
            last_received: now,
        }
    }

    /// Octets came in; or none could, because the broker did not read.
    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// Octets went out.
    pub(super) fn sent(&mut self, now: Instant) {
        self.beat.sent(now);
    }

    pub(super) fn beat_due(&self, now: Instant) -> bool {
        self.beat.beat_due(now)
    }

    /// How long the client was to be silent at most, if it was silent for longer.
    pub(super) fn dead(&self, now: Instant) -> Option<Duration> {
        self.silence.filter(|_| self.death_at().is_some_and(|at| at <= now))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match (self.beat.deadline(), self.death_at()) {
            (Some(beat), Some(death)) => Some(beat.min(death)),
            (beat, death) => beat.or(death),
        }
    }

    fn death_at(&self) -> Option<Instant> {
        self.last_received.checked_add(self.silence?)
    }
}

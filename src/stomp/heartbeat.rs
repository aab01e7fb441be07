//! Heart-beats in both directions.
use std::fmt;
use std::time::{Duration, Instant};

/// What a silent peer is granted beyond twice the interval, for the way and for busy machines.
const TOLERANCE: Duration = Duration::from_millis(200);

/// `heart-beat:x,y` of a CONNECT or CONNECTED: what one side can send and what it wants to receive.
///
/// Whole milliseconds; zero is "cannot" and "need not". A frame without the header offers `0,0`, which is the
/// default.
///
/// ```
/// use std::time::Duration;
/// use stomp_wsgi::stomp::HeartBeatOffer;
///
/// let offer = HeartBeatOffer::parse(b"10000,0").unwrap();
/// assert_eq!(offer.send, Duration::from_secs(10));
/// assert_eq!(offer.to_string(), "10000,0");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeartBeatOffer {
    /// The shortest interval at which this side can send.
    pub send: Duration,
    /// The longest interval at which this side wants to hear from the other.
    pub receive: Duration,
}

/// A `heart-beat` header that is not two non-negative integers with a comma between.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("the heart-beat header is not two whole numbers of milliseconds, such as 10000,10000")]
pub struct HeartBeatError;

impl HeartBeatOffer {
    /// Reads the header's value.
    pub fn parse(value: &[u8]) -> Result<Self, HeartBeatError> {
        let comma = memchr::memchr(b',', value).ok_or(HeartBeatError)?;
        Ok(Self { send: millis(&value[..comma])?, receive: millis(&value[comma + 1..])? })
    }
}

fn millis(digits: &[u8]) -> Result<Duration, HeartBeatError> {
    // `u64::from_str` alone would take "+5".
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(HeartBeatError);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| HeartBeatError)?;
    digits.parse().map(Duration::from_millis).map_err(|_| HeartBeatError)
}

impl fmt::Display for HeartBeatOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.send.as_millis(), self.receive.as_millis())
    }
}

/// The timers of one side, as both sides' offers make them.
///
/// Any octets count, in both directions: tell [`received`](Self::received) and [`sent`](Self::sent) of every
/// read and write, and ask [`beat_due`](Self::beat_due) and [`peer_dead`](Self::peer_dead) at
/// [`deadline`](Self::deadline). A beat is one LF between frames, never within one.
#[derive(Debug, Clone)]
pub struct HeartBeat {
    send: Option<Duration>,
    receive: Option<Duration>,
    last_sent: Instant,
    last_received: Instant,
}

impl HeartBeat {
    /// Agrees on both intervals: what we offered, and what the peer did.
    pub fn negotiate(ours: HeartBeatOffer, theirs: HeartBeatOffer, now: Instant) -> Self {
        Self {
            send: interval(ours.send, theirs.receive),
            receive: interval(theirs.send, ours.receive),
            last_sent: now,
            last_received: now,
        }
    }

    /// The interval within which the peer wants to hear from us, if it does and we can.
    pub fn send_interval(&self) -> Option<Duration> {
        self.send
    }

    /// The interval within which the peer said it would send.
    pub fn receive_interval(&self) -> Option<Duration> {
        self.receive
    }

    /// Octets came in.
    pub fn received(&mut self, now: Instant) {
        self.last_received = self.last_received.max(now);
    }

    /// Octets went out.
    pub fn sent(&mut self, now: Instant) {
        self.last_sent = self.last_sent.max(now);
    }

    /// When to ask again: the earlier of the next beat and the peer's death. Ask anew after
    /// [`received`](Self::received) and [`sent`](Self::sent), which put it off.
    pub fn deadline(&self) -> Option<Instant> {
        match (self.beat_at(), self.death_at()) {
            (Some(beat), Some(death)) => Some(beat.min(death)),
            (beat, death) => beat.or(death),
        }
    }

    /// Whether half the interval has passed since we sent anything. Half, because ActiveMQ closes the
    /// connection of a client that is late by nothing at all.
    pub fn beat_due(&self, now: Instant) -> bool {
        self.beat_at().is_some_and(|at| at <= now)
    }

    /// Whether nothing has come for twice the interval and a little more.
    pub fn peer_dead(&self, now: Instant) -> bool {
        self.death_at().is_some_and(|at| at <= now)
    }

    // An interval too long for the clock to reach, as a hostile peer may ask for, is none.

    fn beat_at(&self) -> Option<Instant> {
        self.last_sent.checked_add(self.send? / 2)
    }

    fn death_at(&self) -> Option<Instant> {
        self.last_received.checked_add(self.receive?.checked_mul(2)?.checked_add(TOLERANCE)?)
    }
}

/// The longer of what one side can do and the other wants, unless either says zero.
fn interval(can: Duration, wants: Duration) -> Option<Duration> {
    // An offer travels in whole milliseconds, so that is what it is worth.
    (can.as_millis() != 0 && wants.as_millis() != 0).then(|| can.max(wants))
}

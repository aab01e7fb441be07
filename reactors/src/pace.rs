//! How quick jobs are.

use std::time::Duration;

use crate::LOOK;

/// A job that takes no longer is quick: to wake somebody for it costs as much.
const QUICK: Duration = Duration::from_micros(50);

/// The same where nobody is to be woken, and only a write to be saved.
#[cfg(feature = "mio")]
const QUICK_INLINE: Duration = Duration::from_micros(300);

/// So many quick ones, and the next is taken to be quick, too.
const STREAK: u32 = 32;

/// More than these are not counted.
const LONGEST: u32 = 256;

/// What quick jobs give waits so long for what the next ones give; the second where many wait.
const HOLD: Duration = Duration::from_micros(25);
const LONGEST_HOLD: Duration = LOOK;

/// Whether jobs have lately been so quick that to wake somebody for each costs more than it gains: then what they
/// give may wait for the next of them.
#[derive(Debug)]
pub(crate) struct Pace {
    quick: Duration,
    streak: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { quick: QUICK, streak: 0 }
    }
}

impl Pace {
    /// For who wakes nobody.
    #[cfg(feature = "mio")]
    pub(crate) fn inline() -> Self {
        Self { quick: QUICK_INLINE, streak: 0 }
    }

    /// A job took so long.
    pub(crate) fn took(&mut self, time: Duration) {
        // One of a hundred may be slow: most of those are quick jobs during which the kernel ran something else.
        self.streak = if time <= self.quick { LONGEST.min(self.streak + 1) } else { self.streak / 2 };
    }

    /// Whether what so many jobs have given in this time goes out now.
    #[cfg(feature = "mio")]
    pub(crate) fn lets_go(&self, time: Duration, given: usize, waiting: usize) -> bool {
        !self.is_quick() || Self::is_time(time, given, waiting)
    }

    /// Whether what so many quick jobs have `given` in this time goes out now, while others are `waiting`: half of what
    /// there is to do, and then half of the rest, so that neither side waits for the other.
    pub(crate) fn is_time(time: Duration, given: usize, waiting: usize) -> bool {
        waiting == 0 || time >= LONGEST_HOLD || time >= HOLD && given >= waiting
    }

    pub(crate) fn is_quick(&self) -> bool {
        self.streak >= STREAK
    }
}

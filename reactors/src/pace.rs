//! How quick jobs are.

use std::time::Duration;

/// A job that takes no longer is quick.
const QUICK: Duration = Duration::from_micros(50);

/// So many quick ones, and the next is taken to be quick, too.
const STREAK: u32 = 32;

/// More than these are not counted.
const LONGEST: u32 = 256;

/// Whether jobs have lately been so quick that to wake somebody for each costs more than it gains: then what they
/// give may wait for the next of them.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    streak: u32,
}

impl Pace {
    /// A job took so long.
    pub(crate) fn took(&mut self, time: Duration) {
        // One of a hundred may be slow: most of those are quick jobs during which the kernel ran something else.
        self.streak = if time <= QUICK { LONGEST.min(self.streak + 1) } else { self.streak / 2 };
    }

    pub(crate) fn is_quick(&self) -> bool {
        self.streak >= STREAK
    }
}

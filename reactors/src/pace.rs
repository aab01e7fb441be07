//! How quick jobs are.

use std::time::Duration;

/// A job that takes no longer is quick.
const QUICK: Duration = Duration::from_micros(50);

/// So many quick ones in a row, and the next is taken to be quick, too.
const STREAK: u32 = 32;

/// Whether jobs have lately been so quick that to wake somebody for each costs more than it gains: then what they
/// give may wait for the next of them.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    streak: u32,
}

impl Pace {
    /// A job took so long.
    pub(crate) fn took(&mut self, time: Duration) {
        self.streak = if time <= QUICK { self.streak.saturating_add(1) } else { 0 };
    }

    pub(crate) fn is_quick(&self) -> bool {
        self.streak >= STREAK
    }
}

//! Messages whose answers may be what ends the connection.

use std::collections::{HashMap, HashSet};

use super::identity::Identity;
use crate::stomp::Frame;

/// What speaks against a message whose answer is not confirmed when the connection ends: an ERROR, and the
/// end.
pub(super) const BY_ERROR: u32 = 3;
pub(super) const BY_END: u32 = 1;
/// With so much against it, a message's answer is sent alone; with so much it is dead-lettered (three ERRORs, or nine
/// ends without a word); and when that goes on over its dead letter, it is given up.
const SUSPECT: u32 = 3;
const CONDEMNED: u32 = 9;
const HOPELESS: u32 = 21;
/// Messages that are remembered; beyond them we begin anew.
const MOST: usize = 1000;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Innocent,
    Suspect,
    Condemned,
    Hopeless,
}

/// Those under suspicion. What one of them does to the connection is held against nobody else, because its answer, or
/// its dead letter, is sent while no other is on its way (`quarantine.rs`).
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// How much speaks against each message, by its identity. It outlives connections.
    against: HashMap<u64, u32>,
    identity: Identity,
}

impl Suspects {
    /// The connection ends, and nobody says over what: it may be any answer that is not confirmed.
    pub(super) fn accuse<'a>(&mut self, weight: u32, unconfirmed: impl Iterator<Item = &'a Frame>) {
        if self.against.len() > MOST {
            self.against.clear();
        }
        // Once, however many there are that look the same.
        let identities: HashSet<u64> = unconfirmed.map(|message| self.identity.of(message)).collect();
        for identity in identities {
            *self.against.entry(identity).or_default() += weight;
        }
    }

    /// An answer was confirmed: it was not this one.
    pub(super) fn acquit(&mut self, message: &Frame) {
        if !self.against.is_empty() {
            self.against.remove(&self.identity.of(message));
        }
    }

    pub(super) fn verdict(&self, message: &Frame) -> Verdict {
        if self.against.is_empty() {
            return Verdict::Innocent;
        }
        match self.against.get(&self.identity.of(message)).copied().unwrap_or(0) {
            ..SUSPECT => Verdict::Innocent,
            SUSPECT..CONDEMNED => Verdict::Suspect,
            CONDEMNED..HOPELESS => Verdict::Condemned,
            _ => Verdict::Hopeless,
        }
    }
}

//! Messages whose answers may be what ends the connection.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{BuildHasher, Hash, Hasher, RandomState},
    time::{Duration, Instant},
};

use super::Ledger;
use crate::stomp::Frame;

/// What speaks against a message whose answer is not confirmed when the connection ends: an ERROR, and the
/// end.
pub(super) const BY_ERROR: u32 = 3;
pub(super) const BY_END: u32 = 1;
/// With so much against it a message is served alone; with so much it is dead-lettered (three ERRORs, or nine
/// ends without a word); and when that goes on over its dead letter, it is given up.
const SUSPECT: u32 = 3;
const CONDEMNED: u32 = 9;
const HOPELESS: u32 = 21;
/// How long others wait for one that is served alone.
const ALONE: Duration = Duration::from_secs(10);
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

/// Those under suspicion. Each is served, or dead-lettered, while no other answer is on its way, so that what
/// it does to the connection is held against nobody else.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// How much speaks against each message, by its identity. It outlives connections.
    against: HashMap<u64, u32>,
    hasher: RandomState,
    /// The jobs of those that wait for their turn.
    waiting: VecDeque<u64>,
    /// The one whose turn it is, and until when the others wait for it.
    alone: Option<(u64, Instant)>,
}

impl Suspects {
    /// The connection ends, and nobody says over what: it may be any answer that is not confirmed.
    pub(super) fn accuse<'a>(&mut self, weight: u32, unconfirmed: impl Iterator<Item = &'a Frame>) {
        if self.against.len() > MOST {
            self.against.clear();
        }
        // Once, however many there are that look the same.
        let identities: HashSet<u64> = unconfirmed.map(|message| self.identity(message)).collect();
        for identity in identities {
            *self.against.entry(identity).or_default() += weight;
        }
    }

    /// An answer was confirmed: it was not this one.
    pub(super) fn acquit(&mut self, message: &Frame) {
        if !self.against.is_empty() {
            let identity = self.identity(message);
            self.against.remove(&identity);
        }
    }

    pub(super) fn verdict(&self, message: &Frame) -> Verdict {
        if self.against.is_empty() {
            return Verdict::Innocent;
        }
        match self.against.get(&self.identity(message)).copied().unwrap_or(0) {
            ..SUSPECT => Verdict::Innocent,
            SUSPECT..CONDEMNED => Verdict::Suspect,
            CONDEMNED..HOPELESS => Verdict::Condemned,
            _ => Verdict::Hopeless,
        }
    }

    /// What stays the same when a message is delivered again: everything but what the broker adds. No single
    /// header will do: RabbitMQ's message-id is another each time, and requesters count their correlation-ids
    /// from 1, or set none.
    fn identity(&self, message: &Frame) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for (name, value) in message.headers.iter() {
            let added = match name {
                b"ack" | b"subscription" | b"redelivered" | b"x-delivery-count" => true,
                b"message-id" => memchr::memmem::find(value, b"@@session-").is_some(),
                _ => false,
            };
            if !added {
                (name, value).hash(&mut hasher);
            }
        }
        message.body.hash(&mut hasher);
        hasher.finish()
    }

    /// A job that is to wait for its turn.
    pub(super) fn push(&mut self, job: u64) {
        self.waiting.push_back(job);
    }

    /// The next whose turn it is, when nobody can be blamed with it.
    pub(super) fn next(&mut self, now: Instant, ledger: &Ledger) -> Option<u64> {
        if let Some((job, until)) = self.alone {
            if now < until && ledger.get(job).is_some_and(|entry| entry.state.is_under_way()) {
                return None;
            }
            self.alone = None;
        }
        if self.waiting.is_empty() || ledger.is_answering() {
            return None;
        }
        let job = self.waiting.pop_front()?;
        self.alone = Some((job, now + ALONE));
        Some(job)
    }

    /// Whether this job may go now; while one is to be alone, or waits for that, no other.
    pub(super) fn allow(&self, job: u64) -> bool {
        self.alone.map_or(self.waiting.is_empty(), |(alone, _)| alone == job)
    }

    /// When the one whose turn it is has had it.
    pub(super) fn until(&self) -> Option<Instant> {
        self.alone.map(|(_, until)| until)
    }

    /// Nobody's turn any more; and of those that wait, only these go on waiting.
    pub(super) fn retain(&mut self, keep: impl FnMut(&u64) -> bool) {
        self.alone = None;
        self.waiting.retain(keep);
    }
}

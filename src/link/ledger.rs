//! What a worker was given and has not yet acknowledged.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;

use crate::stomp::{Command, Encoder, Frame, Version};

/// One message, from its delivery to its ACK.
///
/// ```text
///   delivered -> Running -> Replied -> (RECEIPT) ACK, gone
///                   |  ^
///                   v  |
///                 Retrying           the connection is lost: gone, the broker delivers it again
/// ```
#[derive(Debug)]
pub(crate) struct Entry {
    /// The message, while it may have to be run again.
    pub(crate) message: Frame,
    ack: Ack,
    /// The connection that delivered it: an ACK goes to that one or to none.
    epoch: u64,
    pub(crate) attempt: u32,
    pub(crate) state: State,
    /// Set when nobody waits for the rest of a stream.
    pub(crate) cancelled: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A job has it.
    Running,
    /// It failed, and is run again then.
    Retrying(Instant),
    /// What answers it was sent; the broker's RECEIPT is awaited.
    Replied,
    /// A job has it, and the connection that brought it is gone.
    Orphaned,
}

/// What an ACK of this message says, by version.
#[derive(Debug)]
struct Ack {
    id: Option<Bytes>,
    message_id: Option<Bytes>,
    subscription: Option<Bytes>,
}

/// The messages in hand, by the number of their job.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: HashMap<u64, Entry>,
    last: u64,
    /// Entries that are Running or Orphaned.
    running: usize,
    waiting: usize,
    /// How often the broker ended the connection over what we sent, while this message's answer was under way.
    suspects: HashMap<u64, u32>,
    hasher: RandomState,
}

/// Suspects that are remembered; beyond them we begin anew.
const SUSPECTS: usize = 1000;

impl Ledger {
    /// Takes a message in, and numbers it.
    pub(crate) fn deliver(&mut self, message: Frame, epoch: u64) -> u64 {
        self.last += 1;
        let header = |name| message.headers.bytes(name);
        let ack =
            Ack { id: header("ack"), message_id: header("message-id"), subscription: header("subscription") };
        let entry =
            Entry { message, ack, epoch, attempt: 1, state: State::Running, cancelled: Arc::default() };
        self.entries.insert(self.last, entry);
        self.running += 1;
        self.last
    }

    pub(crate) fn get(&self, job: u64) -> Option<&Entry> {
        self.entries.get(&job)
    }

    /// Moves an entry on.
    pub(crate) fn set(&mut self, job: u64, state: State) {
        if let Some(entry) = self.entries.get_mut(&job) {
            self.running -= usize::from(entry.state.runs());
            self.waiting -= usize::from(entry.state.waits());
            entry.state = state;
            self.running += usize::from(state.runs());
            self.waiting += usize::from(state.waits());
        }
    }

    /// Takes an entry that is to be run once more.
    pub(crate) fn again(&mut self, job: u64) {
        self.set(job, State::Running);
        if let Some(entry) = self.entries.get_mut(&job) {
            entry.attempt += 1;
            entry.cancelled = Arc::default();
        }
    }

    pub(crate) fn remove(&mut self, job: u64) -> Option<Entry> {
        let entry = self.entries.remove(&job)?;
        self.running -= usize::from(entry.state.runs());
        self.waiting -= usize::from(entry.state.waits());
        Some(entry)
    }

    /// The connection is gone: everything that it delivered is the broker's again. Jobs that run go on, for nobody.
    pub(crate) fn lost(&mut self) {
        self.entries.retain(|_, entry| {
            entry.cancelled.store(true, Ordering::Relaxed);
            let runs = entry.state.runs();
            if runs {
                entry.state = State::Orphaned;
            }
            runs
        });
        self.waiting = 0;
    }

    /// The broker complains, and does not say of what: it may be any answer that it has not confirmed.
    pub(crate) fn suspect(&mut self) {
        if self.suspects.len() > SUSPECTS {
            self.suspects.clear();
        }
        let under_way = self.entries.values().filter(|entry| entry.state == State::Replied);
        // Once, however many there are that look the same.
        let identities: HashSet<u64> = under_way.map(|entry| self.identity(&entry.message)).collect();
        for identity in identities {
            *self.suspects.entry(identity).or_default() += 1;
        }
    }

    /// How often that happened while this message was being answered.
    pub(crate) fn suspicion(&self, job: u64) -> u32 {
        if self.suspects.is_empty() {
            return 0;
        }
        let identity = self.get(job).map(|entry| self.identity(&entry.message));
        identity.and_then(|identity| self.suspects.get(&identity).copied()).unwrap_or(0)
    }

    /// An answer was confirmed: it was not this one.
    pub(crate) fn clear_suspicion(&mut self, entry: &Entry) {
        if !self.suspects.is_empty() {
            let identity = self.identity(&entry.message);
            self.suspects.remove(&identity);
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

    /// Messages of this connection that are being answered, or are about to be.
    pub(crate) fn in_hand(&self) -> usize {
        let in_hand = |entry: &&Entry| matches!(entry.state, State::Running | State::Replied);
        self.entries.values().filter(in_hand).count()
    }

    /// Jobs that have not ended.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// Entries that still need this connection.
    pub(crate) fn unsettled(&self) -> usize {
        self.running + self.waiting
    }

    /// Jobs that are due for another try.
    pub(crate) fn due(&self, now: Instant) -> Vec<u64> {
        let due = |entry: &Entry| matches!(entry.state, State::Retrying(at) if at <= now);
        let mut jobs: Vec<u64> =
            self.entries.iter().filter(|(_, entry)| due(entry)).map(|(job, _)| *job).collect();
        jobs.sort_unstable();
        jobs
    }

    /// When the earliest of the others is.
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        let at = |entry: &Entry| if let State::Retrying(at) = entry.state { Some(at) } else { None };
        self.entries.values().filter_map(at).min()
    }

    /// Gives back what waits to be run again: unacknowledged, the broker keeps it.
    pub(crate) fn abandon_retries(&mut self) {
        self.entries.retain(|_, entry| !matches!(entry.state, State::Retrying(_)));
    }
}

impl State {
    fn runs(self) -> bool {
        matches!(self, Self::Running | Self::Orphaned)
    }

    fn waits(self) -> bool {
        matches!(self, Self::Replied)
    }
}

impl Entry {
    pub(crate) fn is_of(&self, epoch: u64) -> bool {
        self.epoch == epoch && self.state != State::Orphaned
    }

    /// Appends the ACK (STOMP 1.2 by `id`, 1.1 by `message-id` and `subscription`, 1.0 by `message-id`).
    pub(crate) fn ack(&self, version: Version, out: &mut Vec<u8>) {
        let mut frame = Encoder::new(out, version, Command::Ack);
        if let (Version::V1_2, Some(id)) = (version, &self.ack.id) {
            frame = frame.header("id", id);
        } else {
            for (name, value) in
                [("message-id", &self.ack.message_id), ("subscription", &self.ack.subscription)]
            {
                if let Some(value) = value {
                    frame = frame.header(name, value);
                }
            }
        }
        frame.finish();
    }
}

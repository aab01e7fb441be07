//! What a worker was given and has not yet acknowledged.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Earlier,
    refusals::{Refusal, Refused},
};
use crate::{
    service::{Begun, Delivered, Origin, Progress, Receipt},
    stomp::{Command, Encoder, Frame, Version},
};

/// One message, from its delivery to its ACK.
///
/// ```text
///   delivered ------------------> Running -> Due -> Replied or Committing -> gone
///       |                           ^ | ^              |  ^
///       v                           | v |              v  |
///     Held -> Acking ---------------+ Retrying <----------+
/// ```
///
/// On a broker whose connections survive an ERROR, a stream's end waits for its blocks (Ending), and the ACK within a
/// transaction for the reply (Sent).
///
/// When the connection is lost all of them are gone, and the broker delivers again what is not acknowledged.
///
/// A message that is answered for the application, which took too long, stays until its job has ended: as
/// long as it is busy it counts against what may be in hand.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The message as its job has it, or will.
    pub(crate) delivered: Arc<Delivered>,
    pub(crate) state: State,
    /// A job has it, and has not ended.
    busy: bool,
    /// It was acknowledged before its time, or is within a transaction.
    pub(crate) acknowledged: bool,
    /// Its answer may be what ends connections, and is sent while no other is on its way.
    pub(crate) suspect: bool,
    /// Messages of its reply before the last.
    pub(crate) blocks: u64,
    /// Those of them that were sent, and neither confirmed nor refused.
    unconfirmed: u64,
    /// Those of them that the broker has confirmed, or refused.
    confirmed: u64,
    /// Why the broker refused one of them.
    pub(crate) lost: Option<Refusal>,
    /// What was last sent for it is its dead letter, and not its reply.
    dead_lettered: bool,
    /// The reply that was sent, until it is confirmed, where it may have to be sent again; or that is to be sent.
    reply: Option<Vec<u8>>,
    /// What the broker refused of it.
    refused: Option<Box<Refused>>,
    /// What is done when it is tried again.
    pub(crate) next: Next,
    /// When its job was last heard of, where that is later than its beginning; once it is answered, when that was.
    pub(crate) heard: Instant,
}

/// What is done when a message is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Next {
    /// The application is called.
    #[default]
    Run,
    /// The reply is sent that was refused.
    Reply,
    /// The dead letter is sent.
    Letter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Its ACK is to go first, when there is room.
    Held,
    /// Its ACK was sent first; the RECEIPT of that is awaited.
    Acking,
    /// A job has it.
    Running,
    /// A job has it, has taken too long, and whatever becomes of it, it has failed.
    Late,
    /// It failed, or what was sent for it was refused: it is tried again then.
    Retrying(Instant),
    /// What answers it is there, and waits to be sent.
    Due,
    /// The end of its stream waits for the RECEIPTs of the blocks.
    Ending,
    /// Its reply was sent within a transaction; the RECEIPT of that is awaited, and then ACK and COMMIT follow.
    Sent,
    /// What answers it was sent; the broker's RECEIPT is awaited.
    Replied,
    /// What answers it was sent with its ACK in a transaction; the RECEIPT of the COMMIT is awaited.
    Committing,
    /// A job has it, of which nothing is wanted: it was answered in its place, or its connection is gone.
    Orphaned,
}

/// The messages in hand, by the number of their job.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: HashMap<u64, Entry, rustc_hash::FxBuildHasher>,
    last: u64,
    /// Entries whose jobs have not ended.
    busy: usize,
    /// Entries that wait for a RECEIPT, or to be answered, and those that wait to be tried again.
    waiting: usize,
    retrying: usize,
    /// Octets of replies that are kept.
    kept: usize,
    /// Entries of which something was refused.
    refused: usize,
}

/// Octets of replies that are kept in all. A reply beyond them is not sent again where it is refused: the application is
/// called again.
const MOST_KEPT: usize = 16 << 20;

impl Ledger {
    /// Takes a message in, and numbers it.
    pub(crate) fn deliver(
        &mut self,
        now: Instant,
        message: Frame,
        origin: &Arc<Origin>,
        state: State,
        earlier: Earlier,
    ) -> u64 {
        self.last += 1;
        let delivered = Arc::new(Delivered {
            message,
            origin: Arc::clone(origin),
            attempt: 1 + earlier.count,
            earlier,
            receipt: Receipt(self.last),
            progress: Progress::new(now),
            since: now,
            acknowledged: false,
        });
        let busy = state == State::Running;
        let entry = Entry {
            delivered,
            state,
            busy,
            acknowledged: false,
            suspect: false,
            blocks: 0,
            unconfirmed: 0,
            confirmed: 0,
            lost: None,
            dead_lettered: false,
            reply: None,
            refused: None,
            next: Next::Run,
            heard: now,
        };
        self.busy += usize::from(busy);
        self.waiting += usize::from(state.needs_connection());
        self.entries.insert(self.last, entry);
        self.last
    }

    /// Whether a message that is not settled is acknowledged by this id (STOMP 1.2).
    pub(crate) fn holds(&self, ack: &[u8]) -> bool {
        self.entries.values().any(|entry| entry.delivered.message.headers.get("ack") == Some(ack))
    }

    pub(crate) fn get(&self, job: u64) -> Option<&Entry> {
        self.entries.get(&job)
    }

    /// The entry of a job that gave something, with what it gave it as: its end, or a part.
    pub(crate) fn heard(&mut self, now: Instant, job: u64, ended: bool) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&job)?;
        if entry.state == State::Running {
            entry.heard = now;
        }
        if ended && entry.busy {
            entry.busy = false;
            self.busy -= 1;
        }
        Some(entry)
    }

    /// Moves an entry on.
    pub(crate) fn set(&mut self, job: u64, state: State) {
        if let Some(entry) = self.entries.get_mut(&job) {
            self.waiting -= usize::from(entry.state.needs_connection());
            self.retrying -= usize::from(entry.state.retries());
            entry.state = state;
            self.waiting += usize::from(state.needs_connection());
            self.retrying += usize::from(state.retries());
        }
    }

    /// Its ACK goes before everything else (Acking), or with its answer (Committing).
    pub(crate) fn acknowledged(&mut self, job: u64, state: State) {
        self.set(job, state);
        if let Some(entry) = self.entries.get_mut(&job) {
            entry.acknowledged = true;
        }
    }

    /// Whether there is room to keep a reply of so many octets.
    pub(crate) fn has_room(&self, octets: usize) -> bool {
        octets <= MOST_KEPT.saturating_sub(self.kept)
    }

    /// Keeps a reply until it is confirmed.
    pub(crate) fn keep(&mut self, job: u64, reply: Vec<u8>) {
        if let Some(entry) = self.entries.get_mut(&job) {
            self.kept += reply.len();
            if let Some(earlier) = entry.reply.replace(reply) {
                self.kept -= earlier.len();
            }
        }
    }

    /// Gives a reply that was kept, to be sent.
    pub(crate) fn take_reply(&mut self, job: u64) -> Option<Vec<u8>> {
        let reply = self.entries.get_mut(&job)?.reply.take()?;
        self.kept -= reply.len();
        Some(reply)
    }

    /// The broker has confirmed a block of a stream, or has refused it. Whether the stream's end has waited for that.
    pub(crate) fn block(&mut self, job: u64, refusal: Option<Refusal>) -> bool {
        let Some(entry) = self.entries.get_mut(&job) else { return false };
        entry.confirmed += 1;
        entry.unconfirmed = entry.unconfirmed.saturating_sub(1);
        entry.lost = entry.lost.or(refusal);
        entry.state == State::Ending && entry.confirmed >= entry.blocks
    }

    /// The broker has refused something of this message.
    pub(crate) fn refuse(&mut self, job: u64) -> Option<&mut Refused> {
        let entry = self.entries.get_mut(&job)?;
        self.refused += usize::from(entry.refused.is_none());
        Some(entry.refused.get_or_insert_default())
    }

    /// Corrects what is known of earlier deliveries of a message that no job has yet.
    pub(crate) fn correct(&mut self, job: u64, earlier: Earlier) {
        if let Some(delivered) =
            self.entries.get_mut(&job).and_then(|entry| Arc::get_mut(&mut entry.delivered))
        {
            delivered.earlier = earlier;
        }
    }

    /// Whether a job has this one, and has not ended.
    pub(crate) fn is_busy(&self, job: u64) -> bool {
        self.entries.get(&job).is_some_and(|entry| entry.busy)
    }

    /// The broker has confirmed the reply to this job's message. Those that are refused, and go elsewhere, are not the only
    /// ones that wait.
    pub(crate) fn served(&mut self, job: u64) {
        if self.refused == 0 {
            return;
        }
        let Some(reply_to) = self.entries.get(&job).map(Entry::reply_to) else { return };
        for entry in self.entries.values_mut() {
            if entry.refused.is_some() && entry.reply_to() != reply_to {
                entry.refused.iter_mut().for_each(|refused| refused.others_served = true);
            }
        }
    }

    /// How many messages there are of which something was refused.
    pub(crate) fn refused(&self) -> usize {
        self.refused
    }

    /// What is done when this one is tried again.
    pub(crate) fn set_next(&mut self, job: u64, next: Next) {
        if let Some(entry) = self.entries.get_mut(&job) {
            entry.next = next;
        }
    }

    /// Dead letters that are not confirmed.
    pub(crate) fn unconfirmed_letters(&self) -> impl Iterator<Item = &Frame> {
        let letters =
            self.entries.values().filter(|entry| entry.state == State::Replied && entry.dead_lettered);
        letters.map(|entry| &entry.delivered.message)
    }

    /// Takes an entry that is to be run, once more or after its ACK.
    pub(crate) fn run(&mut self, now: Instant, job: u64) {
        if let Some(entry) = self.entries.get_mut(&job) {
            let attempt = entry.delivered.attempt + u32::from(entry.state.retries());
            entry.heard = now;
            entry.delivered = Arc::new(entry.delivered.again(now, attempt, entry.acknowledged));
            debug_assert!(!entry.busy, "one job at a time");
            // Of an earlier attempt at a stream.
            (entry.blocks, entry.unconfirmed, entry.confirmed, entry.lost) = (0, 0, 0, None);
            entry.busy = true;
            self.busy += 1;
        }
        self.set(job, State::Running);
    }

    /// Its reply is sent, or its dead letter.
    pub(crate) fn sends(&mut self, job: u64, dead_letter: bool) {
        if let Some(entry) = self.entries.get_mut(&job) {
            entry.dead_lettered = dead_letter;
        }
    }

    /// Whether what this message's answer does to the connection is to be held against no other.
    pub(crate) fn suspect(&mut self, job: u64, suspect: bool) {
        if let Some(entry) = self.entries.get_mut(&job) {
            entry.suspect = suspect;
        }
    }

    /// A block of a stream was sent.
    pub(crate) fn sent(&mut self, job: u64) {
        if let Some(entry) = self.entries.get_mut(&job) {
            entry.unconfirmed += 1;
        }
    }

    /// A job that was not handed out, and will not be: what is not answered yet goes back to the broker.
    pub(crate) fn give_back(&mut self, job: u64) {
        match self.entries.get_mut(&job) {
            // Its RECEIPT is still to come, and then its ACK.
            Some(entry) if entry.state.is_answered() => {
                self.busy -= usize::from(std::mem::take(&mut entry.busy));
            }
            _ => drop(self.remove(job)),
        }
    }

    /// Of an entry that was removed: its job, if that has not ended, still counts.
    pub(crate) fn outlive(&mut self, job: u64, mut entry: Entry) {
        if entry.busy {
            entry.state = State::Orphaned;
            (entry.reply, entry.refused) = (None, None);
            self.busy += 1;
            self.entries.insert(job, entry);
        }
    }

    pub(crate) fn remove(&mut self, job: u64) -> Option<Entry> {
        let entry = self.entries.remove(&job)?;
        self.busy -= usize::from(entry.busy);
        self.waiting -= usize::from(entry.state.needs_connection());
        self.retrying -= usize::from(entry.state.retries());
        self.kept -= entry.reply.as_ref().map_or(0, Vec::len);
        self.refused -= usize::from(entry.refused.is_some());
        Some(entry)
    }

    /// The connection is gone: everything that it delivered is the broker's again. Jobs that run go on, for nobody.
    /// One that waits begins all the same where nobody else would: it is acknowledged already.
    pub(crate) fn lost(&mut self) {
        self.entries.retain(|_, entry| {
            let progress = &entry.delivered.progress;
            if !(entry.acknowledged && progress.begun() == Begun::NotYet) {
                progress.cancel();
            }
            entry.state = State::Orphaned;
            (entry.reply, entry.refused) = (None, None);
            entry.busy
        });
        (self.waiting, self.retrying, self.kept, self.refused) = (0, 0, 0, 0);
    }

    /// Has jobs not begin that have not: unacknowledged, their messages go back to the broker. Says how many these are.
    pub(crate) fn recall(&mut self) -> usize {
        let recalled = |entry: &&Entry| {
            entry.state == State::Running && !entry.acknowledged && entry.delivered.progress.cancel_unbegun()
        };
        self.entries.values().filter(recalled).count()
    }

    /// Jobs that have taken too long: waiting for a worker, running, or since their last block.
    pub(crate) fn overdue(&self, now: Instant, timeout: Duration) -> Vec<u64> {
        let late = |entry: &Entry| entry.deadline(timeout).is_some_and(|at| at <= now);
        let mut jobs: Vec<u64> =
            self.entries.iter().filter(|(_, entry)| late(entry)).map(|(job, _)| *job).collect();
        jobs.sort_unstable();
        jobs
    }

    /// When the first of the others will have.
    pub(crate) fn next_deadline(&self, timeout: Duration) -> Option<Instant> {
        self.entries.values().filter_map(|entry| entry.deadline(timeout)).min()
    }

    /// Messages of which something waits for a RECEIPT.
    pub(crate) fn unconfirmed(&self) -> impl Iterator<Item = &Frame> {
        let waiting = self.entries.values().filter(|entry| entry.waits_for_receipt());
        waiting.map(|entry| &entry.delivered.message)
    }

    /// The message of a suspect whose answer is all that waits for a RECEIPT. A dead letter is no answer.
    pub(crate) fn lone_suspect(&self) -> Option<&Frame> {
        let mut waiting = self.entries.values().filter(|entry| entry.waits_for_receipt());
        let only = waiting.next().filter(|_| waiting.next().is_none())?;
        let is_answer = only.is_unconfirmed() && !only.dead_lettered;
        (only.suspect && is_answer).then_some(&only.delivered.message)
    }

    /// Entries of this connection that are not settled.
    pub(crate) fn of(&self, epoch: u64) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(move |entry| entry.is_of(epoch))
    }

    /// All of them.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether answers are on their way.
    pub(crate) fn is_answering(&self) -> bool {
        self.entries.values().any(Entry::is_unconfirmed)
    }

    /// Jobs that have not ended.
    pub(crate) fn running(&self) -> usize {
        self.busy
    }

    /// What moves on by itself, without a word from the broker.
    pub(crate) fn in_hand(&self) -> usize {
        self.busy + self.retrying
    }

    /// Entries that still need this connection.
    pub(crate) fn unsettled(&self) -> usize {
        self.busy + self.waiting
    }

    /// Entries that wait for a RECEIPT.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
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

    /// Gives back what waits to be tried again: unacknowledged, the broker keeps it. What is acknowledged is due at once.
    pub(crate) fn abandon_retries(&mut self, now: Instant) {
        let retrying = self.entries.iter().filter(|(_, entry)| entry.state.retries());
        for (job, acknowledged) in retrying.map(|(job, entry)| (*job, entry.acknowledged)).collect::<Vec<_>>()
        {
            if acknowledged {
                self.set(job, State::Retrying(now));
            } else if let Some(entry) = self.remove(job) {
                self.outlive(job, entry);
            }
        }
    }
}

impl State {
    fn needs_connection(self) -> bool {
        self == Self::Acking || self.is_answered()
    }

    /// There is an answer, sent or not, that is not confirmed.
    fn is_answered(self) -> bool {
        matches!(self, Self::Due | Self::Ending | Self::Sent | Self::Replied | Self::Committing)
    }

    /// It may be answered, or its answer is not confirmed.
    pub(crate) fn is_under_way(self) -> bool {
        self == Self::Running || self.is_answered()
    }

    fn retries(self) -> bool {
        matches!(self, Self::Retrying(_))
    }
}

impl Entry {
    pub(crate) fn is_of(&self, epoch: u64) -> bool {
        self.delivered.origin.epoch == epoch && self.state != State::Orphaned
    }

    /// Something that was sent for it is not confirmed.
    fn waits_for_receipt(&self) -> bool {
        self.state == State::Acking || self.is_unconfirmed()
    }

    /// Something that answers it is on its way.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        match self.state {
            State::Sent | State::Replied | State::Committing => true,
            State::Orphaned => false,
            _ => self.unconfirmed > 0,
        }
    }

    /// Whether the broker has answered for all blocks of its stream.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed >= self.blocks
    }

    fn reply_to(&self) -> Option<Bytes> {
        self.delivered.message.headers.bytes("reply-to")
    }

    /// Whether its reply can be sent again.
    pub(crate) fn keeps_reply(&self) -> bool {
        self.reply.is_some()
    }

    /// When a job will have taken too long.
    fn deadline(&self, timeout: Duration) -> Option<Instant> {
        let begun = match self.delivered.progress.begun() {
            _ if self.state != State::Running => return None,
            Begun::At(begun) => begun.max(self.heard),
            Begun::NotYet => self.heard,
            Begun::Never => return None,
        };
        begun.checked_add(timeout)
    }

    /// Appends the ACK (STOMP 1.2 by `id`, 1.1 by `message-id` and `subscription`, 1.0 by `message-id`), with
    /// one more header.
    pub(crate) fn ack(&self, version: Version, with: Option<(&str, &str)>, out: &mut Vec<u8>) {
        self.settle(Command::Ack, version, with.as_slice(), out);
    }

    /// The same for a NACK.
    pub(crate) fn nack(&self, version: Version, with: &[(&str, &str)], out: &mut Vec<u8>) {
        self.settle(Command::Nack, version, with, out);
    }

    fn settle(&self, command: Command, version: Version, with: &[(&str, &str)], out: &mut Vec<u8>) {
        let mut frame = Encoder::new(out, version, command);
        for (name, value) in with {
            frame = frame.header(name, value);
        }
        let headers = &self.delivered.message.headers;
        if let (Version::V1_2, Some(id)) = (version, headers.get("ack")) {
            frame = frame.known("id", id);
        } else {
            for name in ["message-id", "subscription"] {
                if let Some(value) = headers.get(name) {
                    frame = frame.known(name, value);
                }
            }
        }
        frame.finish();
    }
}

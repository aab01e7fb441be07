//! Messages whose answers may be what ends the connection.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use super::{Ledger, identity::Identity, ledger::State, refusals::Refusing};
use crate::{service::Begun, stomp::Frame};

/// What speaks against a message whose answer is not confirmed when the connection ends: an ERROR, the end while few
/// answers are not confirmed, and while more are not.
const BY_ERROR: u32 = 3;
const BY_END_AMONG_FEW: u32 = 2;
const BY_END: u32 = 1;
const FEW: usize = 3;
/// With so much against it, a message's answer is sent alone. With so much it is dead-lettered: after three ERRORs, or five
/// or six ends without one. When that goes on over its dead letter, it is given up.
const SUSPECT: u32 = 3;
const CONDEMNED: u32 = 9;
const HOPELESS: u32 = 18;
/// After an end without an ERROR over its answer alone a suspect is not served for so long, and no longer after the next such
/// end: its reply queue may be full, and have room soon. So many may wait at a time, and no more than half of one prefetch, which all of them may have taken from
/// one subscription: others are to be served meanwhile.
const PAUSE: Duration = Duration::from_secs(10);
const MOST_PAUSED: usize = 10;
/// One that has run for so long does not keep the next one waiting.
const TURN: Duration = Duration::from_secs(10);
/// Over a larger answer the broker may end the connection because of its size, wherever it goes.
const SMALL: usize = 64 << 10;
/// Messages that are remembered; beyond them we begin anew.
const MOST: usize = 1000;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Innocent,
    Suspect,
    Condemned,
    Hopeless,
    /// The same reply-to as one that is condemned.
    Unanswerable,
}

/// Those under suspicion. What one of them does to the connection is held against nobody else, because its answer, or
/// its dead letter, is sent while no other is on its way (`quarantine.rs`). One at a time is served, so that the other
/// workers are there for other messages.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// How much speaks against each message, by its identity. It outlives connections.
    against: HashMap<u64, u32>,
    identity: Identity,
    /// Jobs that wait for their turn, each with its message's identity, and the one whose turn it is.
    waiting: VecDeque<(u64, u64)>,
    turn: Option<u64>,
    /// When another may have its turn.
    wake: Option<Instant>,
    /// Messages that are not served before then, by their identity.
    paused: HashMap<u64, Instant>,
    /// The suspect of which something was sent last, and the largest of what was sent for it.
    sent: (u64, usize),
    /// Condemned messages of which the requesters cannot be told: that ended the connection, too.
    untold: HashSet<u64>,
    /// The condemned message whose requester is being told.
    notice: Option<u64>,
    /// Where the answer to a condemned message was to go, and none has gone since.
    unreached: HashSet<String>,
    /// Those of which that holds for two messages. Others with the same reply-to are not tried one after the other: each of
    /// them would cost as many connections.
    closed: Refusing,
}

impl Suspects {
    /// The connection ends, and the broker does not say over what: it may be any answer that is not confirmed.
    /// Whether there is any.
    pub(super) fn accuse<'a>(&mut self, error: bool, unconfirmed: impl Iterator<Item = &'a Frame>) -> bool {
        // Once, however many there are that look the same.
        let identities: HashSet<u64> = unconfirmed.map(|message| self.identity.of(message)).collect();
        if self.against.len() > MOST {
            self.against.retain(|identity, _| identities.contains(identity));
            self.untold.retain(|identity| identities.contains(identity));
        }
        let weight = match identities.len() {
            _ if error => BY_ERROR,
            ..=FEW => BY_END_AMONG_FEW,
            _ => BY_END,
        };
        self.untold.extend(self.notice.take().filter(|notice| identities.contains(notice)));
        let any = !identities.is_empty();
        for identity in identities {
            *self.against.entry(identity).or_default() += weight;
        }
        any
    }

    /// The connection ends while this suspect's answer is all that is on its way. For how long others with its reply-to are
    /// not served, if that is to be. `prefetch`: how many messages of one subscription may be in hand.
    pub(super) fn convict(
        &mut self,
        now: Instant,
        error: bool,
        message: &Frame,
        prefetch: usize,
    ) -> Option<Duration> {
        self.accuse(error, std::iter::once(message));
        let identity = self.identity.of(message);
        let against = *self.against.get(&identity)?;
        self.paused.retain(|_, until| now < *until);
        if !error {
            // Finding out the others may take longer than one pause: they come first all the same.
            self.paused.values_mut().for_each(|until| *until = now + PAUSE);
        }
        // One that is condemned is not served again.
        if !error && against < CONDEMNED && self.paused.len() < MOST_PAUSED.min(prefetch / 2) {
            self.paused.insert(identity, now + PAUSE);
        }
        let tells = against >= CONDEMNED && self.sent.1 <= SMALL;
        let reply_to = message.headers.text("reply-to").filter(|_| tells)?;
        if self.unreached.contains(reply_to) {
            return Some(self.closed.close(reply_to, now));
        }
        if self.unreached.len() >= MOST {
            self.unreached.clear();
        }
        self.unreached.insert(reply_to.to_owned());
        None
    }

    /// An answer was confirmed: it was not this one.
    pub(super) fn acquit(&mut self, message: &Frame) {
        if !self.against.is_empty() {
            let identity = self.identity.of(message);
            self.against.remove(&identity);
            self.untold.remove(&identity);
            self.notice.take_if(|notice| *notice == identity);
        }
    }

    /// Whether to tell the requester of a condemned message that there will be no answer: not where that has ended the connection,
    /// or small answers to the same destination have.
    pub(super) fn may_tell(&self, now: Instant, message: &Frame) -> bool {
        let Some(reply_to) = message.headers.text("reply-to") else { return false };
        !self.unreached.contains(reply_to)
            && !self.closed.is_closed(reply_to, now)
            && !self.untold.contains(&self.identity.of(message))
    }

    /// What tells the requester of this message is sent.
    pub(super) fn tells(&mut self, message: &Frame) {
        self.notice = Some(self.identity.of(message));
    }

    /// The broker has taken a reply to this message, so that it takes others to the same destination.
    pub(super) fn answered(&mut self, message: &Frame) {
        if self.unreached.is_empty() && self.closed.is_empty() {
            return;
        }
        if let Some(reply_to) = message.headers.text("reply-to") {
            self.unreached.remove(reply_to);
            self.closed.open(reply_to);
        }
    }

    /// An answer to a suspect is sent, or a block of it.
    pub(super) fn sends(&mut self, job: u64, octets: usize) {
        let (before, largest) = self.sent;
        self.sent = (job, if before == job { largest.max(octets) } else { octets });
    }

    /// A job that is to wait for its turn.
    pub(super) fn push(&mut self, job: u64, message: &Frame) {
        self.waiting.push_back((job, self.identity.of(message)));
    }

    /// The next whose turn it is.
    pub(super) fn next(&mut self, now: Instant, ledger: &Ledger) -> Option<u64> {
        self.wake = None;
        if self.waiting.is_empty() {
            return None;
        }
        let runs = self.turn.and_then(|job| ledger.get(job)).filter(|entry| entry.state == State::Running);
        let until = runs.and_then(|entry| match entry.delivered.progress.begun() {
            Begun::NotYet => Some(now + TURN),
            Begun::At(begun) => Some(begun + TURN),
            Begun::Never => None,
        });
        self.wake = until.filter(|until| now < *until);
        if self.wake.is_some() {
            return None;
        }
        let paused = |identity: &u64| self.paused.get(identity).copied().filter(|until| now < *until);
        let against = |identity: &u64| self.against.get(identity).copied();
        // Least suspected first: one that has ended a connection by itself does not end another before those that may be
        // innocent are answered.
        let may = self.waiting.iter().enumerate().filter(|(_, (_, identity))| paused(identity).is_none());
        let Some((at, _)) = may.min_by_key(|(_, (_, identity))| against(identity)) else {
            self.wake = self.waiting.iter().filter_map(|(_, identity)| paused(identity)).min();
            return None;
        };
        self.turn = self.waiting.remove(at).map(|(job, _)| job);
        self.turn
    }

    /// Whether this message is not to be served for a while.
    pub(super) fn is_paused(&self, now: Instant, message: &Frame) -> bool {
        !self.paused.is_empty()
            && self.paused.get(&self.identity.of(message)).is_some_and(|until| now < *until)
    }

    /// When to ask for the next again, if nothing else happens.
    pub(super) fn until(&self) -> Option<Instant> {
        self.wake
    }

    /// Of those that wait, only these go on waiting.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&u64) -> bool) {
        (self.turn, self.wake) = (None, None);
        self.waiting.retain(|(job, _)| keep(job));
    }

    /// `is_answered`: whether an answer to it would be sent.
    pub(super) fn verdict(
        &self,
        now: Instant,
        message: &Frame,
        is_answered: impl FnOnce() -> bool,
    ) -> Verdict {
        if self.against.is_empty() && self.closed.is_empty() {
            return Verdict::Innocent;
        }
        let is_closed = || message.headers.text("reply-to").is_some_and(|to| self.closed.is_closed(to, now));
        match self.against.get(&self.identity.of(message)).copied().unwrap_or(0) {
            ..CONDEMNED if is_closed() && is_answered() => Verdict::Unanswerable,
            ..SUSPECT => Verdict::Innocent,
            SUSPECT..CONDEMNED => Verdict::Suspect,
            CONDEMNED..HOPELESS => Verdict::Condemned,
            _ => Verdict::Hopeless,
        }
    }
}

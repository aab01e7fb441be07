//! Answers that are sent while no other is on its way.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::Ledger;

/// How long a suspect's answer waits for others to be confirmed, and how long others wait for its own.
const ALONE: Duration = Duration::from_secs(10);

/// Octets that are kept back. With more, those that wait for each other have had their time: a stream beside a suspect is to be
/// slowed down by the outbox, which it does not reach while it is kept here.
const MOST_KEPT: usize = 4 << 20;

/// What a job's frames are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A block of a stream that goes on.
    Block,
    /// The reply, or its end.
    Answer,
    /// What tells a requester that there will be no answer. A dead letter follows.
    Notice,
    DeadLetter,
}

/// Frames of one job that wait to be sent.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) job: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) kind: Kind,
}

/// Keeps answers back around a suspect's. Jobs run all the time: only what they give waits, and only from when a suspect's
/// answer is due until it is confirmed.
///
/// What is kept is bounded by [`MOST_KEPT`] and what one turn of the link brings, and by [`ALONE`] in time.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    /// Suspects that have something to send, in order, each with the time when it no longer waits for others.
    due: VecDeque<(u64, Instant)>,
    /// The suspect whose frames are on their way, and until when the others wait.
    turn: Option<(u64, Instant)>,
    kept: VecDeque<Frames>,
    /// Octets of `kept`.
    octets: usize,
}

impl Quarantine {
    /// Whether frames of this job have to wait.
    pub(super) fn keeps(&self, job: u64, suspect: bool) -> bool {
        match self.turn {
            Some((alone, _)) => alone != job,
            None => suspect || !self.due.is_empty(),
        }
    }

    pub(super) fn keep(&mut self, now: Instant, suspect: bool, frames: Frames) {
        if suspect && !self.due.iter().any(|(job, _)| *job == frames.job) {
            self.due.push_back((frames.job, now + ALONE));
        }
        self.octets += frames.bytes.len();
        self.kept.push_back(frames);
        if self.octets > MOST_KEPT {
            let first = self.due.front_mut().map(|(_, until)| until);
            if let Some(until) = self.turn.as_mut().map(|(_, until)| until).or(first) {
                *until = now;
            }
        }
    }

    /// Whether no answer is kept back and no suspect's answer is awaited. That is always so before a reply has ended a
    /// connection.
    pub(super) fn is_idle(&self) -> bool {
        self.turn.is_none() && self.due.is_empty() && self.kept.is_empty()
    }

    /// What may be sent now.
    pub(super) fn release(&mut self, now: Instant, ledger: &mut Ledger) -> Vec<Frames> {
        let released = self.take(now, ledger);
        self.octets -= octets(&released);
        released
    }

    fn take(&mut self, now: Instant, ledger: &mut Ledger) -> Vec<Frames> {
        let mut released = Vec::new();
        if let Some((job, until)) = self.turn {
            let unconfirmed = ledger.get(job).is_some_and(|entry| entry.is_unconfirmed());
            if unconfirmed && now < until {
                return released;
            }
            if unconfirmed {
                // It has had its time. What else it sends does not make others wait again.
                ledger.suspect(job, false);
            }
            self.turn = None;
            // The others first, before the next suspect: it waits until these are confirmed.
            let Self { due, kept, .. } = self;
            let (waits, goes) =
                kept.drain(..).partition(|frames| due.iter().any(|(job, _)| *job == frames.job));
            *kept = waits;
            released = VecDeque::into(goes);
            if let Some((_, until)) = due.front_mut() {
                *until = now + ALONE;
            }
        }
        if !released.is_empty() {
            return released;
        }
        while let Some(&(job, until)) = self.due.front() {
            if now < until && ledger.is_answering() {
                break;
            }
            self.due.pop_front();
            let (goes, waits): (VecDeque<Frames>, _) =
                self.kept.drain(..).partition(|frames| frames.job == job);
            self.kept = waits;
            // It may have been settled meanwhile.
            if ledger.get(job).is_some() && !goes.is_empty() {
                self.turn = Some((job, now + ALONE));
                return goes.into();
            }
            self.octets -= octets(&goes);
        }
        if self.due.is_empty() { std::mem::take(&mut self.kept).into() } else { Vec::new() }
    }

    /// When the next has had its time.
    pub(super) fn until(&self) -> Option<Instant> {
        self.turn.or(self.due.front().copied()).map(|(_, until)| until)
    }

    /// The connection is gone, and with it whatever was to be sent.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn octets<'a>(frames: impl IntoIterator<Item = &'a Frames>) -> usize {
    frames.into_iter().map(|frames| frames.bytes.len()).sum()
}

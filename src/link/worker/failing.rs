//! What becomes of messages that fail: retries, dead letters, and what the broker keeps itself.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use super::{MAX_RETRY_DELAY, Phase, Worker};
use crate::{
    link::{
        FrameLimits,
        ledger::{Next, State},
        quarantine::Kind,
    },
    service::{Delivered, Receipt},
    stomp::Frame,
};

/// What our own headers of a dead letter take, at most.
const OURS: usize = 4096;

/// Octets of a sender's headers in the dead letter of a message that has too many of them. With any body brokers take so many.
const SOME: usize = 32 << 10;

/// As much of a message as these limits let into its dead letter.
fn fitting(message: &Frame, limits: &FrameLimits) -> Frame {
    // Each octet may be escaped.
    let size = |(name, value): (&[u8], &[u8])| 2 * (name.len() + value.len()) + 2;
    let head = OURS + message.headers.iter().map(size).sum::<usize>();
    let mut room = SOME;
    let headers = if limits.keeps(head, message.body.len()) {
        message.headers.clone()
    } else {
        let fits = |header: &(&[u8], &[u8])| {
            let fits = size(*header) <= room;
            room -= if fits { size(*header) } else { 0 };
            fits
        };
        message.headers.iter().filter(fits).collect()
    };
    let fits = limits.fits(head + message.body.len());
    let body = if fits { message.body.clone() } else { Bytes::new() };
    Frame { headers, body, ..*message }
}

impl Worker {
    /// The application never answered: again after a while, or to the dead letters.
    pub(super) fn failed(&mut self, now: Instant, job: u64) {
        let Some(entry) = self.ledger.get(job) else { return };
        let (attempt, acknowledged) = (entry.delivered.attempt, entry.acknowledged);
        if self.phase != Phase::Serving && !acknowledged {
            // Unacknowledged, it is the broker's again when we leave.
            self.ledger.remove(job);
            return;
        }
        if self.service.may_retry(attempt) && !acknowledged {
            let delay =
                self.config.retry_delay.saturating_mul(1 << (attempt - 1).min(16)).min(MAX_RETRY_DELAY);
            tracing::warn!(attempt, ?delay, "a message failed and will be tried again");
            self.retry_at(job, now + delay, Next::Run);
        } else {
            self.bury(now, job, &format!("failed {attempt} times"));
        }
    }

    /// A message whose reply ended the connection each time becomes a dead letter. Its requester is told before, if that may
    /// be done: what ends the connection then is not sent again.
    pub(super) fn condemned(&mut self, now: Instant, job: u64) {
        let Some(entry) = self.ledger.get(job) else { return };
        let delivered = &entry.delivered;
        let tells = self.suspects.may_tell(now, &delivered.message);
        match self.service.notice(delivered).filter(|_| tells) {
            Some(notice) => self.send(now, job, notice, Kind::Notice),
            None => self.bury_condemned(now, job),
        }
    }

    /// The dead letter of such a message.
    pub(super) fn bury_condemned(&mut self, now: Instant, job: u64) {
        self.bury(now, job, "its reply ended the connection each time");
    }

    /// Sends a message to the dead letters.
    pub(super) fn bury(&mut self, now: Instant, job: u64, reason: &str) {
        let Some(entry) = self.ledger.get(job) else { return };
        let Delivered { message, progress, .. } = &*entry.delivered;
        // Only the broker has it whole.
        if message.cut.is_some() && !entry.acknowledged && self.nack().is_some() {
            return self.give_up(job, reason);
        }
        progress.bury(reason);
        let (version, dialect) = (self.connection.version(), self.connection.dialect());
        let frame = self.service.dead_letter(version, dialect, message, reason, Receipt(job));
        self.send_letter(now, job, frame);
    }

    /// Sends a dead letter, unless none may be sent to its destination now: it is empty then, or the broker refuses it.
    pub(super) fn send_letter(&mut self, now: Instant, job: u64, mut frame: Vec<u8>) {
        let Some(entry) = self.ledger.get(job) else { return };
        let can_refuse = entry.acknowledged || self.nack().is_some();
        let message = &entry.delivered.message;
        if !self.service.fits_frame(&frame, self.connection.limits()) {
            if !entry.acknowledged && self.nack().is_some() {
                return self.give_up(job, "its dead letter is larger than the broker takes in a frame");
            }
            let fitting = fitting(message, self.connection.limits());
            tracing::error!(
                job,
                octets = message.body.len() - fitting.body.len(),
                headers = message.headers.len() - fitting.headers.len(),
                "a dead letter without so many octets of its body and so many headers: it would be larger than the broker takes"
            );
            let reason = entry.delivered.progress.buried().unwrap_or_default();
            let (version, dialect) = (self.connection.version(), self.connection.dialect());
            frame = self.service.dead_letter(version, dialect, &fitting, reason, Receipt(job));
        }
        let closed = || self.refusing.is_closed(&self.service.dead_letter_of(message), now);
        if frame.is_empty() || can_refuse && !self.refusing.is_empty() && closed() {
            return self.give_up(job, "its dead letter cannot be sent");
        }
        self.send(now, job, frame, Kind::DeadLetter);
    }

    /// Leaves a message to the broker's own dead letters, where it can be told to keep it. Else it is dropped.
    pub(super) fn give_up(&mut self, job: u64, why: &str) {
        let Some(entry) = self.ledger.get(job) else { return };
        let Delivered { message, progress, .. } = &*entry.delivered;
        let destination = self.connection.shown(message, "destination");
        let (octets, headers) = message.cut.map_or((None, None), |cut| (cut.explain().0, cut.explain().1));
        let reason = progress.buried();
        match self.nack().filter(|_| !entry.acknowledged) {
            Some(requeue) => {
                tracing::error!(
                    %destination,
                    octets,
                    headers,
                    reason,
                    why,
                    "refused a message (NACK): the broker's dead letters have it, if it keeps any"
                );
                self.suspects.acquit(message);
                entry.nack(self.connection.version(), requeue, self.connection.out());
                let entry = self.ledger.remove(job);
                entry.into_iter().for_each(|entry| self.ledger.outlive(job, entry));
            }
            None => {
                tracing::error!(
                    %destination,
                    octets,
                    headers,
                    reason,
                    why,
                    "dropped a message: its dead letter is refused, and the broker cannot be told to keep it"
                );
                self.settle(job);
            }
        }
    }

    /// The headers of a NACK that has the broker keep a message among its dead letters. `None`: it cannot be told.
    pub(super) fn nack(&self) -> Option<&'static [(&'static str, &'static str)]> {
        self.connection.dialect().nack(self.connection.version())
    }

    pub(super) fn retry_at(&mut self, job: u64, at: Instant, next: Next) {
        self.ledger.set(job, State::Retrying(at));
        self.ledger.set_next(job, next);
        self.retry = Some(self.retry.map_or(at, |earliest| earliest.min(at)));
    }

    pub(super) fn retry_due(&mut self, now: Instant) {
        if self.retry.is_some_and(|at| at <= now) {
            for job in self.ledger.due(now) {
                let Some(entry) = self.ledger.get(job) else { continue };
                match entry.next {
                    Next::Run => self.run(now, job),
                    Next::Reply => {
                        if let Some(reply) = self.ledger.take_reply(job) {
                            self.send(now, job, reply, Kind::Answer);
                        }
                    }
                    Next::Letter => {
                        let delivered = Arc::clone(&entry.delivered);
                        self.bury(now, job, delivered.progress.buried().unwrap_or_default());
                    }
                }
            }
            self.retry = self.ledger.next_retry();
        }
    }
}

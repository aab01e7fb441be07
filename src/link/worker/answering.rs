//! What goes to the broker for a message: blocks, replies, and transactions around them.

use std::time::Instant;

use super::Worker;
use crate::{
    config::DeliveryMode,
    link::{
        ledger::State,
        quarantine::{Frames, Kind},
        refusals::Refusal,
    },
    service::Receipt,
    stomp::{Command, Encoder},
};

impl Worker {
    /// Sends what a job gave, or has it wait for its turn.
    pub(super) fn send(&mut self, now: Instant, job: u64, bytes: Vec<u8>, kind: Kind) {
        let suspect = self.ledger.get(job).is_some_and(|entry| entry.suspect);
        let frames = Frames { job, bytes, kind };
        if self.quarantine.keeps(job, suspect) {
            if kind != Kind::Block {
                self.ledger.set(job, State::Due);
            }
            self.quarantine.keep(now, suspect, frames);
        } else {
            self.transmit(frames, suspect);
        }
    }

    /// Sends frames now. `suspect`: they are a suspect's.
    pub(super) fn transmit(&mut self, Frames { job, bytes, kind }: Frames, suspect: bool) {
        if suspect {
            self.suspects.sends(job, bytes.len());
        }
        if let (Kind::Notice, Some(entry)) = (kind, self.ledger.get(job)) {
            self.suspects.tells(&entry.delivered.message);
        }
        self.ledger.sends(job, kind == Kind::DeadLetter);
        match kind {
            Kind::Block => {
                self.ledger.sent(job);
                self.connection.push(bytes);
            }
            Kind::Answer => self.send_reply(job, bytes),
            Kind::Notice | Kind::DeadLetter => {
                self.connection.push(bytes);
                self.ledger.set(job, State::Replied);
            }
        }
    }

    /// Sends what answers a message. Where the broker may still refuse a block of a stream, its end waits for that.
    pub(super) fn answer(&mut self, now: Instant, job: u64, bytes: Vec<u8>) {
        match self.ledger.get(job) {
            Some(entry) if entry.blocks > 0 && self.connection.survives_error() => {
                if entry.is_confirmed() {
                    self.end_stream(now, job, bytes);
                } else {
                    self.ledger.keep(job, bytes);
                    self.ledger.set(job, State::Ending);
                }
            }
            _ => self.send(now, job, bytes, Kind::Answer),
        }
    }

    /// Sends the end of a stream, which says so where a block was lost.
    pub(super) fn end_stream(&mut self, now: Instant, job: u64, bytes: Vec<u8>) {
        let Some(entry) = self.ledger.get(job) else { return };
        match entry.lost {
            None => self.send(now, job, bytes, Kind::Answer),
            Some(Refusal::Gone) => self.settle(job),
            Some(_) => {
                let broken = self.service.broken_off(&entry.delivered, entry.blocks);
                self.send(now, job, broken.unwrap_or(bytes), Kind::Answer);
            }
        }
    }

    /// Sends a reply, for the first time or again. Where the connection survives it if the broker refuses the reply, it
    /// is kept until it is confirmed.
    pub(super) fn send_reply(&mut self, job: u64, bytes: Vec<u8>) {
        let Some(entry) = self.ledger.get(job) else { return };
        let survives = self.connection.survives_error();
        let within = self.is_transactional() && !entry.acknowledged;
        let state = match bytes.strip_prefix(b"SEND\n").filter(|_| within) {
            Some(send) => {
                let version = self.connection.version();
                let transaction = Receipt(job).id();
                let out = self.connection.out();
                Encoder::new(out, version, Command::Begin).header("transaction", &transaction).finish();
                out.extend_from_slice(b"SEND\ntransaction:");
                out.extend_from_slice(transaction.as_bytes());
                out.push(b'\n');
                out.extend_from_slice(send);
                if !survives {
                    return self.commit(job);
                }
                // A refused SEND does not keep the broker from carrying out the rest of the transaction.
                State::Sent
            }
            None if survives && self.ledger.has_room(bytes.len()) => {
                self.connection.append(&bytes);
                self.ledger.keep(job, bytes);
                return self.ledger.set(job, State::Replied);
            }
            None => {
                self.connection.push(bytes);
                return self.ledger.set(job, State::Replied);
            }
        };
        if self.ledger.has_room(bytes.len()) {
            self.ledger.keep(job, bytes);
        }
        self.ledger.set(job, state);
    }

    /// Sends the rest of the transaction in which a reply was sent.
    pub(super) fn commit(&mut self, job: u64) {
        let Some(entry) = self.ledger.get(job) else { return };
        let version = self.connection.version();
        let transaction = Receipt(job).id();
        let out = self.connection.out();
        entry.ack(version, Some(("transaction", &*transaction)), out);
        Encoder::new(out, version, Command::Commit)
            .header("transaction", &transaction)
            .header("receipt", format!("{transaction}/commit"))
            .finish();
        self.ledger.acknowledged(job, State::Committing);
    }

    pub(super) fn is_transactional(&self) -> bool {
        self.config.delivery == DeliveryMode::Transactional && self.connection.dialect().has_transactions()
    }
}

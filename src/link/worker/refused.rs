//! What the broker refuses: an ERROR, and what it is about.

use std::time::Instant;

use super::{Phase, TAMPERED, Worker};
use crate::{
    link::{
        ledger::{Next, State},
        refusals::{
            COMPLAINT, LETTER_SENDS, NO_ROOM_DELAY, NO_ROOM_SENDS, REPLY_SENDS, Refusal, blames,
            letter_delay, reply_delay,
        },
    },
    service::{Part, Receipt},
    stomp::{Command, Encoder, Frame},
};

impl Worker {
    pub(super) fn error(&mut self, now: Instant, frame: &Frame) {
        if !self.connection.is_up() {
            // RabbitMQ goes on with what it had read, and complains of each frame: one connection, one suspicion.
            return;
        }
        let said = self.connection.complaint(frame);
        if frame.headers.get("receipt-id") == Some(TAMPERED.as_bytes()) {
            tracing::debug!(error = %said, "one of several ids of a message was not its own");
            return;
        }
        if let Some(source) = self.refused_source(frame, &said) {
            let by = [("selector", &source.selector), ("durable", &source.durable)];
            let options: String = by
                .iter()
                .filter_map(|(name, value)| Some(format!(", {name} {:?}", value.as_ref()?)))
                .collect();
            let hint = match source.destination.strip_prefix("/queue/") {
                Some(queue) if frame.headers.get("message") == Some(b"precondition_failed") => format!(
                    "; the queue was declared with other arguments: serve /amq/queue/{queue}, which takes it as it is"
                ),
                _ => String::new(),
            };
            self.fatal.set(format!("the broker refuses the subscription to {source}{options}: {said}{hint}"));
            return self.leave_at_once();
        }
        let of = frame.headers.get("receipt-id").and_then(Receipt::parse);
        // Of an ACK or a COMMIT that failed nobody knows what became.
        let of = of.filter(|(_, part)| !matches!(part, Part::Ack | Part::Commit));
        // The failure of one frame, and not of the connection.
        if let (Some((Receipt(job), part)), true) = (of, self.connection.survives_error()) {
            return self.refused(now, job, part, Refusal::of(frame), &said);
        }
        self.blamed = Some(self.blame_letters(now, frame, &said) || self.suspect(now, true));
        self.connection.fail(format!("the broker reported an error: {said}"));
    }

    /// Holds the end of the connection against all answers that are on their way; or, where a suspect's is the only one,
    /// against that and where it was to go. Whether there is any.
    pub(super) fn suspect(&mut self, now: Instant, error: bool) -> bool {
        let Some(message) = self.ledger.lone_suspect() else {
            return self.suspects.accuse(error, self.ledger.unconfirmed());
        };
        let prefetch = self.config.prefetch as usize;
        if let Some(pause) = self.suspects.convict(now, error, message, prefetch) {
            let reply_to = self.connection.shown(message, "reply-to");
            tracing::error!(
                %reply_to,
                ?pause,
                "the broker ends the connection over replies to this destination: for a while messages with this reply-to are not \
                 served, but go to the dead letters"
            );
        }
        true
    }

    /// Finds out whether this ERROR, which ends the connection, is about our dead letters. Whatever else was on its way
    /// is not to blame then.
    pub(super) fn blame_letters(&mut self, now: Instant, frame: &Frame, said: &str) -> bool {
        if self.nack().is_none() {
            // There is nothing to be done but to find out which message it is.
            return false;
        }
        let letters: Vec<String> =
            self.ledger.unconfirmed_letters().map(|message| self.service.dead_letter_of(message)).collect();
        let alone = letters.len() == self.ledger.unconfirmed().count()
            && letters.windows(2).all(|two| two[0] == two[1]);
        let mut blamed = false;
        for destination in &letters {
            if blames(frame, said, destination, alone) {
                blamed = true;
                self.refuses_letters(now, destination, said);
            }
        }
        blamed
    }

    /// The broker takes no dead letters there.
    pub(super) fn refuses_letters(&mut self, now: Instant, destination: &str, said: &str) {
        if !self.refusing.is_closed(destination, now) {
            let pause = self.refusing.close(destination, now);
            tracing::error!(
                destination,
                error = said,
                ?pause,
                "the broker refuses dead letters: none is sent there for a while, and the messages are refused (NACK)"
            );
        }
    }

    /// The broker has refused one frame.
    pub(super) fn refused(&mut self, now: Instant, job: u64, part: Part, refusal: Refusal, said: &str) {
        let Some(entry) = self.ledger.get(job) else { return };
        match (entry.state, part) {
            (_, Part::Block) => {
                tracing::warn!(
                    job,
                    error = said,
                    "a block of a streamed reply was refused: the stream is broken off"
                );
                entry.delivered.progress.cancel();
                self.block_confirmed(now, job, Some(refusal));
            }
            (State::Replied, Part::Notice) => self.bury_condemned(now, job),
            (State::Replied, Part::DeadLetter) => self.letter_refused(now, job, refusal, said),
            (State::Replied | State::Sent, Part::Last) => self.reply_refused(now, job, refusal, said),
            _ => {}
        }
    }

    /// A block of a stream was confirmed, or refused. If the end of the stream has waited for that, it goes.
    pub(super) fn block_confirmed(&mut self, now: Instant, job: u64, refusal: Option<Refusal>) {
        if !self.ledger.block(job, refusal) {
            return;
        }
        if let Some(end) = self.ledger.take_reply(job) {
            self.end_stream(now, job, end);
        }
    }

    /// The broker has refused a reply: there is nobody any more to read it, or it is sent again, or its request becomes
    /// a dead letter.
    pub(super) fn reply_refused(&mut self, now: Instant, job: u64, refusal: Refusal, said: &str) {
        let Some(entry) = self.ledger.get(job) else { return };
        let (acknowledged, kept) = (entry.acknowledged, entry.keeps_reply());
        if entry.state == State::Sent {
            let version = self.connection.version();
            let transaction = Receipt(job).id();
            Encoder::new(self.connection.out(), version, Command::Abort)
                .header("transaction", transaction)
                .finish();
        }
        if refusal == Refusal::Gone {
            tracing::warn!(job, error = said, "a reply could not be delivered: the requester has gone");
            return self.settle(job);
        }
        if self.leaves_to_the_broker(job) {
            return;
        }
        let crowded = self.is_crowded(job);
        let Some(refused) = self.ledger.refuse(job) else { return };
        refused.replies += 1;
        let sent = refused.replies;
        // Where the broker has room for nobody, nobody waits for the place of this one.
        let (most, crowded) = match refusal {
            Refusal::NoRoom => (NO_ROOM_SENDS, crowded && refused.others_served),
            _ => (REPLY_SENDS, crowded),
        };
        if !kept && !acknowledged && !self.ledger.is_busy(job) {
            tracing::warn!(job, error = said, "a reply was refused, and is too large to be kept");
            self.failed(now, job);
        } else if kept && sent < most && !crowded && self.phase == Phase::Serving {
            let delay = reply_delay(sent);
            tracing::warn!(job, error = said, ?delay, "a reply was refused, and will be sent again");
            self.retry_at(job, now + delay, Next::Reply);
        } else {
            self.bury(now, job, &format!("its reply was refused: {said}"));
        }
    }

    /// The broker has refused a dead letter: it is sent again, or the message is left to the broker's own dead letters. A
    /// broker that has no room for ours has none for its own: it would drop the message. So that is kept until there is.
    pub(super) fn letter_refused(&mut self, now: Instant, job: u64, refusal: Refusal, said: &str) {
        let Some(entry) = self.ledger.get(job) else { return };
        let destination = self.service.dead_letter_of(&entry.delivered.message);
        let next = if entry.keeps_reply() { Next::Reply } else { Next::Letter };
        if self.leaves_to_the_broker(job) {
            return;
        }
        let crowded = self.is_crowded(job);
        let Some(refused) = self.ledger.refuse(job) else { return };
        refused.letters += 1;
        let sent = refused.letters;
        let serving = self.phase == Phase::Serving;
        if serving && refusal == Refusal::NoRoom {
            if crowded && sent % COMPLAINT == 1 {
                tracing::error!(
                    job,
                    destination,
                    error = said,
                    "the broker has no room for dead letters: the messages are kept, and take the places of others"
                );
            } else {
                tracing::warn!(job, error = said, "the broker has no room for a dead letter; trying again");
            }
            self.retry_at(job, now + NO_ROOM_DELAY, next);
        } else if serving && sent < LETTER_SENDS && !crowded {
            let delay = letter_delay(sent);
            tracing::warn!(job, error = said, ?delay, "a dead letter was refused, and will be sent again");
            self.retry_at(job, now + delay, Next::Letter);
        } else {
            if refusal != Refusal::NoRoom {
                self.refuses_letters(now, &destination, said);
            }
            self.give_up(job, said);
        }
    }

    /// While we leave, a message that is not acknowledged is the broker's again.
    pub(super) fn leaves_to_the_broker(&mut self, job: u64) -> bool {
        let leaves =
            self.phase != Phase::Serving && self.ledger.get(job).is_some_and(|entry| !entry.acknowledged);
        if leaves {
            let entry = self.ledger.remove(job);
            entry.into_iter().for_each(|entry| self.ledger.outlive(job, entry));
        }
        leaves
    }

    /// Whether what was refused, with this one, takes more than half of the places that one destination has: then others
    /// wait for them.
    pub(super) fn is_crowded(&mut self, job: u64) -> bool {
        self.ledger.refuse(job);
        self.ledger.refused() > (self.config.prefetch as usize / 2).max(1)
    }
}

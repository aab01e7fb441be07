//! What comes from the broker: subscriptions, and the messages that they bring.

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;

use super::{MOST, Phase, TAMPERED, Worker, origin};
use crate::{
    config::{DeliveryMode, Source},
    http::sent_to,
    link::{Dialect, Earlier, ledger::State, refusals::is_lasting, suspects::Verdict},
    stomp::{Command, Cut, Encoder, Frame, Version},
};

impl Worker {
    pub(super) fn up(&mut self) {
        self.origin = origin(&self.connection, &self.stopping);
        if self.phase != Phase::Serving {
            return;
        }
        let dialect = self.connection.dialect();
        let version = self.connection.version();
        tracing::info!(to = %self.connection.peer(), %dialect, version = version.as_str(), "connected");
        self.was_up = true;
        if self.config.delivery == DeliveryMode::Transactional && !dialect.has_transactions() {
            tracing::warn!(
                "this broker's transactions may acknowledge a request without its reply: replies are sent and confirmed first, \
                 as with --delivery at-least-once"
            );
        }
        // All subscriptions are acknowledged one by one.
        self.connection.set_needed(match version {
            Version::V1_2 => &["message-id", "subscription", "ack"],
            _ => &["message-id", "subscription"],
        });
        if let Err(why) = self.subscribe(dialect, version) {
            self.fatal.set(why);
            self.leave_at_once();
        }
    }

    pub(super) fn subscribe(&mut self, dialect: Dialect, version: Version) -> Result<(), String> {
        if let Some(header) = self.service.trusted_header() {
            match self.connection.user_header() {
                Some(verified) if verified == header => {
                    if !self.service.all_senders_use_stomp() {
                        return Err(format!(
                            "--trust-user-header {header}: {dialect} verifies this header of messages that were sent by \
                             STOMP; whoever sends by another protocol (OpenWire, AMQP, HTTP, or another broker of a \
                             network) can put any user there. Where the broker takes messages for these destinations by \
                             STOMP alone, say so with --all-senders-use-stomp; else serve without --trust-user-header"
                        ));
                    }
                    tracing::warn!(
                        header,
                        "REMOTE_USER is what the broker says in this header. That is verified for senders that use STOMP \
                         only; --all-senders-use-stomp says that there are no others, which the server cannot check"
                    );
                }
                Some(verified) => {
                    return Err(format!(
                        "--trust-user-header {header}: this broker lets anyone say that; what it verifies is {verified}"
                    ));
                }
                None => {
                    return Err(format!(
                        "--trust-user-header {header}: of this broker it is not known that it verifies who sent a \
                         message; serve without that option, or, where it is ActiveMQ or RabbitMQ, say so with --dialect"
                    ));
                }
            }
        }
        let refused = |source: &Source| self.service.refused_dead_letter(dialect, &source.destination);
        if let Some(why) = self.config.sources.iter().find_map(refused) {
            return Err(why);
        }
        self.subscribed = 0;
        let client = self.config.connection.client_id.as_deref().unwrap_or_default();
        for (id, source) in self.config.sources.iter().enumerate() {
            let options = dialect.options(source, client)?;
            let (prefetch, window) = dialect.prefetch(self.config.prefetch);
            let mut frame = Encoder::new(self.connection.out(), version, Command::Subscribe)
                .header("id", id.to_string())
                .header("destination", &source.destination)
                .header("ack", "client-individual")
                .number(prefetch, window)
                .header("receipt", format!("subscribe-{id}"));
            let kind =
                dialect.subscription_type(&source.destination).map(|(name, value)| (name, value.to_owned()));
            for (name, value) in options.into_iter().chain(kind) {
                frame = frame.header(name, value);
            }
            frame.finish();
        }
        Ok(())
    }

    /// Which of our SUBSCRIBEs this receipt is for.
    pub(super) fn subscription(&self, receipt: &[u8]) -> Option<usize> {
        let id = std::str::from_utf8(receipt).ok()?.strip_prefix("subscribe-")?.parse().ok()?;
        (id < self.config.sources.len()).then_some(id)
    }

    /// The source that this ERROR refuses, where it will do so each time: its options are to blame, or what there is
    /// at the broker.
    pub(super) fn refused_source(&self, frame: &Frame, said: &str) -> Option<&Source> {
        let lasting = is_lasting(frame, said);
        let id = match frame.headers.get("receipt-id") {
            Some(receipt) => self.subscription(receipt)?,
            // RabbitMQ does not say; but it obeys in order, and it may be about an answer that is on its way.
            None if lasting && self.ledger.unconfirmed().next().is_none() => self.subscribed,
            None => return None,
        };
        let source = self.config.sources.get(id)?;
        let optional = source.selector.is_some() || source.durable.is_some();
        ((optional || lasting) && !self.was_subscribed[id]).then_some(source)
    }

    pub(super) fn deliver(&mut self, now: Instant, mut message: Frame) {
        if self.ledger.len() >= MOST.max(4 * self.window()) {
            let why = format!(
                "{} messages are unsettled: the broker ignores the prefetch, or confirms no replies",
                self.ledger.len()
            );
            // No reply is to blame.
            self.blamed = Some(false);
            return self.connection.fail(why);
        }
        // Draining: unacknowledged, it goes back to the broker when we leave.
        if self.phase == Phase::Serving {
            if self.connection.jms().is_activemq() && is_tampered_with(&message) {
                return self.refuse_tampered(&message);
            }
            self.correct_ack(&mut message);
            self.correct_source(&mut message);
            // Nobody is told, and we have no body for a dead letter.
            let dialect = self.connection.dialect();
            let lost = message.cut.is_some() && !self.service.can_answer(&message, dialect);
            let unclear = message.cut == Some(Cut::Unclear);
            let mut past = self.redelivered.judge(&message, dialect, self.window());
            let at_most_once = self.config.delivery == DeliveryMode::AtMostOnce;
            if at_most_once {
                // What was begun was acknowledged first, so that this was not.
                (past.apart, past.earlier.lost) = (false, 0);
            }
            if unclear || lost && self.nack().is_some() {
                let why = message.cut.map_or("", |cut| cut.explain().2);
                let job = self.ledger.deliver(now, message, &self.origin, State::Replied, past.earlier);
                self.bury(now, job, why);
                if unclear {
                    self.leave_by.get_or_insert(now + self.config.drain_timeout);
                }
                return;
            }
            if self.service.is_withheld(&message, self.connection.jms()) && self.nack().is_some() {
                let job = self.ledger.deliver(now, message, &self.origin, State::Replied, past.earlier);
                return self.give_up(job, "the broker has handed over no body of it");
            }
            let verdict = self.suspects.verdict(now, &message, || self.service.can_answer(&message, dialect));
            if verdict == Verdict::Suspect && self.suspects.is_paused(now, &message) {
                // Its answer ended the connection, so that it has not ended the process: it waits with the other suspects.
                past.apart = false;
            }
            let first = match verdict {
                Verdict::Condemned | Verdict::Hopeless | Verdict::Unanswerable => State::Due,
                // Whatever the mode, the ACK of one that would be lost must not go first.
                _ if at_most_once && !lost => State::Held,
                _ => State::Running,
            };
            let job = self.ledger.deliver(now, message, &self.origin, first, past.earlier);
            if !matches!(verdict, Verdict::Innocent | Verdict::Unanswerable) {
                self.ledger.suspect(job, true);
            }
            match verdict {
                Verdict::Innocent | Verdict::Suspect if first == State::Held => self.held.push_back(job),
                Verdict::Innocent | Verdict::Suspect if past.apart => {
                    self.redelivered.push(now, job, past.earlier);
                }
                Verdict::Innocent => self.ready.push_back(job),
                Verdict::Suspect => {
                    if let Some(entry) = self.ledger.get(job) {
                        self.suspects.push(job, &entry.delivered.message);
                    }
                }
                Verdict::Unanswerable => {
                    self.bury(now, job, "replies to its reply-to ended the connection each time");
                }
                Verdict::Condemned => self.condemned(now, job),
                Verdict::Hopeless => {
                    self.give_up(job, "its reply, and its dead letter, ended the connection each time");
                }
            }
            self.keep_an_eye(now);
        }
    }

    /// Settles a message behind which the connection cannot be read on, without its answer or any RECEIPT, and leaves:
    /// the broker carries out what it was sent before it closes the connection.
    pub(super) fn unreadable(&mut self, now: Instant, message: Frame) {
        if self.phase != Phase::Serving {
            return self.connection.fail("a message cannot be read".to_owned());
        }
        self.give_back(now);
        // Nothing is confirmed behind this message, so its dead letter cannot wait for a suspect's reply to be.
        self.quarantine.clear();
        // Its body is not to be trusted.
        let message = Frame { body: Bytes::new(), cut: Some(Cut::Unclear), ..message };
        let job = self.ledger.deliver(now, message, &self.origin, State::Replied, Earlier::default());
        self.bury(now, job, "the connection could not be read behind it, three times");
        if let Some(entry) = self.ledger.remove(job) {
            entry.ack(self.connection.version(), None, self.connection.out());
        }
        self.part(now);
    }

    /// Leaves a message to ActiveMQ's dead letters of which it is not known by which subscription it came, or how it is
    /// acknowledged: to serve it would be to let its sender choose the application, and an ACK of the wrong id ends the
    /// connection, each time that the message is delivered. Each id is tried but those of other messages; an ERROR about
    /// one is expected.
    pub(super) fn refuse_tampered(&mut self, message: &Frame) {
        let destination = self.connection.shown(message, "destination");
        tracing::error!(
            %destination,
            "refused a message (NACK) that has two 'ack' or 'subscription' headers: a property of it has a line feed in its \
             name. The broker's dead letters have it, if it keeps any"
        );
        let version = self.connection.version();
        let unknown: BTreeSet<&[u8]> =
            message.headers.all("ack").filter(|id| !self.ledger.holds(id)).collect();
        for id in unknown {
            Encoder::new(self.connection.out(), version, Command::Nack)
                .header("id", id)
                .header("receipt", TAMPERED)
                .finish();
        }
    }

    /// Makes the broker's `ack` the first of that name: the one that everything else goes by.
    fn correct_ack(&self, message: &mut Frame) {
        if !self.connection.dialect().row().ack_is_last {
            return;
        }
        if let Some(ack) = message.headers.all("ack").skip(1).last().map(<[u8]>::to_vec) {
            message.headers = message.headers.with("ack", &ack);
        }
    }

    /// Gives the message a `destination` that its sender cannot have made up: that of our subscription, or one that it
    /// matches. Everything else goes by this header.
    fn correct_source(&self, message: &mut Frame) {
        let source = match &self.config.sources[..] {
            [only] => Some(only),
            // The broker's own, on any broker: it sets it last, or first.
            several => {
                let id = message.headers.text("subscription").and_then(|id| id.parse::<usize>().ok());
                id.and_then(|id| several.get(id)).or(several.first())
            }
        };
        let Some(source) = source else { return };
        let client = self.config.connection.client_id.as_deref();
        let said = message.headers.get("destination");
        let sent_to = sent_to(&source.destination, said, || source.consumed(client).collect());
        if said != Some(sent_to) {
            tracing::debug!(subscription = %source, "a message names a destination that is not ours");
            message.headers = message.headers.with("destination", sent_to);
        }
    }
}

/// Whether a message of ActiveMQ has been given headers by its sender that are the broker's own. The broker has one of each,
/// but does not escape the names of properties: a line feed in one makes a header line of what follows, which may come
/// before the broker's.
fn is_tampered_with(message: &Frame) -> bool {
    ["ack", "subscription"].into_iter().any(|name| message.headers.all(name).nth(1).is_some())
}

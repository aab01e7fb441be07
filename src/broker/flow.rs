//! Bounded memory: which producers may send, which wait, and which are refused.
//!
//! While memory is used up and other connections take messages out, the broker does not read a producer: TCP slows it down.
//! A client that has messages to acknowledge takes messages out, too. The broker reads it on, since its ACKs come behind
//! its SENDs, up to twice the limit. Where no connection takes messages out, the broker answers a SEND with an ERROR.
//!
//! What clients have named counts, too, and so do answers that they do not read. Names may take half of the memory:
//! a consumer must be able to subscribe to a broker that is full of messages.

use std::sync::Arc;

use super::{
    Broker, ConnId, Now,
    connection::{Connection, Stage},
    message::Message,
    refusal::Refusal,
    subscription::Source,
    topic::Topic,
    transaction::Target,
};

/// A half-received frame below this size is not accounted for: nearly every read leaves one.
const FREE_BUFFER: usize = 64 * 1024;

/// What a subscription, a destination or a transaction takes beside the names that its client chose.
pub(super) const NAMED: usize = 512;

impl Broker {
    /// Whether a client may add so many bytes. If they are the last for now, its connection is paused.
    pub(super) fn admit(&mut self, id: ConnId, size: usize) -> Result<(), Refusal> {
        let (limit, used) = (self.config.memory, self.held().saturating_add(size));
        if used <= limit {
            return Ok(());
        }
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        if used > limit.saturating_mul(2) {
            return Err(Refusal::full(limit));
        }
        if connection.unacknowledged() > 0 {
            return Ok(());
        }
        if !self.drains_without(id) {
            return Err(Refusal::full(limit));
        }
        self.pause(id);
        Ok(())
    }

    /// Whether there is room for the copies of messages that were admitted: each subscriber of a topic, and each queue
    /// that an exchange routes to, takes one.
    pub(super) fn admit_copies<'a>(
        &self,
        sends: impl Iterator<Item = (&'a Target, &'a Arc<Message>)> + Clone,
    ) -> Result<(), Refusal> {
        let limit = self.config.memory;
        let room = limit.saturating_mul(2).saturating_sub(self.held());
        let more = |copies: &dyn Fn(&Target, &Message) -> usize| {
            let size = |(to, message): (&Target, &Arc<Message>)| {
                copies(to, message).saturating_sub(1).saturating_mul(message.size())
            };
            sends.clone().map(size).fold(0, usize::saturating_add)
        };
        // Selectors and keys are looked at only where it matters.
        let most = more(&|to, _| match to {
            Target::Topic(name) => self.destinations.topic(name).map_or(0, Topic::len),
            Target::Exchange(..) => self.destinations.bindings().len(),
            _ => 1,
        });
        let exact = |to: &Target, message: &Message| match to {
            Target::Topic(name) => {
                self.destinations.topic(name).map_or(0, |topic| topic.audience(message).count())
            }
            Target::Exchange(exchange, key) => self.destinations.routes(*exchange, key).len(),
            _ => 1,
        };
        if most <= room || more(&exact) <= room { Ok(()) } else { Err(Refusal::full(limit)) }
    }

    /// Whether a client may have the broker remember so many more bytes of names.
    pub(super) fn admit_names(&self, size: usize) -> Result<(), Refusal> {
        let limit = self.config.memory;
        if self.named().saturating_add(size) <= limit / 2 { Ok(()) } else { Err(Refusal::full(limit)) }
    }

    /// Whether a client may ask for an answer of so many bytes: one that does not read those that it has gets no more
    /// where memory is full.
    pub(super) fn admit_answer(&mut self, id: ConnId, size: usize) -> Result<(), Refusal> {
        self.charge_outbox(id);
        let unread = self.connections.get(&id).map_or(0, |connection| connection.unread);
        if unread == 0 { Ok(()) } else { self.admit(id, size) }
    }

    /// Bytes of what clients have named.
    pub(super) fn named(&self) -> usize {
        self.names + self.destinations.size()
    }

    /// Accounts for what a client has not read.
    pub(super) fn charge_outbox(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let unread = connection.outbox().len();
        let unread = if unread > FREE_BUFFER { unread } else { 0 };
        self.unread = self.unread - std::mem::replace(&mut connection.unread, unread) + unread;
    }

    fn pause(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.paused = true;
            if self.paused.is_empty() {
                tracing::warn!(limit = self.config.memory, "memory is full: producers wait for consumers");
            }
            self.paused.insert(id);
            self.mark_changed(id);
        }
    }

    /// Accounts for a large frame that has come in part. Answers whether it is more than before.
    pub(super) fn charge(&mut self, id: ConnId) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let buffered = connection.parser.buffered();
        let buffered = if buffered > FREE_BUFFER { buffered } else { 0 };
        let before = std::mem::replace(&mut connection.buffered, buffered);
        self.memory = self.memory - before + buffered;
        buffered > before
    }

    /// Reads on from paused connections, if there is memory again, or if no other connection would free any:
    /// then the paused ones acknowledge something, or are refused.
    pub(super) fn relieve(&mut self, now: Now) {
        if !self.paused.is_empty() {
            for at in 0..self.changed.len() {
                self.charge_outbox(self.changed[at]);
            }
        }
        while let Some(&id) = self.paused.first() {
            // Well below the limit: else each message that is settled would have one producer send one more.
            let relieved = self.held() < self.config.memory / 10 * 9;
            if !relieved && self.drains_without(id) {
                break;
            }
            self.paused.remove(&id);
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.paused = false;
                connection.liveness.received(now.monotonic);
            }
            self.mark_changed(id);
            self.process(id, now);
            self.deliver_due(now);
        }
    }

    /// Whether some other connection, one that is read, has messages or is about to get some, or has not yet read
    /// what was sent to it.
    fn drains_without(&self, id: ConnId) -> bool {
        let drains = |connection: &Connection| {
            connection.stage == Stage::Open
                && !connection.paused
                && (connection.unread > 0
                    || connection.subscriptions.values().any(|s| {
                        s.unacknowledged() > 0
                            || match &s.source {
                                Source::Queue(queue) => {
                                    self.destinations.queue(*queue).is_some_and(|q| !q.is_empty())
                                }
                                Source::Topic { waiting, .. } => !waiting.is_empty(),
                                Source::Browser { .. } => false,
                            }
                    }))
        };
        self.connections.values().any(|connection| connection.id != id && drains(connection))
    }
}

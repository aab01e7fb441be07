//! Bounded memory: who may send, who waits, and who is refused.
//!
//! A producer that finds the memory used up is no longer read, and so feels the back-pressure of its socket,
//! as long as somebody else takes messages out. A client that has messages to acknowledge is itself such a
//! somebody: it is read on, or its ACKs would be stuck behind its SENDs, and may go up to twice the limit.
//! Where nobody takes anything out, waiting is in vain, and a SEND is answered with an ERROR.

use super::{
    Broker, ConnId, Now,
    connection::{Connection, Stage},
    refusal::Refusal,
    subscription::Source,
};

/// A half-received frame below this size is not accounted for: nearly every read leaves one.
const FREE_BUFFER: usize = 64 * 1024;

impl Broker {
    /// Whether a client may add so many bytes. If they are the last for now, its connection is paused.
    pub(super) fn admit(&mut self, id: ConnId, size: usize) -> Result<(), Refusal> {
        let (limit, used) = (self.config.memory, self.memory.saturating_add(size));
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

    /// Reads on from paused connections, if there is memory again, or if nobody is left who would free any:
    /// then they are the ones to acknowledge something, or to be refused.
    pub(super) fn relieve(&mut self, now: Now) {
        while let Some(&id) = self.paused.first() {
            // Well below the limit, or every message that leaves would let just one in.
            let relieved = self.memory < self.config.memory / 10 * 9;
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

    /// Whether some other connection, one that is read, has messages or is about to get some.
    fn drains_without(&self, id: ConnId) -> bool {
        let drains = |connection: &Connection| {
            connection.stage == Stage::Open
                && !connection.paused
                && connection.subscriptions.values().any(|s| {
                    s.unacknowledged() > 0
                        || match &s.source {
                            Source::Queue(queue) => {
                                self.destinations.queue(*queue).is_some_and(|q| !q.is_empty())
                            }
                            Source::Topic { waiting, .. } => !waiting.is_empty(),
                            Source::Browser { .. } => false,
                        }
                })
        };
        self.connections.values().any(|connection| connection.id != id && drains(connection))
    }
}

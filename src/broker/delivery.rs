//! Messages on their way: from queues and topics to consumers, and back from consumers that are gone.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Broker, ConnId, Now,
    destination::{QueueId, dead_letter_queue},
    flow::NAMED,
    message::Message,
    queue::{Entry, Taken},
    subscription::{Key, Source, Subscription},
};
use crate::Dialect;

/// How a delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Acknowledged,
    /// To the dead letters.
    Dead,
    /// Back into its queue.
    Again,
}

impl Broker {
    /// Delivers what can be delivered, from all queues and to all subscriptions that are listed.
    pub(super) fn deliver_due(&mut self, now: Now) {
        while let Some(id) = self.due_queues.pop_front() {
            self.deliver_from_queue(id, now);
        }
        while let Some(key) = self.due_subscriptions.pop_front() {
            self.deliver_from_topic(key, now);
        }
    }

    /// Lists a queue for the next round of deliveries.
    pub(super) fn list_queue(&mut self, id: QueueId) {
        if let Some(queue) = self.destinations.queue_mut(id) {
            if !std::mem::replace(&mut queue.listed, true) {
                self.due_queues.push_back(id);
            }
        }
    }

    /// Lists all that a connection is subscribed to for the next round of deliveries.
    pub(super) fn list_sources(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let mut queues = Vec::new();
        for (&number, subscription) in &connection.subscriptions {
            match subscription.source {
                Source::Queue(queue) | Source::Browser { queue, .. } => queues.push(queue),
                Source::Topic { .. } => self.due_subscriptions.push_back(Key { connection: id, number }),
            }
        }
        queues.into_iter().for_each(|queue| self.list_queue(queue));
    }

    pub(super) fn enqueue(&mut self, id: QueueId, message: Arc<Message>, now: Now) {
        // The queue was deleted: the message is dropped.
        let Some(queue) = self.destinations.queue_mut(id) else { return };
        self.memory += message.size();
        let expires = message.expires();
        queue.push(message);
        self.list_queue(id);
        if expires {
            self.schedule_sweep(now);
        }
    }

    /// Adds a message to each subscription of a topic, where it waits for room.
    pub(super) fn publish(&mut self, topic: &[u8], message: &Arc<Message>) {
        let Some(topic) = self.destinations.topic(topic) else { return };
        for key in topic.audience(message) {
            let subscription = self
                .connections
                .get_mut(&key.connection)
                .and_then(|connection| connection.subscriptions.get_mut(&key.number));
            if let Some(Source::Topic { waiting, .. }) = subscription.map(|s| &mut s.source) {
                self.memory += message.size();
                waiting.push_back(Entry::placeless(message.clone()));
                self.due_subscriptions.push_back(key);
            }
        }
    }

    /// Each consumer with room takes one, in turn, until no message or no room is left.
    fn deliver_from_queue(&mut self, id: QueueId, now: Now) {
        let Some(queue) = self.destinations.queue_mut(id) else { return };
        queue.listed = false;
        let browsers = queue.browsers().to_vec();
        for key in browsers {
            self.deliver_to_browser(id, key, now);
        }
        let Some(queue) = self.destinations.queue_mut(id) else { return };
        let mut passed = 0;
        while passed < queue.consumers() && !queue.is_empty() {
            passed += 1;
            let Some(key) = queue.next_consumer() else { break };
            let Some(connection) = self.connections.get_mut(&key.connection) else { continue };
            if !connection.accepts(key.number) {
                continue;
            }
            match queue.take(now) {
                Taken::Nothing => {}
                Taken::Expired(entry) => {
                    self.memory -= entry.message.size();
                    passed = 0;
                }
                Taken::Entry(entry) => {
                    passed = 0;
                    let size = entry.message.size();
                    if connection.deliver(
                        key.number,
                        entry,
                        queue.shown(),
                        &mut self.ids,
                        self.config.dialect,
                    ) {
                        queue.settled();
                        self.memory -= size;
                    }
                    if !std::mem::replace(&mut connection.listed, true) {
                        self.changed.push_back(key.connection);
                    }
                }
            }
        }
        if queue.is_idle() {
            self.destinations.remove_queue(id);
        }
    }

    fn deliver_to_browser(&mut self, id: QueueId, key: Key, now: Now) {
        let Some(queue) = self.destinations.queue_mut(id) else { return };
        let Some(connection) = self.connections.get_mut(&key.connection) else { return };
        let changed = connection.outbox().len();
        while connection.accepts(key.number) {
            let Some(Source::Browser { from, until, .. }) =
                connection.subscriptions.get_mut(&key.number).map(|s| &mut s.source)
            else {
                return;
            };
            let Some((entry, next)) = queue.browse(*from, *until) else {
                connection.browsed(key.number, queue.shown());
                queue.leave_browser(key);
                break;
            };
            *from = next;
            if !entry.message.expired(now) {
                connection.deliver(
                    key.number,
                    entry.clone(),
                    queue.shown(),
                    &mut self.ids,
                    self.config.dialect,
                );
            }
        }
        if connection.outbox().len() != changed {
            self.mark_changed(key.connection);
        }
    }

    fn deliver_from_topic(&mut self, key: Key, now: Now) {
        let Some(connection) = self.connections.get_mut(&key.connection) else { return };
        let mut delivered = false;
        while connection.accepts(key.number) {
            let Some(Source::Topic { name, waiting }) =
                connection.subscriptions.get_mut(&key.number).map(|s| &mut s.source)
            else {
                break;
            };
            let Some(entry) = waiting.pop_front() else { break };
            let (name, size) = (name.clone(), entry.message.size());
            if entry.message.expired(now) {
                self.memory -= size;
            } else {
                delivered = true;
                if connection.deliver(key.number, entry, &name, &mut self.ids, self.config.dialect) {
                    self.memory -= size;
                }
            }
        }
        if delivered {
            self.mark_changed(key.connection);
        }
    }

    /// Ends deliveries of a subscription.
    pub(super) fn finish(&mut self, key: Key, deliveries: &[u64], end: End, now: Now) {
        for delivery in deliveries {
            let Some(subscription) = self
                .connections
                .get_mut(&key.connection)
                .and_then(|connection| connection.subscriptions.get_mut(&key.number))
            else {
                return;
            };
            let Some(entry) = subscription.settle(*delivery) else { continue };
            if let (End::Again, &Source::Queue(id)) = (end, &subscription.source) {
                self.give_back(id, entry, true);
                continue;
            }
            self.memory -= entry.message.size();
            match subscription.source {
                Source::Topic { .. } => self.due_subscriptions.push_back(key),
                Source::Browser { .. } => {}
                Source::Queue(id) => {
                    if let Some(queue) = self.destinations.queue_mut(id) {
                        queue.settled();
                        if end == End::Dead {
                            self.dead_letter(id, entry.message, now);
                        }
                    }
                    self.list_queue(id);
                }
            }
        }
        let found = self
            .connections
            .get(&key.connection)
            .and_then(|connection| connection.subscriptions.get(&key.number));
        if found.is_some_and(|subscription| subscription.ended && subscription.unacknowledged() == 0) {
            self.end_subscription(key);
        }
    }

    /// Sends a message to where the dead letters of a queue go.
    fn dead_letter(&mut self, id: QueueId, message: Arc<Message>, now: Now) {
        let Some(queue) = self.destinations.queue(id) else { return };
        let name = queue.name().clone();
        if let Some(declared) = queue.declared() {
            let declared = declared.clone();
            self.dead_letter_by_exchange(&name, &declared, &message, now);
        } else if let Some(dead_letters) = dead_letter_queue(&name) {
            let dead_letters = self.destinations.open_queue(&dead_letters);
            let played = self.config.played() == Some(Dialect::ActiveMq);
            let message = if played { message.undelivered(&name) } else { message };
            self.enqueue(dead_letters, message, now);
        }
    }

    /// Puts an unacknowledged message back into its queue, or drops it if the queue was deleted.
    fn give_back(&mut self, id: QueueId, entry: Entry, seen: bool) {
        match self.destinations.queue_mut(id) {
            Some(queue) => queue.put_back(entry, seen),
            None => self.memory -= entry.message.size(),
        }
        self.list_queue(id);
    }

    /// Ends a subscription: its unacknowledged messages go back into their queue at once.
    pub(super) fn end_subscription(&mut self, key: Key) {
        let subscription = self
            .connections
            .get_mut(&key.connection)
            .and_then(|connection| connection.subscriptions.remove(&key.number));
        if let Some(subscription) = subscription {
            let seen = !self.config.behaviour().unsubscribe_clears_redelivered;
            self.end_of(key, subscription, seen);
        }
    }

    fn end_of(&mut self, key: Key, mut subscription: Subscription, seen: bool) {
        self.names -= subscription.charged;
        if let Some(connection) = self.connections.get_mut(&key.connection) {
            for transaction in connection.transactions.values_mut() {
                transaction.acks.retain(|(number, _)| *number != key.number);
            }
        }
        match &mut subscription.source {
            Source::Topic { name, waiting } => {
                self.destinations.leave_topic(name, key);
                self.memory -= waiting.iter().map(|entry| entry.message.size()).sum::<usize>();
                self.memory -=
                    subscription.into_deliveries().map(|entry| entry.message.size()).sum::<usize>();
            }
            Source::Queue(id) | Source::Browser { queue: id, .. } => {
                let id = *id;
                if let Some(queue) = self.destinations.queue_mut(id) {
                    queue.leave(key);
                }
                subscription.into_deliveries().for_each(|entry| self.give_back(id, entry, seen));
                self.list_queue(id);
                self.delete_if_unused(id);
            }
        }
    }

    /// Ends all that a connection has: subscriptions, transactions, temporary queues.
    pub(super) fn end_session(&mut self, id: ConnId) {
        self.paused.remove(&id);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        // The socket may live on for a while; the octets are freed together with their account.
        connection.parser.clear();
        self.memory -= std::mem::take(&mut connection.buffered);
        let subscriptions = std::mem::take(&mut connection.subscriptions);
        let transactions = std::mem::take(&mut connection.transactions);
        let temporary = std::mem::take(&mut connection.temporary);
        self.memory -= transactions.values().map(|transaction| transaction.size()).sum::<usize>();
        self.names -= transactions.keys().map(|name| NAMED + name.len()).sum::<usize>();
        self.names -= temporary.keys().map(Bytes::len).sum::<usize>();
        let declared = std::mem::take(&mut connection.declared);
        self.names -= declared.iter().map(|name| NAMED + name.len()).sum::<usize>();
        for (number, subscription) in subscriptions {
            self.end_of(Key { connection: id, number }, subscription, true);
        }
        if self.config.dialect == Dialect::RabbitMq {
            for queue in self.destinations.exclusive_to(id) {
                self.delete_queue(queue);
            }
        }
        for queue in temporary.into_values() {
            // Only the owner consumes from it, and its subscriptions have ended: nothing is out for delivery.
            if let Some(queue) = self.destinations.remove_queue(queue) {
                self.memory -= queue.size();
            }
        }
    }
}

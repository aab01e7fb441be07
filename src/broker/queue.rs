//! Queues: every message goes to one consumer, and comes back unless that one settles it.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::{ConnId, Now, message::Message, rabbitmq::Declared, selector::Selector, subscription::Key};

/// A message with its place in one queue, which it keeps while it is out for delivery.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) message: Arc<Message>,
    /// Whether a consumer may have seen it before.
    pub(super) redelivered: bool,
    place: u64,
}

impl Entry {
    /// One that is in no queue: a topic's.
    pub(super) fn placeless(message: Arc<Message>) -> Self {
        Self { message, redelivered: false, place: 0 }
    }
}

/// A consumer of the queue.
#[derive(Debug)]
struct Consumer {
    key: Key,
    selector: Option<Selector>,
    /// Messages before this place do not match the selector.
    seen: u64,
}

/// What [`Queue::take`] found.
#[derive(Debug)]
pub(super) enum Taken {
    /// For the consumer whose turn it is.
    Entry(Entry),
    /// Past its time, and dropped.
    Expired(Entry),
    /// Nothing for this consumer.
    Nothing,
}

/// A queue: messages in the order in which they were sent, and consumers that take turns.
#[derive(Debug)]
pub(super) struct Queue {
    name: Bytes,
    /// What its consumers call it: differs from `name` for temporary queues only, whose owner alone consumes.
    shown: Bytes,
    owner: Option<ConnId>,
    /// How it was declared (RabbitMQ): it is there until it is deleted.
    declared: Option<Box<Declared>>,
    /// Ascending by place.
    waiting: VecDeque<Entry>,
    next_place: u64,
    consumers: VecDeque<Consumer>,
    browsers: Vec<Key>,
    unacknowledged: usize,
    expiring: usize,
    /// Whether it is listed for the next round of deliveries.
    pub(super) listed: bool,
}

impl Queue {
    pub(super) fn new(name: Bytes) -> Self {
        Self {
            shown: name.clone(),
            name,
            owner: None,
            declared: None,
            waiting: VecDeque::new(),
            next_place: 0,
            consumers: VecDeque::new(),
            browsers: Vec::new(),
            unacknowledged: 0,
            expiring: 0,
            listed: false,
        }
    }

    pub(super) fn temporary(name: Bytes, shown: Bytes, owner: ConnId) -> Self {
        Self { shown, owner: Some(owner), ..Self::new(name) }
    }

    pub(super) fn declared_as(name: Bytes, declared: Declared) -> Self {
        Self { declared: Some(Box::new(declared)), ..Self::new(name) }
    }

    /// How it was declared, if it was.
    pub(super) fn declared(&self) -> Option<&Declared> {
        self.declared.as_deref()
    }

    /// The name by which any connection may send to it.
    pub(super) fn name(&self) -> &Bytes {
        &self.name
    }

    /// The name that its consumers see.
    pub(super) fn shown(&self) -> &Bytes {
        &self.shown
    }

    /// The connection that a temporary queue lives and dies with.
    pub(super) fn owner(&self) -> Option<ConnId> {
        self.owner
    }

    /// Whether it can be removed without any effect that a client could see.
    pub(super) fn is_idle(&self) -> bool {
        self.owner.is_none() && self.declared.is_none() && self.is_unused()
    }

    /// Whether it holds nothing, and has no consumers.
    pub(super) fn is_unused(&self) -> bool {
        self.waiting.is_empty()
            && self.consumers.is_empty()
            && self.browsers.is_empty()
            && self.unacknowledged == 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn depth(&self) -> Depth {
        Depth {
            waiting: self.waiting.len(),
            unacknowledged: self.unacknowledged,
            consumers: self.consumers.len(),
        }
    }

    /// How many of those waiting have a time to live.
    pub(super) fn expiring(&self) -> usize {
        self.expiring
    }

    /// Appends a message.
    pub(super) fn push(&mut self, message: Arc<Message>) {
        self.expiring += usize::from(message.expires());
        self.waiting.push_back(Entry { message, redelivered: false, place: self.next_place });
        self.next_place += 1;
    }

    /// Puts an unacknowledged message back into its old place. `seen`: a consumer may have seen it.
    pub(super) fn put_back(&mut self, entry: Entry, seen: bool) {
        self.unacknowledged -= 1;
        self.expiring += usize::from(entry.message.expires());
        for consumer in &mut self.consumers {
            consumer.seen = consumer.seen.min(entry.place);
        }
        let at = self.waiting.partition_point(|other| other.place < entry.place);
        self.waiting.insert(at, Entry { redelivered: entry.redelivered || seen, ..entry });
    }

    /// A message that a consumer has is settled: it does not come back.
    pub(super) fn settled(&mut self) {
        self.unacknowledged -= 1;
    }

    pub(super) fn join(&mut self, key: Key, selector: Option<Selector>) {
        self.consumers.push_back(Consumer { key, selector, seen: 0 });
    }

    pub(super) fn leave(&mut self, key: Key) {
        self.consumers.retain(|consumer| consumer.key != key);
        self.browsers.retain(|browser| *browser != key);
    }

    /// Adds a browser. It sees what waits now: the places below the one that this returns.
    pub(super) fn join_browser(&mut self, key: Key) -> u64 {
        self.browsers.push(key);
        self.next_place
    }

    pub(super) fn browsers(&self) -> &[Key] {
        &self.browsers
    }

    pub(super) fn leave_browser(&mut self, key: Key) {
        self.browsers.retain(|browser| *browser != key);
    }

    /// The message that a browser sees next, and the place from which to ask for the one after it.
    pub(super) fn browse(&self, from: u64, until: u64) -> Option<(&Entry, u64)> {
        let at = self.waiting.partition_point(|entry| entry.place < from);
        let entry = self.waiting.get(at).filter(|entry| entry.place < until)?;
        Some((entry, entry.place + 1))
    }

    pub(super) fn consumer_keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.consumers.iter().map(|consumer| consumer.key)
    }

    pub(super) fn consumers(&self) -> usize {
        self.consumers.len()
    }

    /// The consumer whose turn it is. The next call returns the next one.
    pub(super) fn next_consumer(&mut self) -> Option<Key> {
        let consumer = self.consumers.pop_front()?;
        let key = consumer.key;
        self.consumers.push_back(consumer);
        Some(key)
    }

    /// Takes a message for the consumer that [`next_consumer`](Self::next_consumer) answered.
    pub(super) fn take(&mut self, now: Now) -> Taken {
        let Some(consumer) = self.consumers.back_mut() else { return Taken::Nothing };
        let mut at = self.waiting.partition_point(|entry| entry.place < consumer.seen);
        if let Some(selector) = &consumer.selector {
            while let Some(entry) = self.waiting.get(at) {
                if entry.message.expired(now) || selector.matches(entry.message.headers()) {
                    break;
                }
                consumer.seen = entry.place + 1;
                at += 1;
            }
        }
        let Some(entry) = self.waiting.remove(at) else { return Taken::Nothing };
        self.expiring -= usize::from(entry.message.expires());
        if entry.message.expired(now) {
            return Taken::Expired(entry);
        }
        self.unacknowledged += 1;
        Taken::Entry(entry)
    }

    /// Drops what is past its time, and answers how many bytes that frees.
    pub(super) fn sweep(&mut self, now: Now) -> usize {
        let mut freed = 0;
        self.waiting.retain(|entry| {
            let expired = entry.message.expired(now);
            freed += if expired { entry.message.size() } else { 0 };
            !expired
        });
        self.expiring = self.waiting.iter().filter(|entry| entry.message.expires()).count();
        freed
    }

    /// The bytes of all that waits.
    pub(super) fn size(&self) -> usize {
        self.waiting.iter().map(|entry| entry.message.size()).sum()
    }
}

/// How full a destination is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Depth {
    /// Messages that no consumer has yet. Expired ones may count for up to a second.
    pub waiting: usize,
    /// Messages that a consumer has, and has not acknowledged.
    pub unacknowledged: usize,
    /// Subscriptions, browsers not counted.
    pub consumers: usize,
}

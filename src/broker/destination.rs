//! Names of destinations, and the table of those that exist.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use bytes::Bytes;

use super::{
    ConnId, flow::NAMED, queue::Queue, rabbitmq::Binding, refusal::Refusal, topic::Topic, wording::Fault,
};
use crate::{Dialect, link::Replies};

const QUEUE: &[u8] = b"/queue/";
const TOPIC: &[u8] = b"/topic/";
const TEMPORARY: &[u8] = b"/temp-queue/";

/// What others than its owner call a temporary queue.
const REMOTE: &[u8] = b"/remote-temp-queue/";

/// A queue's number; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct QueueId(u64);

/// What a name is that has no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Queue,
    Topic,
}

/// A destination as a client names it, in full: `x` is `/queue/x`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address<'a> {
    Queue(Cow<'a, [u8]>),
    Topic(Cow<'a, [u8]>),
    /// `/temp-queue/x`: a name of one connection's own.
    Temporary(Cow<'a, [u8]>),
    /// `/remote-temp-queue/ID:...`: the same queue, as all the others know it.
    RemoteTemporary(Cow<'a, [u8]>),
}

type Make<'a> = fn(Cow<'a, [u8]>) -> Address<'a>;

impl<'a> Address<'a> {
    /// Reads a `destination`. As on ActiveMQ, a name without a known prefix is a queue's.
    /// `kind` is what one without a known prefix is, if it is no queue.
    pub(super) fn parse(text: &'a [u8], dialect: Dialect, kind: Option<Kind>) -> Result<Self, Refusal> {
        let replies = dialect.row().replies;
        if text.contains(&b',') {
            return Err(Refusal::unsupported(
                "composite destinations are",
                "Send to each destination by itself.",
            ));
        }
        if text.starts_with(b"/temp-topic/") || text.starts_with(b"/remote-temp-topic/") {
            return Err(Refusal::unsupported("temporary topics are", "Use a temporary queue."));
        }
        let kinds: [(&[u8], Make<'a>); 4] = [
            (QUEUE, Self::Queue),
            (TOPIC, Self::Topic),
            (TEMPORARY, Self::Temporary),
            (REMOTE, Self::RemoteTemporary),
        ];
        // Without temporary queues, their names are nothing but names.
        let kinds = if replies == Replies::Plain { &kinds[..2] } else { &kinds };
        let known = kinds.iter().copied().find(|(prefix, _)| text.starts_with(prefix));
        let (prefix, make) = known.unwrap_or((b"", Self::Queue));
        if text.len() == prefix.len() {
            return Err(Refusal::malformed("destination", "a name such as /queue/orders or /topic/news")
                .with(Fault::Nameless));
        }
        Ok(match (prefix, kind) {
            (b"", Some(Kind::Topic)) => Self::Topic([TOPIC, text].concat().into()),
            (b"", _) => Self::Queue([QUEUE, text].concat().into()),
            _ => make(text.into()),
        })
    }

    /// Refuses `a.*` and `a.>`, which a subscription to ActiveMQ may use.
    pub(super) fn without_wildcards(self) -> Result<Self, Refusal> {
        let (Self::Queue(name) | Self::Topic(name) | Self::Temporary(name) | Self::RemoteTemporary(name)) =
            &self;
        let mut parts = name.split(|&b| b == b'.' || b == b'/');
        if parts.any(|part| part == b"*" || part == b">" || part == b"#") {
            return Err(Refusal::unsupported("wildcards are", "Subscribe to each destination by itself."));
        }
        Ok(self)
    }
}

/// All destinations that hold something or are subscribed to.
///
/// An empty queue without consumers is no different from none, so it is forgotten: clients cannot fill this
/// table with names.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    queues: HashMap<QueueId, Queue>,
    names: HashMap<Bytes, QueueId>,
    topics: HashMap<Bytes, Topic>,
    /// Which queues are bound to RabbitMQ's exchanges.
    bindings: Vec<Binding>,
    next: u64,
    /// What the names of all of them take.
    charged: usize,
}

impl Destinations {
    pub(super) fn len(&self) -> usize {
        self.queues.len() + self.topics.len()
    }

    /// About how many bytes of memory they take, messages not counted.
    pub(super) fn size(&self) -> usize {
        self.charged
    }

    /// What one takes whose name has so many bytes.
    pub(super) fn charge(name: usize) -> usize {
        NAMED + name
    }

    fn charge_of(queue: &Queue) -> usize {
        let shown = if queue.owner().is_some() { queue.shown().len() } else { 0 };
        let declared = queue.declared().map_or(0, |declared| declared.size());
        Self::charge(queue.name().len() + shown + declared)
    }

    pub(super) fn queue(&self, id: QueueId) -> Option<&Queue> {
        self.queues.get(&id)
    }

    pub(super) fn queue_mut(&mut self, id: QueueId) -> Option<&mut Queue> {
        self.queues.get_mut(&id)
    }

    pub(super) fn queue_id(&self, name: &[u8]) -> Option<QueueId> {
        self.names.get(name).copied()
    }

    /// The queue of that name, made if need be.
    pub(super) fn open_queue(&mut self, name: &[u8]) -> QueueId {
        match self.queue_id(name) {
            Some(id) => id,
            None => self.insert(Queue::new(Bytes::copy_from_slice(name))),
        }
    }

    /// A new temporary queue; `local` is what its owner calls it.
    pub(super) fn open_temporary(&mut self, owner: ConnId, local: &[u8], id: &str) -> QueueId {
        let name = Bytes::from([REMOTE, id.as_bytes()].concat());
        self.insert(Queue::temporary(name, Bytes::copy_from_slice(local), owner))
    }

    pub(super) fn insert(&mut self, queue: Queue) -> QueueId {
        let id = QueueId(self.next);
        self.next += 1;
        self.charged += Self::charge_of(&queue);
        self.names.insert(queue.name().clone(), id);
        self.queues.insert(id, queue);
        id
    }

    pub(super) fn remove_queue(&mut self, id: QueueId) -> Option<Queue> {
        let queue = self.queues.remove(&id)?;
        self.names.remove(queue.name());
        self.charged -= Self::charge_of(&queue);
        if queue.declared().is_some() {
            let charged = &mut self.charged;
            self.bindings.retain(|binding| {
                let stays = binding.queue != id;
                *charged -= if stays { 0 } else { binding.size() };
                stays
            });
        }
        Some(queue)
    }

    pub(super) fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// Binds a queue to an exchange, unless it is.
    pub(super) fn bind(&mut self, new: Binding) {
        let same =
            |old: &Binding| (old.queue, old.exchange) == (new.queue, new.exchange) && old.key == new.key;
        if !self.bindings.iter().any(same) {
            self.charged += new.size();
            self.bindings.push(new);
        }
    }

    /// The queues that are one connection's alone.
    pub(super) fn exclusive_to(&self, owner: ConnId) -> Vec<QueueId> {
        let theirs =
            |queue: &Queue| queue.declared().is_some_and(|declared| declared.exclusive == Some(owner));
        self.queues.iter().filter(|(_, queue)| theirs(queue)).map(|(id, _)| *id).collect()
    }

    /// Queues that were declared, and hold nothing, have no consumers and are not bound.
    pub(super) fn unused(&self) -> Vec<QueueId> {
        let bound: HashSet<_> = self.bindings.iter().map(|binding| binding.queue).collect();
        let unused = |id: &QueueId, queue: &Queue| {
            queue.declared().is_some() && queue.is_unused() && !bound.contains(id)
        };
        self.queues.iter().filter(|(id, queue)| unused(id, queue)).map(|(id, _)| *id).collect()
    }

    pub(super) fn topic(&self, name: &[u8]) -> Option<&Topic> {
        self.topics.get(name)
    }

    pub(super) fn open_topic(&mut self, name: &Bytes) -> &mut Topic {
        self.topics.entry(name.clone()).or_insert_with(|| {
            self.charged += NAMED + name.len();
            Topic::default()
        })
    }

    /// Ends a subscription to a topic, and the topic with its last one.
    pub(super) fn leave_topic(&mut self, name: &Bytes, subscription: super::subscription::Key) {
        if let Some(topic) = self.topics.get_mut(name) {
            if topic.leave(subscription) {
                self.topics.remove(name);
                self.charged -= Self::charge(name.len());
            }
        }
    }

    /// Queues that hold a message with a time to live, oldest queue first.
    pub(super) fn expiring(&self) -> Vec<QueueId> {
        let mut ids: Vec<_> =
            self.queues.iter().filter(|(_, q)| q.expiring() > 0).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }
}

/// What NACK makes of a queue's name; `None` where a message is to be dropped instead: temporary queues die
/// with their owner, and dead letters of dead letters would never end.
pub(super) fn dead_letter_queue(name: &[u8]) -> Option<Vec<u8>> {
    let name = name.strip_prefix(QUEUE)?;
    (!name.starts_with(b"DLQ.")).then(|| [QUEUE, b"DLQ.", name].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Address<'_>, Refusal> {
        Address::parse(text, Dialect::ActiveMq, None)
    }

    #[test]
    fn names_without_a_prefix_are_queues() {
        assert_eq!(parse(b"x").unwrap(), Address::Queue(b"/queue/x".as_slice().into()));
        assert_eq!(parse(b"/foo/bar").unwrap(), Address::Queue(b"/queue//foo/bar".as_slice().into()));
        assert_eq!(parse(b"/topic/x").unwrap(), Address::Topic(b"/topic/x".as_slice().into()));
    }

    #[test]
    fn impossible_names_are_refused() {
        for name in ["", "/queue/", "/topic/", "/temp-queue/", "/temp-topic/x", "/queue/a,/queue/b"] {
            assert!(parse(name.as_bytes()).is_err(), "{name}");
        }
        for name in ["/queue/a.*", "/topic/a.>", "/topic/a.*.#"] {
            assert!(parse(name.as_bytes()).unwrap().without_wildcards().is_err(), "{name}");
        }
        assert!(parse(b"/queue/a.b>c").unwrap().without_wildcards().is_ok());
    }

    #[test]
    fn dead_letters_have_no_dead_letters() {
        assert_eq!(dead_letter_queue(b"/queue/a").unwrap(), b"/queue/DLQ.a");
        assert_eq!(dead_letter_queue(b"/queue/DLQ.a"), None);
        assert_eq!(dead_letter_queue(b"/remote-temp-queue/ID:1"), None);
    }
}

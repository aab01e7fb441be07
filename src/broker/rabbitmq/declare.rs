//! Queues: with which properties and arguments they are declared, and when they are deleted.

use bytes::Bytes;

use super::{
    super::{Broker, ConnId, Depth, destination::QueueId, flow::NAMED, queue::Queue, refusal::Refusal},
    Address, Binding, Exchange, boolean, integer,
};
use crate::stomp::Headers;

/// Arguments of queues, and whether they are numbers. All have to be the same in each declaration of a queue. Those of dead
/// letters do what they say; the others have no effect here.
const ARGUMENTS: [(&str, bool); 8] = [
    ("x-dead-letter-exchange", false),
    ("x-dead-letter-routing-key", false),
    ("x-expires", true),
    ("x-max-length", true),
    ("x-max-length-bytes", true),
    ("x-max-priority", true),
    ("x-message-ttl", true),
    ("x-queue-type", false),
];

/// What an argument costs beside its value.
const ARGUMENT: usize = 48;

/// How a queue was declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Declared {
    durable: bool,
    /// It is deleted with its last consumer.
    pub(in crate::broker) auto_delete: bool,
    /// Only this connection may use it, and it is deleted when that ends.
    pub(in crate::broker) exclusive: Option<ConnId>,
    /// By name.
    arguments: Vec<(&'static str, Bytes)>,
}

impl Declared {
    /// What a frame says of the queue that it names. `bound`: it is one that is made for a subscription to a topic or an
    /// exchange.
    pub(super) fn of(headers: &Headers, owner: ConnId, bound: bool) -> Result<Self, Refusal> {
        let mut arguments = Vec::new();
        for (name, number) in ARGUMENTS {
            let Some(value) = headers.get(name) else { continue };
            let value = match number {
                true => integer(headers, name)?.unwrap_or_default().to_string().into(),
                false => Bytes::copy_from_slice(value.trim_ascii()),
            };
            arguments.push((name, value));
        }
        let durable = boolean(headers, "durable").or(boolean(headers, "persistent")).unwrap_or(!bound);
        let or = |name, unsaid| boolean(headers, name).unwrap_or(unsaid);
        // What does not last belongs to one connection, unless a frame says otherwise.
        let exclusive = or("exclusive", !durable && !bound);
        Ok(Self {
            durable,
            auto_delete: or("auto-delete", bound || !durable),
            exclusive: exclusive.then_some(owner),
            arguments,
        })
    }

    /// About how many bytes of memory its arguments take.
    pub(in crate::broker) fn size(&self) -> usize {
        self.arguments.iter().map(|(_, value)| ARGUMENT + value.len()).sum()
    }

    /// A queue for replies to one connection.
    pub(super) fn for_replies(owner: ConnId) -> Self {
        Self { durable: false, auto_delete: true, exclusive: Some(owner), arguments: Vec::new() }
    }

    /// The exchange of dead letters (`None` is the one that routes by the names of queues), and their routing key, if one
    /// is set.
    pub(super) fn dead_letters(&self) -> Option<(Option<Exchange>, Option<Bytes>)> {
        let argument =
            |name| self.arguments.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let exchange = match argument("x-dead-letter-exchange")? {
            name if name.is_empty() => None,
            name => Some(Exchange::named(name.to_vec()).ok()?),
        };
        Some((exchange, argument("x-dead-letter-routing-key")))
    }

    /// Why a declaration of this kind is refused where the queue is there, if so.
    fn refuses(&self, name: &str, new: &Self) -> Option<Refusal> {
        let differs = |what: &str, new: &dyn std::fmt::Display, old: &dyn std::fmt::Display| {
            let text = format!(
                "PRECONDITION_FAILED - inequivalent arg '{what}' for queue '{name}' in vhost '/': received {new} but \
                 current is {old}"
            );
            Some(Refusal::channel_error("precondition_failed", text))
        };
        let quoted = |value: bool| format!("'{value}'");
        if self.durable != new.durable {
            return differs("durable", &quoted(new.durable), &quoted(self.durable));
        }
        if self.auto_delete != new.auto_delete {
            return differs("auto_delete", &quoted(new.auto_delete), &quoted(self.auto_delete));
        }
        for (argument, number) in ARGUMENTS {
            let value =
                |of: &Self| of.arguments.iter().find(|(name, _)| *name == argument).map(|(_, v)| v.clone());
            let kind = if number { "long" } else { "longstr" };
            let show = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
            match (value(new), value(self)) {
                (new, old) if new == old => {}
                (Some(new), Some(old)) => {
                    return differs(argument, &format!("'{}'", show(&new)), &format!("'{}'", show(&old)));
                }
                (Some(new), None) => {
                    let new = format!("the value '{}' of type '{kind}'", show(&new));
                    return differs(argument, &new, &"none");
                }
                (None, Some(old)) => {
                    let old = format!("the value '{}' of type '{kind}'", show(&old));
                    return differs(argument, &"none", &old);
                }
                (None, None) => {}
            }
        }
        None
    }
}

impl Broker {
    /// Declares the queue that SEND or SUBSCRIBE names, unless this connection has done so before.
    pub(super) fn declare_once(
        &mut self,
        id: ConnId,
        name: &[u8],
        declared: impl FnOnce() -> Result<Declared, Refusal>,
    ) -> Result<(), Refusal> {
        let full = queue_name(name);
        if self.connections[&id].declared.contains(&full[..]) {
            return Ok(());
        }
        let charge = NAMED + full.len();
        self.admit_names(charge)?;
        self.declare(name, declared()?)?;
        self.connection_mut(id).declared.insert(full.into());
        self.names += charge;
        Ok(())
    }

    /// The queue of this name, declared if it is not there.
    pub(super) fn declare(&mut self, name: &[u8], new: Declared) -> Result<QueueId, Refusal> {
        let full = queue_name(name);
        let known = self.destinations.queue_id(&full);
        if let Some(queue) = known.and_then(|queue| self.destinations.queue(queue)) {
            let text = String::from_utf8_lossy(name);
            if queue.declared().is_some_and(|old| old.exclusive != new.exclusive) {
                return Err(locked(&text));
            }
            if let Some(refusal) = queue.declared().and_then(|old| old.refuses(&text, &new)) {
                return Err(refusal);
            }
        }
        if name.starts_with(b"amq.") {
            let name = String::from_utf8_lossy(name);
            return Err(Refusal::channel_error(
                "access_refused",
                format!("ACCESS_REFUSED - queue name '{name}' contains reserved prefix 'amq.*'"),
            ));
        }
        match known {
            Some(queue) => Ok(queue),
            None => self.make_queue(full, new),
        }
    }

    /// Makes a queue that is not there.
    pub(super) fn make_queue(&mut self, full: Vec<u8>, declared: Declared) -> Result<QueueId, Refusal> {
        self.destination_allowed(full.len() + declared.size())?;
        Ok(self.destinations.insert(Queue::declared_as(full.into(), declared)))
    }

    /// Deletes the queues that only a declaration holds, which RabbitMQ would keep. Each is declared again by the next frame
    /// that names it. Answers whether there were any.
    pub(in crate::broker) fn forget_unused(&mut self) -> bool {
        let unused = self.destinations.unused();
        for queue in &unused {
            let Some(gone) = self.destinations.remove_queue(*queue) else { continue };
            for connection in self.connections.values_mut() {
                if connection.declared.remove(gone.name()) {
                    self.names -= NAMED + gone.name().len();
                }
            }
        }
        !unused.is_empty()
    }

    /// A queue that is there, for a consumer or a sender on this connection.
    pub(super) fn existing(&self, id: ConnId, name: &[u8]) -> Result<QueueId, Refusal> {
        let text = String::from_utf8_lossy(name);
        let found = self.destinations.queue_id(&queue_name(name));
        let (id_of_queue, queue) =
            found.and_then(|found| Some((found, self.destinations.queue(found)?))).ok_or_else(|| {
                Refusal::channel_error("not_found", format!("NOT_FOUND - no queue '{text}' in vhost '/'"))
            })?;
        if queue.declared().and_then(|declared| declared.exclusive).is_some_and(|owner| owner != id) {
            return Err(locked(&text));
        }
        Ok(id_of_queue)
    }

    /// How full a queue is, or how many queues are bound for the messages of a topic or an exchange.
    pub(in crate::broker) fn depth_as_rabbitmq(&self, destination: &[u8]) -> Depth {
        match Address::parse(destination) {
            Ok(Address::Queue(name) | Address::Existing(name)) => {
                let queue = self.destinations.queue_id(&queue_name(&name));
                queue.and_then(|id| self.destinations.queue(id)).map_or_else(Depth::default, Queue::depth)
            }
            Ok(address) => {
                let routed = address.routing().and_then(|(exchange, key)| Some((exchange.ok()?, key)));
                let consumers =
                    routed.map_or(0, |(exchange, key)| self.destinations.routes(exchange, &key).len());
                Depth { consumers, ..Depth::default() }
            }
            Err(_) => Depth::default(),
        }
    }

    /// Binds a queue to an exchange.
    pub(super) fn bind(&mut self, exchange: Exchange, key: Vec<u8>, queue: QueueId) -> Result<(), Refusal> {
        let binding = Binding { exchange, key: key.into(), queue };
        self.admit_names(binding.size())?;
        self.destinations.bind(binding);
        Ok(())
    }

    /// Deletes a queue with what waits in it. Its consumers get an ERROR, and nothing more.
    pub(in crate::broker) fn delete_queue(&mut self, queue: QueueId) {
        let Some(gone) = self.destinations.remove_queue(queue) else { return };
        self.memory -= gone.size();
        for key in gone.consumer_keys() {
            if let Some(connection) = self.connections.get_mut(&key.connection) {
                connection.cancelled(key.number);
                self.mark_changed(key.connection);
                self.cancel(key);
            }
        }
    }
}

/// Queues of one name are the same, however they are addressed.
pub(super) fn queue_name(name: &[u8]) -> Vec<u8> {
    [b"/queue/", name].concat()
}

fn locked(name: &str) -> Refusal {
    let text = format!(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'. It could be originally \
         declared on another connection or the exclusive property value does not match that of the original declaration."
    );
    Refusal::channel_error("resource_locked", text)
}

//! SEND: where a message goes, and where its answer will.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;

use super::{
    Broker, ConnId, Now,
    destination::{Address, Destinations, Kind, QueueId},
    message::{Message, ReplyTo},
    refusal::Refusal,
    transaction::{Target, Transaction},
};
use crate::{
    link::Routing,
    stomp::{Frame, Headers},
};

impl Broker {
    pub(super) fn send(&mut self, id: ConnId, frame: Frame, now: Now) -> Result<(), Refusal> {
        let name = required(&frame, "destination")?;
        let transaction = frame.headers.bytes("transaction");
        if let Some(transaction) = &transaction {
            let accepts_unknown_transactions = self.config.behaviour().accepts_unknown_transactions;
            match self.open_transaction(id, "SEND", transaction) {
                Err(_) if accepts_unknown_transactions => return Ok(()),
                opened => opened.map(|_| ())?,
            }
        }
        let kind = self.kind(&name, &frame.headers, |routing| routing.send);
        let target = self.target(id, Address::parse(&name, self.config.dialect, kind)?)?;
        let reply_to = self.reply_to(id, &frame.headers)?;
        self.check_refused(&name)?;
        let message = Message::new(frame, self.next_message, reply_to, self.config.dialect, now)?;
        self.next_message += 1;
        self.admit(id, message.size())?;
        match transaction {
            None => {
                self.admit_copies([(&target, &message)].into_iter())?;
                self.route(target, message, now);
            }
            Some(transaction) => {
                self.memory += target.size() + message.size();
                self.open_transaction(id, "SEND", &transaction)?.sends.push((target, message, None));
            }
        }
        Ok(())
    }

    /// Whether a name is a topic's, where neither its prefix nor a header says so (Artemis): not if there is a queue of
    /// that name.
    pub(super) fn kind(
        &self,
        name: &[u8],
        headers: &Headers,
        header: fn(&Routing) -> &'static str,
    ) -> Option<Kind> {
        let routing = self.config.dialect.row().routing.as_ref()?;
        match headers.get(header(routing)) {
            Some(b"ANYCAST") => Some(Kind::Queue),
            Some(b"MULTICAST") => Some(Kind::Topic),
            _ if self.destinations.queue_id(&[b"/queue/", name].concat()).is_some() => Some(Kind::Queue),
            _ => Some(Kind::Topic),
        }
    }

    /// Refuses what this broker was told to refuse.
    pub(super) fn check_refused(&mut self, name: &[u8]) -> Result<(), Refusal> {
        let refuse = self.config.refuses.iter_mut();
        let refuse = refuse
            .filter(|refuse| refuse.times > 0)
            .find(|refuse| name.starts_with(refuse.destination.as_bytes()));
        match refuse {
            None => Ok(()),
            Some(refuse) => {
                // For ever, where no number was given.
                refuse.times -= u32::from(refuse.times != u32::MAX);
                Err(Refusal::configured(refuse.why, name, self.config.dialect))
            }
        }
    }

    pub(super) fn route(&mut self, target: Target, message: Arc<Message>, now: Now) {
        match target {
            Target::Queue(name) => {
                let queue = self.destinations.open_queue(&name);
                self.enqueue(queue, message, now);
            }
            Target::Temporary(queue) => self.enqueue(queue, message, now),
            Target::Topic(name) => self.publish(&name, &message),
            Target::Existing(name) => {
                if let Some(queue) = self.destinations.queue_id(&[b"/queue/", &name[..]].concat()) {
                    self.enqueue(queue, message, now);
                }
            }
            Target::Exchange(exchange, key) => self.publish_by_exchange(exchange, &key, &message, now),
        }
    }

    /// Where a SEND goes, if it may.
    fn target(&mut self, id: ConnId, address: Address<'_>) -> Result<Target, Refusal> {
        Ok(match address {
            Address::Topic(name) => Target::Topic(name.into_owned().into()),
            Address::Temporary(local) => Target::Temporary(self.temporary(id, &local)?),
            Address::RemoteTemporary(name) => match self.destinations.queue_id(&name) {
                Some(queue) => Target::Temporary(queue),
                None => return Err(Refusal::gone(&name)),
            },
            Address::Queue(name) => {
                if self.destinations.queue_id(&name).is_none() {
                    self.destination_allowed(name.len())?;
                }
                Target::Queue(name.into_owned().into())
            }
        })
    }

    /// Whether there may be one more destination, whose name has so many bytes.
    pub(super) fn destination_allowed(&mut self, name: usize) -> Result<(), Refusal> {
        let limit = self.config.destinations;
        if self.destinations.len() >= limit && !self.forget_unused() {
            return Err(Refusal::too_many("destinations", limit));
        }
        self.admit_names(Destinations::charge(name))
    }

    /// Whether there may be all the queues that a transaction sends to.
    pub(super) fn admit_queues(&self, transaction: &Transaction) -> Result<(), Refusal> {
        let named = transaction.routes().filter_map(|(target, _)| match target {
            Target::Queue(name) => Some(name),
            _ => None,
        });
        let new: HashSet<_> = named.filter(|name| self.destinations.queue_id(name).is_none()).collect();
        let limit = self.config.destinations;
        if !new.is_empty() && self.destinations.len() + new.len() > limit {
            return Err(Refusal::too_many("destinations", limit));
        }
        self.admit_names(new.iter().map(|name| Destinations::charge(name.len())).sum())
    }

    /// A connection's own temporary queue, made when it is first named.
    pub(super) fn temporary(&mut self, id: ConnId, local: &[u8]) -> Result<QueueId, Refusal> {
        let connection = &self.connections[&id];
        if let Some(queue) = connection.temporary.get(local) {
            return Ok(*queue);
        }
        let limit = self.config.temporary_queues;
        if connection.temporary.len() >= limit {
            return Err(Refusal::too_many("temporary queues", limit));
        }
        self.destination_allowed(2 * local.len())?;
        let connection = &self.connections[&id];
        let name = connection.session.temporary(connection.temporary.len() + 1);
        let queue = self.destinations.open_temporary(id, local, &name);
        self.names += local.len();
        self.connection_mut(id).temporary.insert(Bytes::copy_from_slice(local), queue);
        Ok(queue)
    }

    /// What `reply-to` means: a temporary queue has one name for its owner and another for all other connections.
    fn reply_to(&mut self, id: ConnId, headers: &Headers) -> Result<Option<ReplyTo>, Refusal> {
        // A copy, since a slice would keep all headers of the frame.
        let Some(text) = headers.get("reply-to").map(Bytes::copy_from_slice) else { return Ok(None) };
        let queue = match Address::parse(&text, self.config.dialect, None) {
            Ok(Address::Temporary(local)) => Some(self.temporary(id, &local)?),
            Ok(Address::RemoteTemporary(name)) => self.destinations.queue_id(&name),
            // It is not this broker's business what else an answer is sent to.
            _ => None,
        };
        let queue = queue.and_then(|queue| self.destinations.queue(queue));
        Ok(Some(match queue.and_then(|queue| Some((queue, queue.owner()?))) {
            None => ReplyTo::Verbatim(text),
            Some((queue, owner)) => {
                ReplyTo::Temporary { owner, local: queue.shown().clone(), remote: queue.name().clone() }
            }
        }))
    }
}

fn required(frame: &Frame, header: &'static str) -> Result<Bytes, Refusal> {
    frame.headers.bytes(header).ok_or_else(|| Refusal::missing(frame.command.as_str(), header))
}

//! ACK and NACK, and the transactions that they and SEND may be part of.

use bytes::Bytes;

use super::{
    Broker, ConnId, Now,
    behaviour::Behaviour,
    commands::octets,
    connection::Connection,
    delivery::End,
    flow::NAMED,
    id::Ids,
    refusal::Refusal,
    subscription::{AckMode, Key, Source, Subscription},
    transaction::Transaction,
    wording::{Fault, NoAck},
};
use crate::{
    link::{Nack, Transactions},
    stomp::{Headers, Version},
};

impl Broker {
    pub(super) fn acknowledge(
        &mut self,
        id: ConnId,
        headers: &Headers,
        nack: bool,
        now: Now,
    ) -> Result<(), Refusal> {
        let connection = &self.connections[&id];
        if nack && connection.version == Version::V1_0 {
            let refusal = Refusal::new("NACK in STOMP 1.0", "NACK exists since STOMP 1.1.");
            return Err(refusal.with(Fault::Nack1_0 { octets: octets("NACK", headers, b"") }));
        }
        let acknowledged = connection.acknowledged(headers, nack, &self.ids, self.config.behaviour())?;
        let key = Key { connection: id, number: acknowledged.subscription };
        let row = self.config.dialect.row();
        let transaction = headers.bytes("transaction").filter(|_| row.transactions != Transactions::SendOnly);
        let Some(transaction) = transaction else {
            let end = match row.nack {
                _ if !nack => End::Acknowledged,
                Nack::Acknowledge => End::Acknowledged,
                Nack::DeadLetter => End::Dead,
                Nack::Requeue => End::Again,
            };
            self.finish(key, &acknowledged.deliveries, end, now);
            return Ok(());
        };
        if nack {
            return Err(Refusal::unsupported(
                "NACK in a transaction is",
                "ActiveMQ refuses it too. Send NACK outside of the transaction.",
            )
            .with(Fault::NackInTransaction));
        }
        let transaction = self.open_transaction(id, "ACK", &transaction)?;
        transaction.acks.extend(acknowledged.deliveries.iter().map(|delivery| (key.number, *delivery)));
        self.claim(key, &acknowledged.deliveries, true);
        Ok(())
    }

    /// Puts deliveries into a transaction, which opens the prefetch window, or takes them out.
    fn claim(&mut self, key: Key, deliveries: &[u64], claimed: bool) {
        let Some(subscription) = self.connection_mut(key.connection).subscriptions.get_mut(&key.number)
        else {
            return;
        };
        deliveries.iter().for_each(|delivery| subscription.claim(*delivery, claimed));
        match subscription.source {
            Source::Queue(queue) | Source::Browser { queue, .. } => self.list_queue(queue),
            Source::Topic { .. } => self.due_subscriptions.push_back(key),
        }
    }

    pub(super) fn open_transaction(
        &mut self,
        id: ConnId,
        command: &'static str,
        name: &[u8],
    ) -> Result<&mut Transaction, Refusal> {
        self.connection_mut(id).transactions.get_mut(name).ok_or_else(|| {
            Refusal::new(
                "no such transaction",
                "Open it with BEGIN on this connection, and use it before COMMIT or ABORT.",
            )
            .with(Fault::NoTransaction { command, name: String::from_utf8_lossy(name).into_owned() })
        })
    }

    pub(super) fn begin(&mut self, id: ConnId, headers: &Headers) -> Result<(), Refusal> {
        let name = headers.get("transaction").ok_or_else(|| Refusal::missing("BEGIN", "transaction"))?;
        if self.connections[&id].transactions.contains_key(name) {
            return Err(Refusal::new(
                "this transaction is open already",
                "End it with COMMIT or ABORT before the next BEGIN.",
            )
            .with(Fault::TransactionOpen(String::from_utf8_lossy(name).into_owned())));
        }
        self.insert_transaction(id, name)
    }

    /// Opens a transaction of a name that is free.
    pub(super) fn insert_transaction(&mut self, id: ConnId, name: &[u8]) -> Result<(), Refusal> {
        let limit = self.config.transactions;
        if self.connections[&id].transactions.len() >= limit {
            return Err(Refusal::too_many("transactions", limit));
        }
        let charge = NAMED + name.len();
        self.admit_names(charge)?;
        // A copy, since a slice would keep all headers of the frame.
        let name = Bytes::copy_from_slice(name);
        self.connection_mut(id).transactions.insert(name, Transaction::default());
        self.names += charge;
        Ok(())
    }

    fn end_transaction(
        &mut self,
        id: ConnId,
        command: &'static str,
        headers: &Headers,
    ) -> Result<Transaction, Refusal> {
        let name = headers.get("transaction").ok_or_else(|| Refusal::missing(command, "transaction"))?;
        self.open_transaction(id, command, name)?;
        Ok(self.take_transaction(id, name).unwrap_or_default())
    }

    /// Closes a transaction, if it is open.
    pub(super) fn take_transaction(&mut self, id: ConnId, name: &[u8]) -> Option<Transaction> {
        let transaction = self.connection_mut(id).transactions.remove(name)?;
        self.memory -= transaction.size();
        self.names -= NAMED + name.len();
        Some(transaction)
    }

    pub(super) fn commit(&mut self, id: ConnId, headers: &Headers, now: Now) -> Result<(), Refusal> {
        let transaction = self.end_transaction(id, "COMMIT", headers)?;
        // A refusal ends the connection, so that the whole transaction is undone.
        self.admit_queues(&transaction)?;
        self.admit_copies(transaction.routes())?;
        for (number, delivery) in transaction.acks {
            self.finish(Key { connection: id, number }, &[delivery], End::Acknowledged, now);
        }
        for (target, message, _) in transaction.sends {
            self.route(target, message, now);
        }
        Ok(())
    }

    pub(super) fn abort(&mut self, id: ConnId, headers: &Headers) -> Result<(), Refusal> {
        let transaction = self.end_transaction(id, "ABORT", headers)?;
        for (number, delivery) in transaction.acks {
            self.claim(Key { connection: id, number }, &[delivery], false);
        }
        Ok(())
    }
}

/// What an ACK or NACK is for. There are no deliveries where its subscription has ended, and the messages went back.
#[derive(Debug, Default)]
struct Acknowledged {
    subscription: u64,
    deliveries: Vec<u64>,
}

/// That a connection has no subscription for an ACK or NACK.
#[derive(Debug)]
struct Missing {
    /// Whether it may be that of a subscription that has ended.
    ended: bool,
    why: NoAck,
}

impl Missing {
    const UNKNOWN: Self = Self { ended: false, why: NoAck::Unknown };
}

impl Connection {
    /// Finds the deliveries that an ACK or NACK is for.
    fn acknowledged(
        &self,
        headers: &Headers,
        nack: bool,
        ids: &Ids,
        behaviour: &Behaviour,
    ) -> Result<Acknowledged, Refusal> {
        let command = if nack { "NACK" } else { "ACK" };
        let required = |name| headers.get(name).ok_or_else(|| Refusal::missing(command, name));
        let id = required(if self.version == Version::V1_2 { "id" } else { "message-id" })?;
        let message = |id: &[u8]| match behaviour.consumer_in_message_id {
            true => std::str::from_utf8(id).ok()?.split_once(',')?.1.parse().ok(),
            false => ids.messages.number(id),
        };
        let found = match self.version {
            Version::V1_2 => self.delivery_of_ack(id),
            Version::V1_1 => self.delivery_of_message(message(id), Some(required("subscription")?)),
            Version::V1_0 => self.delivery_of_message(message(id), headers.get("subscription")),
        };
        let accepts_late = behaviour.accepts_late_acks.contains(&self.version);
        let (number, delivery) = match found {
            Ok(found) => found,
            Err(missing) if missing.ended && accepts_late => return Ok(Acknowledged::default()),
            Err(missing) => return Err(self.unexpected(command, id, missing.why)),
        };
        let subscription = &self.subscriptions[&number];
        let deliveries = match delivery.filter(|delivery| *delivery < self.next_delivery) {
            Some(delivery) => subscription.covered(delivery, nack && behaviour.nacks_one),
            None => Vec::new(),
        };
        match subscription.ack {
            // An ACK for a later message may have been for this one too.
            AckMode::Client if behaviour.accepts_repeated_acks => {}
            _ if deliveries.is_empty() => return Err(self.unexpected(command, id, NoAck::Settled)),
            _ => {}
        }
        Ok(Acknowledged { subscription: number, deliveries })
    }

    /// The subscription and the delivery of an `ack` header.
    fn delivery_of_ack(&self, id: &[u8]) -> Result<(u64, Option<u64>), Missing> {
        let (number, delivery) = self.session.delivery(id).ok_or(Missing::UNKNOWN)?;
        if self.subscriptions.contains_key(&number) {
            return Ok((number, Some(delivery)));
        }
        Err(Missing { ended: number < self.next_subscription, ..Missing::UNKNOWN })
    }

    /// The subscription and the delivery of the message of this number, among the subscriptions of one id, or all of them. `None`: the
    /// subscription does not hold that message, or no longer.
    fn delivery_of_message(
        &self,
        message: Option<u64>,
        named: Option<&[u8]>,
    ) -> Result<(u64, Option<u64>), Missing> {
        let message = message.ok_or(Missing::UNKNOWN)?;
        let holds = |(number, s): (&u64, &Subscription)| Some((*number, s.delivery_of(message)?));
        let is_named = |s: &Subscription| named.is_none() || s.id.as_deref() == named;
        let mut candidates = self.subscriptions.iter().filter(|(_, s)| is_named(s));
        if let Some((number, delivery)) = candidates.clone().find_map(holds) {
            return Ok((number, Some(delivery)));
        }
        if let Some((number, _)) = candidates.next() {
            return Ok((*number, None));
        }
        let holder = self.subscriptions.iter().find_map(holds);
        let holder = holder.and_then(|(number, _)| self.subscriptions[&number].id.as_deref());
        let text = |id: &[u8]| String::from_utf8_lossy(id).into_owned();
        let foreign = named.zip(holder).map(|(said, is)| NoAck::Foreign(text(said), text(is)));
        Err(Missing { ended: self.next_subscription > 0, why: foreign.unwrap_or(NoAck::Unknown) })
    }

    fn unexpected(&self, command: &str, id: &[u8], why: NoAck) -> Refusal {
        let id = String::from_utf8_lossy(id).into_owned();
        Refusal::new(
            format!("unexpected {command}"),
            "No such message is waiting for an acknowledgement on this connection: it was acknowledged before, came \
             from a subscription with ack:auto, or was delivered to another connection.",
        )
        .with(Fault::Ack { id, by_message: self.version != Version::V1_2, why })
    }
}

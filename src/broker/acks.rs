//! ACK and NACK, and the transactions that they and SEND may be part of.

use bytes::Bytes;

use super::{
    Broker, ConnId, Now,
    delivery::End,
    flow::NAMED,
    refusal::Refusal,
    subscription::{Key, Source},
    transaction::Transaction,
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
            return Err(Refusal::new("NACK in STOMP 1.0", "NACK exists since STOMP 1.1."));
        }
        let acknowledged = connection.acknowledged(headers, nack, &self.ids)?;
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
            ));
        }
        let transaction = self.open_transaction(id, &transaction)?;
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

    pub(super) fn open_transaction(&mut self, id: ConnId, name: &[u8]) -> Result<&mut Transaction, Refusal> {
        self.connection_mut(id).transactions.get_mut(name).ok_or_else(|| {
            Refusal::new(
                "no such transaction",
                "Open it with BEGIN on this connection, and use it before COMMIT or ABORT.",
            )
        })
    }

    pub(super) fn begin(&mut self, id: ConnId, headers: &Headers) -> Result<(), Refusal> {
        let name = headers.get("transaction").ok_or_else(|| Refusal::missing("BEGIN", "transaction"))?;
        let limit = self.config.transactions;
        let transactions = &mut self.connection_mut(id).transactions;
        if transactions.contains_key(name) {
            return Err(Refusal::new(
                "this transaction is open already",
                "End it with COMMIT or ABORT before the next BEGIN.",
            ));
        }
        if transactions.len() >= limit {
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
        command: &str,
        headers: &Headers,
    ) -> Result<Transaction, Refusal> {
        let name = headers.get("transaction").ok_or_else(|| Refusal::missing(command, "transaction"))?;
        self.open_transaction(id, name)?;
        Ok(self.take_transaction(id, name).expect("it was found just now"))
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

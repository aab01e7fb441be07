//! ACK, NACK, and transactions: their frames wait, and are carried out one by one at COMMIT.

use super::{
    super::{
        Broker, ConnId, Now,
        delivery::End,
        refusal::Refusal,
        subscription::{AckMode, Key},
        transaction::{Settle, Transaction},
    },
    boolean, quoted, unexpected,
};
use crate::stomp::{Command, Headers, Version};

impl Broker {
    pub(super) fn settle_as_rabbitmq(
        &mut self,
        id: ConnId,
        command: Command,
        headers: &Headers,
        now: Now,
    ) -> Result<(), Refusal> {
        let connection = &self.connections[&id];
        let header = if connection.version == Version::V1_2 { "id" } else { "message-id" };
        let command_text = quoted(command.as_str().as_bytes());
        let value = headers.get(header).ok_or_else(|| {
            Refusal::frame_error(
                "Missing header",
                format!("{command_text} must include the \"{header}\" header\n"),
            )
        })?;
        let parts = split(value);
        let [tag, _, delivery] = parts[..] else {
            return Err(Refusal::frame_error(
                "Invalid header",
                format!("{command_text} must include a valid \"{header}\" header\n"),
            ));
        };
        let delivery = super::super::id::number(delivery).ok_or_else(unexpected)?;
        let number = connection.tagged(tag).ok_or_else(|| {
            Refusal::frame_error(
                "Subscription not found",
                format!("Message with id {} has no subscription", quoted(value)),
            )
        })?;
        let end = match command {
            Command::Nack if boolean(headers, "requeue").unwrap_or(true) => End::Again,
            Command::Nack => End::Dead,
            _ => End::Acknowledged,
        };
        let multiple = connection.subscriptions[&number].ack == AckMode::Client;
        let settle = Settle { delivery, multiple, end };
        match headers.bytes("transaction") {
            None => self.settle_delivery(id, &settle, now),
            Some(transaction) => {
                self.admit(id, Settle::SIZE)?;
                self.opened_as_rabbitmq(id, &transaction)?.settles.push(settle);
                self.memory += Settle::SIZE;
                Ok(())
            }
        }
    }

    /// Settles a delivery by its number, and all before it if it is for several: whatever their subscriptions.
    fn settle_delivery(&mut self, id: ConnId, settle: &Settle, now: Now) -> Result<(), Refusal> {
        let connection = &self.connections[&id];
        let holds = |(_, s): &(&u64, &super::super::subscription::Subscription)| s.holds(settle.delivery);
        if !connection.subscriptions.iter().any(|pair| holds(&pair)) {
            let text = format!("PRECONDITION_FAILED - unknown delivery tag {}", settle.delivery);
            return Err(Refusal::channel_error("precondition_failed", text));
        }
        let deliveries: Vec<_> = connection
            .subscriptions
            .iter()
            .map(|(number, s)| (*number, s.settled_by(settle.delivery, settle.multiple)))
            .collect();
        for (number, mut deliveries) in deliveries {
            if settle.end == End::Again {
                // In this order each goes back to the front of its queue at little cost.
                deliveries.reverse();
            }
            self.finish(Key { connection: id, number }, &deliveries, settle.end, now);
        }
        Ok(())
    }

    pub(super) fn transact_as_rabbitmq(
        &mut self,
        id: ConnId,
        command: Command,
        headers: &Headers,
        now: Now,
    ) -> Result<(), Refusal> {
        let name = headers.get("transaction").ok_or_else(|| {
            let command = quoted(command.as_str().as_bytes());
            Refusal::frame_error(
                "Missing transaction",
                format!("{command} must include a 'transaction' header\n"),
            )
        })?;
        let ended = match command {
            Command::Begin => return self.begin_as_rabbitmq(id, name),
            _ => {
                self.opened_as_rabbitmq(id, name)?;
                self.take_transaction(id, name)
            }
        };
        let Some(transaction) = ended.filter(|_| command == Command::Commit) else { return Ok(()) };
        self.admit_copies(transaction.routes())?;
        for settle in &transaction.settles {
            self.settle_delivery(id, settle, now)?;
        }
        for (target, message, receipt) in transaction.sends {
            self.route(target, message, now);
            self.connection_mut(id).confirms.extend(receipt);
        }
        Ok(())
    }

    /// A second BEGIN forgets what the first one had.
    fn begin_as_rabbitmq(&mut self, id: ConnId, name: &[u8]) -> Result<(), Refusal> {
        self.take_transaction(id, name);
        self.insert_transaction(id, name)
    }

    pub(super) fn opened_as_rabbitmq(
        &mut self,
        id: ConnId,
        name: &[u8],
    ) -> Result<&mut Transaction, Refusal> {
        self.connection_mut(id).transactions.get_mut(name).ok_or_else(|| {
            Refusal::frame_error(
                "Bad transaction",
                format!("Invalid transaction identifier: {}\n", quoted(name)),
            )
        })
    }
}

/// The parts of a delivery's name, between `@@`.
fn split(text: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, b"@@") {
        parts.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    parts.push(rest);
    parts
}

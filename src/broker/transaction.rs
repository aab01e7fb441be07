//! Transactions: SENDs and ACKs that happen together, or not at all.

use std::sync::Arc;

use super::{delivery::End, destination::QueueId, message::Message, rabbitmq::Exchange};
use bytes::Bytes;

/// Where a SEND goes.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// By name: the queue may come and go until COMMIT.
    Queue(Bytes),
    Topic(Bytes),
    /// By number: when it is gone, the message is gone with it.
    Temporary(QueueId),
    /// To the queue of this name, if it is there (RabbitMQ).
    Existing(Bytes),
    /// To those that are bound for this key (RabbitMQ).
    Exchange(Exchange, Bytes),
}

impl Target {
    /// The bytes of its name.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Queue(name) | Self::Topic(name) | Self::Existing(name) | Self::Exchange(_, name) => {
                name.len()
            }
            Self::Temporary(_) => 0,
        }
    }
}

/// What an open transaction holds back.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// With the receipt that COMMIT brings, if it does (RabbitMQ).
    pub(super) sends: Vec<(Target, Arc<Message>, Option<Bytes>)>,
    /// Subscription and delivery.
    pub(super) acks: Vec<(u64, u64)>,
    /// ACKs and NACKs that are carried out at COMMIT (RabbitMQ).
    pub(super) settles: Vec<Settle>,
}

/// An ACK or NACK by the number of a delivery.
#[derive(Debug)]
pub(super) struct Settle {
    pub(super) delivery: u64,
    /// Whether it is for all deliveries before that, too.
    pub(super) multiple: bool,
    pub(super) end: End,
}

impl Settle {
    /// About how many bytes of memory one takes.
    pub(super) const SIZE: usize = 64;
}

impl Transaction {
    /// What it sends, and where to.
    pub(super) fn routes(&self) -> impl Iterator<Item = (&Target, &Arc<Message>)> + Clone {
        self.sends.iter().map(|(target, message, _)| (target, message))
    }

    /// The bytes that it keeps.
    pub(super) fn size(&self) -> usize {
        let receipt = |receipt: &Option<Bytes>| receipt.as_ref().map_or(0, Bytes::len);
        let sends = self.sends.iter().map(|(to, message, id)| to.size() + message.size() + receipt(id));
        sends.sum::<usize>() + self.settles.len() * Settle::SIZE
    }
}

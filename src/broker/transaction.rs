//! Transactions: SENDs and ACKs that happen together, or not at all.

use std::sync::Arc;

use super::{destination::QueueId, message::Message};
use bytes::Bytes;

/// Where a SEND goes.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// By name: the queue may come and go until COMMIT.
    Queue(Bytes),
    Topic(Bytes),
    /// By number: when it is gone, the message is gone with it.
    Temporary(QueueId),
    /// To one who is gone, where that is no error.
    Nowhere,
}

impl Target {
    /// The bytes of its name.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Queue(name) | Self::Topic(name) => name.len(),
            Self::Temporary(_) | Self::Nowhere => 0,
        }
    }
}

/// What an open transaction holds back.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) sends: Vec<(Target, Arc<Message>)>,
    /// Subscription and delivery.
    pub(super) acks: Vec<(u64, u64)>,
}

impl Transaction {
    /// The bytes that it keeps.
    pub(super) fn size(&self) -> usize {
        self.sends.iter().map(|(target, message)| target.size() + message.size()).sum()
    }
}

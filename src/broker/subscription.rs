//! Subscriptions, and their unacknowledged messages.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{ConnId, destination::QueueId, id::Numbered, queue::Entry, refusal::Refusal};

/// A subscription of a connection; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) connection: ConnId,
    pub(super) number: u64,
}

/// The `ack` header of SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AckMode {
    /// A message is settled when it is sent, whether the client gets it or not.
    Auto,
    /// An ACK is for all deliveries up to its own.
    Client,
    /// An ACK is for one delivery.
    ClientIndividual,
}

impl AckMode {
    pub(super) fn parse(text: Option<&[u8]>) -> Result<Self, Refusal> {
        match text {
            None | Some(b"auto") => Ok(Self::Auto),
            Some(b"client") => Ok(Self::Client),
            Some(b"client-individual") => Ok(Self::ClientIndividual),
            Some(_) => Err(Refusal::malformed("ack", "auto, client or client-individual")),
        }
    }
}

/// Where messages come from.
#[derive(Debug)]
pub(super) enum Source {
    Queue(QueueId),
    /// Sees all that was in the queue when it subscribed, and takes nothing.
    Browser {
        queue: QueueId,
        /// The place to look at next.
        from: u64,
        until: u64,
    },
    /// Messages wait here, for this subscriber alone.
    Topic {
        name: Bytes,
        waiting: VecDeque<Entry>,
    },
}

/// An unacknowledged message.
#[derive(Debug)]
struct Delivery {
    entry: Entry,
    /// What it takes of the window.
    weight: usize,
}

/// One subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    /// The client's name for it; 1.0 may do without.
    pub(super) id: Option<Bytes>,
    /// As in the SUBSCRIBE frame, which is how 1.0 may end it.
    pub(super) destination: Bytes,
    pub(super) source: Source,
    pub(super) ack: AckMode,
    /// The `ack` headers of its deliveries.
    pub(super) ack_ids: Numbered,
    /// It gets no more messages, and is kept for those that it has not acknowledged (RabbitMQ).
    pub(super) ended: bool,
    /// What the broker's memory was charged for it, its deliveries not counted.
    pub(super) charged: usize,
    /// The window: what may be unacknowledged before nothing more is delivered, in messages or, on Artemis, in octets.
    prefetch: usize,
    /// By number.
    deliveries: BTreeMap<u64, Delivery>,
    /// Those that an open transaction acknowledges, apart: to find one among the others takes no longer for them.
    claimed: BTreeMap<u64, Delivery>,
    /// What `deliveries` take of the window.
    taken: usize,
}

impl Subscription {
    pub(super) fn new(
        id: Option<Bytes>,
        destination: Bytes,
        source: Source,
        ack: AckMode,
        prefetch: usize,
        ack_prefix: String,
        charged: usize,
    ) -> Self {
        Self {
            id,
            destination,
            source,
            ack,
            ack_ids: Numbered::new(ack_prefix),
            ended: false,
            charged,
            prefetch,
            deliveries: BTreeMap::new(),
            claimed: BTreeMap::new(),
            taken: 0,
        }
    }

    /// Whether the prefetch window has room. What a transaction acknowledges no longer takes any: a client
    /// with a small window may well put more into one transaction.
    pub(super) fn has_room(&self) -> bool {
        self.ack == AckMode::Auto || self.taken < self.prefetch
    }

    pub(super) fn unacknowledged(&self) -> usize {
        self.deliveries.len() + self.claimed.len()
    }

    /// Notes a message that is sent now. Numbers of deliveries ascend.
    pub(super) fn delivered(&mut self, delivery: u64, entry: Entry, weight: usize) {
        self.taken += weight;
        self.deliveries.insert(delivery, Delivery { entry, weight });
    }

    /// The delivery of a message by its number, which is all that 1.0 and 1.1 know. The oldest come first,
    /// and are the likeliest.
    pub(super) fn delivery_of(&self, message: u64) -> Option<u64> {
        self.deliveries.iter().find(|(_, d)| d.entry.message.number == message).map(|(delivery, _)| *delivery)
    }

    /// Which deliveries an ACK of this one is for, or a NACK; none if it was acknowledged before. `alone`: this one and no
    /// other, whatever the ack mode.
    pub(super) fn covered(&self, delivery: u64, alone: bool) -> Vec<u64> {
        match self.ack {
            AckMode::Client if !alone => self.deliveries.range(..=delivery).map(|(at, _)| *at).collect(),
            _ => self.deliveries.contains_key(&delivery).then_some(delivery).into_iter().collect(),
        }
    }

    /// Whether a delivery is unacknowledged.
    pub(super) fn holds(&self, delivery: u64) -> bool {
        self.deliveries.contains_key(&delivery)
    }

    /// The deliveries that a number settles, which may be another subscription's: itself, or all up to it. Ascending.
    pub(super) fn settled_by(&self, delivery: u64, multiple: bool) -> Vec<u64> {
        let from = if multiple { 0 } else { delivery };
        self.deliveries.range(from..=delivery).map(|(delivery, _)| *delivery).collect()
    }

    /// Puts a delivery into a transaction, or takes it out again.
    pub(super) fn claim(&mut self, delivery: u64, claimed: bool) {
        let (from, to) = match claimed {
            true => (&mut self.deliveries, &mut self.claimed),
            false => (&mut self.claimed, &mut self.deliveries),
        };
        let Some(found) = from.remove(&delivery) else { return };
        self.taken = if claimed { self.taken - found.weight } else { self.taken + found.weight };
        to.insert(delivery, found);
    }

    /// Takes out a delivery that was settled.
    pub(super) fn settle(&mut self, delivery: u64) -> Option<Entry> {
        let Some(found) = self.deliveries.remove(&delivery) else {
            return self.claimed.remove(&delivery).map(|delivery| delivery.entry);
        };
        self.taken -= found.weight;
        Some(found.entry)
    }

    /// All unacknowledged messages, the latest first: in that order each goes back to the front of its
    /// queue at little cost.
    pub(super) fn into_deliveries(mut self) -> impl Iterator<Item = Entry> {
        self.deliveries.append(&mut self.claimed);
        self.deliveries.into_values().rev().map(|delivery| delivery.entry)
    }
}

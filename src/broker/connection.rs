//! The broker's side of one connection.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    BrokerConfig, ConnId, behaviour,
    destination::QueueId,
    id::{Ids, Session},
    layout::Envelope,
    liveness::Liveness,
    outbox::Outbox,
    queue::Entry,
    subscription::{AckMode, Subscription},
    transaction::Transaction,
};
use crate::{
    Dialect,
    stomp::{Command, Encoder, HeartBeatOffer, Parser, Version},
};

/// Messages are added to an outbox only below this: the rest waits where others can have it.
const DELIVER_BELOW: usize = 256 * 1024;

/// A client with more than this in its outbox is not read: it does not read answers, so it may ask for no more.
const READ_BELOW: usize = 1024 * 1024;

/// How long a client may take to read its last frames, since it last read some of them.
const LINGER: Duration = Duration::from_secs(2);

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// CONNECT must come by then.
    New(Option<Instant>),
    Open,
    /// The client is sent what is in the outbox, and nothing else. At that time the broker forgets the connection.
    Closing(Instant),
}

/// A client.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnId,
    pub(super) stage: Stage,
    pub(super) session: Session,
    pub(super) version: Version,
    pub(super) parser: Parser,
    /// Bytes in the parser that the broker's memory was charged for.
    pub(super) buffered: usize,
    /// Bytes of the outbox that it was charged for.
    pub(super) unread: usize,
    pub(super) liveness: Liveness,
    outbox: Outbox,
    /// By number.
    pub(super) subscriptions: BTreeMap<u64, Subscription>,
    pub(super) next_subscription: u64,
    pub(super) next_delivery: u64,
    pub(super) transactions: HashMap<Bytes, Transaction>,
    /// By the name that this client gave.
    pub(super) temporary: BTreeMap<Bytes, QueueId>,
    /// Unacknowledged messages of a subscription that does not say.
    pub(super) prefetch: usize,
    /// The queues that its frames have named, and that are not declared again (RabbitMQ).
    pub(super) declared: HashSet<Bytes>,
    /// Receipts of messages that were taken. They are sent behind the receipt of the frame (RabbitMQ).
    pub(super) confirms: Vec<Bytes>,
    /// The user that has logged in.
    user: String,
    /// Whether its frames are neither obeyed nor answered (Artemis).
    pub(super) ignored: bool,
    /// Whether it is not read until there is memory again.
    pub(super) paused: bool,
    /// Whether messages wait for room in the outbox.
    starved: bool,
    /// Whether it is listed as changed.
    pub(super) listed: bool,
}

impl Connection {
    pub(super) fn new(id: ConnId, session: Session, config: &BrokerConfig, now: Instant) -> Self {
        let none = HeartBeatOffer::default();
        let mut parser = Parser::new(config.frame);
        parser.set_laxity(behaviour::laxity(config.played()));
        Self {
            id,
            stage: Stage::New(now.checked_add(config.connect_timeout)),
            session,
            version: Version::V1_0,
            parser,
            buffered: 0,
            unread: 0,
            liveness: Liveness::new(none, none, None, now),
            outbox: Outbox::default(),
            subscriptions: BTreeMap::new(),
            next_subscription: 0,
            next_delivery: 1,
            transactions: HashMap::new(),
            temporary: BTreeMap::new(),
            prefetch: config.prefetch,
            declared: HashSet::new(),
            confirms: Vec::new(),
            user: String::new(),
            ignored: false,
            paused: false,
            starved: false,
            listed: false,
        }
    }

    pub(super) fn outbox(&self) -> &[u8] {
        self.outbox.pending()
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Closing(_))
    }

    /// Begins to close the connection: the client gets what is in the outbox, and no more.
    pub(super) fn close(&mut self, now: Instant) {
        self.stage = Stage::Closing(now + LINGER);
        self.paused = false;
    }

    /// Whether to read from it. While it closes it is read too, and what comes is thrown away: closing a
    /// socket with unread bytes would reset it, and destroy the ERROR on its way.
    pub(super) fn wants_read(&self) -> bool {
        self.is_closing() || !self.is_stalled()
    }

    /// Whether the broker does not read it, so that its silence does not show that the client is dead.
    pub(super) fn is_stalled(&self) -> bool {
        self.paused || self.outbox().len() >= READ_BELOW
    }

    /// Whether its frames are obeyed now.
    pub(super) fn is_obeyed(&self) -> bool {
        !self.is_closing() && !self.paused
    }

    /// Takes written bytes from the outbox. Answers whether messages may flow again.
    pub(super) fn sent(&mut self, count: usize, now: Instant) -> bool {
        self.outbox.written(count);
        self.liveness.sent(now);
        if let Stage::Closing(_) = self.stage {
            self.close(now);
        }
        // Half: a refill of a few frames each time would be many small writes.
        let refill = self.starved && self.outbox().len() <= DELIVER_BELOW / 2;
        self.starved &= !refill;
        refill
    }

    /// When to look at it again, whatever happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::New(until) => until,
            Stage::Open => self.liveness.deadline(),
            Stage::Closing(until) => Some(until),
        }
    }

    /// Sends a heart-beat, unless a frame waits to be sent, which counts as one.
    pub(super) fn beat(&mut self, now: Instant) {
        if self.outbox().is_empty() {
            self.outbox.end().push(b'\n');
        }
        self.liveness.sent(now);
    }

    /// `heart_beat` is `None` where none is to be named.
    pub(super) fn connected(&mut self, server: &str, heart_beat: Option<HeartBeatOffer>, in_full: bool) {
        let (version, session) = (self.version, self.session.to_string());
        let encoder = self.frame(Command::Connected);
        if version == Version::V1_0 && !in_full {
            return encoder.header("session", session).finish();
        }
        let encoder =
            encoder.header("version", version.as_str()).header("server", server).header("session", session);
        match heart_beat {
            Some(heart_beat) => encoder.header("heart-beat", heart_beat.to_string()).finish(),
            None => encoder.finish(),
        }
    }

    /// Begins a frame.
    pub(super) fn frame(&mut self, command: Command) -> Encoder<'_> {
        Encoder::new(self.outbox.end(), self.version, command)
    }

    pub(super) fn receipt(&mut self, receipt: &[u8]) {
        self.frame(Command::Receipt).header("receipt-id", receipt).finish();
    }

    /// Whether a subscription can be sent something now.
    pub(super) fn accepts(&mut self, subscription: u64) -> bool {
        if self.stage != Stage::Open {
            return false;
        }
        if self.outbox().len() >= DELIVER_BELOW {
            self.starved = true;
            return false;
        }
        self.subscriptions.get(&subscription).is_some_and(Subscription::has_room)
    }

    /// Sends a message to a subscription. Returns whether that settles it, because the subscription acknowledges nothing.
    pub(super) fn deliver(
        &mut self,
        subscription: u64,
        entry: Entry,
        shown: &[u8],
        ids: &mut Ids,
        dialect: Dialect,
    ) -> bool {
        let number = subscription;
        let Some(subscription) = self.subscriptions.get_mut(&number) else { return true };
        let automatic = subscription.ack == AckMode::Auto;
        let delivery = self.next_delivery;
        let message = entry.message.clone();
        let message_id = match dialect {
            // Artemis' names the consumer as well, so that it is another at each delivery.
            Dialect::Artemis => &*format!("{}{number:04},{}", self.id.0, message.number),
            _ => ids.messages.text(message.number),
        };
        message.encode(
            self.outbox.end(),
            &Envelope {
                dialect,
                version: self.version,
                consumer: self.id,
                destination: message.destination().map_or(shown, |routed| &routed.shown),
                message_id: message_id.as_bytes(),
                subscription: subscription.id.as_deref(),
                delivery: subscription.ack_ids.text(delivery).as_bytes(),
                acknowledged: self.version == Version::V1_2 && !automatic,
                redelivered: entry.redelivered,
            },
        );
        self.next_delivery += 1;
        if !automatic {
            let weight = if dialect == Dialect::Artemis { message.octets_on_artemis() } else { 1 };
            subscription.delivered(delivery, entry, weight);
        }
        automatic
    }

    /// Tells a browser that it has seen everything.
    pub(super) fn browsed(&mut self, subscription: u64, shown: &[u8]) {
        let Some(subscription) = self.subscriptions.get(&subscription) else { return };
        let mut encoder = Encoder::new(self.outbox.end(), self.version, Command::Message)
            .header("destination", shown)
            .header("message-id", "0");
        if let Some(id) = &subscription.id {
            encoder = encoder.header("subscription", id);
        }
        encoder.header("browser", "end").finish();
    }

    pub(super) fn unacknowledged(&self) -> usize {
        self.subscriptions.values().map(Subscription::unacknowledged).sum()
    }

    /// The subscription that a client named.
    pub(super) fn subscription(&self, id: &[u8]) -> Option<u64> {
        // The last one, where ActiveMQ is played and has several.
        self.subscriptions.iter().rfind(|(_, s)| s.id.as_deref() == Some(id)).map(|(number, _)| *number)
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// Whether this is the user that has logged in; `None` is accepted, too.
    pub(super) fn is_user(&self, name: Option<&[u8]>) -> bool {
        name.is_none_or(|name| name == self.user.as_bytes())
    }

    /// Its session is open.
    pub(super) fn open(&mut self, version: Version, liveness: Liveness, user: String) {
        self.stage = Stage::Open;
        self.version = version;
        self.parser.set_version(version);
        self.liveness = liveness;
        self.user = user;
    }

    /// Sends the receipts in `confirms`.
    pub(super) fn confirm(&mut self) {
        for receipt in std::mem::take(&mut self.confirms) {
            self.receipt(&receipt);
        }
    }
}

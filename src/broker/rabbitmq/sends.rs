//! SEND: where a message goes, what becomes of its headers, and where its answer will go.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    super::{
        Broker, ConnId, Now, flow::NAMED, message::Message, refusal::Refusal, subscription::AckMode,
        transaction::Target,
    },
    Address, Declared, Exchange, address, boolean,
    declare::queue_name,
    integer, quoted,
    subscriptions::{missing_destination, no_exchange},
    unexpected,
};
use crate::{
    Dialect,
    stomp::{Frame, Headers},
};

/// Headers that are properties of the message in AMQP, in the order in which they come in a MESSAGE: behind all others.
const PROPERTIES: [&str; 12] = [
    "app-id",
    "user-id",
    "type",
    "timestamp",
    "amqp-message-id",
    "expiration",
    "reply-to",
    "correlation-id",
    "priority",
    "persistent",
    "content-encoding",
    "content-type",
];

/// Where a message was sent: what its MESSAGE says, and its dead letter goes by.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Routed {
    /// `None`: straight to the queue that the key names.
    pub(in crate::broker) exchange: Option<Exchange>,
    pub(in crate::broker) key: Bytes,
    /// The `destination` of a MESSAGE.
    pub(in crate::broker) shown: Bytes,
}

impl Routed {
    pub(in crate::broker) fn new(exchange: Option<Exchange>, key: Bytes) -> Self {
        Self { exchange, shown: address::shown(exchange, &key).into(), key }
    }

    /// As Artemis shows it: just what the sender wrote.
    pub(in crate::broker) fn as_sent(headers: &Headers) -> Self {
        let shown = Bytes::copy_from_slice(headers.get("destination").unwrap_or_default());
        Self { exchange: None, key: Bytes::new(), shown }
    }
}

impl Broker {
    pub(super) fn send_as_rabbitmq(&mut self, id: ConnId, frame: Frame, now: Now) -> Result<(), Refusal> {
        let headers = &frame.headers;
        if headers.get("message-id").is_some() {
            return Err(Refusal::frame_error("Invalid header", "'message-id' is not allowed on 'SEND'.\n"));
        }
        let limits = Dialect::RabbitMq.row().limits;
        if headers.iter().any(|(name, value)| !limits.takes(name, value)) {
            let why = "Reason: content_properties_shortstr_overflow: a name, or a property of AMQP, has more than 255 bytes.";
            return Err(Refusal::channel_error("AMQP channel died", why));
        }
        let text = headers.bytes("destination").ok_or_else(|| missing_destination("SEND"))?;
        let address = Address::parse(&text)?;
        let properties = self.properties(id, headers)?;
        // Behind the queue for replies: where that takes the last room, unused queues are forgotten.
        let target = self.target_as_rabbitmq(id, address, &text, headers)?;
        let headers = properties;
        let receipt = headers.get("receipt").map(Bytes::copy_from_slice);
        let transaction = headers.bytes("transaction");
        if let Some(transaction) = &transaction {
            self.opened_as_rabbitmq(id, transaction)?;
        }
        if !self.connections[&id].is_user(headers.get("user-id")) {
            return Err(self.not_that_user(id, headers.get("user-id").unwrap_or_default()));
        }
        self.check_refused(&text)?;
        let expires = headers.get("expiration").map(lifetime).transpose()?;
        let expires = expires.map_or(0, |life| now.millis().saturating_add(life));
        let message = Message::routed(headers, frame.body, self.next_message, target.routed(), expires);
        self.next_message += 1;
        self.admit(id, message.size())?;
        match transaction {
            None => {
                self.admit_copies([(&target, &message)].into_iter())?;
                self.route(target, message, now);
                self.connection_mut(id).confirms.extend(receipt);
            }
            Some(transaction) => {
                let octets = receipt.as_ref().map_or(0, Bytes::len);
                self.memory += target.size() + message.size() + octets;
                let sends = &mut self.opened_as_rabbitmq(id, &transaction)?.sends;
                sends.push((target, message, receipt));
            }
        }
        Ok(())
    }

    fn target_as_rabbitmq(
        &mut self,
        id: ConnId,
        address: Address,
        text: &[u8],
        headers: &Headers,
    ) -> Result<Target, Refusal> {
        Ok(match address {
            Address::Temporary(_) => return Err(address::not_for(text, "SEND")),
            Address::Queue(name) if name.is_empty() => return Err(address::blank()),
            Address::Queue(name) => {
                self.declare_once(id, &name, || Declared::of(headers, id, false))?;
                Target::Existing(name.into())
            }
            Address::Existing(name) => Target::Existing(name.into()),
            address => {
                let (exchange, key) = address.routing().ok_or_else(unexpected)?;
                Target::Exchange(exchange.map_err(|name| no_exchange(&name))?, key.into())
            }
        })
    }

    /// The headers of the message that a SEND makes: each name once, the last one first, then AMQP's properties.
    fn properties(&mut self, id: ConnId, headers: &Headers) -> Result<Headers, Refusal> {
        let reply_to = match headers.get("reply-to") {
            None => None,
            Some(text) => Some(match Address::parse(text).map_err(|_| unexpected())? {
                Address::Temporary(local) => [b"/reply-queue/", &self.reply_queue(id, &local)?[..]].concat(),
                _ => address::reply_to(text),
            }),
        };
        let mut kept: Vec<(&[u8], Vec<u8>)> = Vec::new();
        for (name, value) in super::super::message::first_of_each(headers) {
            let consumed = [&b"destination"[..], b"content-length"].contains(&name);
            if !consumed && !PROPERTIES.iter().any(|property| property.as_bytes() == name) {
                kept.push((name, value.to_vec()));
            }
        }
        kept.reverse();
        for property in PROPERTIES {
            let value = match property {
                "persistent" => boolean(headers, property).filter(|value| *value).map(|_| b"true".to_vec()),
                "timestamp" | "priority" => {
                    integer(headers, property)?.map(|number| number.to_string().into_bytes())
                }
                "reply-to" => reply_to.clone(),
                _ => headers.get(property).map(<[u8]>::to_vec),
            };
            kept.extend(value.map(|value| (property.as_bytes(), value)));
        }
        Ok(kept.into_iter().collect())
    }

    /// The name of the queue for replies that a connection calls `local`: made, and subscribed to, when it is first named.
    fn reply_queue(&mut self, id: ConnId, local: &[u8]) -> Result<Vec<u8>, Refusal> {
        let limit = self.config.temporary_queues;
        let connection = &self.connections[&id];
        let name = match connection.temporary.get(local) {
            Some(queue) => {
                let name = self.destinations.queue(*queue).map(|queue| queue.name().clone());
                return name.map(|name| name[queue_name(b"").len()..].to_vec()).ok_or_else(unexpected);
            }
            None if connection.temporary.len() >= limit => {
                return Err(Refusal::too_many("temporary queues", limit));
            }
            None => {
                let number = u64::try_from(connection.temporary.len()).unwrap_or(u64::MAX);
                format!("amq.gen-{}", connection.session.unique(number)).into_bytes()
            }
        };
        let subscription = Bytes::from([b"/temp-queue/", local].concat());
        let charged = NAMED + 4 * subscription.len();
        self.admit_names(charged + local.len())?;
        let queue = self.make_queue(queue_name(&name), Declared::for_replies(id))?;
        self.names += local.len();
        self.connection_mut(id).temporary.insert(Bytes::copy_from_slice(local), queue);
        let destination = Bytes::copy_from_slice(&name);
        self.consume(id, queue, Some(subscription), destination, AckMode::Auto, charged);
        Ok(name)
    }

    fn not_that_user(&self, id: ConnId, said: &[u8]) -> Refusal {
        let said = String::from_utf8_lossy(said);
        let is = self.connections[&id].user();
        Refusal::channel_error(
            "precondition_failed",
            format!(
                "PRECONDITION_FAILED - user_id property set to '{said}' but authenticated user was '{is}'"
            ),
        )
    }

    /// What becomes of a message that is refused, or has expired, in a queue that has an exchange for its dead letters.
    pub(in crate::broker) fn dead_letter_by_exchange(
        &mut self,
        queue: &[u8],
        declared: &Declared,
        message: &Arc<Message>,
        now: Now,
    ) {
        debug_assert_eq!(self.config.dialect, Dialect::RabbitMq);
        let Some((exchange, key)) = declared.dead_letters() else { return };
        let name = queue.strip_prefix(b"/queue/").unwrap_or(queue);
        let letter = message.dead_letter(name, exchange, key, self.next_message);
        self.next_message += 1;
        let Some(key) = letter.destination().map(|routed| routed.key.clone()) else { return };
        let target =
            exchange.map_or(Target::Existing(key.clone()), |exchange| Target::Exchange(exchange, key));
        let room = self.held().saturating_add(letter.size()) <= self.config.memory.saturating_mul(2);
        if !room || self.admit_copies([(&target, &letter)].into_iter()).is_err() {
            tracing::warn!(limit = self.config.memory, "memory is full: a dead letter is dropped");
            return;
        }
        self.route(target, letter, now);
    }
}

/// Milliseconds that a message may live. One without any left is not delivered here; RabbitMQ does so where a consumer waits.
fn lifetime(text: &[u8]) -> Result<u64, Refusal> {
    let text = String::from_utf8_lossy(text);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let why = match (text[..digits].parse(), &text[digits..]) {
        (Ok(life), "") => return Ok(life),
        (Err(_), _) => "no_integer".to_owned(),
        (Ok(_), rest) => format!("{{leftover_string,{}}}", quoted(rest.as_bytes())),
    };
    let text = format!("PRECONDITION_FAILED - invalid expiration '{text}': {why}");
    Err(Refusal::channel_error("precondition_failed", text))
}

impl Target {
    /// Where a message to here was sent.
    fn routed(&self) -> Routed {
        match self {
            Self::Exchange(exchange, key) => Routed::new(Some(*exchange), key.clone()),
            Self::Existing(name) | Self::Queue(name) | Self::Topic(name) => Routed::new(None, name.clone()),
            Self::Temporary(_) => Routed::new(None, Bytes::new()),
        }
    }
}

//! A message: what of a SEND is kept.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;

use super::{
    ConnId, Now,
    rabbitmq::{Exchange, Routed},
    refusal::Refusal,
    wording::Fault,
};
use crate::{
    Dialect,
    stomp::{Frame, Headers},
};

/// What a message costs beside its text.
const OVERHEAD: usize = 256;

/// What a header costs beside its name and value.
const HEADER: usize = 16;

/// Headers that the broker sets itself, or that were meant for it. A sender's own never reach a consumer:
/// the first of two headers counts, and a made-up `subscription` must not be it.
const RESERVED: [&[u8]; 18] = [
    b"destination",
    b"message-id",
    b"subscription",
    b"ack",
    b"redelivered",
    b"reply-to",
    b"expires",
    b"priority",
    b"timestamp",
    b"persistent",
    b"content-length",
    b"receipt",
    b"transaction",
    b"browser",
    b"login",
    b"passcode",
    b"JMSXUserID",
    b"receipt-id",
];

/// Headers of a SEND that Artemis makes its own. All others pass on, whatever their names.
const CONSUMED: [&[u8]; 6] =
    [b"destination", b"content-length", b"expires", b"priority", b"persistent", b"reply-to"];

/// Where an answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReplyTo {
    /// Just what the sender wrote.
    Verbatim(Bytes),
    /// A temporary queue: its owner calls it `local`, all the others `remote`.
    Temporary { owner: ConnId, local: Bytes, remote: Bytes },
}

impl ReplyTo {
    /// The bytes of its names.
    fn size(&self) -> usize {
        match self {
            Self::Verbatim(name) => name.len(),
            Self::Temporary { local, remote, .. } => local.len() + remote.len(),
        }
    }
}

/// A message. All queues and subscriptions that hold it share it.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Its number, of which `message-id` is made.
    pub(super) number: u64,
    headers: Headers,
    body: Bytes,
    /// Whether the SEND had a `content-length`: JMS's difference between bytes and text.
    pub(super) sized: bool,
    pub(super) reply_to: Option<ReplyTo>,
    routed: Option<Routed>,
    /// Milliseconds since 1970; zero is never.
    pub(super) expires: u64,
    pub(super) timestamp: u64,
    pub(super) priority: u64,
    pub(super) persistent: bool,
    size: usize,
}

impl Message {
    pub(super) fn new(
        frame: Frame,
        number: u64,
        reply_to: Option<ReplyTo>,
        dialect: Dialect,
        now: Now,
    ) -> Result<Arc<Self>, Refusal> {
        let integer = |name: &'static str, or: u64| match frame.headers.get(name) {
            None => Ok(or),
            Some(text) => {
                integer(text).ok_or_else(|| Refusal::malformed(name, "a whole number").with(Fault::Number))
            }
        };
        let headers = kept(&frame.headers, dialect);
        let text: usize = headers.iter().map(|(name, value)| name.len() + value.len() + HEADER).sum();
        let destination = frame.headers.get("destination").map_or(0, <[u8]>::len);
        let text = text + destination + reply_to.as_ref().map_or(0, ReplyTo::size);
        Ok(Arc::new(Self {
            number,
            sized: frame.headers.get("content-length").is_some(),
            expires: integer("expires", 0)?,
            routed: (dialect == Dialect::Artemis).then(|| Routed::as_sent(&frame.headers)),
            // On Artemis a sender's own is a property.
            timestamp: if dialect == Dialect::Artemis {
                now.millis()
            } else {
                integer("timestamp", now.millis())?
            },
            priority: integer("priority", 4)?.min(9),
            persistent: frame.headers.get("persistent").is_some_and(|value| match dialect {
                Dialect::Artemis => value.eq_ignore_ascii_case(b"true"),
                _ => value == b"true",
            }),
            size: OVERHEAD + text + frame.body.len(),
            headers,
            body: frame.body,
            reply_to,
        }))
    }

    /// The headers that pass from sender to consumer.
    pub(super) fn headers(&self) -> &Headers {
        &self.headers
    }

    /// About how many bytes of memory it takes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn expires(&self) -> bool {
        self.expires != 0
    }

    pub(super) fn expired(&self, now: Now) -> bool {
        self.expires() && self.expires <= now.millis()
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Where it was sent, if that is not the name of the queue that it is in (RabbitMQ).
    pub(super) fn destination(&self) -> Option<&Routed> {
        self.routed.as_ref()
    }

    /// A message of RabbitMQ's: its headers are what a MESSAGE says.
    pub(super) fn routed(
        headers: Headers,
        body: Bytes,
        number: u64,
        routed: Routed,
        expires: u64,
    ) -> Arc<Self> {
        let text: usize = headers.iter().map(|(name, value)| name.len() + value.len() + HEADER).sum();
        Arc::new(Self {
            number,
            size: OVERHEAD + text + routed.key.len() + routed.shown.len() + body.len(),
            headers,
            body,
            routed: Some(routed),
            expires,
            sized: true,
            reply_to: None,
            timestamp: 0,
            priority: 0,
            persistent: false,
        })
    }

    /// What ActiveMQ makes of it on its way to the dead letters.
    pub(super) fn undelivered(&self, queue: &[u8]) -> Arc<Self> {
        let expires = self.expires.to_string();
        let own: [(&[u8], &[u8]); 3] = [
            (b"original-destination", queue),
            (b"originalExpiration", expires.as_bytes()),
            (b"originalDeliveryMode", b"NON_PERSISTENT"),
        ];
        // Dead letters are persistent, and the last header is of those that were not.
        let own = &own[..own.len() - usize::from(self.persistent)];
        let kept = self.headers.iter().filter(|(name, _)| own.iter().all(|(known, _)| known != name));
        let headers: Headers = kept.chain(own.iter().copied()).collect();
        let more: usize = own.iter().map(|(name, value)| name.len() + value.len() + HEADER).sum();
        Arc::new(Self { headers, size: self.size + more, persistent: true, expires: 0, ..self.clone() })
    }

    /// What goes to an exchange of dead letters, by this key or its own. It says where it comes from, and lives for ever.
    pub(super) fn dead_letter(
        &self,
        queue: &[u8],
        exchange: Option<Exchange>,
        key: Option<Bytes>,
        number: u64,
    ) -> Arc<Self> {
        let (from, own_key) = match &self.routed {
            Some(routed) => (routed.exchange.map_or("", Exchange::name), routed.key.clone()),
            None => ("", Bytes::new()),
        };
        let death: [(&[u8], &[u8]); 3] = [
            (b"x-first-death-exchange", from.as_bytes()),
            (b"x-first-death-queue", queue),
            (b"x-first-death-reason", b"rejected"),
        ];
        let first = self.headers.get("x-first-death-queue").is_none();
        let death = death.into_iter().filter(|_| first);
        let headers = death.chain(self.headers.iter().filter(|(name, _)| *name != b"expiration")).collect();
        let routed = Routed::new(exchange, key.unwrap_or(own_key));
        Self::routed(headers, self.body.clone(), number, routed, 0)
    }
}

/// The headers that pass on, each name once.
fn kept(headers: &Headers, dialect: Dialect) -> Headers {
    let dropped: &[&[u8]] = if dialect == Dialect::Artemis { &CONSUMED } else { &RESERVED };
    first_of_each(headers).filter(|(name, _)| !dropped.contains(name)).collect()
}

/// Each name once: the first counts.
pub(super) fn first_of_each(headers: &Headers) -> impl Iterator<Item = (&[u8], &[u8])> {
    // Nearly every message has few headers, where comparing them all is cheaper than a table.
    let mut seen = (headers.len() > 24).then(HashSet::new);
    headers.iter().enumerate().filter_map(move |(at, (name, value))| {
        let first = match &mut seen {
            Some(seen) => seen.insert(name),
            None => !headers.iter().take(at).any(|(earlier, _)| earlier == name),
        };
        first.then_some((name, value))
    })
}

/// A header that JMS brokers read as a number. Longs may be negative there; nothing here means anything
/// below zero.
fn integer(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    text.parse::<i64>().ok().map(|n| u64::try_from(n).unwrap_or(0))
}

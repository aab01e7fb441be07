//! A message: what of a SEND is kept, and the MESSAGE that it becomes.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;

use super::{ConnId, Now, refusal::Refusal};
use crate::{
    link::{Expiry, Row},
    stomp::{Command, Encoder, Frame, Headers, Version},
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

/// A message. Shared, not copied, by everyone who waits for it.
#[derive(Debug)]
pub(super) struct Message {
    /// Its number, of which `message-id` is made.
    pub(super) number: u64,
    headers: Headers,
    body: Bytes,
    /// Whether the SEND had a `content-length`: JMS's difference between bytes and text.
    sized: bool,
    reply_to: Option<ReplyTo>,
    /// Milliseconds since 1970; zero is never.
    expires: u64,
    timestamp: u64,
    priority: u64,
    persistent: bool,
    size: usize,
}

impl Message {
    pub(super) fn new(
        frame: Frame,
        number: u64,
        reply_to: Option<ReplyTo>,
        row: &Row,
        now: Now,
    ) -> Result<Arc<Self>, Refusal> {
        let integer = |name: &'static str, or: u64| match frame.headers.get(name) {
            None => Ok(or),
            Some(text) => integer(text).ok_or_else(|| Refusal::malformed(name, "a whole number")),
        };
        let headers = kept(&frame.headers, row);
        let text: usize = headers.iter().map(|(name, value)| name.len() + value.len() + HEADER).sum();
        let text = text + reply_to.as_ref().map_or(0, ReplyTo::size);
        Ok(Arc::new(Self {
            number,
            sized: frame.headers.get("content-length").is_some(),
            expires: match row.expiry {
                Expiry::Expires => integer("expires", 0)?,
                Expiry::Expiration => match integer("expiration", 0)? {
                    0 => 0,
                    life => now.millis().saturating_add(life),
                },
            },
            timestamp: integer("timestamp", now.millis())?,
            priority: integer("priority", 4)?.min(9),
            persistent: frame.headers.get("persistent") == Some(b"true"),
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

    /// Appends the MESSAGE frame to a consumer's outbox.
    pub(super) fn encode(&self, out: &mut Vec<u8>, to: &Envelope<'_>) {
        let mut encoder =
            Encoder::new(out, to.version, Command::Message).header("destination", to.destination);
        // Where text is measured, too, that of bytes comes first.
        let early = self.sized && to.row.measures_text;
        if early {
            encoder = encoder.encoded(format!("content-length:{}\n", self.body.len()).as_bytes());
        }
        encoder = encoder.header("message-id", to.message_id);
        if let Some(subscription) = to.subscription {
            encoder = encoder.header("subscription", subscription);
        }
        if let Some(ack) = to.ack {
            encoder = encoder.header("ack", ack);
        }
        encoder = encoder
            .number("expires", self.expires)
            .number("priority", self.priority)
            .number("timestamp", self.timestamp);
        if to.redelivered || to.row.says_redelivered {
            encoder = encoder.header("redelivered", if to.redelivered { "true" } else { "false" });
        }
        if self.persistent {
            encoder = encoder.header("persistent", "true");
        }
        encoder = match &self.reply_to {
            None => encoder,
            Some(ReplyTo::Verbatim(name)) => encoder.header("reply-to", name),
            Some(ReplyTo::Temporary { owner, local, .. }) if *owner == to.consumer => {
                encoder.header("reply-to", local)
            }
            Some(ReplyTo::Temporary { remote, .. }) => encoder.header("reply-to", remote),
        };
        for (name, value) in self.headers.iter() {
            encoder = encoder.header(name, value);
        }
        if early {
            encoder.measured(&self.body);
        } else if self.sized || to.row.measures_text && !self.body.is_empty() {
            encoder.body(&self.body);
        } else {
            // Without a length the body came to an end at the first NUL, so it has none.
            encoder.text(&self.body);
        }
    }
}

/// What a MESSAGE says beside the message.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) version: Version,
    pub(super) consumer: ConnId,
    pub(super) destination: &'a [u8],
    pub(super) message_id: &'a [u8],
    pub(super) subscription: Option<&'a [u8]>,
    pub(super) ack: Option<&'a [u8]>,
    pub(super) redelivered: bool,
    pub(super) row: &'a Row,
}

/// The headers that pass on, each name once: the first counts.
fn kept(headers: &Headers, row: &Row) -> Headers {
    let leaks = |name: &[u8]| row.leaks.iter().any(|leaked| leaked.as_bytes() == name);
    let passes = |name: &[u8]| !RESERVED.contains(&name) || leaks(name);
    // Nearly every message has few headers, where comparing them all is cheaper than a table.
    if headers.len() <= 24 {
        let first = |at: usize, name: &[u8]| !headers.iter().take(at).any(|(earlier, _)| earlier == name);
        let all = headers.iter().enumerate();
        return all
            .filter(|(at, (name, _))| passes(name) && first(*at, name))
            .map(|(_, pair)| pair)
            .collect();
    }
    let mut seen = HashSet::new();
    headers.iter().filter(|(name, _)| passes(name) && seen.insert(*name)).collect()
}

/// A header that JMS brokers read as a number. Longs may be negative there; nothing here means anything
/// below zero.
fn integer(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    text.parse::<i64>().ok().map(|n| u64::try_from(n).unwrap_or(0))
}

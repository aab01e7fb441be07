//! MESSAGE frames, as each broker writes them: which headers there are, and in which order.

use super::{
    ConnId,
    message::{Message, ReplyTo},
};
use crate::{
    Dialect,
    stomp::{Command, Encoder, Version},
};

/// What a MESSAGE says beside the message.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) dialect: Dialect,
    pub(super) version: Version,
    pub(super) consumer: ConnId,
    pub(super) destination: &'a [u8],
    pub(super) message_id: &'a [u8],
    pub(super) subscription: Option<&'a [u8]>,
    /// What an ACK says, and on RabbitMQ `message-id`.
    pub(super) delivery: &'a [u8],
    /// Whether there is an `ack` header.
    pub(super) acknowledged: bool,
    pub(super) redelivered: bool,
}

/// Headers that Artemis has a place for among its own.
const PLACED: [&[u8]; 3] = [b"correlation-id", b"type", b"content-type"];

/// The id of a subscription on Artemis that was given none.
pub(super) fn implied_id(destination: &[u8]) -> Vec<u8> {
    let bare = [&b"/queue/"[..], b"/topic/"].iter().find_map(|prefix| destination.strip_prefix(*prefix));
    [b"subscription/", bare.unwrap_or(destination)].concat()
}

impl Message {
    /// Appends the MESSAGE frame to a consumer's outbox.
    pub(super) fn encode(&self, out: &mut Vec<u8>, to: &Envelope<'_>) {
        let encoder = Encoder::new(out, to.version, Command::Message);
        match to.dialect {
            Dialect::RabbitMq => self.encode_as_rabbitmq(encoder, to),
            Dialect::Artemis => self.encode_as_artemis(encoder, to),
            Dialect::ActiveMq => self.encode_as_activemq(encoder, to),
        }
    }

    /// In an order that ActiveMQ does not promise.
    fn encode_as_activemq(&self, encoder: Encoder<'_>, to: &Envelope<'_>) {
        let mut encoder = encoder.header("destination", to.destination).header("message-id", to.message_id);
        if let Some(subscription) = to.subscription {
            encoder = encoder.header("subscription", subscription);
        }
        if to.acknowledged {
            encoder = encoder.header("ack", to.delivery);
        }
        encoder = encoder
            .number("expires", self.expires)
            .number("priority", self.priority)
            .number("timestamp", self.timestamp);
        if to.redelivered {
            encoder = encoder.header("redelivered", "true");
        }
        if self.persistent {
            encoder = encoder.header("persistent", "true");
        }
        if let Some(reply_to) = self.reply_to_for(to.consumer) {
            encoder = encoder.header("reply-to", reply_to);
        }
        for (name, value) in self.headers().iter() {
            encoder = encoder.header(name, value);
        }
        if self.sized {
            encoder.body(self.body());
        } else {
            // Without a length the body came to an end at the first NUL, so it has none.
            encoder.text(self.body());
        }
    }

    /// The sender's headers come behind the broker's, and of two the first counts.
    fn encode_as_rabbitmq(&self, mut encoder: Encoder<'_>, to: &Envelope<'_>) {
        if let Some(subscription) = to.subscription {
            encoder = encoder.header("subscription", subscription);
        }
        encoder = encoder
            .header("destination", to.destination)
            .header("message-id", to.delivery)
            .header("redelivered", if to.redelivered { "true" } else { "false" });
        if to.acknowledged {
            encoder = encoder.header("ack", to.delivery);
        }
        for (name, value) in self.headers().iter() {
            encoder = encoder.header(name, value);
        }
        if self.body().is_empty() { encoder.finish() } else { encoder.body(self.body()) }
    }

    /// The sender's headers come between the broker's: its `ack` is the last of that name.
    fn encode_as_artemis(&self, mut encoder: Encoder<'_>, to: &Envelope<'_>) {
        let headers = self.headers();
        let text = |is: bool| if is { "true" } else { "false" };
        match to.subscription {
            Some(subscription) => encoder = encoder.header("subscription", subscription),
            None => encoder = encoder.header("subscription", implied_id(to.destination)),
        }
        if self.sized && !self.body().is_empty() {
            encoder = encoder.encoded(format!("content-length:{}\n", self.body().len()).as_bytes());
        }
        encoder = encoder.header("message-id", to.message_id).header("destination", to.destination);
        if let Some(id) = headers.get("correlation-id") {
            encoder = encoder.header("correlation-id", id);
        }
        encoder = encoder
            .number("expires", self.expires)
            .header("redelivered", text(to.redelivered))
            .number("priority", self.priority)
            .header("persistent", text(self.persistent));
        if let Some(reply_to) = self.reply_to_for(to.consumer) {
            encoder = encoder.header("reply-to", reply_to);
        }
        encoder = encoder.number("timestamp", self.timestamp);
        for name in ["type", "content-type"] {
            if let Some(value) = headers.get(name) {
                encoder = encoder.header(name, value);
            }
        }
        let kind = match to.destination {
            name if name.starts_with(b"/queue/") => Some(&b"ANYCAST"[..]),
            name if name.starts_with(b"/topic/") => Some(&b"MULTICAST"[..]),
            _ => headers.get("destination-type"),
        };
        if let Some(kind) = kind {
            encoder = encoder.header("destination-type", kind);
        }
        for (name, value) in headers.iter().filter(|(name, _)| !PLACED.contains(name)) {
            let name = if name == b"JMSXGroupID" { b"_AMQ_GROUP_ID" } else { name };
            encoder = encoder.header(name, value);
        }
        if to.acknowledged {
            encoder = encoder.header("ack", to.delivery);
        }
        match (self.sized, self.body().is_empty()) {
            (false, true) => encoder.finish(),
            (false, false) if to.version > Version::V1_0 => encoder.body(self.body()),
            (true, true) => encoder.body(&[]),
            (_, false) => encoder.text_as_it_is(self.body()),
        }
    }

    /// About what it takes of a window on Artemis, as measured: a fixed part, names and values with about ten octets each, and
    /// the body.
    pub(super) fn octets_on_artemis(&self) -> usize {
        const FIXED: usize = 173;
        const HEADER: usize = 10;
        const BODY: usize = 23;
        let name = self.destination().map_or(0, |sent| sent.shown.len());
        let headers = self.headers().iter().map(|(name, value)| name.len() + value.len() + HEADER);
        let body = if self.body().is_empty() { 0 } else { BODY + self.body().len() };
        FIXED + name + headers.sum::<usize>() + body
    }

    fn reply_to_for(&self, consumer: ConnId) -> Option<&[u8]> {
        match self.reply_to.as_ref()? {
            ReplyTo::Verbatim(name) => Some(name),
            ReplyTo::Temporary { owner, local, .. } if *owner == consumer => Some(local),
            ReplyTo::Temporary { remote, .. } => Some(remote),
        }
    }
}

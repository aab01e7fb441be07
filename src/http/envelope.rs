//! The SEND frames of replies.
use std::time::SystemTime;

use super::reply_head::EncodedHead;
use super::request::epoch_ms;
use super::{Delivery, Fault, Mapping, ReplyBody};
use crate::link::jms;
use crate::stomp::{Command, Encoder, Version};

/// What all the messages of a reply have in common.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) version: Version,
    mapping: &'a Mapping,
    pub(super) delivery: &'a Delivery,
    correlation: Option<&'a [u8]>,
}

/// One message of a reply.
#[derive(Debug)]
pub(super) struct Part<'a> {
    /// Its own headers, encoded.
    pub(super) lines: &'a [u8],
    /// 0, 1, 2 ...
    pub(super) number: u64,
    /// Whether another follows.
    pub(super) more: bool,
    /// None where it is empty.
    pub(super) receipt: &'a str,
    /// What comes before the body.
    pub(super) inner: &'a [u8],
    pub(super) body: &'a [u8],
}

/// The headers of a reply's end that is not whole.
pub(super) const BROKEN: &[u8] = b"http_isError:true\n";

impl<'a> Part<'a> {
    /// A reply in one message.
    pub(super) fn whole(head: &'a EncodedHead<'_>, body: &'a [u8], receipt: &'a str) -> Self {
        Self { lines: &head.lines, number: 0, more: false, receipt, inner: &head.inner, body }
    }
}

impl<'a> Envelope<'a> {
    pub(super) fn new(version: Version, mapping: &'a Mapping, delivery: &'a Delivery) -> Self {
        Self { version, mapping, delivery, correlation: delivery.correlation() }
    }

    /// The same, unless the broker takes no frame of that length.
    pub(super) fn encode_within(&self, part: &Part<'_>) -> Result<Vec<u8>, Fault> {
        let frame = self.encode(part);
        let limits = self.delivery.limits;
        if self.mapping.fits_frame(&frame, limits) {
            Ok(frame)
        } else if limits.fits(frame.len()) {
            Err(Fault::Headers { octets: frame.len() - part.inner.len() - part.body.len() })
        } else {
            Err(Fault::TooLarge { limit: limits.frame })
        }
    }

    /// One whole frame in a buffer of its own, for which the body is copied once.
    ///
    /// It is never `persistent:false`: with that, RabbitMQ makes the queue that it creates exclusive.
    pub(super) fn encode(&self, part: &Part<'_>) -> Vec<u8> {
        let Some(reply_to) = self.delivery.reply_to() else {
            return Vec::new(); // one-way: there is nobody to send it to
        };
        let correlation = self.correlation.map_or(0, <[u8]>::len);
        let known = reply_to.len() + correlation + part.receipt.len() + part.lines.len();
        let mut out = Vec::with_capacity(256 + known + part.inner.len() + part.body.len());

        let (destination, routing) = self.delivery.dialect.reply_destination(reply_to);
        let mut encoder =
            Encoder::new(&mut out, self.version, Command::Send).known("destination", destination);
        if let Some((name, value)) = routing {
            encoder = encoder.header(name, value);
        }
        if let Some(correlation) = self.correlation {
            encoder = encoder.known("correlation-id", correlation);
        }
        if self.delivery.is_persistent() {
            encoder = encoder.known("persistent", "true");
        }
        encoder = encoder.encoded(part.lines);
        if self.delivery.accept_stream {
            encoder = encoder
                .number("http_chunkSeq", part.number)
                .known("http_moreContent", if part.more { "true" } else { "false" });
        }
        if let Some(expires) = self.expires() {
            let (name, value) = self.delivery.dialect.expiry(epoch_ms(SystemTime::now()), expires);
            encoder = encoder.number(name, value);
        }
        if !part.receipt.is_empty() {
            encoder = encoder.known("receipt", part.receipt);
        }
        // Without content-length a JMS broker makes a TextMessage of it, which a text request's sender
        // expects; with it a BytesMessage.
        if !self.wants_text() || !is_text(part.body) || !is_text(part.inner) {
            encoder.body_of([part.inner, part.body]);
        } else if self.delivery.modified_utf8 {
            encoder.text_of([&*jms::modified(part.inner), &*jms::modified(part.body)]);
        } else {
            encoder.text_of([part.inner, part.body]);
        }
        out
    }

    /// Whether a body goes as text, if it is some.
    pub(super) fn wants_text(&self) -> bool {
        match self.mapping.reply_body {
            ReplyBody::Auto => self.delivery.is_text(),
            ReplyBody::Text => true,
            ReplyBody::Bytes => false,
        }
    }

    /// Whether a body can go as it has to.
    pub(super) fn check(&self, inner: &[u8], body: &[u8]) -> Result<(), Fault> {
        let modified = self.delivery.modified_utf8;
        let limit = self.mapping.max_body(self.delivery.limits);
        // No text grows to more than twice its length.
        if modified && self.wants_text() && inner.len() + body.len() > limit / 2 {
            let length = jms::modified_len(inner) + jms::modified_len(body);
            if length > limit && is_text(inner) && is_text(body) {
                return Err(Fault::TooLarge { limit });
            }
        }
        let fits = |octets| is_text(octets) && (modified || memchr::memchr(0, octets).is_none());
        if self.mapping.reply_body == ReplyBody::Text && !(fits(inner) && fits(body)) {
            return Err(Fault::NotText);
        }
        Ok(())
    }

    /// What is left of the request's life, else as long as configured from the moment that it is sent.
    fn expires(&self) -> Option<u64> {
        self.delivery.expires.or_else(|| {
            let ttl = u64::try_from(self.mapping.reply_ttl?.as_millis()).unwrap_or(u64::MAX);
            Some(epoch_ms(SystemTime::now()).saturating_add(ttl))
        })
    }
}

fn is_text(octets: &[u8]) -> bool {
    std::str::from_utf8(octets).is_ok()
}

/// How much of a block of text can be sent: all but the beginning of a character that is cut off at its end.
pub(super) fn whole_characters(block: &[u8]) -> usize {
    match std::str::from_utf8(block) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => block.len(),
    }
}

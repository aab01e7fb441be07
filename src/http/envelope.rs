//! The SEND frames of replies.
use std::time::SystemTime;

use bytes::Bytes;

use super::reply_head::ReplyHead;
use super::request::epoch_ms;
use super::{Delivery, Mapping};
use crate::stomp::{Command, Encoder, Version};

/// What all the messages of a reply have in common.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    version: Version,
    mapping: &'a Mapping,
    pub(super) delivery: &'a Delivery,
    correlation: Option<Bytes>,
}

/// One message of a reply.
#[derive(Debug)]
pub(super) struct Part<'a, 'h> {
    /// On the first only.
    pub(super) head: Option<&'a ReplyHead<'h>>,
    /// 0, 1, 2 ...
    pub(super) number: u64,
    /// Whether another follows.
    pub(super) more: bool,
    /// The reply ends here and is not whole.
    pub(super) broken: bool,
    /// None where it is empty.
    pub(super) receipt: &'a str,
    pub(super) body: &'a [u8],
}

impl<'a, 'h> Part<'a, 'h> {
    /// A reply in one message.
    pub(super) fn whole(head: &'a ReplyHead<'h>, body: &'a [u8], broken: bool, receipt: &'a str) -> Self {
        Self { head: Some(head), number: 0, more: false, broken, receipt, body }
    }
}

impl<'a> Envelope<'a> {
    pub(super) fn new(version: Version, mapping: &'a Mapping, delivery: &'a Delivery) -> Self {
        Self { version, mapping, delivery, correlation: delivery.correlation() }
    }

    /// One whole frame in a buffer of its own, for which the body is copied once.
    ///
    /// It is never `persistent:false`: with that, RabbitMQ makes the queue that it creates exclusive.
    pub(super) fn encode(&self, part: &Part<'_, '_>) -> Vec<u8> {
        let Some(reply_to) = &self.delivery.reply_to else {
            return Vec::new(); // one-way: there is nobody to send it to
        };
        let fields = part.head.map_or(0, |head| {
            head.fields.iter().map(|field| field.name.len() + field.value.len() + 8).sum::<usize>()
                + head.inner.len()
        });
        let correlation = self.correlation.as_ref().map_or(0, Bytes::len);
        let mut out = Vec::with_capacity(
            384 + reply_to.len() + correlation + part.receipt.len() + fields + part.body.len(),
        );

        let mut encoder = Encoder::new(&mut out, self.version, Command::Send).known("destination", reply_to);
        if let Some((name, value)) = self.delivery.dialect.destination_type(reply_to) {
            encoder = encoder.header(name, value);
        }
        if let Some(correlation) = &self.correlation {
            encoder = encoder.known("correlation-id", correlation);
        }
        if self.delivery.is_persistent() {
            encoder = encoder.known("persistent", "true");
        }
        if let Some(head) = part.head {
            let error = part.broken || head.code >= 400;
            encoder = encoder.known("http_statusCode", itoa::Buffer::new().format(head.code));
            if !head.reason.is_empty() {
                encoder = encoder.known("http_reasonPhrase", &head.reason);
            }
            encoder = encoder.known("http_isError", if error { "true" } else { "false" });
        } else if part.broken {
            encoder = encoder.known("http_isError", "true");
        }
        if self.delivery.accept_stream {
            encoder = encoder
                .number("http_chunkSeq", part.number)
                .known("http_moreContent", if part.more { "true" } else { "false" });
        }
        if let Some(expires) = self.expires() {
            let (name, value) = self.delivery.dialect.expiry(epoch_ms(SystemTime::now()), expires);
            encoder = encoder.number(name, value);
        }
        if let Some(head) = part.head {
            if let Some(content_type) = &head.content_type {
                encoder = encoder.known("content-type", content_type);
            }
            for field in &head.fields {
                encoder = encoder.header(&field.name, &field.value);
            }
        }
        if !part.receipt.is_empty() {
            encoder = encoder.known("receipt", part.receipt);
        }
        // Without content-length a JMS broker makes a TextMessage of it, which a text request's sender
        // expects; with it a BytesMessage.
        let inner = part.head.map_or(&b""[..], |head| &head.inner);
        let is_text = |octets| std::str::from_utf8(octets).is_ok();
        if self.delivery.is_text() && is_text(part.body) && is_text(inner) {
            encoder.text_of([inner, part.body]);
        } else {
            encoder.body_of([inner, part.body]);
        }
        out
    }

    /// What is left of the request's life, else as long as configured from the moment that it is sent.
    fn expires(&self) -> Option<u64> {
        self.delivery.expires.or_else(|| {
            let ttl = u64::try_from(self.mapping.reply_ttl?.as_millis()).unwrap_or(u64::MAX);
            Some(epoch_ms(SystemTime::now()).saturating_add(ttl))
        })
    }
}

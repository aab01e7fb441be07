//! Replies that no application gave: rejected, overloaded, timed out.
use super::envelope::{BROKEN, Envelope, Part};
use super::reply_head::ReplyHead;
use super::{Delivery, Mapping, Rejected, Status};
use crate::stomp::Version;

/// A whole reply of a status and a short text, such as 503 while draining or 504 after a timeout. Empty for
/// a one-way delivery, which nobody answers.
///
/// The delivery is that of a [`Request`](super::Request), whose reply-to has been checked; for a message
/// that never became one there is [`reject`].
pub fn answer(
    version: Version,
    mapping: &Mapping,
    delivery: &Delivery,
    status: &Status,
    text: &str,
    receipt: &str,
) -> Vec<u8> {
    if delivery.one_way {
        return Vec::new();
    }
    let body = if status.has_body() && !delivery.head_only { text.as_bytes() } else { b"" };
    let head = ReplyHead::plain(status, delivery, body.len()).encode(version, false);
    Envelope::new(version, mapping, delivery).encode(&Part::whole(&head, body, receipt))
}

/// The end of a streamed reply that breaks off after so many messages: `http_isError=true`,
/// `http_moreContent=false`.
pub fn break_off(
    version: Version,
    mapping: &Mapping,
    delivery: &Delivery,
    messages: u64,
    receipt: &str,
) -> Vec<u8> {
    let end = Part { lines: BROKEN, number: messages, more: false, receipt, inner: b"", body: b"" };
    Envelope::new(version, mapping, delivery).encode(&end)
}

/// Tells the sender of a message why it is no request. Empty where it may not be answered
/// ([`Rejected::can_answer`]).
pub fn reject(version: Version, mapping: &Mapping, rejected: &Rejected, receipt: &str) -> Vec<u8> {
    if !rejected.can_answer() {
        return Vec::new();
    }
    let text = format!("{}\n", rejected.reason);
    answer(version, mapping, &rejected.delivery, &Status::of(rejected.status()), &text, receipt)
}

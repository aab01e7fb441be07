//! Messages that go where somebody will look at them.
use super::Mapping;
use super::reserved::is_of_one_delivery;
use crate::link::Dialect;
use crate::stomp::{Command, Encoder, Frame, Version};

/// Headers that a dead letter has of its own: destination, destination-type, persistent, message-failed, receipt,
/// content-length.
const OURS: usize = 6;

/// What a reply-to is sent as that the broker must not read.
const REPLY_TO: &[u8] = b"original-reply-to";

/// The most bytes of a reason that go along.
const LONGEST_REASON: usize = 500;

/// A SEND of a message to a dead-letter destination: its headers and body, `persistent:true`, and the reason
/// in `message-failed`, on one line and cut where it is long. The type is kept: what came as text (without
/// content-length) goes as text. `receipt` is asked for unless it is empty.
///
/// Headers that belong to the one delivery (message-id, ack, redelivered ...), that would make a broker
/// act (expires, transaction, AMQ_SCHEDULED_DELAY ...), or for which one refuses the frame (amq-msg-type, CC ...), are
/// left out; reply-to, correlation-id, content-type and the sender's own stay, the first of each name, as far as
/// brokers take as many and as long ones ([`Mapping::max_headers`], [`Mapping::max_header_line`]; on RabbitMQ 255 octets
/// of a name, and of what it turns into a property). A reply-to that the
/// broker would refuse, or for which it would make a queue, is sent as `original-reply-to`.
pub fn dead_letter(
    version: Version,
    dialect: Dialect,
    mapping: &Mapping,
    frame: &Frame,
    destination: &str,
    reason: &str,
    receipt: &str,
) -> Vec<u8> {
    let size: usize = frame.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    let mut out = Vec::with_capacity(size + LONGEST_REASON + destination.len() + frame.body.len() + 128);
    let mut encoder = Encoder::new(&mut out, version, Command::Send)
        .header("destination", destination)
        .header("persistent", "true")
        .header("message-failed", one_line(reason));
    if let Some((name, value)) = dialect.destination_type(destination.as_bytes()) {
        encoder = encoder.header(name, value);
    }
    let mut room = mapping.max_headers.saturating_sub(OURS);
    for (at, (name, value)) in frame.headers.iter().enumerate() {
        let repeated = || frame.headers.iter().take(at).any(|(earlier, _)| earlier == name);
        let strange = name == b"reply-to" && !dialect.takes_reply_to(value);
        let written = if strange { REPLY_TO } else { name };
        let fits = mapping.fits(written, value) && dialect.row().limits.takes(written, value);
        if room == 0 || !fits || !is_kept(version, name, value) || repeated() {
            continue;
        }
        room -= 1;
        encoder = encoder.header(written, value);
    }
    if !receipt.is_empty() {
        encoder = encoder.header("receipt", receipt);
    }
    let place = |wanted: &[u8]| frame.headers.names().position(|name| name == wanted);
    if dialect.is_text(place(b"content-length"), place(b"message-id")) {
        encoder.text(&frame.body);
    } else {
        encoder.body(&frame.body);
    }
    out
}

fn is_kept(version: Version, name: &[u8], value: &[u8]) -> bool {
    match name {
        // Anything else makes ActiveMQ drop the connection.
        b"priority" => matches!(value, [b'0'..=b'9']),
        // A name that the version cannot carry is sent with spaces, which its reader may trim: it could turn
        // into one that bites.
        _ => version.carries(name, b"") && !is_of_one_delivery(name),
    }
}

/// `text` without control characters, no longer than a header should be.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LONGEST_REASON));
    for char in text.chars().map(|char| if char.is_control() { ' ' } else { char }) {
        if line.len() + char.len_utf8() > LONGEST_REASON {
            break;
        }
        line.push(char);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_bounded_line() {
        assert_eq!(one_line("a\r\nb\tc\0\u{85}d"), "a  b c  d");
        assert_eq!(one_line(&"\u{20ac}".repeat(1000)).len(), 498);
    }
}

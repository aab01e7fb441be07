//! What ActiveMQ does to JMS messages on their way to STOMP and back, and how that is undone.
//!
//! Java's *modified UTF-8* writes a character outside the Basic Multilingual Plane as two surrogates of three octets
//! each (CESU-8), and NUL as `c0 80`. ActiveMQ stores the text of a TextMessage so. Before 5.18.6, and from 6.0 before
//! 6.1.4 (AMQ-8398), it hands out the stored octets over STOMP as they are, and stores the octets of a SEND as they
//! are: a JMS client that reads a four-octet sequence throws `UTFDataFormatException`.

use std::borrow::Cow;

use super::{Dialect, dialect::version_numbers};
use crate::stomp::{Frame, Headers};

/// How a broker treats the bodies of JMS messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Jms {
    /// It is neither ActiveMQ nor Artemis, or not known to be: nothing is assumed of it.
    #[default]
    Other,
    /// ActiveMQ that translates text: UTF-8 in both directions.
    Utf8,
    /// ActiveMQ that passes modified UTF-8 on.
    Modified,
    /// ActiveMQ of a version that is not known.
    Unknown,
    /// Artemis: UTF-8 in both directions.
    Artemis,
}

impl Jms {
    /// By CONNECTED's `server` header; `said` is `--dialect`.
    pub(crate) fn of(said: Option<Dialect>, server: Option<&str>) -> Self {
        match (server.and_then(|server| server.strip_prefix("ActiveMQ/")), said) {
            (_, Some(Dialect::RabbitMq)) => Self::Other,
            (_, Some(Dialect::Artemis)) => Self::Artemis,
            (Some(version), _) => Self::of_version(version),
            (None, Some(Dialect::ActiveMq)) => Self::Unknown,
            (None, None) if Dialect::of(server) == Some(Dialect::Artemis) => Self::Artemis,
            (None, None) => Self::Other,
        }
    }

    fn of_version(version: &str) -> Self {
        match version_numbers(version) {
            None => Self::Unknown,
            Some(numbers) if numbers < (5, 18, 6) => Self::Modified,
            Some((6, minor, patch)) if (minor, patch) < (1, 4) => Self::Modified,
            Some(_) => Self::Utf8,
        }
    }

    /// Whether text may arrive in modified UTF-8. To repair what did not is harmless: UTF-8 has no such octets.
    pub(crate) fn may_be_modified(self) -> bool {
        matches!(self, Self::Modified | Self::Unknown)
    }

    /// Whether text must be sent in modified UTF-8 for a JMS client to read it. Sent so to a broker that does translate,
    /// it would be lost: where the version is not known, UTF-8 it is.
    pub(crate) fn wants_modified(self) -> bool {
        self == Self::Modified
    }

    /// Whether it is ActiveMQ. There no header comes twice, unless a sender had a hand in it.
    pub(crate) fn is_activemq(self) -> bool {
        !matches!(self, Self::Other | Self::Artemis)
    }

    /// Whether these headers, of a message without a body and without content-length, may be those of a MapMessage,
    /// ObjectMessage or StreamMessage, which arrives like an empty TextMessage: a JMS client sent it.
    pub(crate) fn may_withhold(self, headers: &Headers) -> bool {
        match self {
            Self::Other => false,
            Self::Artemis => is_sent_by_jms(headers),
            _ => !is_sent_by_stomp(headers.get("message-id").unwrap_or_default()),
        }
    }
}

/// Whether a message was sent by JMS, by the headers that Artemis gives to what its own clients, OpenWire's and AMQP's
/// send. A STOMP sender can add them; it deceives itself alone.
fn is_sent_by_jms(headers: &Headers) -> bool {
    let marks: [&[u8]; 2] = [b"__AMQ_CID", b"JMS_AMQP_MA_x-opt-jms-msg-type"];
    headers.names().any(|name| marks.contains(&name))
}

/// Whether a message was sent by STOMP, by the id that ActiveMQ gave it: `ID:host-port-time-n:n:-1:1:n`. What came by
/// another protocol has another session than -1. A JMS sender can overwrite the header; it deceives itself alone.
pub(crate) fn is_sent_by_stomp(message_id: &[u8]) -> bool {
    let mut parts = message_id.rsplit(|octet| *octet == b':');
    let is_number = |part: Option<&[u8]>| {
        part.is_some_and(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
    };
    is_number(parts.next()) && is_number(parts.next()) && parts.next() == Some(b"-1")
}

/// A text message in UTF-8, where its broker may have passed on what Java makes of it; `None` where there is nothing to
/// repair. The message itself stays as it came: a dead letter is for Java to read again.
pub(crate) fn repaired_message(message: &Frame, jms: Jms) -> Option<Frame> {
    let headers = &message.headers;
    // With content-length it is a BytesMessage, and what was sent by STOMP came through as it was.
    if message.body.is_empty()
        || !jms.may_be_modified()
        || headers.get("content-length").is_some()
        || is_sent_by_stomp(headers.get("message-id").unwrap_or_default())
    {
        return None;
    }
    let body = repaired(&message.body)?.into();
    Some(Frame { body, headers: headers.clone(), ..*message })
}

/// UTF-8 of modified UTF-8; `None` where the text has nothing to be changed. Lone surrogates have no UTF-8 and stay, as
/// does everything else that is none.
fn repaired(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(at) = memchr::memchr2(0xED, 0xC0, &text[from..]).map(|at| at + from) {
        let (taken, char) = match text[at..] {
            [0xC0, 0x80, ..] => (2, '\0'),
            [0xED, b, c, 0xED, e, f, ..] => match supplementary([b, c], [e, f]) {
                Some(char) => (6, char),
                None => (1, '\0'),
            },
            _ => (1, '\0'),
        };
        from = at + taken;
        if taken > 1 {
            out.extend_from_slice(&text[copied..at]);
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            copied = from;
        }
    }
    (copied > 0).then(|| {
        out.extend_from_slice(&text[copied..]);
        out
    })
}

/// The character of two surrogates, without their first octets.
fn supplementary(high: [u8; 2], low: [u8; 2]) -> Option<char> {
    let tail = |octet: u8| u32::from(octet & 0x3F);
    let continues = |octet: u8| octet & 0xC0 == 0x80;
    let is_high = (0xA0..=0xAF).contains(&high[0]) && continues(high[1]);
    let is_low = (0xB0..=0xBF).contains(&low[0]) && continues(low[1]);
    let unit = |[first, second]: [u8; 2]| (tail(first) & 0x0F) << 6 | tail(second);
    if is_high && is_low { char::from_u32(0x10000 + (unit(high) << 10 | unit(low))) } else { None }
}

/// Modified UTF-8 of UTF-8.
pub(crate) fn modified(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = text.iter().position(is_modified) else { return Cow::Borrowed(text) };
    let mut out = Vec::with_capacity(modified_len(text));
    out.extend_from_slice(&text[..first]);
    for chunk in text[first..].utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\0' => out.extend_from_slice(&[0xC0, 0x80]),
                '\u{10000}'.. => {
                    for unit in char.encode_utf16(&mut [0; 2]) {
                        let [high, low] = [(*unit >> 6) as u8 & 0x3F, *unit as u8 & 0x3F];
                        out.extend_from_slice(&[0xED, 0x80 | high, 0x80 | low]);
                    }
                }
                _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.extend_from_slice(chunk.invalid());
    }
    Cow::Owned(out)
}

/// How long [`modified`] makes a text.
pub(crate) fn modified_len(text: &[u8]) -> usize {
    let more = text.iter().map(|octet| match octet {
        0 => 1,
        0xF0.. => 2,
        _ => 0,
    });
    text.len() + more.sum::<usize>()
}

fn is_modified(octet: &u8) -> bool {
    *octet == 0 || *octet >= 0xF0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_pass_modified_utf8_on() {
        for (said, server, jms) in [
            (None, Some("ActiveMQ/5.17.2"), Jms::Modified),
            (None, Some("ActiveMQ/5.18.5"), Jms::Modified),
            (None, Some("ActiveMQ/5.18.6"), Jms::Utf8),
            (None, Some("ActiveMQ/5.19.0"), Jms::Utf8),
            (None, Some("ActiveMQ/5.8"), Jms::Modified),
            (None, Some("ActiveMQ/5.18-SNAPSHOT"), Jms::Modified),
            (None, Some("ActiveMQ/5.11.0.redhat-630495"), Jms::Modified),
            (None, Some("ActiveMQ/6.0.1"), Jms::Modified),
            (None, Some("ActiveMQ/6.1.3"), Jms::Modified),
            (None, Some("ActiveMQ/6.1.4"), Jms::Utf8),
            (None, Some("ActiveMQ/6.2.0"), Jms::Utf8),
            (None, Some("ActiveMQ/7.0.0"), Jms::Utf8),
            (None, Some("ActiveMQ/<unknown>"), Jms::Unknown),
            (Some(Dialect::ActiveMq), Some("ActiveMQ/5.17.2"), Jms::Modified),
            (Some(Dialect::ActiveMq), None, Jms::Unknown),
            (Some(Dialect::RabbitMq), Some("ActiveMQ/5.17.2"), Jms::Other),
            (None, Some("ActiveMQ-Artemis/2.31.0"), Jms::Artemis),
            (Some(Dialect::Artemis), None, Jms::Artemis),
            (None, Some("RabbitMQ/3.10.8"), Jms::Other),
            (None, Some("stomp-wsgi-dev/0.1.0"), Jms::Other),
            (None, None, Jms::Other),
        ] {
            assert_eq!(Jms::of(said, server), jms, "{said:?} {server:?}");
        }
        let all = [Jms::Other, Jms::Utf8, Jms::Modified, Jms::Unknown, Jms::Artemis];
        assert_eq!(all.map(Jms::may_be_modified), [false, false, true, true, false]);
        assert_eq!(all.map(Jms::wants_modified), [false, false, true, false, false]);
        assert_eq!(all.map(Jms::is_activemq), [false, true, true, true, false]);
    }

    #[test]
    fn stomp_messages_have_the_session_minus_one() {
        for (id, stomp) in [
            ("ID:vm-40223-1795977692240-3:2:-1:1:7", true),
            ("ID:vm-42081-1795977693817-1:1:1:2:1", false),
            ("ID:vm-42081-1795977693817-1:1:-1:x:1", false),
            ("-1:1:1", true),
            ("1", false),
            ("", false),
        ] {
            assert_eq!(is_sent_by_stomp(id.as_bytes()), stomp, "{id}");
        }
    }

    #[test]
    fn modified_utf8_is_repaired_and_made() {
        for text in ["\u{1F600}", "a\u{1F600}b\0c\u{20ac}", "\u{10000}\u{10FFFF}", "\0", "\u{1F600}\u{1F601}"]
        {
            let wire = modified(text.as_bytes());
            assert!(std::str::from_utf8(&wire).is_err() && !wire.contains(&0), "{text:?}");
            assert_eq!(wire.len(), modified_len(text.as_bytes()));
            assert_eq!(repaired(&wire).as_deref(), Some(text.as_bytes()));
        }
        assert_eq!(&*modified("a\u{1F600}\0".as_bytes()), b"a\xed\xa0\xbd\xed\xb8\x80\xc0\x80");
        for plain in ["", "plain", "caf\u{e9} \u{20ac} \u{ffff} \u{d7ff}"] {
            assert!(matches!(modified(plain.as_bytes()), Cow::Borrowed(_)), "{plain}");
            assert_eq!(repaired(plain.as_bytes()), None, "{plain}");
        }
    }

    #[test]
    fn what_is_no_pair_stays() {
        for odd in [
            &b"\xed\xa0\xbd"[..],
            b"\xed\xa0\xbd\xed",
            b"\xed\xa0\xbd\xed\xb8",
            b"\xed\xb8\x80\xed\xa0\xbd",
            b"\xed\xa0\xbdx\xed\xb8\x80",
            b"\xed\x9f\xbf\xed\xb8\x80",
            b"\xc0",
            b"\xc0\x81",
            b"\xed\xa0\x3d\xed\xb8\x80",
            b"\xff\xfe\xed",
        ] {
            assert_eq!(repaired(odd), None, "{odd:02x?}");
        }
        // A high surrogate that is alone, before a pair.
        let mixed = b"\xed\xa0\xbd\xed\xa0\xbd\xed\xb8\x80\xed\xb8\x80".to_vec();
        assert_eq!(repaired(&mixed), Some(b"\xed\xa0\xbd\xf0\x9f\x98\x80\xed\xb8\x80".to_vec()));
    }
}

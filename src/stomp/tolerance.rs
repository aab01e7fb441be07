//! What is made of a MESSAGE that is not as STOMP has it, because of what its sender put into it.
use super::Headers;

/// Whose word the `content-length` of a MESSAGE is. Only [`Parser::tolerate_messages`](super::Parser::tolerate_messages)
/// asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Lengths {
    /// Anybody's: a sender's property of that name looks like the broker's header. That is so on ActiveMQ, whose text
    /// messages have no `content-length` but a property's. So a length that is not borne out by the octets does not
    /// count; see also [`Parser::take_doubt`](super::Parser::take_doubt).
    #[default]
    Claimed,
    /// The broker's, where it is the last header of a frame, as on RabbitMQ; a sender's may stand before it. RabbitMQ
    /// writes none where the body is empty, so a sender's may be the last one there.
    Last,
}

/// What was wrong with frames, and did not end the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Flaws {
    /// Lines of a head that are no headers: they have no colon, or no name.
    pub lines: usize,
    /// Values of `content-length` that are no number, or not true.
    pub lengths: usize,
    /// Octets behind a body that are no frame: the rest of a body with a NUL in it, which was taken to end there.
    pub octets: usize,
}

impl Flaws {
    /// Whether there were some.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// What `content-length` says.
pub(super) struct Claim {
    pub(super) length: Option<usize>,
    pub(super) trust: Trust,
    /// Whether it could be read, or is missing.
    pub(super) usable: bool,
}

/// How far a length can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Trust {
    /// There is none that a sender could have made up.
    #[default]
    Full,
    /// It is the broker's, unless the body is empty.
    UnlessEmpty,
    /// It may be a sender's.
    None,
}

pub(super) fn content_length(headers: &Headers, lengths: Lengths) -> Claim {
    const NAME: &str = "content-length";
    let Some(first) = headers.get(NAME) else {
        return Claim { length: None, trust: Trust::Full, usable: true };
    };
    let (value, trust) = match lengths {
        Lengths::Claimed => (first, Trust::None),
        Lengths::Last => {
            let is_last = headers.iter().next_back().is_some_and(|(name, _)| name == NAME.as_bytes());
            (
                headers.all(NAME).next_back().unwrap_or(first),
                if is_last { Trust::UnlessEmpty } else { Trust::None },
            )
        }
    };
    let length = integer(value);
    Claim { length, trust, usable: length.is_some() }
}

/// A length as ActiveMQ reads it in a SEND (Java's `Integer.parseInt(text.trim())`). What it took for a body's length
/// there is one, and a sender's own spelling of it comes back in the MESSAGE.
fn integer(text: &[u8]) -> Option<usize> {
    const LARGEST: usize = i32::MAX as usize;
    let blank = |octet: &u8| *octet <= b' ';
    let start = text.iter().position(|octet| !blank(octet))?;
    let end = text.iter().rposition(|octet| !blank(octet))? + 1;
    let text = &text[start..end];
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |octet: &u8| usize::from(octet - b'0');
    let length =
        digits.iter().fold(0, |length: usize, octet| length.saturating_mul(10).saturating_add(digit(octet)));
    (length <= LARGEST).then_some(length)
}

/// What stands behind a NUL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    /// The beginning of a frame that servers send.
    Frame,
    /// Nothing that tells yet.
    Unknown,
    /// Anything else: that NUL ends no frame.
    Nothing,
}

pub(super) fn follows(rest: &[u8]) -> Follows {
    let Some(at) = rest.iter().position(|octet| !matches!(octet, b'\n' | b'\r')) else {
        return Follows::Unknown;
    };
    let rest = &rest[at..];
    let command: &[u8] = match rest[0] {
        b'M' => b"MESSAGE",
        b'R' => b"RECEIPT",
        b'E' => b"ERROR",
        _ => return Follows::Nothing,
    };
    match rest.strip_prefix(command) {
        Some([b'\n', ..] | [b'\r', b'\n', ..]) => Follows::Frame,
        Some([] | b"\r") => Follows::Unknown,
        None if command.starts_with(rest) => Follows::Unknown,
        _ => Follows::Nothing,
    }
}

//! Frames, their commands and versions.
use std::fmt;

use bytes::Bytes;

use super::excerpt::{complaint, excerpt};
use super::{Headers, Secrets};

/// One frame: a command, its headers, and a body that is empty on all but SEND, MESSAGE and ERROR.
///
/// Its `Debug` form shows the beginning of the body only, and neither credentials nor cookies.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the frame is.
    pub command: Command,
    /// Decoded headers, `content-length` included where the peer sent it.
    pub headers: Headers,
    /// The body's octets, without the NUL that ends the frame.
    pub body: Bytes,
    /// Why the frame is not here whole, and `body` empty. Only where
    /// [`Parser::cut_long_messages`](super::Parser::cut_long_messages) or
    /// [`Parser::tolerate_messages`](super::Parser::tolerate_messages) ask for it.
    pub cut: Option<Cut>,
}

/// Why a MESSAGE is not here whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cut {
    /// The body was beyond the limit, and so many octets long.
    Body(usize),
    /// So many of its headers were beyond the limits.
    Head(usize),
    /// Where it ends cannot be told: its sender may have made up its `content-length`, so that it takes in the frames
    /// that follow it. Those may be lost with it, until the broker delivers them on another connection.
    Unclear,
}

impl Cut {
    /// How long the body was, and how many headers are missing, where that is why; and the same in words.
    pub(crate) fn explain(self) -> (Option<usize>, Option<usize>, &'static str) {
        match self {
            Self::Body(octets) => (Some(octets), None, "its body is too large"),
            Self::Head(headers) => (None, Some(headers), "it has too many headers, or too long ones"),
            Self::Unclear => (None, None, "where its body ends cannot be told"),
        }
    }
}

impl Frame {
    /// What an ERROR complains of: its `message` header, and its body's first line where that says more. Bounded,
    /// printable and on one line. A broker may repeat what it was sent, a passcode included.
    pub fn complaint(&self) -> String {
        self.redacted_complaint(&Secrets::default())
    }

    /// The same without these secrets.
    pub(crate) fn redacted_complaint(&self, secrets: &Secrets) -> String {
        let message = secrets.excerpt(self.headers.get("message").unwrap_or(b"no reason given"), 300);
        complaint(&message, &secrets.excerpt(&self.body, 300)).replace(['\n', '\t'], " ")
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("command", &self.command)
            .field("headers", &self.headers)
            .field("body", &format_args!("{} octets, \"{}\"", self.body.len(), excerpt(&self.body, 64)))
            .field("cut", &self.cut)
            .finish()
    }
}

/// The version of the protocol that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// No escapes, no heart-beats, no NACK; whitespace around names and values means nothing.
    V1_0,
    /// Escapes for LF, colon and backslash.
    V1_1,
    /// Escapes for CR too, and a CR before an LF belongs to the end of the line.
    V1_2,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 3] = [Self::V1_0, Self::V1_1, Self::V1_2];

    /// The version as headers spell it, such as `1.2`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }

    /// Reads `1.0`, `1.1` or `1.2`; nothing else, and no space around it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"1.0" => Some(Self::V1_0),
            b"1.1" => Some(Self::V1_1),
            b"1.2" => Some(Self::V1_2),
            _ => None,
        }
    }

    /// Whether a header can be sent unchanged on a frame other than CONNECT, STOMP and CONNECTED.
    ///
    /// | | name | value |
    /// |---|---|---|
    /// | 1.0 | no colon, LF, CR or NUL, no space or tab at its ends, not empty | no LF, CR or NUL, no space or tab at its ends |
    /// | 1.1 | no CR or NUL, not empty | no CR or NUL |
    /// | 1.2 | no NUL, not empty | no NUL |
    ///
    /// NUL is in the grammar of neither name nor value forbidden, but peers that look for the end of a frame
    /// before its head would see one there: the [`Encoder`](super::Encoder) never sends it in a header.
    pub fn carries(self, name: &[u8], value: &[u8]) -> bool {
        if name.is_empty() {
            return false;
        }
        match self {
            Self::V1_0 => {
                let plain = |octets: &[u8]| {
                    !octets.iter().any(|octet| matches!(octet, b'\n' | b'\r' | 0))
                        && super::headers::trim(octets).len() == octets.len()
                };
                plain(name) && plain(value) && !name.contains(&b':')
            }
            Self::V1_1 => !name.iter().chain(value).any(|octet| matches!(octet, b'\r' | 0)),
            Self::V1_2 => !name.iter().chain(value).any(|octet| *octet == 0),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a frame is: the first line of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Client: the first frame of a connection.
    Connect,
    /// Client: CONNECT by another name, since 1.1.
    Stomp,
    /// Server: the answer to CONNECT.
    Connected,
    /// Client: a message to a destination.
    Send,
    /// Client: asks for the messages of a destination.
    Subscribe,
    /// Client: ends a subscription.
    Unsubscribe,
    /// Client: a message was consumed.
    Ack,
    /// Client: a message was not consumed; since 1.1.
    Nack,
    /// Client: begins a transaction.
    Begin,
    /// Client: commits a transaction.
    Commit,
    /// Client: rolls a transaction back.
    Abort,
    /// Client: the last frame of a connection.
    Disconnect,
    /// Server: a message of a subscription.
    Message,
    /// Server: a frame that asked for a receipt was received.
    Receipt,
    /// Server: something went wrong, and the connection is over.
    Error,
}

impl Command {
    /// The command as frames spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Stomp => "STOMP",
            Self::Connected => "CONNECTED",
            Self::Send => "SEND",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Ack => "ACK",
            Self::Nack => "NACK",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Abort => "ABORT",
            Self::Disconnect => "DISCONNECT",
            Self::Message => "MESSAGE",
            Self::Receipt => "RECEIPT",
            Self::Error => "ERROR",
        }
    }

    /// Reads a command; case matters.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Some(match text {
            b"MESSAGE" => Self::Message,
            b"SEND" => Self::Send,
            b"ACK" => Self::Ack,
            b"RECEIPT" => Self::Receipt,
            b"CONNECT" => Self::Connect,
            b"STOMP" => Self::Stomp,
            b"CONNECTED" => Self::Connected,
            b"SUBSCRIBE" => Self::Subscribe,
            b"UNSUBSCRIBE" => Self::Unsubscribe,
            b"NACK" => Self::Nack,
            b"BEGIN" => Self::Begin,
            b"COMMIT" => Self::Commit,
            b"ABORT" => Self::Abort,
            b"DISCONNECT" => Self::Disconnect,
            b"ERROR" => Self::Error,
            _ => return None,
        })
    }

    /// Whether such a frame may have a body: SEND, MESSAGE and ERROR.
    pub fn allows_body(self) -> bool {
        matches!(self, Self::Send | Self::Message | Self::Error)
    }

    /// Whether headers of such a frame are escaped: all but CONNECT, STOMP and CONNECTED, from 1.1 on.
    pub fn escapes_headers(self) -> bool {
        !matches!(self, Self::Connect | Self::Stomp | Self::Connected)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

//! What a peer can get wrong in a frame.
use super::{Command, Secrets};

/// Octets that are no frame, or one beyond the [`Limits`](super::Limits).
///
/// The messages quote what was wrong, cut short and in printable ASCII, but nothing of a CONNECT: it carries
/// credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The first line of a frame is no command. Peers that speak another protocol are noticed here.
    #[error("unknown command \"{line}\"")]
    UnknownCommand {
        /// The beginning of the line.
        line: String,
    },
    /// A line of the head is no header.
    #[error("a header line of {command} has no colon: \"{line}\"")]
    NoColon {
        /// The frame it was in.
        command: Command,
        /// The beginning of the line, empty for CONNECT.
        line: String,
    },
    /// A header has no name.
    #[error("a header of {command} has no name")]
    NoName {
        /// The frame it was in.
        command: Command,
    },
    /// A backslash is followed by what has no meaning in this version of the protocol.
    #[error("undefined escape \"{escape}\" in header \"{header}\" of {command}")]
    UndefinedEscape {
        /// The frame it was in.
        command: Command,
        /// The beginning of the header's name.
        header: String,
        /// The backslash and what follows it.
        escape: String,
    },
    /// The `content-length` header is no number.
    #[error("content-length of {command} is not a number: \"{value}\"")]
    ContentLength {
        /// The frame it was in.
        command: Command,
        /// The beginning of the header's value.
        value: String,
    },
    /// A body on a frame other than SEND, MESSAGE and ERROR.
    #[error("{command} must not have a body")]
    UnexpectedBody {
        /// The frame it was in.
        command: Command,
    },
    /// A body goes on where by its `content-length` it ends.
    #[error("no NUL after the {length} octets that content-length of {command} announced")]
    NoNul {
        /// The frame it was in.
        command: Command,
        /// What `content-length` said.
        length: usize,
    },
    /// A header line is longer than [`Limits::header_line`](super::Limits::header_line).
    #[error("a header line is longer than {limit} octets")]
    LineTooLong {
        /// The limit.
        limit: usize,
    },
    /// A frame has more headers than [`Limits::headers`](super::Limits::headers).
    #[error("a frame has more than {limit} headers")]
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },
    /// Command and headers are longer than [`Limits::head`](super::Limits::head).
    #[error("the head of a frame is longer than {limit} octets")]
    HeadTooLong {
        /// The limit.
        limit: usize,
    },
    /// A body is longer than [`Limits::body`](super::Limits::body), or says that it will be.
    #[error("the body of {command} is longer than {limit} octets")]
    BodyTooLong {
        /// The frame it was in.
        command: Command,
        /// The limit.
        limit: usize,
    },
}

impl ParseError {
    /// The same without these secrets: what is no frame may be anything, such as what we sent.
    pub(crate) fn redacted(mut self, secrets: &Secrets) -> Self {
        match &mut self {
            Self::UnknownCommand { line: text }
            | Self::NoColon { line: text, .. }
            | Self::ContentLength { value: text, .. } => *text = secrets.redact_text(text),
            Self::UndefinedEscape { header, escape, .. } => {
                *header = secrets.redact_text(header);
                *escape = secrets.redact_text(escape);
            }
            _ => {}
        }
        self
    }
}

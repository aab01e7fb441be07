//! Why a frame is refused, in words that help whoever sent it.

use std::{borrow::Cow, fmt};

use super::RefuseWhy;
use crate::{Dialect, stomp::ParseError};

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It ends, as STOMP has it.
    Ends,
    /// It lives on where a broker is played whose ERRORs are about one frame: ActiveMQ keeps it where a message is
    /// refused (the requester's temporary queue is gone, an ACL, no room), so that one dead requester does not cost all
    /// the others.
    Survives,
    /// It lives on.
    GoesOn,
    /// It ends without an ERROR.
    Silent,
}

/// What becomes an ERROR frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The `message` header: one line.
    pub(super) message: Cow<'static, str>,
    /// The body: what to do about it.
    pub(super) advice: Cow<'static, str>,
    pub(super) fate: Fate,
    /// Whether the message quotes what came, which belongs into no log.
    pub(super) quotes: bool,
}

impl Refusal {
    pub(super) fn new(message: impl Into<Cow<'static, str>>, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), advice: advice.into(), fate: Fate::Ends, quotes: false }
    }

    /// RabbitMQ's, after which the connection goes on.
    pub(super) fn goes_on(message: &'static str, body: impl Into<Cow<'static, str>>) -> Self {
        Self { fate: Fate::GoesOn, ..Self::new(message, body) }
    }

    /// RabbitMQ's, where AMQP's channel is closed.
    pub(super) fn ends(message: &'static str, body: impl Into<Cow<'static, str>>) -> Self {
        Self::new(message, body)
    }

    /// Without an ERROR.
    pub(super) fn silent(message: impl Into<Cow<'static, str>>) -> Self {
        Self { fate: Fate::Silent, ..Self::new(message, "") }
    }

    /// Bytes that are no frame, or too large a one.
    pub(super) fn unreadable(error: &ParseError, dialect: Dialect) -> Self {
        match (dialect, error) {
            (Dialect::RabbitMq, ParseError::UnknownCommand { line }) => {
                let text = format!("Could not interpret command \"{line}\"\n");
                return Self { quotes: true, ..Self::new("Bad command", text) };
            }
            (Dialect::RabbitMq, _) => return Self { quotes: true, ..Self::silent(error.to_string()) },
            _ => {}
        }
        let advice = "These bytes are no STOMP frame that this broker takes.";
        Self { quotes: true, ..Self::new(error.to_string(), advice) }
    }

    /// A header that the command cannot do without.
    pub(super) fn missing(command: &str, header: &str) -> Self {
        Self::new(
            format!("{command} without the header '{header}'"),
            format!("A {command} frame must have the header '{header}' in this version of STOMP."),
        )
    }

    /// A header whose value makes no sense.
    pub(super) fn malformed(header: &str, expected: impl fmt::Display) -> Self {
        Self::new(format!("malformed header '{header}'"), format!("'{header}' must be {expected}."))
    }

    /// Something that this broker leaves out, and will not pretend to have.
    pub(super) fn unsupported(what: impl fmt::Display, instead: &'static str) -> Self {
        Self::new(format!("{what} not supported by this development broker"), instead)
    }

    /// One of the bounds that [`BrokerConfig`](super::BrokerConfig) sets.
    pub(super) fn too_many(what: &str, limit: usize) -> Self {
        Self::new(
            format!("too many {what}"),
            format!("This broker allows {limit} {what}. Close some, or raise the limit where it is started."),
        )
    }

    /// The broker's memory is used up, and nobody would free it.
    pub(super) fn full(limit: usize) -> Self {
        Self::new(
            "the broker's memory is full",
            format!(
                "Messages waiting here, and names of subscriptions and destinations (up to half of it), use up its \
                 limit of {limit} bytes. Start a consumer, send less, or raise the limit where the broker is started \
                 (--memory)."
            ),
        )
    }

    /// A destination that the broker was told to refuse, as ActiveMQ words it, or RabbitMQ.
    pub(super) fn told(why: RefuseWhy, name: &[u8], dialect: Dialect) -> Self {
        let name = String::from_utf8_lossy(name);
        let bare = name.rsplit('/').next().unwrap_or_default();
        let (message, advice) = match (why, dialect) {
            (RefuseWhy::Forbidden, Dialect::RabbitMq) => (
                "access_refused".to_owned(),
                format!("ACCESS_REFUSED - access to queue '{bare}' in vhost '/' refused for user 'guest'"),
            ),
            (RefuseWhy::Forbidden, _) => {
                let text = format!("User guest is not authorized to write to: queue://{bare}");
                (text.clone(), text)
            }
            (RefuseWhy::Full, _) => {
                let text = format!("Usage Manager Memory Limit reached on queue://{bare}.");
                let body = format!("javax.jms.ResourceAllocationException: {text}");
                (text, body)
            }
        };
        Self { fate: Fate::Survives, ..Self::new(message, advice) }
    }

    /// A temporary queue whose owner has gone.
    pub(super) fn gone(name: &[u8]) -> Self {
        let name = String::from_utf8_lossy(name);
        Self {
            message: format!("The destination {name} does not exist.").into(),
            advice:
                "A temporary queue lives as long as the connection that made it, and that one is closed. \
                     Nothing was sent; this connection stays open."
                    .into(),
            fate: Fate::Survives,
            quotes: false,
        }
    }
}

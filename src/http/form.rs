//! What JMS clients send and get, where that is for the deployer to choose.
use std::str::FromStr;

/// Whether a reply is a TextMessage (no content-length) or a BytesMessage (with one) to a JMS client of ActiveMQ or
/// Artemis. On RabbitMQ it makes no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReplyBody {
    /// As the request came: text for text where the body is UTF-8 without NUL, else bytes.
    #[default]
    Auto,
    /// Always text. A reply that is none (not UTF-8, or with a NUL that the broker cannot carry in text) becomes a 500.
    Text,
    /// Always bytes.
    Bytes,
}

/// What becomes of a message that a JMS client sent to ActiveMQ or Artemis, with a method that has a body (`POST`, `PUT`,
/// `PATCH`, `NOTIFY`), and that arrives without one. It may be an empty TextMessage, or a MapMessage, an ObjectMessage or a
/// StreamMessage, whose content these brokers do not hand out: over STOMP they look the same. An empty BytesMessage on
/// ActiveMQ, and any message with a property Content-Length of 0, is known to be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EmptyJms {
    /// It is served, with an empty body.
    Accept,
    /// A request is answered 415. What nobody waits for is served: messages of headers alone are common as events.
    #[default]
    Answer,
    /// What nobody waits for is left to the broker's dead letters (NACK), too.
    Reject,
}

/// No name of a [`ReplyBody`] or [`EmptyJms`]; the names that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownForm(&'static str);

impl FromStr for ReplyBody {
    type Err = UnknownForm;

    fn from_str(name: &str) -> Result<Self, UnknownForm> {
        match name {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "bytes" => Ok(Self::Bytes),
            _ => Err(UnknownForm("auto, text or bytes")),
        }
    }
}

impl FromStr for EmptyJms {
    type Err = UnknownForm;

    fn from_str(name: &str) -> Result<Self, UnknownForm> {
        match name {
            "accept" => Ok(Self::Accept),
            "answer" => Ok(Self::Answer),
            "reject" => Ok(Self::Reject),
            _ => Err(UnknownForm("accept, answer or reject")),
        }
    }
}

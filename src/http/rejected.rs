//! Messages that can be no request.
use super::reply_to::ReplyToError;
use super::{Delivery, InvalidMessage, InvalidTarget, Request};
use crate::link::Dialect;
use crate::stomp::Cut;

/// A message that never reaches the application, why, and where it came from.
///
/// It is answered by [`reject`](super::reject) where [`can_answer`](Self::can_answer), and dead-lettered
/// else: with nobody to tell, somebody has to look.
#[derive(Debug, Clone, thiserror::Error)]
#[error("message rejected: {reason}")]
pub struct Rejected {
    /// What is wrong with it.
    #[source]
    pub reason: Reason,
    /// What is known of it; `one_way` and `reply_to` are right whatever else is wrong.
    pub delivery: Box<Delivery>,
    /// Whether the message may be answered at its reply-to.
    pub(super) answerable: bool,
}

impl Rejected {
    /// Whether there is a reply-to that an answer may be sent to.
    pub fn can_answer(&self) -> bool {
        self.answerable
    }

    /// The status of the answer: 400, or 413 where the body is too large, 415 where the broker cannot hand it over, 431 where the
    /// head is too large, or 431, 501 or 505 where RFC 9110 and
    /// 6585 have a better one for a whole request.
    pub fn status(&self) -> u16 {
        match &self.reason {
            Reason::TooLarge(_) => 413,
            Reason::HeadTooLarge(_) => 431,
            Reason::Withheld => 415,
            Reason::Message(invalid) => invalid.status(),
            _ => 400,
        }
    }
}

impl From<Cut> for Reason {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Body(octets) => Self::TooLarge(octets),
            Cut::Head(headers) => Self::HeadTooLarge(headers),
            Cut::Unclear => Self::Unclear,
        }
    }
}

/// Octets of a short string of AMQP, which RabbitMQ's correlation-ids are. Only an AMQP sender can have a longer one here.
const LONGEST_CORRELATION: usize = 255;
const TOO_LONG: &str = "RabbitMQ's correlation-ids have no more than 255 octets";

/// Rejects what this broker would take no reply to: each reply would cost the connection.
/// `known`: it is known to be of this dialect.
pub(crate) fn check_reply(request: &mut Result<Request, Rejected>, dialect: Dialect, known: bool) {
    let (delivery, answerable) = match request {
        Ok(request) => (&request.delivery, !request.delivery.one_way),
        Err(rejected) => (&*rejected.delivery, rejected.answerable),
    };
    let too_long = || {
        let correlation = delivery.correlation().unwrap_or_default();
        (dialect == Dialect::RabbitMq && correlation.len() > LONGEST_CORRELATION).then_some(TOO_LONG)
    };
    let refused = |reply_to| {
        let refused = if known { dialect.refuses_reply(reply_to) } else { (dialect.row().refuses)(reply_to) };
        refused.or_else(too_long)
    };
    let Some(why) = delivery.reply_to().filter(|_| answerable).and_then(refused) else { return };
    match request {
        Ok(Request { delivery, .. }) => {
            let reason = Reason::ReplyTo(ReplyToError::Refused(why));
            let delivery = Box::new(std::mem::take(delivery));
            *request = Err(Rejected { reason, delivery, answerable: false });
        }
        Err(rejected) => rejected.answerable = false,
    }
}

/// Why a message can be no request. The text is fit for the requester: it holds no value of a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The method is no RFC 9110 token of at most 32 bytes.
    #[error("the method is no HTTP token of 1 to 32 characters")]
    Method,
    /// The target cannot be one.
    #[error("the request target is impossible: {0}")]
    Target(#[from] InvalidTarget),
    /// The `Host` header can be no host.
    #[error("Host has to be one host, with a port or without")]
    Host,
    /// Two headers make the same `HTTP_` key, and [`Mapping::strict_headers`](super::Mapping) is set.
    #[error("headers '{0}' and '{1}' are the same to an application")]
    AmbiguousHeaders(String, String),
    /// The reply-to is not one that may be answered.
    #[error("reply-to refused: {0}")]
    ReplyTo(#[from] ReplyToError),
    /// The reply-to or the correlation-id is longer than [`Mapping::max_header_line`](super::Mapping).
    #[error("reply-to or correlation-id are too long to be sent back")]
    Unanswerable,
    /// The body is so long, beyond what is taken, and is not here ([`Frame::cut`](crate::stomp::Frame::cut)).
    #[error("a body of {0} octets is more than this server takes")]
    TooLarge(usize),
    /// So many of its headers are more than is taken, and are not here.
    #[error("{0} headers of the message are more than this server takes")]
    HeadTooLarge(usize),
    /// Where the message ends cannot be told.
    #[error("its content-length may be made up: where it ends cannot be told")]
    Unclear,
    /// The broker has handed over no body, and the message is of a kind that should have one
    /// ([`Mapping::empty_jms`](super::Mapping::empty_jms)).
    #[error(
        "the message has no body here: send a TextMessage or a BytesMessage, for a MapMessage, ObjectMessage or \
         StreamMessage cannot be read by STOMP; where the body is meant to be empty, set the property \
         Content_HYPHEN_Length=0, or on ActiveMQ send a BytesMessage"
    )]
    Withheld,
    /// The message is `application/http`, and its body is no request.
    #[error("the HTTP message is malformed: {0}")]
    Message(#[from] InvalidMessage),
}

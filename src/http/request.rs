//! One request, whatever it travelled in.
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::metadata::{Envelope, Metadata};
use crate::{
    link::{Dialect, FrameLimits, Jms, is_topic, jms},
    stomp::Headers,
};

/// An HTTP request that came as a message.
#[derive(Debug, Clone)]
pub struct Request {
    /// An RFC 9110 token, `GET`, `POST`, `NOTIFY`; case is kept.
    pub method: String,
    /// Path and query as they came, undecoded (`REQUEST_URI`); begins with `/` (or is `*`).
    pub target: Bytes,
    /// The path percent-decoded to bytes; begins with `/` (or is `*`). What is no valid escape stands for
    /// itself, as with HTTP servers.
    pub path: Vec<u8>,
    /// What follows the first `?`, undecoded; empty where there is none.
    pub query: Bytes,
    /// Media type of the body (`CONTENT_TYPE`).
    pub content_type: Option<Bytes>,
    /// The other headers in order, names as sent (Camel's escapes decoded), no two of which fold to the same
    /// `HTTP_` key (a structured request's repeats are joined: with `; ` for Cookie, else `,`); never content-type,
    /// content-length, nor what concerns a connection (hop-by-hop headers). Values hold no CR, LF or NUL.
    pub headers: Headers,
    /// The headers of a [structured](Delivery::structured) request exactly as they came: repeats, order,
    /// spelling, and those that [`headers`](Self::headers) leaves out. Empty else: see
    /// [`Delivery::headers`].
    pub raw_headers: Headers,
    /// The body, whole.
    pub body: Bytes,
    /// What the broker knows of it.
    pub delivery: Delivery,
}

impl Request {
    /// `host[:port]` from an absolute target, or else as the `Host` header was sent (RFC 9112 section 3.2.2). That is
    /// what the header says here.
    pub fn host(&self) -> Option<&[u8]> {
        self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"host")).map(|(_, host)| host)
    }
}

/// What the broker knows of a message: `stomp.*` in the environ.
///
/// Bytes are as on the wire, unescaped.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// Who sent it, by the broker's word; only where [`Mapping::trust_user_header`](super::Mapping::trust_user_header)
    /// says which that is.
    pub user: Option<Bytes>,
    /// The broker says that it delivered the message before.
    pub redelivered: bool,
    /// When the message is of no more use, in milliseconds since the epoch.
    pub expires: Option<u64>,
    /// What kind of broker it came from, in whose words the reply is.
    pub dialect: Dialect,
    /// Nobody waits for a reply (NOTIFY).
    pub one_way: bool,
    /// Whether the requester takes a streamed reply (`http_acceptStream`).
    pub accept_stream: bool,
    /// The request came whole in the message's body (`application/http`), and so goes its reply.
    pub structured: bool,
    /// No reply has a body, not even an error: a structured request's method is HEAD.
    pub head_only: bool,
    /// Text of the reply has to be in Java's modified UTF-8, which its broker passes on to a JMS client.
    pub(super) modified_utf8: bool,
    /// What a frame of the reply may hold.
    pub(super) limits: &'static FrameLimits,
    /// 1 for the first try.
    pub attempt: u32,
    /// `host:port` of the broker connection.
    pub broker: Arc<str>,
    /// All headers of the frame, raw, in order.
    headers: Headers,
    envelope: Envelope,
}

impl Delivery {
    /// What STOMP and the brokers say by the headers of a message that is tried for the first time. What HTTP says is the
    /// mapping's to add.
    pub fn new(headers: Headers, broker: Arc<str>) -> Self {
        let envelope = Metadata::read(&headers).envelope;
        Self::read(headers, envelope, broker, 1)
    }

    pub(super) fn read(headers: Headers, envelope: Envelope, broker: Arc<str>, attempt: u32) -> Self {
        let expires = envelope.expires.of(&headers);
        let expires = expires.and_then(|ms| std::str::from_utf8(ms).ok()?.parse().ok());
        Self {
            user: None,
            redelivered: envelope.redelivered.of(&headers) == Some(b"true"),
            // 0 is JMS's "never"; what is no number is no broker's.
            expires: expires.filter(|&ms| ms != 0),
            dialect: Dialect::default(),
            one_way: false,
            accept_stream: false,
            structured: false,
            head_only: false,
            modified_utf8: false,
            limits: Default::default(),
            attempt,
            broker,
            headers,
            envelope,
        }
    }

    /// All headers of the frame, raw, in order.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Where it was sent to, such as `/queue/orders`.
    pub fn destination(&self) -> &[u8] {
        self.envelope.destination.of(&self.headers).unwrap_or_default()
    }

    /// The id of the subscription that it came by.
    pub fn subscription(&self) -> &[u8] {
        self.envelope.subscription.of(&self.headers).unwrap_or_default()
    }

    /// STOMP's `message-id`. RabbitMQ makes a new one for each delivery.
    pub fn message_id(&self) -> &[u8] {
        self.envelope.message_id.of(&self.headers).unwrap_or_default()
    }

    /// The request's correlation-id, where it has one.
    pub fn correlation_id(&self) -> Option<&[u8]> {
        self.envelope.correlation_id.of(&self.headers)
    }

    /// Where the sender wants the reply, unless it is empty. It may be anything: whether it is allowed is
    /// checked by [`Mapping::request`](super::Mapping::request), for requests that are not one-way.
    pub fn reply_to(&self) -> Option<&[u8]> {
        self.envelope.reply_to.of(&self.headers).filter(|reply_to| !reply_to.is_empty())
    }

    /// What a reply's correlation-id is: the request's own, or else its message's id: `amqp-message-id`
    /// (the sender's, on RabbitMQ) and what Artemis keeps of OpenWire's and AMQP's before `message-id` (JMSMessageID, on
    /// ActiveMQ).
    pub fn correlation(&self) -> Option<&[u8]> {
        let jms = || self.envelope.jms_message_id.of(&self.headers).filter(|id| !id.is_empty());
        self.correlation_id().or_else(jms).or_else(|| Dialect::message_id(&self.headers))
    }

    /// Reads what only some brokers say: `expiration`, the milliseconds that RabbitMQ gave the message to live. It does
    /// not say since when, so that they count from its delivery at the latest, which was `ago`.
    pub(crate) fn came_from(
        &mut self,
        dialect: Dialect,
        jms: Jms,
        limits: &'static FrameLimits,
        ago: impl FnOnce() -> Duration,
    ) {
        self.dialect = dialect;
        self.limits = limits;
        // Who sent text waits for text of the same kind: a STOMP client, or one of JMS.
        self.modified_utf8 = jms.wants_modified() && !jms::is_sent_by_stomp(self.message_id());
        if !dialect.expires_relatively() {
            return;
        }
        let lives = self.headers.text("expiration").and_then(|ms| ms.parse::<u64>().ok());
        if let (None, Some(lives)) = (self.expires, lives) {
            let ago = u64::try_from(ago().as_millis()).unwrap_or(u64::MAX);
            self.expires = Some(epoch_ms(SystemTime::now()).saturating_sub(ago).saturating_add(lives));
        }
    }

    /// Whether the message has outlived itself, and must not reach an application.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        match self.expires {
            Some(expires) => epoch_ms(now) >= expires,
            None => false,
        }
    }

    /// The same for this moment, which is looked up only where there is a limit.
    pub(crate) fn has_expired(&self) -> bool {
        self.expires.is_some() && self.is_expired(SystemTime::now())
    }

    /// Whether the reply has to outlive the broker, as the request does: its sender asked for that, and reads
    /// it from a queue that outlives the broker, too. Temporary queues do not.
    pub(super) fn is_persistent(&self) -> bool {
        self.envelope.persistent.of(&self.headers) == Some(b"true")
            && self.reply_to().is_some_and(|to| to.starts_with(b"/queue/") || to.starts_with(b"queue://"))
    }

    /// Whether the request came as text: a JMS broker leaves content-length off a TextMessage, or writes it elsewhere.
    /// Its sender wants text back, unless [`Mapping::reply_body`](super::Mapping::reply_body) says what it wants.
    pub(super) fn is_text(&self) -> bool {
        let Envelope { content_length, message_id, .. } = &self.envelope;
        self.dialect.is_text(content_length.known(), message_id.known())
    }

    /// Whether the message was published and not sent to a queue: many may have got it, so that nobody
    /// can expect one reply.
    pub(super) fn is_published(&self) -> bool {
        // The latter is Artemis'.
        is_topic(self.destination()) || self.envelope.destination_type.of(&self.headers) == Some(b"MULTICAST")
    }
}

/// Milliseconds since the epoch; 0 before it.
pub(super) fn epoch_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

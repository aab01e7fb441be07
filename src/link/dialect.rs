//! Where brokers differ, in one table. Everything else asks it.
//!
//! Measured on ActiveMQ Classic 5.17.2 and 6.3.1, RabbitMQ 3.10.8 and 4.0.5, and Artemis 2.40.0. `docs/brokers.md`
//! says what of it concerns a user.

use std::{fmt, str::FromStr, time::Duration};

use super::destination;
use crate::{
    config::Source,
    stomp::{Headers, Lengths, Version},
};

/// What kind of broker is at the other end: by CONNECTED's `server` header, or because somebody says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// ActiveMQ Classic, and whatever says nothing of itself; the development broker follows it.
    #[default]
    ActiveMq,
    /// RabbitMQ with its STOMP plugin.
    RabbitMq,
    /// ActiveMQ Artemis.
    Artemis,
}

/// What is so of one kind of broker.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "broker"),
    allow(dead_code, reason = "some fields are only for the development broker to play")
)]
pub(crate) struct Row {
    /// What users call it (`--dialect`).
    pub(crate) name: &'static str,
    /// What CONNECTED's `server` header begins with, before the version.
    pub(crate) servers: &'static [&'static str],
    /// The header of SUBSCRIBE that bounds what is unacknowledged. Where it is missing ActiveMQ hands out 1000, RabbitMQ
    /// everything: the next server to come would find the queue empty.
    pub(crate) prefetch: Prefetch,
    /// What NACK does to a message: three brokers, three meanings, so that it never says "later", and "dead" only where
    /// there is no other way ([`Dialect::nack`]).
    pub(crate) nack: Nack,
    /// How a SEND says for how long it is good. The other one's header is carried along without a word.
    pub(crate) expiry: Expiry,
    /// Headers in which a message that is redelivered says how often it was delivered before; the highest counts. On a
    /// queue that does not count, a sender may make one up: to no other message's harm.
    pub(crate) delivery_counts: &'static [&'static str],
    /// Why nothing may be sent to a destination, if so: it would end the connection, or fail each time.
    pub(crate) refuses: fn(&[u8]) -> Option<&'static str>,
    /// Whether the `ack` of a MESSAGE that is the broker's comes behind the sender's headers, so that the last of that name
    /// counts, and not the first.
    pub(crate) ack_is_last: bool,
    /// How a requester gets a place for its replies.
    pub(crate) replies: Replies,
    /// The header that names a message: a reply's `correlation-id` where the request has none. RabbitMQ makes a new
    /// `message-id` for each delivery, and has the sender's own here.
    pub(crate) message_id: &'static str,
    /// What an ERROR is about that names the receipt of one frame.
    pub(crate) error: Blame,
    /// Whether BEGIN, SEND, ACK and COMMIT are one step.
    pub(crate) transactions: Transactions,
    /// What a frame that we send may hold.
    pub(crate) limits: FrameLimits,
    /// How CONNECT's `host` is read.
    pub(crate) virtual_hosts: bool,
    /// Whether it unescapes the headers of CONNECT, against the specification, so that a backslash has to be escaped.
    pub(crate) unescapes_connect: bool,
    /// A client that promised no heart-beats, and is silent for so long, is cut off.
    pub(crate) silence: Option<Duration>,
    /// The header of SUBSCRIBE that chooses messages; `None`: it would be left out without a word.
    pub(crate) selector: Option<&'static str>,
    /// How a topic's messages are kept while we are away.
    pub(crate) durable: Durable,
    /// The header that says who sent a message, and that nobody can forge who sends by STOMP. By other protocols it can be
    /// forged on all brokers. `None`: there is none, or none that was seen to hold.
    pub(crate) user: Option<&'static str>,
    /// Whose word the `content-length` of a MESSAGE is.
    pub(crate) lengths: Lengths,
    /// Headers by which SUBSCRIBE and SEND say whether a name is a queue's (`ANYCAST`) or a topic's (`MULTICAST`), where
    /// a prefix of the name says it only if the broker was configured so.
    pub(crate) routing: Option<Routing>,
}

/// The header that opens a window of unacknowledged messages.
#[derive(Debug)]
pub(crate) struct Prefetch {
    pub(crate) header: &'static str,
    /// What the header counts: messages (1), or octets, of which a message is taken to have so many.
    pub(crate) per_message: u64,
    /// Messages that are handed out where a SUBSCRIBE does not say.
    #[cfg_attr(not(feature = "broker"), allow(dead_code, reason = "for the development broker to play"))]
    pub(crate) unset: usize,
}

/// What becomes of a message that is refused by NACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nack {
    /// It goes to the dead letters at once, and is never tried again.
    DeadLetter,
    /// It is delivered again at once, as often as it is refused: a hot loop. With `requeue:false` it goes to the
    /// queue's dead-letter exchange, or is gone where there is none.
    Requeue,
    /// It is gone, as by ACK.
    Acknowledge,
}

/// How a SEND says for how long it is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// `expires`: milliseconds since 1970.
    Expires,
    /// `expiration`: milliseconds from now.
    Expiration,
}

/// How a requester gets a place for its replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replies {
    /// It subscribes to `/temp-queue/NAME`; a server sees `/remote-temp-queue/ID:...`. A reply to a requester that is
    /// gone is an ERROR.
    Subscribed,
    /// `reply-to:/temp-queue/NAME` makes the queue and subscribes to it; SUBSCRIBE is refused. A server sees
    /// `/reply-queue/...`. A reply to a requester that is gone is dropped, with a RECEIPT.
    Implied,
    /// There are no temporary queues: it subscribes to a queue of its own, which goes when it does.
    Plain,
}

/// What an ERROR is about that names a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The one frame; the connection goes on.
    Frame,
    /// The connection, as STOMP has it.
    Connection,
}

/// Whether BEGIN, SEND, ACK and COMMIT are one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transactions {
    /// They are, even if the broker crashes.
    Atomic,
    /// Frames wait and are carried out one by one at COMMIT: a crash may fall in between.
    Buffered,
    /// SEND only: an ACK counts at once, whatever transaction it names.
    SendOnly,
}

/// What a frame that we send may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameLimits {
    /// Octets of a header line.
    pub(crate) header_line: usize,
    pub(crate) headers: usize,
    /// Octets of the body.
    pub(crate) body: usize,
}

/// How SUBSCRIBE has a topic's messages kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// This header names the subscription, of the client that CONNECT's `client-id` names.
    Subscription(&'static str),
    /// It names a queue that outlives us. The name would else be made of the subscription's id.
    Queue,
}

/// How frames tell queues from topics beside their names.
#[derive(Debug)]
pub(crate) struct Routing {
    pub(crate) subscribe: &'static str,
    pub(crate) send: &'static str,
}

const MESSAGE_ID: &str = "message-id";
/// The development broker.
const DEVELOPMENT: &str = "stomp-wsgi-dev";

const ACTIVEMQ: Row = Row {
    name: "activemq",
    // The development broker plays ActiveMQ unless it is told otherwise.
    servers: &["ActiveMQ", DEVELOPMENT],
    prefetch: Prefetch { header: "activemq.prefetchSize", per_message: 1, unset: 1000 },
    nack: Nack::DeadLetter,
    delivery_counts: &[],
    refuses: destination::activemq,
    // It is set last, but replaces a sender's.
    ack_is_last: false,
    expiry: Expiry::Expires,
    replies: Replies::Subscribed,
    message_id: MESSAGE_ID,
    error: Blame::Frame,
    transactions: Transactions::Atomic,
    // Its STOMP codec's defaults; more ends the connection, with an ERROR that a long SEND never sees.
    limits: FrameLimits { header_line: 10_240, headers: 1000, body: 100 << 20 },
    virtual_hosts: false,
    unescapes_connect: true,
    silence: None,
    selector: Some("selector"),
    durable: Durable::Subscription("activemq.subscriptionName"),
    // By STOMP only: it takes the header from a SEND. To MESSAGE it adds all properties last, so that a property of that
    // name, set by OpenWire, AMQP or HTTP, replaces what the broker says. So it is in all versions up to 6.3.
    user: Some("JMSXUserID"),
    // A sender's property, where the message is a text: properties are written over the broker's own headers.
    lengths: Lengths::Claimed,
    routing: None,
};

const RABBITMQ: Row = Row {
    name: "rabbitmq",
    servers: &["RabbitMQ"],
    prefetch: Prefetch { header: "prefetch-count", per_message: 1, unset: usize::MAX },
    nack: Nack::Requeue,
    // Of quorum queues; the latter since 4.3.
    delivery_counts: &["x-delivery-count", "x-acquired-count"],
    refuses: destination::rabbitmq,
    ack_is_last: false,
    expiry: Expiry::Expiration,
    replies: Replies::Implied,
    message_id: "amqp-message-id",
    // ERROR has no receipt-id, and a RECEIPT for the same frame may even follow it.
    error: Blame::Connection,
    transactions: Transactions::Buffered,
    // Since 3.12; what came before takes more headers, and longer ones.
    limits: FrameLimits { header_line: 100 << 10, headers: 100, body: 128 << 20 },
    virtual_hosts: true,
    unescapes_connect: true,
    silence: None,
    selector: None,
    durable: Durable::Queue,
    // By STOMP only: SEND sets the property, which is verified. A header of that name in an AMQP message's table is not, and
    // looks the same.
    user: Some("user-id"),
    // Its own comes last, and none where the body is empty. Of two in an AMQP message one is left before it.
    lengths: Lengths::Last,
    routing: None,
};

const ARTEMIS: Row = Row {
    name: "artemis",
    servers: &["ActiveMQ-Artemis", "Artemis"],
    // Octets: the next message comes while the window is not used up. A message is taken to have 1 KiB.
    prefetch: Prefetch { header: "consumer-window-size", per_message: 1024, unset: 10 },
    nack: Nack::Acknowledge,
    delivery_counts: &[],
    refuses: destination::artemis,
    // `subscription` and `message-id` are the first of their names, `ack` is the last: an ACK of a sender's ends the
    // connection, each time that the message is delivered.
    ack_is_last: true,
    expiry: Expiry::Expires,
    replies: Replies::Plain,
    message_id: MESSAGE_ID,
    error: Blame::Connection,
    transactions: Transactions::SendOnly,
    // A persistent message has to fit into the journal's buffer, which has room for about 100 KiB of headers.
    limits: FrameLimits { header_line: 64 << 10, headers: 1000, body: 100 << 20 },
    virtual_hosts: false,
    unescapes_connect: false,
    // `connectionTtl`, which heart-beats replace where both sides send some.
    silence: Some(Duration::from_secs(60)),
    selector: Some("selector"),
    durable: Durable::Subscription("durable-subscription-name"),
    // With `populate-validated-user` the first `JMSXUserID` is the broker's; without, the first is the sender's.
    user: None,
    lengths: Lengths::Claimed,
    routing: Some(Routing { subscribe: "subscription-type", send: "destination-type" }),
};

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ActiveMq, Self::RabbitMq, Self::Artemis];

    /// Its row of the table.
    pub(crate) const fn row(self) -> &'static Row {
        match self {
            Self::ActiveMq => &ACTIVEMQ,
            Self::RabbitMq => &RABBITMQ,
            Self::Artemis => &ARTEMIS,
        }
    }

    /// The headers of SUBSCRIBE that choose messages, or have them kept while we are away.
    ///
    /// # Errors
    /// Says what this broker cannot do, and would leave out without a word, or refuse each time.
    pub(crate) fn options(
        self,
        source: &Source,
        client: &str,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let slash = source.destination.strip_prefix("/queue/").is_some_and(|name| name.contains('/'));
        if self == Self::RabbitMq && slash {
            return Err(format!(
                "RabbitMQ knows no queue with a slash in its name: write it as %2F in {source}"
            ));
        }
        if let Some(why) = (self.row().refuses)(source.destination.as_bytes()) {
            return Err(format!("cannot subscribe to {source}: {why}"));
        }
        let mut headers = Vec::new();
        if let Some(selector) = &source.selector {
            let header = self.row().selector.ok_or_else(|| {
                let server = self.row().servers[0];
                format!(
                    "{server} has no selectors: subscribe to {source} without one, or bind a topic (/topic/a.*.b)"
                )
            })?;
            headers.push((header, selector.clone()));
        }
        if let Some(name) = &source.durable {
            match self.row().durable {
                Durable::Subscription(header) => headers.push((header, name.clone())),
                Durable::Queue => headers.extend([
                    ("durable", "true".to_owned()),
                    ("auto-delete", "false".to_owned()),
                    ("x-queue-name", kept_in(client, name)),
                ]),
            }
        }
        Ok(headers)
    }

    /// Reads CONNECTED's `server` header: `ActiveMQ/5.17.2`, `RabbitMQ/3.10.8`, `ActiveMQ-Artemis/2.31.0`. `None` is a
    /// stranger: best taken for ActiveMQ, which passes over what it does not know, but not to be trusted as that.
    pub(crate) fn of(server: Option<&str>) -> Option<Self> {
        let name = server.and_then(|server| server.split(['/', ' ']).next()).unwrap_or_default();
        Self::ALL.into_iter().find(|dialect| dialect.row().servers.contains(&name))
    }

    /// Reads the `message` of an ERROR that refuses a login, since an ERROR has no `server` header.
    pub(crate) fn of_refusal(message: &str) -> Option<Self> {
        match message {
            "Bad CONNECT" => Some(Self::RabbitMq),
            _ if message.starts_with("User name [") => Some(Self::ActiveMq),
            _ => None,
        }
    }

    /// The header by which SUBSCRIBE asks for a window of `messages` unacknowledged messages.
    pub(crate) fn prefetch(self, messages: u32) -> (&'static str, u64) {
        let Prefetch { header, per_message, .. } = self.row().prefetch;
        (header, u64::from(messages) * per_message)
    }

    /// The header of a SEND that is good until `expires`; both it and `now` are in milliseconds since 1970.
    pub(crate) fn expiry(self, now: u64, expires: u64) -> (&'static str, u64) {
        // Brokers keep the time in a signed 64-bit number.
        const LATEST: u64 = i64::MAX as u64;
        // RabbitMQ takes no more than fits into 32 bits.
        const LONGEST: u64 = u32::MAX as u64;
        match self.row().expiry {
            Expiry::Expires => ("expires", expires.min(LATEST)),
            // Not none: that would mean for ever, or at once.
            Expiry::Expiration => ("expiration", expires.saturating_sub(now).clamp(1, LONGEST)),
        }
    }

    /// The headers of a NACK that has the broker keep a message whole among its dead letters, as far as it keeps any.
    /// `None`: it cannot be told.
    pub(crate) fn nack(self, version: Version) -> Option<&'static [(&'static str, &'static str)]> {
        match self.row().nack {
            _ if version == Version::V1_0 => None,
            Nack::DeadLetter => Some(&[]),
            Nack::Requeue => Some(&[("requeue", "false")]),
            Nack::Acknowledge => None,
        }
    }

    /// What names a message, whichever broker it came from: its own header, before the one that all have.
    pub(crate) fn message_id(headers: &Headers) -> Option<&[u8]> {
        let own =
            Self::ALL.map(|dialect| dialect.row().message_id).into_iter().filter(|name| *name != MESSAGE_ID);
        own.chain([MESSAGE_ID]).find_map(|name| headers.get(name).filter(|id| !id.is_empty()))
    }

    /// Whether messages say how long they live (`expiration`), and not until when (`expires`).
    pub(crate) fn expires_relatively(self) -> bool {
        self.row().expiry == Expiry::Expiration
    }

    /// Whether a SEND may have this `reply-to`: the broker does not refuse the frame for it, nor make a queue of ours.
    pub(crate) fn takes_reply_to(self, reply_to: &[u8]) -> bool {
        if self.row().replies != Replies::Implied {
            // One that begins so is a queue of this connection, also within a list.
            let temporary: [&[u8]; 2] = [b"/temp-queue/", b"/temp-topic/"];
            return !temporary.iter().any(|prefix| memchr::memmem::find(reply_to, prefix).is_some());
        }
        // RabbitMQ refuses a frame whose reply-to it cannot parse.
        let names: [&[u8]; 3] = [b"/queue/", b"/amq/queue/", b"/topic/"];
        let name = names.iter().find_map(|prefix| reply_to.strip_prefix(*prefix));
        name.is_some_and(|name| !name.is_empty() && !name.contains(&b'/'))
            || reply_to.strip_prefix(b"/reply-queue/").is_some_and(|name| !name.is_empty())
            || !reply_to.is_empty() && !reply_to.contains(&b'/')
    }

    /// Whether an ACK within a transaction waits for its COMMIT.
    pub(crate) fn acks_in_transactions(self) -> bool {
        self.row().transactions != Transactions::SendOnly
    }

    /// Whether the connection goes on after an ERROR that names one frame's receipt.
    pub(crate) fn survives_error(self) -> bool {
        self.row().error == Blame::Frame
    }

    /// The header of a SUBSCRIBE to `destination` that says what it is, where the name alone does not.
    pub(crate) fn subscription_type(self, destination: &str) -> Option<(&'static str, &'static str)> {
        self.row().routing.as_ref().map(|routing| (routing.subscribe, kind(destination.as_bytes())))
    }

    /// The same for a SEND.
    pub(crate) fn destination_type(self, destination: &[u8]) -> Option<(&'static str, &'static str)> {
        self.row().routing.as_ref().map(|routing| (routing.send, kind(destination)))
    }
}

/// Whether CONNECTED's `server` header is the development broker's.
pub(super) fn is_development(server: &str) -> bool {
    server.starts_with(DEVELOPMENT)
}

fn kind(destination: &[u8]) -> &'static str {
    if is_topic(destination) { "MULTICAST" } else { "ANYCAST" }
}

/// The queue where a durable subscription is one ([`Durable::Queue`]).
pub(crate) fn kept_in(client: &str, name: &str) -> String {
    format!("{client}.{name}")
}

/// Whether a name is a topic's, on any broker.
pub(crate) fn is_topic(destination: &[u8]) -> bool {
    const TOPICS: [&[u8]; 4] = [b"/topic/", b"/temp-topic/", b"/remote-temp-topic/", b"topic://"];
    TOPICS.iter().any(|prefix| destination.starts_with(prefix))
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

/// No name of a [`Dialect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("activemq, rabbitmq or artemis")]
pub struct UnknownDialect;

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(name: &str) -> Result<Self, UnknownDialect> {
        Self::ALL.into_iter().find(|dialect| dialect.row().name == name).ok_or(UnknownDialect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Mapping;

    #[test]
    fn found_from_the_server_header() {
        for (server, dialect) in [
            (Some("ActiveMQ/5.17.2"), Some(Dialect::ActiveMq)),
            (Some("RabbitMQ/3.10.8"), Some(Dialect::RabbitMq)),
            (Some("ActiveMQ-Artemis/2.31.0 ActiveMQ Artemis Messaging Engine"), Some(Dialect::Artemis)),
            (Some("stomp-wsgi-dev/0.1.0"), Some(Dialect::ActiveMq)),
            (Some("apache-apollo/1.7"), None),
            (None, None),
        ] {
            assert_eq!(Dialect::of(server), dialect, "{server:?}");
        }
    }

    #[test]
    fn each_has_a_name_to_call_it_by() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
        }
        assert_eq!("ActiveMQ".parse::<Dialect>(), Err(UnknownDialect));
    }

    #[test]
    fn headers_in_each_ones_own_words() {
        for (dialect, prefetch, expiry, kind) in [
            (Dialect::ActiveMq, ("activemq.prefetchSize", 20), ("expires", 1500), None),
            (Dialect::RabbitMq, ("prefetch-count", 20), ("expiration", 500), None),
            (Dialect::Artemis, ("consumer-window-size", 20_480), ("expires", 1500), Some("ANYCAST")),
        ] {
            assert_eq!(dialect.prefetch(20), prefetch);
            assert_eq!(dialect.expiry(1000, 1500), expiry);
            assert_eq!(dialect.subscription_type("/queue/a").map(|(_, kind)| kind), kind);
        }
        assert_eq!(Dialect::ActiveMq.expiry(1, u64::MAX), ("expires", i64::MAX as u64));
        assert_eq!(Dialect::RabbitMq.expiry(1, u64::MAX), ("expiration", u32::MAX.into()));
        assert_eq!(Dialect::RabbitMq.expiry(1000, 999), ("expiration", 1));
        for (destination, kind) in [
            ("/topic/a", "MULTICAST"),
            ("topic://a", "MULTICAST"),
            ("/queue/topic/", "ANYCAST"),
            ("a", "ANYCAST"),
        ] {
            let header = Some(("destination-type", kind));
            assert_eq!(Dialect::Artemis.destination_type(destination.as_bytes()), header, "{destination}");
        }
    }

    /// A reply is mapped before anyone knows which broker takes it.
    #[test]
    fn replies_fit_every_broker() {
        let mapping = Mapping::default();
        for limits in Dialect::ALL.map(|dialect| dialect.row().limits) {
            assert!(mapping.max_header_line <= limits.header_line);
            assert!(mapping.max_headers < limits.headers);
            assert!(mapping.max_reply <= limits.body);
        }
    }
}

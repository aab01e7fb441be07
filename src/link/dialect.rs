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
    /// What a frame that we send may hold, at the strictest of its versions ([`Dialect::limits`]).
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
    /// Whether a MESSAGE says in which URI scheme its sender's JMSReplyTo is (`temp-queue://x`, `queue://x`), of which a
    /// SEND takes the name alone.
    pub(crate) jms_schemes: bool,
    /// Whether the MESSAGE of a TextMessage has a `content-length`, too: behind all other headers, where that of a
    /// BytesMessage comes before `message-id`.
    pub(crate) measures_text: bool,
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
    /// Octets of the whole frame, from the command to the NUL.
    pub(crate) frame: usize,
    /// Octets of the name of a header, and of the value of a header that is a property of AMQP ([`SHORT`]).
    pub(crate) short: usize,
    /// What the headers of a persistent frame may take.
    pub(crate) stored: Option<Stored>,
}

/// What a broker's journal has room for. Artemis keeps the headers of a message in one record, two octets for each character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Octets of all headers.
    head: usize,
    /// A body of so many octets is kept in a file of its own; then there is less room for the headers.
    large: usize,
    head_of_large: usize,
}

/// Headers that RabbitMQ turns into properties of AMQP, which are short strings.
const SHORT: [&[u8]; 8] = [
    b"app-id",
    b"amqp-message-id",
    b"content-encoding",
    b"content-type",
    b"correlation-id",
    b"reply-to",
    b"type",
    b"user-id",
];

/// No limit is known.
const ANY: usize = usize::MAX;

impl FrameLimits {
    /// Whether a frame of so many octets is not too long, also as a part of a transaction.
    pub(crate) fn fits(&self, octets: usize) -> bool {
        octets <= self.longest()
    }

    /// Octets of the longest frame that is sent.
    pub(crate) fn longest(&self) -> usize {
        /// `transaction:job-N` and a line feed, and an end of line before the frame.
        const ROOM: usize = 64;
        self.frame - ROOM
    }

    /// Whether the broker takes so many octets of headers with a body of so many, where it is to keep the message.
    pub(crate) fn keeps(&self, head: usize, body: usize) -> bool {
        self.stored.is_none_or(|Stored { head: most, large, head_of_large }| {
            head <= if body < large { most } else { head_of_large }
        })
    }

    /// Whether a header's name, and its value if that is one of [`SHORT`], are not too long.
    pub(crate) fn takes(&self, name: &[u8], value: &[u8]) -> bool {
        name.len() <= self.short && (value.len() <= self.short || !SHORT.contains(&name))
    }
}

impl Default for &FrameLimits {
    fn default() -> Self {
        &Dialect::default().row().limits
    }
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
    // Its STOMP codec's defaults; more ends the connection, with an ERROR that a long SEND never sees. `maxFrameSize` counts the
    // headers since 6, as `wireFormat.maxFrameSize` of the transport does.
    limits: FrameLimits {
        header_line: 10_240,
        headers: 1000,
        body: 100 << 20,
        frame: 100 << 20,
        short: ANY,
        stored: None,
    },
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
    jms_schemes: false,
    measures_text: false,
};

/// RabbitMQ's limits with its own settings: `stomp.max_frame_size` since 3.12, and since 4.0 each message is turned into
/// AMQP when it is sent. A longer frame ends the connection without an ERROR, a longer string with one.
const RABBITMQ_4: FrameLimits = FrameLimits {
    header_line: 100 << 10,
    headers: 100,
    body: 4 << 20,
    frame: 4 << 20,
    short: 255,
    stored: None,
};
const RABBITMQ_3_12: FrameLimits = FrameLimits { short: ANY, ..RABBITMQ_4 };
/// What came before takes more headers, too, and longer ones. The body is `max_message_size`.
const RABBITMQ_3: FrameLimits = FrameLimits { body: 128 << 20, frame: ANY, ..RABBITMQ_3_12 };

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
    limits: RABBITMQ_4,
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
    jms_schemes: false,
    measures_text: false,
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
    // Measured on 2.40.0 with `journal-buffer-size` of 490 KiB and `minLargeMessageSize` of 100 KiB: 250,000 octets of headers were
    // taken, 260,000 not; with a large body 52,000 were, 55,000 not.
    limits: FrameLimits {
        header_line: 64 << 10,
        headers: 1000,
        body: 100 << 20,
        frame: ANY,
        short: ANY,
        stored: Some(Stored { head: 245_000, large: 100_000, head_of_large: 50_000 }),
    },
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
    jms_schemes: true,
    measures_text: true,
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

    /// What a frame may hold that goes to this broker, whose version CONNECTED's `server` header says. Where it does not, or
    /// is another broker's, the strictest of all versions.
    pub(crate) fn limits(self, server: Option<&str>) -> &'static FrameLimits {
        let name = self.row().servers[0];
        let version = server.and_then(|server| server.strip_prefix(name)?.strip_prefix('/'));
        match version.and_then(version_numbers) {
            Some((major, minor, _)) if self == Self::RabbitMq && (major, minor) < (3, 12) => &RABBITMQ_3,
            Some((..4, ..)) if self == Self::RabbitMq => &RABBITMQ_3_12,
            _ => &self.row().limits,
        }
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

    /// Whether a reply and its ACK can be one step. RabbitMQ acts on the frames of a transaction one after the other: where
    /// it refuses the reply (a full queue), it carries out the ACK all the same, and the request is lost.
    pub(crate) fn has_transactions(self) -> bool {
        self.row().transactions == Transactions::Atomic
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

    /// What a SEND calls the destination of this `reply-to`, and the header that says what it is.
    ///
    /// A temporary queue has no such header: it is there already. Where it is gone with its requester, Artemis drops the
    /// reply; with `ANYCAST` it would make a queue of that name, which no client reads or removes.
    pub(crate) fn reply_destination(self, reply_to: &[u8]) -> (&[u8], Option<(&'static str, &'static str)>) {
        if !self.row().jms_schemes {
            return (reply_to, self.destination_type(reply_to));
        }
        match JMS_SCHEMES.iter().find_map(|scheme| reply_to.strip_prefix(*scheme)) {
            Some(name) if reply_to.starts_with(TEMPORARY_QUEUE) => (name, None),
            Some(name) => (name, self.destination_type(reply_to)),
            None => (reply_to, self.destination_type(reply_to)),
        }
    }

    /// Why this broker would take no reply to this destination, or no requester could read it.
    pub(crate) fn refuses_reply(self, reply_to: &[u8]) -> Option<&'static str> {
        match self {
            Self::ActiveMq => destination::activemq_reply(reply_to),
            _ => (self.row().refuses)(reply_to),
        }
    }

    /// Whether a message is a TextMessage to JMS, by the places of its first `content-length` and `message-id`.
    pub(crate) fn is_text<T: PartialOrd>(self, content_length: Option<T>, message_id: Option<T>) -> bool {
        match (content_length, message_id) {
            (None, _) => true,
            (Some(length), Some(id)) => self.row().measures_text && length > id,
            (Some(_), None) => false,
        }
    }
}

/// Major, minor and patch number of such as `5.17.2`, `5.18-SNAPSHOT`, `5.11.0.redhat-630495`; missing ones are 0.
pub(super) fn version_numbers(version: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = version.split(['.', '-', '+', ' ']).map_while(|part| part.parse().ok());
    Some((numbers.next()?, numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
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

/// How Artemis writes a temporary queue of JMS.
pub(crate) const TEMPORARY_QUEUE: &[u8] = b"temp-queue://";

/// How it writes whatever JMS replies to.
const JMS_SCHEMES: [&[u8]; 4] = [TEMPORARY_QUEUE, b"queue://", b"topic://", b"temp-topic://"];

/// Whether a name is a topic's, on any broker.
pub(crate) fn is_topic(destination: &[u8]) -> bool {
    const TOPICS: [&[u8]; 5] =
        [b"/topic/", b"/temp-topic/", b"/remote-temp-topic/", b"topic://", b"temp-topic://"];
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

    #[test]
    fn replies_to_jms_on_artemis() {
        const ANYCAST: Option<(&str, &str)> = Some(("destination-type", "ANYCAST"));
        const MULTICAST: Option<(&str, &str)> = Some(("destination-type", "MULTICAST"));
        for (reply_to, destination, kind) in [
            ("temp-queue://ID:a-1:1:1", "ID:a-1:1:1", None),
            ("queue://replies", "replies", ANYCAST),
            ("topic://replies", "replies", MULTICAST),
            ("temp-topic://ID:a-1:1:1", "ID:a-1:1:1", MULTICAST),
            ("/queue/replies", "/queue/replies", ANYCAST),
            ("replies", "replies", ANYCAST),
        ] {
            let got = Dialect::Artemis.reply_destination(reply_to.as_bytes());
            assert_eq!(got, (destination.as_bytes(), kind), "{reply_to}");
            for dialect in [Dialect::ActiveMq, Dialect::RabbitMq] {
                assert_eq!(dialect.reply_destination(reply_to.as_bytes()), (reply_to.as_bytes(), None));
            }
        }
    }

    #[test]
    fn artemis_measures_text_too() {
        for (length, id, artemis, others) in [
            (None, Some(1), true, true),
            (None, None, true, true),
            (Some(1), Some(2), false, false),
            (Some(9), Some(2), true, false),
            (Some(9), None, false, false),
        ] {
            assert_eq!(Dialect::Artemis.is_text(length, id), artemis, "{length:?} {id:?}");
            assert_eq!(Dialect::ActiveMq.is_text(length, id), others);
            assert_eq!(Dialect::RabbitMq.is_text(length, id), others);
        }
    }

    /// How many headers a reply has, and how long they are, does not depend on the broker.
    #[test]
    fn replies_fit_every_broker() {
        let mapping = Mapping::default();
        for limits in Dialect::ALL.map(|dialect| dialect.row().limits) {
            assert!(mapping.max_header_line <= limits.header_line);
            assert!(mapping.max_headers < limits.headers);
        }
    }

    #[test]
    fn limits_go_by_the_version() {
        let (any, mib) = (usize::MAX, 1 << 20);
        for (dialect, server, frame, body, short) in [
            (Dialect::RabbitMq, Some("RabbitMQ/4.0.5"), 4 * mib, 4 * mib, 255),
            (Dialect::RabbitMq, Some("RabbitMQ/4.3.6+2.g1234"), 4 * mib, 4 * mib, 255),
            (Dialect::RabbitMq, Some("RabbitMQ/3.13.7"), 4 * mib, 4 * mib, any),
            (Dialect::RabbitMq, Some("RabbitMQ/3.12.0-rc.1"), 4 * mib, 4 * mib, any),
            (Dialect::RabbitMq, Some("RabbitMQ/3.11.28"), any, 128 * mib, any),
            (Dialect::RabbitMq, Some("RabbitMQ/3.10.8"), any, 128 * mib, any),
            (Dialect::RabbitMq, Some("RabbitMQ"), 4 * mib, 4 * mib, 255),
            (Dialect::RabbitMq, Some("RabbitMQ/%%VSN%%"), 4 * mib, 4 * mib, 255),
            (Dialect::RabbitMq, Some("gateway/3.10.8"), 4 * mib, 4 * mib, 255),
            (Dialect::RabbitMq, None, 4 * mib, 4 * mib, 255),
            (Dialect::ActiveMq, Some("ActiveMQ/5.17.2"), 100 * mib, 100 * mib, any),
            (Dialect::ActiveMq, Some("RabbitMQ/4.0.5"), 100 * mib, 100 * mib, any),
            (Dialect::Artemis, None, any, 100 * mib, any),
        ] {
            let limits = dialect.limits(server);
            assert_eq!(
                (limits.frame, limits.body, limits.short),
                (frame, body, short),
                "{dialect} {server:?}"
            );
        }
    }

    #[test]
    fn artemis_has_less_room_for_headers_beside_a_large_body() {
        let artemis = Dialect::Artemis.limits(None);
        for (head, body, kept) in [
            (245_000, 0, true),
            (245_000, 99_999, true),
            (245_001, 0, false),
            (50_000, 100 << 20, true),
            (50_001, 100_000, false),
        ] {
            assert_eq!(artemis.keeps(head, body), kept, "{head} {body}");
        }
        for other in [Dialect::ActiveMq, Dialect::RabbitMq] {
            assert!(other.limits(None).keeps(90 * 10_240, 1 << 20));
        }
    }

    #[test]
    fn names_and_properties_may_be_short_strings() {
        let (fits, long) = ("v".repeat(255), "v".repeat(256));
        let takes =
            |limits: &FrameLimits, name: &str, value: &str| limits.takes(name.as_bytes(), value.as_bytes());
        for (name, value, taken) in [
            ("X-A", &long, true),
            ("content-type", &fits, true),
            ("content-type", &long, false),
            ("correlation-id", &long, false),
            (&fits, &long, true),
            (&long, &fits, false),
        ] {
            assert_eq!(takes(&RABBITMQ_4, name, value), taken, "{name}");
            assert!(takes(&RABBITMQ_3_12, name, value) && takes(&ACTIVEMQ.limits, name, value));
        }
    }
}

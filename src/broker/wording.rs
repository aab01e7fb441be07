//! What ActiveMQ and Artemis say of a fault, in one table. The development broker by itself writes longer texts, which
//! say what to do.

use std::borrow::Cow;

use crate::Dialect;

/// What is wrong with a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    NotConnected,
    AlreadyConnected,
    /// None of the versions that were offered.
    Version(String),
    HeartBeat(String),
    /// A header that a command must have.
    Missing {
        command: &'static str,
        header: &'static str,
    },
    /// A destination that is nothing but a prefix.
    Nameless,
    /// A number of a SEND that is none.
    Number,
    /// UNSUBSCRIBE of this id.
    NoSubscription(String),
    IdInUse(String),
    /// A `content-length` that is no number.
    Length,
    /// A backslash and what follows it.
    Escape(String),
    /// An ACK, or a NACK, that names no unacknowledged message. `by_message`: by its `message-id`.
    Ack {
        id: String,
        by_message: bool,
        why: NoAck,
    },
    Nack1_0 {
        /// Those of the frame.
        octets: Vec<u8>,
    },
    /// The first line of a frame is no command.
    UnknownCommand {
        line: String,
        octets: Vec<u8>,
    },
    NackInTransaction,
    /// By this command.
    NoTransaction {
        command: &'static str,
        name: String,
    },
    TransactionOpen(String),
    /// A temporary queue of this name.
    Gone(String),
}

impl Fault {
    /// Whether some brokers close the connection over it without an ERROR.
    pub(super) fn may_be_silent(&self) -> bool {
        matches!(self, Self::Nameless | Self::Number)
    }

    /// Whether it closes the connection on each broker.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Nameless
                | Self::Length
                | Self::Escape(_)
                | Self::Version(_)
                | Self::HeartBeat(_)
                | Self::UnknownCommand { .. }
        )
    }
}

/// Why an ACK names no unacknowledged message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAck {
    /// No such message was delivered, or its subscription has ended.
    Unknown,
    /// It was acknowledged before.
    Settled,
    /// The message is another subscription's: the id that the ACK names, and the id of that subscription.
    Foreign(String, String),
}

/// An ERROR frame, as one of them writes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) message: Cow<'static, str>,
    pub(super) content_type: bool,
    /// Whether a `receipt` is named.
    pub(super) receipt: bool,
    /// Which versions there are.
    pub(super) version: bool,
    pub(super) body: Option<Cow<'static, str>>,
    /// Whether the body's length is said.
    pub(super) sized: bool,
}

impl Text {
    /// The fault in a broker's own words; `None`: it has none for it.
    pub(super) fn of(fault: &Fault, dialect: Dialect) -> Option<Self> {
        match dialect {
            Dialect::ActiveMq => activemq(fault),
            Dialect::Artemis => artemis(fault),
            Dialect::RabbitMq => None,
        }
    }
}

/// The body is the exception; its trace of the stack is left out.
fn activemq(fault: &Fault) -> Option<Text> {
    const PROTOCOL: &str = "org.apache.activemq.transport.stomp.ProtocolException";
    let (exception, message, detail): (&str, Cow<'static, str>, Option<String>) = match fault {
        Fault::Nameless | Fault::IdInUse(_) => return None,
        Fault::Gone(name) => (
            "org.apache.activemq.DestinationDoesNotExistException",
            name.clone().into(),
            Some(format!("The destination {name} does not exist.")),
        ),
        Fault::NackInTransaction => {
            ("javax.jms.JMSException", "Poison ack cannot be transacted: MessageAck {}".into(), None)
        }
        other => (PROTOCOL, activemq_protocol(other)?, None),
    };
    let mut body = format!("{exception}: {}", detail.as_deref().unwrap_or(&message));
    // It has no length, so that it ends there.
    body.truncate(body.find('\0').unwrap_or(body.len()));
    let (content_type, receipt, version, sized) = (true, true, false, false);
    Some(Text { message, content_type, receipt, version, body: Some(body.into()), sized })
}

fn activemq_protocol(fault: &Fault) -> Option<Cow<'static, str>> {
    Some(match fault {
        Fault::NotConnected => "Not connected.".into(),
        Fault::AlreadyConnected => "Already connected.".into(),
        Fault::Version(offered) => {
            format!("Invalid Protocol version[{offered}], supported versions are: [1.2, 1.1, 1.0]").into()
        }
        Fault::HeartBeat(value) => format!("Invalid heart-beat header:{value}").into(),
        Fault::Missing { command, header } => match (*command, *header) {
            ("SEND", _) => "SEND received without a Destination specified!".into(),
            ("SUBSCRIBE", "destination") => "Invalid empty or 'null' Destination header".into(),
            ("NACK", "id") => "NACK received without an ack header to acknowledge!".into(),
            ("ACK", "id") => "ACK received without a ack id for acknowledge!".into(),
            ("ACK" | "NACK", "message-id") => {
                format!("{command} received without a message-id to acknowledge!").into()
            }
            ("ACK" | "NACK", _) => {
                format!("{command} received without a subscription id for acknowledge!").into()
            }
            ("BEGIN", _) => "Must specify the transaction you are beginning".into(),
            ("COMMIT" | "ABORT", _) => "Must specify the transaction you are committing".into(),
            _ => format!("{command} received without a subscription id!").into(),
        },
        Fault::NoSubscription(_) => "No subscription matched.".into(),
        Fault::Ack { id, by_message, .. } => {
            let id = if *by_message { id } else { "null" };
            format!("Unexpected ACK received for message-id [{id}]").into()
        }
        Fault::Length => "Specified content-length is not a valid integer".into(),
        Fault::UnknownCommand { line, .. } => format!("Unknown STOMP action: {line}").into(),
        Fault::Nack1_0 { .. } => "NACK received but connection is in v1.0 mode.".into(),
        Fault::NoTransaction { name, .. } => format!("Invalid transaction id: {name}").into(),
        Fault::TransactionOpen(name) => format!("The transaction was already started: {name}").into(),
        _ => return None,
    })
}

/// There is no body, but for the first frames.
fn artemis(fault: &Fault) -> Option<Text> {
    let plain = |message: Cow<'static, str>| Text {
        message,
        content_type: false,
        receipt: true,
        version: false,
        body: None,
        sized: false,
    };
    const NO_ID: &str = "AMQ339037 Must specify the subscription's id";
    const NO_ADDRESS: &str = "Cannot invoke \"org.apache.activemq.artemis.api.core.SimpleString.startsWith(\
        org.apache.activemq.artemis.api.core.SimpleString)\" because \"address\" is null";
    Some(match fault {
        Fault::Version(offered) => Text {
            content_type: true,
            version: true,
            body: Some("Supported protocol versions are v1.0 v1.1 v1.2".into()),
            ..plain(format!("AMQ339002 Stomp versions not supported {offered}").into())
        },
        Fault::HeartBeat(value) => {
            let number = value.split(',').find(|number| number.parse::<u64>().is_err()).unwrap_or_default();
            plain(format!("For input string: \"{number}\"").into())
        }
        Fault::Number => plain("AMQ339031 Error handling send".into()),
        Fault::Missing { command, header } => match (*command, *header) {
            ("SEND", _) => plain("AMQ339031 Error handling send".into()),
            ("SUBSCRIBE", "destination") => Text {
                content_type: true,
                receipt: false,
                body: Some(NO_ADDRESS.into()),
                sized: true,
                ..plain(NO_ADDRESS.into())
            },
            ("ACK" | "NACK", "id") => plain("AMQ339039 No id header in ACK/NACK frame.".into()),
            ("BEGIN", _) => plain("AMQ339032 Need a transaction id to begin".into()),
            ("COMMIT", _) => plain("AMQ339030 transaction header is mandatory to COMMIT a transaction".into()),
            ("ABORT", _) => plain("AMQ339033 transaction header is mandatory to ABORT a transaction".into()),
            _ => plain(NO_ID.into()),
        },
        Fault::Nack1_0 { octets } | Fault::UnknownCommand { octets, .. } => {
            let octets = artemis_octets(octets);
            Text {
                content_type: true,
                receipt: false,
                body: Some(format!("AMQ339024: Invalid STOMP frame: {octets}").into()),
                sized: true,
                ..plain(format!("AMQ339023 Invalid STOMP frame {}", octets.replace(':', "")).into())
            }
        }
        Fault::NoSubscription(id) => {
            plain(format!("Cannot unsubscribe as no subscription exists for id: {id}").into())
        }
        Fault::IdInUse(id) => Text {
            receipt: false,
            ..plain(
                format!(
                    "There already is a subscription for: {id}. Either use unique subscription IDs or do not create \
                     multiple subscriptions for the same destination"
                )
                .into(),
            )
        },
        Fault::Ack { id, why, .. } => plain(match why {
            NoAck::Unknown => format!("AMQ339018 Error acknowledging message {id}").into(),
            NoAck::Settled => format!("AMQ339025 failed to ack because no message with id {id}").into(),
            NoAck::Foreign(said, is) => format!("AMQ339026 subscription id {said} does not match {is}").into(),
        }),
        Fault::NoTransaction { command: "COMMIT", name } => plain(format!("AMQ339013 Error committing {name}").into()),
        Fault::NoTransaction { name, .. } => plain(format!("No transaction started: {name}").into()),
        Fault::Escape(escape) => plain(format!("AMQ339040 Undefined escape sequence {escape}").into()),
        Fault::TransactionOpen(name) => plain(format!("Transaction already started: {name}").into()),
        _ => return None,
    })
}

/// The octets of a frame as Artemis shows them: what can be printed as it is, all else as numbers.
fn artemis_octets(octets: &[u8]) -> String {
    let mut text = String::with_capacity(2 * octets.len());
    for octet in octets {
        match octet {
            b' '..=b'~' => text.push(char::from(*octet)),
            _ => text.push_str(&octet.to_string()),
        }
        text.push(',');
    }
    text
}

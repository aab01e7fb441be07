//! RabbitMQ's way: what its STOMP plugin makes of each frame, as it was measured on 3.10.8.
//!
//! Underneath there is one kind of place for messages, the queue. An exchange routes a message to the queues that are bound
//! to it; a subscription to a topic or an exchange declares a queue of its own, and binds it. Deliveries are counted by
//! connection, and what is acknowledged is a number of that count, whatever subscription the message came by.
//!
//! Most of what is wrong with a frame is answered by an ERROR after which the connection goes on. What AMQP calls a
//! channel error ends it: the ERROR, then even the RECEIPT of that frame, then the end.
//!
//! Otherwise than RabbitMQ: arguments of queues are compared, and those of dead letters do what they say, but the others have no
//! effect; and queues that hold nothing, without consumers and bindings, are deleted where there is no room for another.
//!
//! | file | what |
//! |---|---|
//! | `connecting` | CONNECT |
//! | `address` | what a `destination` names |
//! | `declare` | queues, their arguments, and their end |
//! | `exchanges` | routing by exchange and key |
//! | `subscriptions` | SUBSCRIBE, UNSUBSCRIBE |
//! | `sends` | SEND, `reply-to` |
//! | `settling` | ACK, NACK and transactions |

mod address;
mod connecting;
mod declare;
mod exchanges;
mod sends;
mod settling;
mod subscriptions;

pub(super) use self::{
    address::Address,
    declare::Declared,
    exchanges::{Binding, Exchange},
    sends::Routed,
};

use super::{Broker, ConnId, Now, connection::Stage, refusal::Refusal};
use crate::stomp::{Command, Frame, Headers, Version};

impl Broker {
    /// Obeys one frame. The RECEIPT is the caller's, that of SEND excepted.
    pub(super) fn obey_as_rabbitmq(&mut self, id: ConnId, mut frame: Frame, now: Now) -> Result<(), Refusal> {
        let connection = &self.connections[&id];
        let connects = matches!(frame.command, Command::Connect | Command::Stomp);
        if connection.stage != Stage::Open && !connects {
            return Err(not_connected());
        }
        if connection.version == Version::V1_0
            && frame.headers.iter().any(|(_, value)| value.starts_with(b" "))
        {
            let trimmed = |value: &[u8]| value.iter().position(|b| *b != b' ').unwrap_or(value.len());
            frame.headers =
                frame.headers.iter().map(|(name, value)| (name, &value[trimmed(value)..])).collect();
        }
        let headers = &frame.headers;
        match frame.command {
            Command::Connect | Command::Stomp => self.connect_as_rabbitmq(id, headers, now),
            Command::Send => self.send_as_rabbitmq(id, frame, now),
            Command::Subscribe => self.subscribe_as_rabbitmq(id, headers),
            Command::Unsubscribe => self.unsubscribe_as_rabbitmq(id, headers),
            Command::Ack | Command::Nack => self.settle_as_rabbitmq(id, frame.command, headers, now),
            Command::Begin | Command::Commit | Command::Abort => {
                self.transact_as_rabbitmq(id, frame.command, headers, now)
            }
            Command::Disconnect => Ok(()),
            Command::Connected | Command::Message | Command::Receipt | Command::Error => {
                Err(unknown_command(frame.command.as_str()))
            }
        }
    }
}

fn not_connected() -> Refusal {
    Refusal::frame_error("Illegal command", "You must log in using CONNECT first")
}

fn unknown_command(command: &str) -> Refusal {
    let text = format!("Could not interpret command {}\n", quoted(command.as_bytes()));
    Refusal::frame_error("Bad command", text)
}

impl Refusal {
    /// A command that does not exist.
    pub(super) fn unknown_to_rabbitmq(command: &str, stage: Stage) -> Self {
        if stage == Stage::Open { unknown_command(command) } else { not_connected() }
    }
}

/// What RabbitMQ says of whatever it did not expect.
fn unexpected() -> Refusal {
    Refusal::frame_error("Processing error", "Processing error")
}

/// Most octets of a routing key. AMQP has 255 on the wire, where STOMP's plugin does not go by the wire; but to find out which
/// patterns a key fits takes time in its length.
const LONGEST_KEY: usize = 1024;

/// A header that Erlang reads as a number: blanks around it are allowed.
fn integer(headers: &Headers, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = std::str::from_utf8(value).map_err(|_| unexpected())?;
    text.trim_matches(' ').parse().map(Some).map_err(|_| unexpected())
}

/// A header that is `true` or `false`; anything else says nothing.
fn boolean(headers: &Headers, name: &str) -> Option<bool> {
    match headers.get(name)? {
        b"true" | b"True" => Some(true),
        b"false" | b"False" => Some(false),
        _ => None,
    }
}

/// As Erlang shows a string.
fn quoted(text: &[u8]) -> String {
    format!("\"{}\"", String::from_utf8_lossy(text).replace('\\', "\\\\").replace('"', "\\\""))
}

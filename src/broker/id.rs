//! The names that the broker gives: of sessions, messages, deliveries and temporary queues.

use std::fmt::{self, Write as _};

use super::{ConnId, Now};
use crate::Dialect;

/// A prefix that stays, and a number that changes: written without an allocation.
#[derive(Debug)]
pub(super) struct Numbered {
    text: String,
    prefix: usize,
}

impl Numbered {
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix: prefix.len(), text: prefix }
    }

    pub(super) fn text(&mut self, number: u64) -> &str {
        self.text.truncate(self.prefix);
        self.text.push_str(itoa::Buffer::new().format(number));
        &self.text
    }

    /// The number in a text that [`text`](Self::text) made.
    pub(super) fn number(&self, text: &[u8]) -> Option<u64> {
        number(text.strip_prefix(&self.text.as_bytes()[..self.prefix])?)
    }
}

/// Makes names that no other broker, and no earlier run of this one, has used.
#[derive(Debug)]
pub(super) struct Ids {
    broker: String,
    /// When this run began, in milliseconds.
    began: u64,
    /// `message-id`s.
    pub(super) messages: Numbered,
}

impl Ids {
    pub(super) fn new(now: Now) -> Self {
        let broker = format!("ID:{}-{:x}", super::SERVER_NAME, now.millis());
        Self { messages: Numbered::new(format!("{broker}:")), broker, began: now.millis() }
    }

    /// A session's name, of which those of its deliveries and temporary queues are made.
    pub(super) fn session(&self, connection: ConnId, dialect: Dialect) -> Session {
        let name = match dialect {
            // RabbitMQ's have 22 characters behind the dash.
            Dialect::RabbitMq => {
                format!("session-{:011x}{:011x}", self.began & 0xfff_ffff_ffff, connection.0)
            }
            _ => format!("{}-{}", self.broker, connection.0),
        };
        Session { name, began: self.began, connection: connection.0 }
    }
}

/// The name of one session.
#[derive(Debug)]
pub(super) struct Session {
    name: String,
    began: u64,
    connection: u64,
}

impl Session {
    /// What `ack` headers of this subscription begin with.
    pub(super) fn ack_prefix(&self, subscription: u64) -> String {
        format!("{}-{subscription}:", self.name)
    }

    /// What RabbitMQ's `message-id` and `ack` headers of this subscription begin with.
    pub(super) fn delivery_prefix(&self, tag: &[u8]) -> String {
        format!("{}@@{}@@", String::from_utf8_lossy(tag), self.name)
    }

    /// Twenty-two characters, for the name of something that this session makes: `number` counts them.
    pub(super) fn unique(&self, number: u64) -> String {
        format!(
            "{:06x}{:08x}{:08x}",
            self.began & 0xff_ffff,
            self.connection & 0xffff_ffff,
            number & 0xffff_ffff
        )
    }

    /// Subscription and delivery of an `ack` header of this session.
    pub(super) fn delivery(&self, ack: &[u8]) -> Option<(u64, u64)> {
        let rest = ack.strip_prefix(self.name.as_bytes())?.strip_prefix(b"-")?;
        let colon = memchr::memchr(b':', rest)?;
        Some((number(&rest[..colon])?, number(&rest[colon + 1..])?))
    }

    pub(super) fn temporary(&self, number: usize) -> String {
        let mut name = self.name.clone();
        write!(name, ":{number}").expect("a String takes all text");
        name
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Digits and nothing else, which `str::parse` alone does not insist on.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if plain { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

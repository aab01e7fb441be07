//! The broker in virtual time, without sockets. Tests are named after what they show; the letters in their
//! comments are lines of the project's STOMP checklist.

use std::time::{Duration, Instant, SystemTime};

use super::{Broker, BrokerConfig, ConnId, Now, Status};
use crate::Dialect;
use crate::stomp::{Command, Frame, Limits, Parser, Version};

mod acknowledging;
mod connecting;
mod dialects;
mod heart_beats;
mod limits;
mod messages;
mod queues;
mod rabbitmq;
mod random;
mod temporary;
mod topics;
mod transactions;

/// A broker and its clients.
struct Bed {
    broker: Broker,
    now: Now,
    parsers: std::collections::HashMap<ConnId, Parser>,
}

impl Bed {
    fn new() -> Self {
        Self::with(BrokerConfig::default())
    }

    fn with(config: BrokerConfig) -> Self {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000);
        let now = Now { monotonic: Instant::now(), wall };
        Self { broker: Broker::new(config, now), now, parsers: Default::default() }
    }

    /// A connection that has said nothing.
    fn accept(&mut self) -> ConnId {
        let id = self.broker.accept(self.now);
        self.parsers.insert(id, Parser::new(Limits::default()));
        id
    }

    /// A connection with a session in this version.
    fn connect(&mut self, version: &str) -> ConnId {
        let id = self.accept();
        self.put(id, &format!("CONNECT\naccept-version:{version}\nhost:/\n\n\0"));
        let connected = self.one(id);
        assert_eq!(connected.command, Command::Connected, "{connected:?}");
        self.parsers.get_mut(&id).unwrap().set_version(Version::parse(version.as_bytes()).unwrap());
        id
    }

    fn put(&mut self, id: ConnId, text: &str) {
        self.broker.received(id, self.now, text.as_bytes());
    }

    /// Sends and takes what comes back to the same client.
    fn ask(&mut self, id: ConnId, text: &str) -> Vec<Frame> {
        self.put(id, text);
        self.take(id)
    }

    fn send(&mut self, id: ConnId, destination: &str, body: &str) {
        self.put(id, &format!("SEND\ndestination:{destination}\n\n{body}\0"));
    }

    fn subscribe(&mut self, id: ConnId, name: &str, destination: &str, ack: &str) {
        self.put(id, &format!("SUBSCRIBE\nid:{name}\ndestination:{destination}\nack:{ack}\n\n\0"));
    }

    /// Writes a client's outbox out, until there is no more, and parses it.
    fn take(&mut self, id: ConnId) -> Vec<Frame> {
        let mut frames = Vec::new();
        let parser = self.parsers.get_mut(&id).unwrap();
        loop {
            let bytes = self.broker.outbox(id).to_vec();
            if bytes.is_empty() {
                return frames;
            }
            self.broker.sent(id, self.now, bytes.len());
            parser.feed(&bytes);
            while let Some(frame) = parser.next_frame().unwrap() {
                frames.push(frame);
            }
        }
    }

    fn one(&mut self, id: ConnId) -> Frame {
        let mut frames = self.take(id);
        assert_eq!(frames.len(), 1, "{frames:?}");
        frames.remove(0)
    }

    fn nothing(&mut self, id: ConnId) {
        assert_eq!(self.take(id), []);
    }

    /// The bodies of the messages that a client got.
    fn bodies(&mut self, id: ConnId) -> Vec<String> {
        self.take(id).iter().filter(|frame| frame.command == Command::Message).map(body).collect()
    }

    /// An ERROR that closes the connection.
    fn fatal(&mut self, id: ConnId) -> Frame {
        let error = self.take(id).pop().expect("an ERROR");
        assert_eq!(error.command, Command::Error, "{error:?}");
        assert!(!error.body.is_empty());
        assert_eq!(self.broker.status(id), Status::Closing);
        error
    }

    fn refused(&mut self, id: ConnId, text: &str) -> Frame {
        self.put(id, text);
        self.fatal(id)
    }

    fn closed(&mut self, id: ConnId) {
        self.broker.closed(id, self.now);
    }

    fn advance(&mut self, millis: u64) {
        let end = self.now.monotonic + Duration::from_millis(millis);
        while let Some(at) = self.broker.deadline().filter(|at| *at <= end) {
            self.move_to(at);
            self.broker.timer(self.now);
            assert!(
                self.broker.deadline().is_none_or(|next| next > at),
                "a deadline passes when it is served"
            );
        }
        self.move_to(end);
    }

    fn move_to(&mut self, at: Instant) {
        let passed = at.saturating_duration_since(self.now.monotonic);
        self.now.monotonic += passed;
        self.now.wall += passed;
    }

    fn waiting(&self, destination: &str) -> usize {
        self.broker.depth(destination).waiting
    }
}

fn header<'a>(frame: &'a Frame, name: &str) -> &'a str {
    frame.headers.text(name).unwrap_or_else(|| panic!("no header {name} in {frame:?}"))
}

fn message(frame: &Frame) -> &str {
    header(frame, "message")
}

fn body(frame: &Frame) -> String {
    String::from_utf8(frame.body.to_vec()).unwrap()
}

/// The ACK of a MESSAGE, in the way of the version.
fn ack(version: &str, frame: &Frame) -> String {
    answer("ACK", version, frame, "")
}

fn answer(command: &str, version: &str, frame: &Frame, more: &str) -> String {
    let escape = |text: &str| text.replace(':', "\\c");
    match version {
        "1.2" => format!("{command}\nid:{}\n{more}\n\0", escape(header(frame, "ack"))),
        "1.1" => format!(
            "{command}\nmessage-id:{}\nsubscription:{}\n{more}\n\0",
            escape(header(frame, "message-id")),
            header(frame, "subscription")
        ),
        _ => format!("{command}\nmessage-id:{}\n{more}\n\0", header(frame, "message-id")),
    }
}

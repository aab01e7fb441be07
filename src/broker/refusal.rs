//! Why a frame is refused, in words that help the author of the client.

use std::{borrow::Cow, fmt};

use super::{
    Broker, BrokerConfig, ConnId, Now, RefuseWhy,
    behaviour::Errors,
    connection::{Connection, Stage},
    wording::{Fault, Text},
};
use crate::{
    Dialect,
    stomp::{Command, ParseError, Shown, Version},
};

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is closed, as STOMP has it, unless the broker that is played goes on after such a fault.
    Closes,
    /// It stays open where the dialect has ERRORs that are about one frame. ActiveMQ keeps it open where it refuses a
    /// message (the requester's temporary queue is gone, an ACL, no room), so that one requester that is gone does not
    /// cost the others their replies.
    ByDialect,
    /// It stays open.
    StaysOpen,
    /// It is closed without an ERROR.
    ClosesSilently,
}

/// What becomes an ERROR frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The `message` header: one line.
    pub(super) message: Cow<'static, str>,
    /// The body: what to do about it.
    pub(super) advice: Cow<'static, str>,
    pub(super) fate: Fate,
    /// What a broker that is played may have words of its own for. `None`: only this broker refuses it, or only its bounds.
    pub(super) fault: Option<Box<Fault>>,
    /// Whether the message quotes what came, which belongs into no log.
    pub(super) quotes: bool,
}

impl Refusal {
    pub(super) fn new(message: impl Into<Cow<'static, str>>, advice: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            advice: advice.into(),
            fate: Fate::Closes,
            fault: None,
            quotes: false,
        }
    }

    /// RabbitMQ's about one frame: the connection stays open.
    pub(super) fn frame_error(message: &'static str, body: impl Into<Cow<'static, str>>) -> Self {
        Self { fate: Fate::StaysOpen, ..Self::new(message, body) }
    }

    /// RabbitMQ's about AMQP's channel, with which the connection is closed.
    pub(super) fn channel_error(message: &'static str, body: impl Into<Cow<'static, str>>) -> Self {
        Self::new(message, body)
    }

    /// Without an ERROR.
    pub(super) fn silent(message: impl Into<Cow<'static, str>>) -> Self {
        Self { fate: Fate::ClosesSilently, ..Self::new(message, "") }
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
        let fault = match error {
            ParseError::ContentLength { .. } => Some(Fault::Length),
            ParseError::UndefinedEscape { escape, .. } => Some(Fault::Escape(escape.clone())),
            _ => None,
        };
        Self { quotes: true, fault: fault.map(Box::new), ..Self::new(error.to_string(), advice) }
    }

    /// A header that the command cannot do without.
    pub(super) fn missing(command: &'static str, header: &'static str) -> Self {
        Self::new(
            format!("{command} without the header '{header}'"),
            format!("A {command} frame must have the header '{header}' in this version of STOMP."),
        )
        .with(Fault::Missing { command, header })
    }

    /// The same, of which other brokers have words of their own.
    pub(super) fn with(self, fault: Fault) -> Self {
        Self { fault: Some(Box::new(fault)), ..self }
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

    /// The broker's memory is used up, and no consumer would free it.
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
    pub(super) fn configured(why: RefuseWhy, name: &[u8], dialect: Dialect) -> Self {
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
        Self { fate: Fate::ByDialect, ..Self::new(message, advice) }
    }

    /// A temporary queue whose owner has gone.
    pub(super) fn gone(name: &[u8]) -> Self {
        let name = String::from_utf8_lossy(name);
        let id = name.trim_start_matches("/remote-temp-queue/");
        Self {
            fault: Some(Box::new(Fault::Gone(format!("temp-queue://{id}")))),
            message: format!("The destination {name} does not exist.").into(),
            advice:
                "A temporary queue lives as long as the connection that made it, and that one is closed. \
                     Nothing was sent; this connection stays open."
                    .into(),
            fate: Fate::ByDialect,
            quotes: false,
        }
    }
}

impl Refusal {
    /// Whether a connection of this version goes on.
    fn is_survived(&self, config: &BrokerConfig, stage: Stage, version: Version) -> bool {
        match self.fate {
            Fate::StaysOpen => true,
            Fate::ByDialect => config.dialect.survives_error(),
            Fate::ClosesSilently => false,
            Fate::Closes => match (self.fault.as_deref(), config.behaviour().errors) {
                (None, _) | (_, Errors::OfMessages) => false,
                (Some(fault), _) if fault.is_final() => false,
                (Some(fault), _) if fault.may_be_silent() && config.behaviour().silent_faults => false,
                (Some(Fault::Nack1_0 { .. }), Errors::Before1_2) => false,
                (_, Errors::All) => true,
                (_, Errors::Before1_2) => stage == Stage::Open && version < Version::V1_2,
            },
        }
    }
}

impl Connection {
    pub(super) fn error(&mut self, refusal: &Refusal, receipt: Option<&[u8]>, survivable: bool) {
        let new = matches!(self.stage, Stage::New(_));
        let mut encoder = self
            .frame(Command::Error)
            .header("message", refusal.message.as_bytes())
            .header("content-type", "text/plain");
        if let Some(receipt) = receipt {
            encoder = encoder.header("receipt-id", receipt);
        }
        if new {
            // For a client whose versions were refused; the others know it anyway.
            encoder = encoder.header("version", "1.0,1.1,1.2");
        }
        let body: Cow<'_, str> = if survivable {
            Cow::Borrowed(&refusal.advice)
        } else {
            format!("{}\nThe broker closes this connection.\n", refusal.advice).into()
        };
        encoder.body(body.as_bytes());
    }

    /// An ERROR in the words of the broker that is played.
    pub(super) fn error_in_words(&mut self, text: &Text, receipt: Option<&[u8]>) {
        // Artemis measures no body in 1.0, and nor does ActiveMQ any ERROR.
        let sized = self.version > Version::V1_0;
        let mut encoder = self.frame(Command::Error).header("message", text.message.as_bytes());
        if text.content_type {
            encoder = encoder.header("content-type", "text/plain");
        }
        if text.version {
            encoder = encoder.header("version", "1.0,1.1,1.2");
        }
        if let Some(receipt) = receipt.filter(|_| text.receipt) {
            encoder = encoder.header("receipt-id", receipt);
        }
        let body = text.body.as_deref().unwrap_or_default().as_bytes();
        if text.sized && sized { encoder.body(body) } else { encoder.text(body) }
    }
}

impl Broker {
    /// Answers with an ERROR, and gives the connection up unless it survives this one.
    pub(super) fn refuse(&mut self, id: ConnId, refusal: &Refusal, receipt: Option<&[u8]>, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let reason = if refusal.quotes { "unreadable" } else { &refusal.message };
        tracing::debug!(connection = id.0, reason = %Shown(reason.as_bytes()), "refused");
        let survives = refusal.is_survived(&self.config, connection.stage, connection.version);
        // An ERROR is an answer, too: it is the last one of a client that reads none where memory is full.
        let survives = survives && self.admit_answer(id, refusal.advice.len()).is_ok();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let fault = refusal.fault.as_deref();
        let text = fault.zip(self.config.played()).and_then(|(fault, dialect)| Text::of(fault, dialect));
        match text {
            _ if refusal.fate == Fate::ClosesSilently => {}
            _ if fault.is_some_and(Fault::may_be_silent) && self.config.behaviour().silent_faults => {}
            _ if self.config.dialect == Dialect::RabbitMq => {
                connection.error_as_rabbitmq(refusal);
                if let Some(receipt) = receipt.filter(|_| !survives) {
                    connection.receipt(receipt);
                }
            }
            Some(text) => connection.error_in_words(&text, receipt),
            // Which frame it was, and that the connection goes on, is said by the same brokers.
            None => {
                let receipt = receipt.filter(|_| self.config.dialect.survives_error());
                connection.error(refusal, receipt, survives);
            }
        }
        if survives {
            self.mark_changed(id);
        } else {
            self.close(id, now);
        }
    }
}

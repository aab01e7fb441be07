//! What can be configured of a server, with safe defaults.

use std::{num::NonZeroU32, time::Duration};

use crate::{
    http::Mapping,
    service::Policy,
    stomp::{HeartBeatOffer, Limits},
    uri::Brokers,
};

/// Where requests come from.
pub const DEFAULT_DESTINATION: &str = "/queue/wsgi";

/// A server's configuration: which broker, which destinations, and the bounds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The brokers of one cluster.
    pub brokers: Brokers,
    /// What to subscribe to; at least one.
    pub destinations: Vec<String>,
    /// Unacknowledged messages per destination; by default as many as the reactor has workers, and 16.
    pub prefetch: Option<NonZeroU32>,
    /// What we offer: a beat each way every 10 s. An inline reactor offers none of its own.
    pub heart_beat: HeartBeatOffer,
    /// For resolving, connecting and logging in, each: 10 s.
    pub connect_timeout: Duration,
    /// How long a stop waits for what runs: 30 s.
    pub drain_timeout: Duration,
    /// Before a failed message is tried again; doubles each time, up to 60 s: 1 s.
    pub retry_delay: Duration,
    /// Bounds on what the broker may send: a header of 1 MiB, 10,000 headers, 16 MiB of headers, 100 MiB of body.
    /// Wider than what brokers take, for a message beyond them ends the connection each time it is delivered.
    pub limits: Limits,
    /// How messages become requests, and replies messages.
    pub mapping: Mapping,
    /// What becomes of messages that fail.
    pub policy: Policy,
}

impl Config {
    /// The defaults, for these brokers.
    pub fn new(brokers: Brokers) -> Self {
        Self {
            brokers,
            destinations: vec![DEFAULT_DESTINATION.to_owned()],
            prefetch: None,
            heart_beat: HeartBeatOffer { send: Duration::from_secs(10), receive: Duration::from_secs(10) },
            connect_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
            retry_delay: Duration::from_secs(1),
            limits: Self::limits(),
            mapping: Mapping::default(),
            policy: Policy::default(),
        }
    }

    /// What the field of this name has by default.
    pub(crate) fn limits() -> Limits {
        Limits { header_line: 1 << 20, headers: 10_000, head: 16 << 20, ..Limits::default() }
    }

    /// Subscribes to these instead of the default.
    ///
    /// # Errors
    /// Where one of them cannot be a destination.
    pub fn destinations<S: Into<String>>(
        mut self,
        destinations: impl IntoIterator<Item = S>,
    ) -> Result<Self, DestinationError> {
        self.destinations = destinations.into_iter().map(Into::into).collect();
        for destination in &self.destinations {
            check_destination(destination)?;
        }
        Ok(self)
    }
}

/// What is wrong with a destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{destination}\" is no destination: {why}; use /queue/NAME or /topic/NAME")]
pub struct DestinationError {
    /// What was given.
    pub destination: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Checks a destination before a broker does, which may make a queue of a typing error without a word.
///
/// # Errors
/// Says what is wrong.
pub fn check_destination(destination: &str) -> Result<(), DestinationError> {
    // What brokers know: ActiveMQ, RabbitMQ, and bare names (a queue on both, an address on Artemis).
    const KINDS: [&str; 9] = [
        "queue",
        "topic",
        "temp-queue",
        "temp-topic",
        "remote-temp-queue",
        "reply-queue",
        "exchange",
        "amq",
        "dsub",
    ];
    let why = if destination.is_empty() {
        "it is empty"
    } else if destination.contains(|c: char| c.is_control() || c == ' ') {
        "it holds a space or a control character"
    } else if let Some(rest) = destination.strip_prefix('/') {
        match rest.split_once('/') {
            Some((kind, _)) if !KINDS.contains(&kind) => "brokers know no such kind",
            Some((_, "")) => "it has no name",
            Some(_) => return Ok(()),
            None => "it has no kind",
        }
    } else {
        return Ok(());
    };
    Err(DestinationError { destination: destination.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_checked() {
        for good in
            ["/queue/a", "/topic/a.b", "orders", "/temp-queue/x", "/exchange/e/key", "/amq/queue/x", "A.B"]
        {
            assert_eq!(check_destination(good), Ok(()), "{good}");
        }
        for bad in ["", "/", "/queue", "/queue/", "/qeue/a", "/queue/a b", "a\nb"] {
            assert!(check_destination(bad).is_err(), "{bad}");
        }
    }
}

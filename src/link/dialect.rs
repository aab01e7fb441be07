//! Where brokers differ, in one table.

use crate::config::Source;

/// What kind of broker is at the other end, by CONNECTED's `server` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub(crate) enum Dialect {
    /// ActiveMQ Classic, and whatever says nothing of itself; the development broker follows it.
    #[default]
    ActiveMq,
    /// RabbitMQ with its STOMP plugin.
    RabbitMq,
    /// ActiveMQ Artemis.
    Artemis,
}

impl Dialect {
    /// Reads CONNECTED's `server` header: `ActiveMQ/5.17.2`, `RabbitMQ/3.10.8`, `ActiveMQ-Artemis/2.31.0`.
    pub(crate) fn of(server: Option<&str>) -> Self {
        match server.and_then(|server| server.split(['/', ' ']).next()) {
            Some("RabbitMQ") => Self::RabbitMq,
            Some("ActiveMQ-Artemis" | "Artemis") => Self::Artemis,
            _ => Self::ActiveMq,
        }
    }

    /// The headers by which SUBSCRIBE asks for a window of `messages` unacknowledged messages.
    pub(crate) fn prefetch(self, messages: u32) -> (&'static str, u64) {
        match self {
            Self::ActiveMq => ("activemq.prefetchSize", messages.into()),
            Self::RabbitMq => ("prefetch-count", messages.into()),
            // Artemis counts octets; it sends the next message while the window is not used up.
            Self::Artemis => ("consumer-window-size", u64::from(messages) * 1024),
        }
    }

    /// The headers of SUBSCRIBE that choose messages, or have them kept while we are away.
    ///
    /// # Errors
    /// Says what this broker cannot do, and would leave out without a word.
    pub(crate) fn options(
        self,
        source: &Source,
        client: &str,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let mut headers = Vec::new();
        if let Some(selector) = &source.selector {
            if self == Self::RabbitMq {
                return Err(format!(
                    "RabbitMQ has no selectors: subscribe to {source} without one, or bind a topic (/topic/a.*.b)"
                ));
            }
            headers.push(("selector", selector.clone()));
        }
        if let Some(name) = &source.durable {
            match self {
                Self::ActiveMq => headers.push(("activemq.subscriptionName", name.clone())),
                Self::Artemis => headers.push(("durable-subscription-name", name.clone())),
                // A queue that outlives us. Its name would else be made of the subscription's id.
                Self::RabbitMq => headers.extend([
                    ("durable", "true".to_owned()),
                    ("auto-delete", "false".to_owned()),
                    ("x-queue-name", format!("{client}.{name}")),
                ]),
            }
        }
        Ok(headers)
    }

    /// The header that says who sent a message, and that the broker lets nobody forge.
    pub(crate) fn user_header(self) -> &'static str {
        match self {
            Self::RabbitMq => "user-id",
            Self::ActiveMq | Self::Artemis => "JMSXUserID",
        }
    }

    /// Whether a requester subscribes to its temporary queue itself, or the broker does at its first `reply-to`.
    pub(crate) fn subscribes_to_temporary_queues(self) -> bool {
        !matches!(self, Self::RabbitMq)
    }

    /// Whether messages say how long they live (`expiration`), and not until when (`expires`).
    pub(crate) fn expires_relatively(self) -> bool {
        matches!(self, Self::RabbitMq)
    }

    /// Whether an ACK within a transaction waits for its COMMIT.
    pub(crate) fn acks_in_transactions(self) -> bool {
        !matches!(self, Self::Artemis)
    }

    /// Whether the connection goes on after an ERROR that names one frame's receipt.
    pub(crate) fn survives_error(self) -> bool {
        matches!(self, Self::ActiveMq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_from_the_server_header() {
        for (server, dialect) in [
            (Some("ActiveMQ/5.17.2"), Dialect::ActiveMq),
            (Some("RabbitMQ/3.10.8"), Dialect::RabbitMq),
            (Some("ActiveMQ-Artemis/2.31.0 ActiveMQ Artemis Messaging Engine"), Dialect::Artemis),
            (Some("stomp-wsgi/0.1.0"), Dialect::ActiveMq),
            (None, Dialect::ActiveMq),
        ] {
            assert_eq!(Dialect::of(server), dialect, "{server:?}");
        }
    }
}

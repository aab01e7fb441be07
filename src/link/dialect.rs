//! Where brokers differ, in one table.

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

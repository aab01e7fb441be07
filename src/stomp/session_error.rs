//! What can go wrong between a client and a broker.
use std::time::Duration;

use super::{Command, ParseError, excerpt::complaint};

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// What the broker sent is no STOMP, or beyond the limits.
    #[error("the broker sent a bad frame: {0}")]
    Parse(#[from] ParseError),
    /// The broker answered CONNECT with ERROR.
    #[error("the broker refused the connection{}: {}", of(user), complaint(message, body))]
    Refused {
        /// The `login` of CONNECT, if there was one.
        user: Option<String>,
        /// The `message` header of the ERROR, or the first line of the body where there is none.
        message: String,
        /// The beginning of its body.
        body: String,
    },
    /// CONNECTED names a version that was not offered.
    #[error("the broker chose STOMP {version}, which was not offered")]
    VersionNotOffered {
        /// The version, cut short.
        version: String,
    },
    /// A frame that a broker does not send, or not then.
    #[error("the broker sent an unexpected {command}")]
    UnexpectedFrame {
        /// What it was.
        command: Command,
    },
    /// A frame lacks a header that it must have.
    #[error("the broker sent a {command} without the header {header}")]
    MissingHeader {
        /// The frame.
        command: Command,
        /// The header.
        header: &'static str,
    },
    /// The `heart-beat` header of CONNECTED cannot be read.
    #[error("the broker sent a heart-beat header that is not two whole numbers: \"{value}\"")]
    BadHeartBeat {
        /// The header's value, cut short.
        value: String,
    },
    /// Nothing has come for longer than the heart-beats allow.
    #[error("the broker has been silent for more than {} ms", .silence.as_millis())]
    PeerSilent {
        /// Twice the agreed interval.
        silence: Duration,
    },
    /// No CONNECTED in time.
    #[error("the broker did not answer CONNECT within {} ms", .timeout.as_millis())]
    ConnectTimeout {
        /// [`SessionConfig::connect_timeout`](super::SessionConfig::connect_timeout).
        timeout: Duration,
    },
}

fn of(user: &Option<String>) -> String {
    user.as_ref().map(|user| format!(" of user {user:?}")).unwrap_or_default()
}

//! The other side: a requester that sends HTTP requests as messages and takes their replies.
//!
//! - [`Call`], [`Part`]: what is sent, and what comes back.
//! - [`Workload`]: where calls come from and what becomes of them.
//! - [`Caller`]: the link that carries them, on any reactor.

mod caller;
mod structured;

use std::time::Duration;

use bytes::Bytes;

pub use caller::{Caller, CallerConfig};

/// One request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path and query, or absolute.
    pub target: String,
    /// HTTP headers; `Content-Type` among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Nobody waits for a reply (NOTIFY): done once the broker has it.
    pub one_way: bool,
    /// Take the reply block by block.
    pub stream: bool,
    /// Send one whole HTTP request as the body of the message, and take one whole response so: nothing of
    /// either is in the messages' headers. The reply is never a stream then. A request whose headers are more or longer
    /// than the broker takes (RabbitMQ: 100) is sent so in any case.
    pub structured: bool,
    /// Have the broker keep it over a restart.
    pub persistent: bool,
}

/// A reply, or a block of a streamed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// 0, 1, 2 ...
    pub sequence: u64,
    /// Whether others follow.
    pub more: bool,
    /// The reply is incomplete, or an error.
    pub is_error: bool,
    /// Status code and reason; on the first part.
    pub status: Option<(u16, String)>,
    /// HTTP headers; on the first part.
    pub headers: Vec<(String, String)>,
    /// The body, or a block of it.
    pub body: Bytes,
}

/// Why a call was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No reply, or no further part of one, came in time.
    #[error("no reply within {0:?}: does anything serve that destination?")]
    Timeout(Duration),
    /// A reply, or a part of one, is larger than is taken.
    #[error("a message of the reply has {octets} octets, and no more than {limit} are taken")]
    TooLarge {
        /// Of its body.
        octets: usize,
        /// The most that are taken.
        limit: usize,
    },
    /// Larger than [`CallerConfig::max_request`], or than the broker takes, which would end the connection.
    #[error("the request takes {octets} octets, and no more than {limit} are sent to this broker")]
    RequestTooLarge {
        /// Of the whole message.
        octets: usize,
        /// The most that are taken.
        limit: usize,
    },
    /// The broker takes no message with such headers, and a structured request takes no stream.
    #[error(
        "the request has more or longer headers than this broker takes, so its reply cannot be a stream: do not ask for one"
    )]
    Headers,
    /// A reply has more headers than are taken, or where it ends cannot be told.
    #[error("the head of a reply is too large, or its content-length is wrong")]
    Unreadable,
    /// The broker refused us, cannot be reached, or went away.
    #[error("{0}")]
    Broker(String),
}

/// Where calls come from, and what becomes of them. Calls are numbered from 0 in the order of
/// [`next`](Workload::next). Where the broker is lost, those in flight fail, and no more are asked for.
pub trait Workload: Send {
    /// The next call; asked while fewer than the limit wait. `None` is the end.
    fn next(&mut self) -> Option<Call>;
    /// A part of a reply came; for a one-way call, nothing ever does.
    fn part(&mut self, call: u64, part: Part);
    /// A call is done: answered in whole, taken by the broker (one-way), or failed.
    fn done(&mut self, call: u64, result: Result<(), CallError>);
}

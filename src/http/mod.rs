//! HTTP without the web: how a message becomes a request, and a response becomes messages.
//!
//! - [`Mapping`]: the configuration of both ways.
//! - [`Request`]: made from a MESSAGE frame by [`Mapping::request`]; what can be none is [`Rejected`].
//! - [`Head`]: status and headers, as an application gives them.
//! - [`Responder`]: turns head and blocks into encoded SEND frames, one for the whole reply or one for
//!   each block.
//! - [`answer()`], [`reject`], [`dead_letter()`]: messages that no application had a part in.
//!
//! Nothing here knows a socket, a thread or a connection. A request passes through like this:
//!
//! ```
//! use std::sync::Arc;
//! use stomp_wsgi::app::Reply as _;
//! use stomp_wsgi::http::{Head, Mapping, Responder, Status};
//! use stomp_wsgi::stomp::{Command, Frame, Version};
//!
//! let mapping = Mapping::default();
//! let frame = Frame {
//!     command: Command::Message,
//!     headers: [
//!         ("destination", "/queue/hello"),
//!         ("message-id", "7"),
//!         ("reply-to", "/queue/replies"),
//!         ("http_requestMethod", "GET"),
//!         ("http_requestUrl", "/greet?name=Ann"),
//!     ]
//!     .into_iter()
//!     .collect(),
//!     body: Default::default(),
//! };
//! let request = mapping.request(&frame, &Arc::from("broker:61613"), 1)?;
//! assert_eq!((&request.method[..], &request.path[..], &request.query[..]), ("GET", &b"/greet"[..], &b"name=Ann"[..]));
//!
//! let mut more = |_part| unreachable!("the request does not take a streamed reply");
//! let mut responder = Responder::new(Version::V1_2, &mapping, &request, "receipt-1", &mut more);
//! responder.start(Head::new(Status::of(200)));
//! let _ = responder.block(b"Hello, Ann");
//! let finished = responder.finish(Ok(()));
//! assert_eq!((finished.status, finished.body_len), (200, 10));
//! assert!(finished.bytes.starts_with(b"SEND\ndestination:/queue/replies\n"));
//! # Ok::<(), stomp_wsgi::http::Rejected>(())
//! ```

mod answer;
mod dead_letter;
mod envelope;
mod fields;
mod framing;
mod mapping;
mod metadata;
mod name;
mod rejected;
mod reply_head;
mod reply_to;
mod request;
mod reserved;
mod responder;
mod response;
mod structured;
mod target;
mod whole;

pub use answer::{answer, reject};
pub use dead_letter::dead_letter;
pub use mapping::Mapping;
pub use name::HeaderNames;
pub use rejected::{Reason, Rejected};
pub use reply_to::ReplyToError;
pub use request::{Delivery, Request};
pub(crate) use reserved::is_reserved;
pub use responder::{Fault, Finished, Responder};
pub use response::{Head, InvalidHead, Status};
pub use structured::InvalidMessage;
pub use target::InvalidTarget;

#[cfg(test)]
mod tests;

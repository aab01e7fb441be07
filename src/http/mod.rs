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
//!     cut: None,
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
//!
//! # Structured mode
//!
//! A message of the type `application/http` (`msgtype=request`, which may be left out) has one whole HTTP
//! request as its body, and is answered by one message whose body is one whole response
//! (`application/http; msgtype=response`). Nothing of either is lost to what brokers do to headers: names,
//! repeats and order arrive as they were sent. The reply's own headers are only what selectors and
//! requesters go by: `http_statusCode`, `http_reasonPhrase`, `http_isError`. Errors are answered in kind, and
//! `http_acceptStream` does not count: one response is one message.
//!
//! What RFC 9112 says of messages holds, but for what concerns connections:
//!
//! | request | here | RFC 9112 |
//! |---|---|---|
//! | version | 1.0 or 1.1; 505 else | 2.3 |
//! | empty lines before the first, LF without CR | taken | 2.2 |
//! | target | as in property mode | 3.2 |
//! | Host | may be missing: a message needs none to arrive. Several, or what can be no host: 400 | 3.2 |
//! | folded lines, blanks before a colon, CR, NUL | 400 | 5.1, 5.2 |
//! | more than 500 headers, or 1 MiB of them | 431 | (RFC 6585, 5) |
//! | Transfer-Encoding `chunked` | is undone; extensions and trailers are dropped | 7.1 |
//! | another coding before it; another one last, or in HTTP/1.0 | 501; 400 | 6.1, 6.3 |
//! | Connection, what it names, and other hop-by-hop headers | are left out of [`Request::headers`] | (RFC 9110, 7.6.1) |
//! | Content-Length, not what is there; several that differ; next to Transfer-Encoding | 400 | 6.2, 6.3 |
//! | neither | no body; octets that are there all the same: 400 | 6.3 |
//! | `Expect: 100-continue` | passes, and nobody waits | (RFC 9110, 10.1.1) |
//!
//! Repeats are joined in [`Request::headers`], as CGI wants it, and apart in [`Request::raw_headers`].
//!
//! The response has the application's headers as they are. Content-Length is added where there is none; with
//! HEAD and 304 it is the application's or missing; 1xx and 204 have none (RFC 9110, 8.6). There is no Date,
//! no Connection, no Transfer-Encoding. A body that is shorter than the application's Content-Length leaves
//! with that Content-Length and `http_isError=true`: whoever reads the response finds it incomplete (RFC
//! 9112, 8). Of what a broker limits, [`Mapping::max_reply`] alone concerns it.

mod answer;
mod dead_letter;
mod envelope;
mod fields;
mod form;
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

pub use answer::{answer, break_off, reject};
pub use dead_letter::dead_letter;
pub use form::{EmptyJms, ReplyBody};
pub use mapping::Mapping;
pub use name::HeaderNames;
pub(crate) use rejected::check_reply;
pub use rejected::{Reason, Rejected};
pub use reply_to::{Destinations, ReplyToError};
pub(crate) use reply_to::{canonical, check_dead_letter, harmless, sent_to};
pub use request::{Delivery, Request};
pub(crate) use reserved::is_reserved;
pub use responder::{Fault, Finished, Responder};
pub(crate) use response::decimal;
pub use response::{Head, HeadParts, InvalidHead, Status};
pub use structured::InvalidMessage;
pub use target::InvalidTarget;

#[cfg(test)]
mod tests;

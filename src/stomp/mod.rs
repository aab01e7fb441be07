//! STOMP 1.0, 1.1 and 1.2 without sockets, clocks or threads: bytes in, frames out, and back.
//!
//! - [`Frame`], [`Command`], [`Headers`]: what travels.
//! - [`Parser`]: bytes to frames, incremental, bounded by [`Limits`]; no octet is scanned twice.
//! - [`Encoder`]: frames to bytes, appended to a buffer, without an intermediate frame.
//! - [`HeartBeat`]: when to send a beat, and when the peer counts as dead.
//! - [`Session`]: the client's side of a connection: CONNECT, version, heart-beats, frames.
//!
//! Specification: <https://stomp.github.io/stomp-specification-1.2.html>. Header names and values are bytes
//! here: UTF-8 by the specification, which a peer may break without harm to us.

mod encoder;
mod excerpt;
mod frame;
mod headers;
mod heartbeat;
#[cfg_attr(not(feature = "broker"), allow(dead_code, reason = "only the development broker plays others"))]
mod laxity;
mod limits;
mod parse_error;
mod parser;
mod secrets;
mod session;
mod session_error;
mod tolerance;

pub use encoder::Encoder;
pub(crate) use excerpt::Shown;
pub use frame::{Command, Cut, Frame, Version};
pub(crate) use headers::Builder;
pub use headers::Headers;
pub use heartbeat::{HeartBeat, HeartBeatError, HeartBeatOffer};
#[cfg(feature = "broker")]
pub(crate) use laxity::{Laxity, NoColon, NoNul};
pub use limits::Limits;
pub use parse_error::ParseError;
pub use parser::Parser;
pub(crate) use secrets::Secrets;
pub use session::{Connected, Event, Session, SessionConfig};
pub use session_error::SessionError;
pub use tolerance::{Flaws, Lengths};

#[cfg(test)]
mod tests;

//! Serves Python WSGI applications from a STOMP message broker.
//!
//! ```text
//! broker -> bytes -> STOMP frame -> Request -> environ -> app(environ, start_response)
//! broker <- bytes <- STOMP frame <- Response <- status, headers, chunks of bytes
//! ```
//!
//! Where things are:
//!
//! - [`reactors`] (a crate of its own): connects, moves bytes, keeps time, runs jobs; four models.
//! - [`dispatcher`]: joins a [`config`], an [`app`] and a reactor; [`select`] finds a reactor by name.
//! - [`stomp`]: bytes to frames and back. `link`: what a connection does with frames.
//! - [`http`]: messages to requests, responses to messages. [`service`]: one message, answered.
//! - [`client`]: the other side, a requester. [`uri`]: where brokers are.
//! - `broker` (feature `broker`): the development broker. `cli` (feature `cli`): the command. `bench` (feature `bench`):
//!   what the reactors cost, measured.

mod activity;
pub mod app;
#[cfg(feature = "bench")]
pub mod bench;
#[cfg(feature = "broker")]
pub mod broker;
#[cfg(feature = "cli")]
pub mod cli;
pub mod client;
pub mod config;
pub mod dispatcher;
pub mod http;
mod link;
pub mod select;
pub mod service;
pub mod stomp;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
pub mod tls;
pub mod uri;

pub use link::{Dialect, UnknownDialect};
pub use reactors;

//! Links to a broker: state machines that a reactor drives.
//!
//! - [`Connection`]: failover, backoff, session and outbox; what every link is made of.
//! - [`Worker`]: takes requests from queues, has them served, and settles them.
//! - [`Ledger`]: what a worker was given and has not yet acknowledged.
//! - [`company`]: which ACKs wait for something to go with.
//! - [`suspects`]: whose answer it may be that ends connections.
//! - [`refusals`]: what an ERROR about one frame means, and where dead letters are refused.
//! - [`Probe`]: looks for a broker of choice while workers are with another.
//! - [`Dialect`]: where brokers differ.
//!
//! Nothing here has a socket, a clock or a thread.

mod company;
mod connection;
mod dialect;
mod ledger;
mod outbox;
mod priority;
mod refusals;
mod suspects;
mod worker;

#[cfg(test)]
mod tests;

use company::Company;
pub(crate) use connection::{Connection, ConnectionConfig, Event};
pub use dialect::{Dialect, UnknownDialect};
#[cfg(feature = "broker")]
pub(crate) use dialect::{Expiry, Nack, Row, Transactions};
pub(crate) use dialect::{Replies, is_topic, kept_in};
pub(crate) use ledger::Ledger;
pub(crate) use outbox::Outbox;
pub(crate) use priority::Probe;
pub(crate) use worker::{Fatal, Worker, WorkerConfig};

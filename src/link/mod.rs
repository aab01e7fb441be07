//! Links to a broker: state machines that a reactor drives.
//!
//! - [`Connection`]: failover, backoff, session and outbox; what every link is made of.
//! - [`Worker`]: takes requests from queues, has them served, and settles them.
//! - [`Ledger`]: what a worker was given and has not yet acknowledged.
//! - [`company`]: which ACKs wait for something to go with.
//! - [`suspects`]: whose answer it may be that ends connections; [`quarantine`]: how it is sent.
//! - [`redelivered`]: what was delivered before, to a server that may have died of it.
//! - [`identity`]: what a message is known by when it is delivered again.
//! - [`refusals`]: what an ERROR about one frame means, and where dead letters are refused.
//! - [`Probe`]: looks for a broker of choice while workers are with another.
//! - [`Dialect`]: where brokers differ; [`destination`]: what they refuse to send to.
//! - [`jms`]: what ActiveMQ does to the bodies of JMS messages.
//!
//! Nothing here has a socket, a clock or a thread.

mod company;
mod connection;
mod destination;
mod dialect;
mod identity;
pub(crate) mod jms;
mod ledger;
mod outbox;
mod priority;
mod quarantine;
mod redelivered;
mod refusals;
mod suspects;
mod unreadable;
mod worker;

#[cfg(test)]
mod tests;

use company::Company;
pub(crate) use connection::{Connection, ConnectionConfig, Event};
pub use dialect::{Dialect, UnknownDialect};
pub(crate) use dialect::{FrameLimits, Replies, TEMPORARY_QUEUE, is_topic, kept_in};
#[cfg(feature = "broker")]
pub(crate) use dialect::{Nack, Routing, Transactions};
pub(crate) use jms::Jms;
pub(crate) use ledger::Ledger;
pub(crate) use outbox::Outbox;
pub(crate) use priority::Probe;
pub(crate) use redelivered::{Earlier, Known};
pub(crate) use worker::{Fatal, WITHDRAWAL, Worker, WorkerConfig};

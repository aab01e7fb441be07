//! A small message broker in memory, for development and tests.
//!
//! It speaks STOMP 1.0, 1.1 and 1.2 in ActiveMQ's way: queues, topics, temporary queues with `reply-to`, the
//! three ack modes, NACK to `/queue/DLQ.<queue>`, transactions, receipts, heart-beats, expiry, prefetch windows,
//! redelivery, browsers. It keeps nothing: when it ends, every message is gone, `persistent` or not.
//!
//! Not here, and refused rather than ignored: durable subscriptions, wildcards, composite destinations,
//! temporary topics, exclusive and no-local consumers, and selectors other than `name = 'text'`. Priorities and
//! message groups are carried, and have no effect. There is no TLS.
//!
//! Told to ([`BrokerConfig::with_dialect`]) it plays another broker, for tests of how a client gets on with it. RabbitMQ is
//! unlike the others in most of what a frame does, and has a folder of its own.
//!
//! [`Broker`] is all of it, without sockets, clocks or threads. [`BrokerServer`] puts it on a TCP port:
//!
//! ```
//! use stomp_wsgi::broker::{BrokerConfig, BrokerServer};
//!
//! # fn main() -> std::io::Result<()> {
//! let server = BrokerServer::bind(([127, 0, 0, 1], 0).into(), BrokerConfig::default())?;
//! let broker = server.spawn()?;
//! println!("clients connect to {}", broker.local_addr());
//! assert_eq!(broker.depth("/queue/orders").waiting, 0);
//! // The broker ends with its handle.
//! # Ok(())
//! # }
//! ```
//!
//! | file | what |
//! |---|---|
//! | `core` | [`Broker`]: what happens from outside |
//! | `commands`, `sends`, `acks` | what each frame does |
//! | `delivery` | from queues and topics to consumers, and back |
//! | `flow` | bounded memory: which producers wait, which are refused |
//! | `rabbitmq/` | the same, where RabbitMQ is played |
//! | `behaviour`, `wording` | where ActiveMQ and Artemis differ: what they do, and what they say |
//! | `layout` | which headers a MESSAGE has, in which order |
//! | `connection`, `subscription`, `queue`, `topic`, `transaction`, `message` | the things themselves |
//! | `net`, `sockets` | [`BrokerServer`]: sockets, clock and thread |

mod acks;
mod behaviour;
mod commands;
mod config;
mod connection;
mod core;
mod delivery;
mod destination;
mod flow;
mod id;
mod layout;
mod liveness;
mod message;
mod net;
mod outbox;
mod queue;
mod rabbitmq;
mod refusal;
mod selector;
mod sends;
mod sockets;
mod subscription;
mod topic;
mod transaction;
mod wording;

#[cfg(test)]
mod tests;

use crate::Dialect;

pub use self::{
    config::{BrokerConfig, Credentials, Refuse, RefuseWhy},
    core::{Broker, ConnId, Now, Status},
    net::{BrokerHandle, BrokerServer},
    queue::Depth,
};

/// The name by which clients know that this broker behaves as ActiveMQ does: CONNECTED says
/// `server:stomp-wsgi-dev/<version>`.
pub const SERVER_NAME: &str = "stomp-wsgi-dev";

const SERVER: &str = concat!("stomp-wsgi-dev/", env!("CARGO_PKG_VERSION"));

/// CONNECTED's `server`: our own name, or that of the broker that is played, in the version whose limits it has.
fn server(dialect: Dialect) -> String {
    let version = match dialect {
        Dialect::ActiveMq => return SERVER.to_owned(),
        Dialect::RabbitMq => 4,
        Dialect::Artemis => 0,
    };
    format!("{}/{version} ({SERVER})", dialect.row().servers[0])
}

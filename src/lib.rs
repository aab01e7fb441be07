//! Serves Python WSGI applications from a STOMP message broker.
#[cfg(feature = "broker")]
pub mod broker;
pub mod stomp;

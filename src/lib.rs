//! Serves Python WSGI applications from a STOMP message broker.
pub mod stomp;

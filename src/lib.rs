//! Serves Python WSGI applications from a STOMP message broker.
pub mod app;
pub mod http;
pub mod stomp;

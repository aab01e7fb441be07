//! A build without TLS (feature `tls`): there is nothing to connect with.

use std::fmt;

use crate::link::Outbox;

/// Cannot be had in this build.
#[derive(Debug, Clone, PartialEq)]
pub enum Tls {}

impl Tls {
    pub(crate) fn system() -> Result<Self, String> {
        Err("this build has no TLS (feature `tls`)".to_owned())
    }

    pub(crate) fn connect(&self, _host: &str) -> Result<Stream, TlsError> {
        match *self {}
    }
}

/// Cannot occur in this build.
#[derive(Debug)]
pub(crate) enum TlsError {}

impl TlsError {
    pub(crate) fn is_refusal(&self) -> bool {
        match *self {}
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

pub(crate) enum Stream {}

impl Stream {
    pub(crate) fn open(&mut self, _bytes: &[u8], _plain: &mut Vec<u8>) -> Result<(), TlsError> {
        match *self {}
    }

    pub(crate) fn seal(&mut self, _plain: &mut Outbox) -> Result<(), TlsError> {
        match *self {}
    }

    pub(crate) fn is_closed(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        match *self {}
    }

    pub(crate) fn take(&mut self, _sent: usize) {
        match *self {}
    }
}

//! The client's side of one connection.
use super::{Frame, Limits, Version};
use std::time::{Duration, Instant};

#[derive(Debug, Clone)] // Debug must redact
pub struct SessionConfig {
    pub host: String,
    pub login: Option<String>,
    pub passcode: Option<String>,
    pub client_id: Option<String>,
    pub versions: Vec<Version>,
    pub heart_beat: super::heartbeat::HeartBeatOffer,
    pub limits: Limits,
    pub connect_timeout: Duration, /* CONNECTED must come within */
}

pub struct Connected {
    pub version: Version,
    pub server: Option<String>,
    pub session: Option<String>,
    pub heart_beat: super::heartbeat::HeartBeatOffer,
}

pub enum Event {
    Connected(Connected),
    Message(Frame),
    Receipt(bytes::Bytes),
    Error(Frame),
}

#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
#[error("")]
pub enum SessionError {} // Parse, Refused{message, body} (ERROR before CONNECTED), VersionNotOffered, UnexpectedFrame, BadHeartBeat, PeerSilent, ConnectTimeout

pub struct Session {}
impl Session {
    /// Starts: appends CONNECT to out.
    pub fn connect(_config: &SessionConfig, _now: Instant, _out: &mut Vec<u8>) -> Self {
        todo!()
    }
    pub fn received(&mut self, _now: Instant, _bytes: &[u8]) {
        todo!()
    }
    /// Call until None after received.
    pub fn next_event(&mut self) -> Result<Option<Event>, SessionError> {
        todo!()
    }
    pub fn sent(&mut self, _now: Instant) {
        todo!()
    }
    /// Sends a beat into out when due and `out` is empty; Err(PeerSilent | ConnectTimeout)
    pub fn timer(&mut self, _now: Instant, _out: &mut Vec<u8>) -> Result<(), SessionError> {
        todo!()
    }
    pub fn deadline(&self) -> Option<Instant> {
        todo!()
    }
    pub fn version(&self) -> Version {
        todo!()
    }
    pub fn is_connected(&self) -> bool {
        todo!()
    }
}

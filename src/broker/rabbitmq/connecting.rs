//! CONNECT, and what a connection is to RabbitMQ.

use std::time::Duration;

use super::{
    super::{
        Broker, ConnId, Now,
        connection::{Connection, Stage},
        liveness::Liveness,
        refusal::Refusal,
        subscription::Subscription,
    },
    subscriptions::{TAG_OF_DESTINATION, TAG_OF_ID},
    unexpected,
};
use crate::stomp::{Command, Headers, HeartBeatOffer, Version};

/// The login and passcode of a client that names none.
const DEFAULT_USER: &[u8] = b"guest";

impl Broker {
    pub(super) fn connect_as_rabbitmq(
        &mut self,
        id: ConnId,
        headers: &Headers,
        now: Now,
    ) -> Result<(), Refusal> {
        if self.connections[&id].stage == Stage::Open {
            // It does not expect that, and leaves.
            return Err(Refusal::silent("already connected"));
        }
        // No blanks between them, and none around.
        let offered = headers.get("accept-version").unwrap_or(b"1.0");
        let version = offered.split(|b| *b == b',').filter_map(Version::parse).max().ok_or_else(|| {
            Refusal::frame_error("Version mismatch", "Supported versions are 1.0,1.1,1.2\n")
        })?;
        let login = headers.get("login").unwrap_or(DEFAULT_USER);
        let passcode = headers.get("passcode").unwrap_or(DEFAULT_USER);
        let admitted =
            self.config.credentials.as_ref().is_none_or(|known| known.admit(Some(login), Some(passcode)));
        if !admitted {
            let login = String::from_utf8_lossy(login);
            return Err(Refusal::frame_error("Bad CONNECT", format!("Access refused for user '{login}'\n")));
        }
        if let Some(host) = headers.get("host").filter(|host| *host != b"/") {
            let host = String::from_utf8_lossy(host);
            return Err(Refusal::frame_error("Bad CONNECT", format!("Virtual host '{host}' access denied")));
        }
        let theirs = match headers.get("heart-beat") {
            Some(value) => HeartBeatOffer::parse(value).map_err(|_| unexpected())?,
            None => HeartBeatOffer::default(),
        };
        let ours = HeartBeatOffer { send: seconds(theirs.receive), receive: seconds(theirs.send) };
        // It goes by its own numbers, whatever the client promised.
        let theirs = HeartBeatOffer { send: ours.receive, receive: ours.send };
        let user = String::from_utf8_lossy(login).into_owned();
        self.open_session(id, version, Liveness::new(ours, theirs, None, now.monotonic), Some(ours), user);
        Ok(())
    }
}

impl Connection {
    /// The subscription of RabbitMQ's consumer tag.
    pub(in crate::broker) fn tagged(&self, tag: &[u8]) -> Option<u64> {
        let named = |s: &Subscription| match &s.id {
            Some(id) => tag.strip_prefix(TAG_OF_ID) == Some(id),
            None => tag.strip_prefix(TAG_OF_DESTINATION) == Some(&s.destination),
        };
        self.subscriptions.iter().find(|(_, s)| !s.ended && named(s)).map(|(number, _)| *number)
    }

    /// Tells the client that a subscription is over, since its queue was deleted (RabbitMQ).
    pub(in crate::broker) fn cancelled(&mut self, subscription: u64) {
        let Some(subscription) = self.subscriptions.get(&subscription) else { return };
        let (what, name) = match &subscription.id {
            Some(id) => ("id", id.clone()),
            None => ("destination", subscription.destination.clone()),
        };
        let shown = String::from_utf8_lossy(&name);
        let body = format!(
            "The server has canceled a subscription.\nNo more messages will be delivered for \"{what}='{shown}'\".\n"
        );
        self.frame(Command::Error)
            .header("message", "Server cancelled subscription")
            .header("content-type", "text/plain")
            .header("version", "1.0,1.1,1.2")
            .header("subscription", &name)
            .body(body.as_bytes());
    }

    /// RabbitMQ's ERROR, which names no receipt.
    pub(in crate::broker) fn error_as_rabbitmq(&mut self, refusal: &Refusal) {
        self.frame(Command::Error)
            .header("message", refusal.message.as_bytes())
            .header("content-type", "text/plain")
            .header("version", "1.0,1.1,1.2")
            .body(refusal.advice.as_bytes());
    }
}

/// Whole seconds, and one at least.
fn seconds(interval: Duration) -> Duration {
    if interval.is_zero() { interval } else { Duration::from_secs(interval.as_secs().max(1)) }
}

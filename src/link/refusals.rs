//! What an ERROR about one frame means, and where dead letters are refused.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::stomp::Frame;

/// Why a broker refused one frame, where the connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The destination does not exist: a temporary queue, whose connection is closed. Nobody waits there.
    Gone,
    /// There is no room now: a limit of memory or of disk.
    NoRoom,
    /// Anything else, such as an ACL.
    Other,
}

impl Refusal {
    /// Reads an ERROR of ActiveMQ's. Its body is the exception's text, and the name of its class before that, unless it
    /// is a SecurityException. A name that the requester chose stands at the end of it, so the beginning counts.
    pub(super) fn of(error: &Frame) -> Self {
        const GONE: [&[u8]; 3] = [
            b"org.apache.activemq.DestinationDoesNotExistException:",
            b"javax.jms.InvalidDestinationException: Cannot publish to a deleted Destination:",
            b"jakarta.jms.InvalidDestinationException: Cannot publish to a deleted Destination:",
        ];
        const NO_ROOM: [&[u8]; 2] =
            [b"javax.jms.ResourceAllocationException:", b"jakarta.jms.ResourceAllocationException:"];
        let message = error.headers.get("message").unwrap_or_default();
        let begins = |texts: &[&[u8]]| texts.iter().any(|text| error.body.starts_with(text));
        let absent = message.starts_with(b"The destination ") && message.ends_with(b" does not exist.");
        if begins(&GONE) || absent {
            Self::Gone
        } else if begins(&NO_ROOM) || message.starts_with(b"Usage Manager ") {
            Self::NoRoom
        } else {
            Self::Other
        }
    }
}

/// What was refused of one message.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Refused {
    /// How often its reply was.
    pub(super) replies: u32,
    /// How often its dead letter was.
    pub(super) letters: u32,
    /// Since then the broker has taken a reply to somebody else.
    pub(super) others_served: bool,
}

/// How often a reply is sent in all where the broker refuses it, and where it has no room for it; and a dead letter.
pub(super) const REPLY_SENDS: u32 = 5;
pub(super) const NO_ROOM_SENDS: u32 = 7;
pub(super) const LETTER_SENDS: u32 = 3;
/// Every so many tries there is an ERROR in the log, where messages without a place take the places of others.
pub(super) const COMPLAINT: u32 = 30;
/// The pause between two of its tries then.
pub(super) const NO_ROOM_DELAY: Duration = Duration::from_secs(10);

/// The delay after a reply was refused so many times: 0.1, 0.4, 1.6, 6.4, 10 s.
pub(super) fn reply_delay(refused: u32) -> Duration {
    (Duration::from_millis(100) * 4_u32.pow(refused.clamp(1, REPLY_SENDS) - 1)).min(NO_ROOM_DELAY)
}

/// The delay after a dead letter was: 1, 4 s.
pub(super) fn letter_delay(refused: u32) -> Duration {
    Duration::from_secs(1) * 4_u32.pow(refused.clamp(1, LETTER_SENDS) - 1)
}

/// Destinations to which the broker lets us send no dead letters. Until they are tried again their messages are refused
/// by NACK at once, so that the broker keeps them, and requests do not wait for them.
#[derive(Debug, Default)]
pub(super) struct Refusing {
    destinations: HashMap<String, Closed>,
}

#[derive(Debug, Clone, Copy)]
struct Closed {
    until: Instant,
    pause: Duration,
}

/// The first pause before such a destination is tried again, and the longest: it doubles.
const PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Destinations that are remembered; beyond them we begin anew.
const MOST: usize = 100;

impl Refusing {
    /// Whether nothing is to be sent there now.
    pub(super) fn is_closed(&self, destination: &str, now: Instant) -> bool {
        self.destinations.get(destination).is_some_and(|closed| now < closed.until)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.destinations.is_empty()
    }

    /// The broker refuses what is sent there. Gives for how long nothing is.
    pub(super) fn close(&mut self, destination: &str, now: Instant) -> Duration {
        if self.destinations.len() >= MOST && !self.destinations.contains_key(destination) {
            self.destinations.clear();
        }
        let closed = self.destinations.entry(destination.to_owned());
        let closed = closed
            .and_modify(|closed| {
                if now >= closed.until {
                    closed.pause = (closed.pause * 2).min(LONGEST_PAUSE);
                    closed.until = now + closed.pause;
                }
            })
            .or_insert(Closed { until: now + PAUSE, pause: PAUSE });
        closed.pause
    }

    /// The broker has taken one.
    pub(super) fn open(&mut self, destination: &str) {
        self.destinations.remove(destination);
    }
}

/// Whether an ERROR that ends the connection is about the dead letters to `destination`: RabbitMQ names the queue, or
/// says that access was refused when nothing but such letters was on its way.
pub(super) fn blames(error: &Frame, said: &str, destination: &str, alone: bool) -> bool {
    let name = destination.rsplit('/').next().unwrap_or(destination);
    let named = !name.is_empty() && said.contains(&format!("queue '{name}'"));
    let refused = error.headers.get("message") == Some(b"access_refused");
    named || refused && alone
}

/// Why a broker refuses a SUBSCRIBE, where it will do so each time until somebody changes something.
pub(super) fn is_lasting(error: &Frame, said: &str) -> bool {
    // RabbitMQ: a queue declared with other arguments, an ACL, or a name that is none.
    let kinds: [&[u8]; 4] =
        [b"precondition_failed", b"access_refused", b"Unknown destination", b"Invalid destination"];
    let kind = error.headers.get("message").unwrap_or_default();
    // ActiveMQ: `User ann is not authorized to read from: queue://orders`.
    kinds.contains(&kind) || said.contains(" is not authorized to ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stomp::Command;

    fn error(message: &str, body: &'static str) -> Frame {
        let headers = [("message", message)].into_iter().collect();
        Frame { command: Command::Error, headers, body: body.into(), cut: None }
    }

    /// As ActiveMQ 5.17.2 wrote them.
    #[test]
    fn only_a_destination_that_does_not_exist_means_that_the_requester_has_gone() {
        for (message, body, refusal) in [
            (
                "temp-queue://ID:h-1:1",
                "org.apache.activemq.DestinationDoesNotExistException: The destination temp-queue://ID:h-1:1 does \
                 not exist.\n\tat org",
                Refusal::Gone,
            ),
            ("The destination /remote-temp-queue/ID:1 does not exist.", "advice", Refusal::Gone),
            (
                "Cannot publish to a deleted Destination: temp-queue://ID:1",
                "javax.jms.InvalidDestinationException: Cannot publish to a deleted Destination: temp-queue://ID:1",
                Refusal::Gone,
            ),
            (
                "Usage Manager Memory Limit reached on queue://a. See http://activemq.apache.org/",
                "javax.jms.ResourceAllocationException: Usage Manager Memory Limit reached on queue://a.",
                Refusal::NoRoom,
            ),
            (
                "Persistent store is Full, 100% of 1. Stopping producer (ID:x) to prevent flooding queue://a.",
                "jakarta.jms.ResourceAllocationException: Persistent store is Full",
                Refusal::NoRoom,
            ),
            (
                "User guest is not authorized to write to: queue://a",
                "User guest is not authorized to write to: queue://a",
                Refusal::Other,
            ),
            // What the requester calls his queue is no word of the broker's.
            (
                "User guest is not authorized to write to: queue://The destination a does not exist.",
                "User guest is not authorized to write to: queue://The destination a does not exist.",
                Refusal::Other,
            ),
            (
                "Unsupported message type 'x'",
                "org.apache.activemq.transport.stomp.ProtocolException: Unsupported message type 'x'",
                Refusal::Other,
            ),
            ("", "", Refusal::Other),
        ] {
            assert_eq!(Refusal::of(&error(message, body)), refusal, "{message}");
        }
    }

    #[test]
    fn a_destination_that_refuses_is_tried_again_more_and_more_rarely() {
        let (mut refusing, begun) = (Refusing::default(), Instant::now());
        assert!(!refusing.is_closed("a", begun));
        assert_eq!(refusing.close("a", begun), PAUSE);
        assert_eq!(refusing.close("a", begun + PAUSE / 2), PAUSE, "what was on its way then");
        assert!(refusing.is_closed("a", begun + PAUSE / 2) && !refusing.is_closed("b", begun));
        assert!(!refusing.is_closed("a", begun + PAUSE));
        assert_eq!(refusing.close("a", begun + PAUSE), 2 * PAUSE);
        refusing.open("a");
        assert!(!refusing.is_closed("a", begun + PAUSE));
        for number in 0..10 * MOST {
            refusing.close(&number.to_string(), begun);
        }
        assert!(refusing.destinations.len() <= MOST);
    }
}

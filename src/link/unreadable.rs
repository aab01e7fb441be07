//! Messages behind which a connection cannot be read on, each time that they are delivered: the last resort for what
//! the parser does not tolerate.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, Hasher, RandomState},
};

use crate::stomp::{Frame, Headers};

/// Connections that a message may end before it is settled unread.
const STRIKES: u32 = 2;
/// Messages that are remembered; beyond them we begin anew.
const MOST: usize = 1000;

/// Counts the connections that ended in the parser, by the message that came last. It outlives them.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    strikes: HashMap<u64, u32>,
    hasher: RandomState,
    /// The head of the message that came last, if nothing has come since.
    last: Option<Headers>,
}

impl Unreadable {
    /// A message came. Whether it is one behind which nothing should be read any more.
    pub(super) fn delivered(&mut self, message: &Frame) -> bool {
        self.last = Some(message.headers.clone());
        !self.strikes.is_empty()
            && self.strikes.get(&self.identity(&message.headers)).is_some_and(|strikes| *strikes >= STRIKES)
    }

    /// Something else came, or the connection ended for another reason.
    pub(super) fn passed(&mut self) {
        self.last = None;
    }

    /// What came next was no frame.
    pub(super) fn failed(&mut self) {
        let Some(headers) = self.last.take() else { return };
        if self.strikes.len() >= MOST {
            self.strikes.clear();
        }
        *self.strikes.entry(self.identity(&headers)).or_default() += 1;
    }

    /// What stays the same of a head when the message is delivered again.
    fn identity(&self, headers: &Headers) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for (name, value) in headers.iter() {
            let added = match name {
                b"ack" | b"subscription" | b"redelivered" | b"x-delivery-count" | b"x-acquired-count" => true,
                // RabbitMQ makes a new one for each delivery.
                b"message-id" => memchr::memmem::find(value, b"@@session-").is_some(),
                _ => false,
            };
            if !added {
                (name, value).hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stomp::Command;

    fn message(headers: &[(&str, &str)]) -> Frame {
        let headers = headers.iter().copied().collect();
        Frame { command: Command::Message, headers, body: "".into(), cut: None }
    }

    #[test]
    fn the_third_time_it_is_known() {
        let mut unreadable = Unreadable::default();
        let first = message(&[("ack", "1"), ("message-id", "T_0@@session-a@@1"), ("a", "b")]);
        let again = message(&[
            ("ack", "2"),
            ("message-id", "T_0@@session-b@@1"),
            ("redelivered", "true"),
            ("a", "b"),
        ]);
        let other = message(&[("ack", "3"), ("message-id", "T_0@@session-a@@1"), ("a", "c")]);
        for known in [false, false, true, true] {
            assert!(!unreadable.delivered(&first) || known);
            assert_eq!(unreadable.delivered(&again), known);
            unreadable.failed();
            // The same end of a connection is held against nobody else.
            unreadable.failed();
        }
        for _ in 0..5 {
            assert!(!unreadable.delivered(&other));
            unreadable.passed();
            unreadable.failed();
        }
    }

    #[test]
    fn it_forgets_rather_than_grows() {
        let mut unreadable = Unreadable::default();
        for id in 0..3 * MOST {
            unreadable.delivered(&message(&[("message-id", &id.to_string())]));
            unreadable.failed();
            assert!(unreadable.strikes.len() <= MOST);
        }
    }
}

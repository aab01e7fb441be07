//! What a message is known by when it is delivered again.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use crate::stomp::{Frame, Headers};

/// Of a longer body only the beginning and the end count, and its length: a hash takes a bounded time.
const SAMPLE: usize = 32 << 10;

/// Makes identities. Two of these make different ones of the same message.
#[derive(Debug, Default)]
pub(super) struct Identity {
    hasher: RandomState,
}

impl Identity {
    /// What stays the same when a message is delivered again: its body, and its headers except those that brokers add
    /// or change, in any order (RabbitMQ sorts them when it adds its count). No single header will do: RabbitMQ's
    /// message-id is another each time, and requesters count their correlation-ids from 1, or set none.
    pub(super) fn of(&self, message: &Frame) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        let body = &message.body;
        (self.of_head(&message.headers), body.len(), message.cut).hash(&mut hasher);
        if body.len() <= 2 * SAMPLE {
            body.hash(&mut hasher);
        } else {
            (&body[..SAMPLE], &body[body.len() - SAMPLE..]).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The same for a head, where the body is not to be had.
    pub(super) fn of_head(&self, headers: &Headers) -> u64 {
        let stays = headers.iter().filter(|(name, value)| !varies(name, value));
        let stays = stays
            .map(|(name, value)| (name, if name == b"message-id" { message_part(value) } else { value }));
        stays.map(|header| self.hasher.hash_one(header)).fold(0, u64::wrapping_add)
    }
}

/// Whether a broker may give this header another value at the next delivery, or leave it out.
fn varies(name: &[u8], value: &[u8]) -> bool {
    /// RabbitMQ's history and annotations of a message; what JMS brokers say of a delivery (`JMSXDeliveryCount`,
    /// `JMSXGroupFirstForConsumer`), and ActiveMQ of its own times.
    const PREFIXES: [&[u8]; 9] = [
        b"x-death",
        b"x-first-death-",
        b"x-last-death-",
        b"x-received-from",
        b"x-opt-",
        b"JMSX",
        b"JMSActiveMQBroker",
        b"brokerInTime",
        b"brokerOutTime",
    ];
    const COUNTS: [&[u8]; 3] = [b"count", b"attempt", b"deliver"];
    match name {
        b"ack" | b"subscription" | b"redelivered" => true,
        b"message-id" => memchr::memmem::find(value, b"@@session-").is_some(),
        // Counts, whatever the next version of a broker calls them: x-delivery-count, x-acquired-count. A sender's own header
        // (x-customer: 13) may be all that tells its messages apart.
        _ if name.starts_with(b"x-") && value.iter().all(u8::is_ascii_digit) => {
            COUNTS.iter().any(|word| memchr::memmem::find(name, word).is_some())
        }
        _ => PREFIXES.iter().any(|prefix| name.starts_with(prefix)),
    }
}

/// Artemis makes the id of the consumer's number and the message's, `45,39`: of these the first is another at each delivery.
fn message_part(id: &[u8]) -> &[u8] {
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    match memchr::memchr(b',', id) {
        Some(at) if is_number(&id[..at]) && is_number(&id[at + 1..]) => &id[at + 1..],
        _ => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stomp::Command;

    fn message(headers: &[(&str, &str)], body: &[u8]) -> Frame {
        Frame {
            command: Command::Message,
            headers: headers.iter().copied().collect(),
            body: body.to_vec().into(),
            cut: None,
        }
    }

    #[test]
    fn what_brokers_change_does_not_count() {
        let identity = Identity::default();
        let once = message(
            &[
                ("message-id", "T_0@@session-a@@1"),
                ("redelivered", "false"),
                ("a", "1"),
                ("reply-to", "/queue/r"),
            ],
            b"body",
        );
        for added in [
            ("x-delivery-count", "3"),
            ("x-acquired-count", "30"),
            ("x-requeued-count", "7"),
            ("x-opt-enqueued", "2026-11-29"),
            ("x-death", "many"),
            ("x-first-death-reason", "expired"),
            ("x-last-death-queue", "q"),
            ("JMSXDeliveryCount", "2"),
            ("JMSXGroupFirstForConsumer", "true"),
            ("brokerOutTime", "1764441600000"),
            ("ack", "T_0@@session-b@@2"),
        ] {
            // In another order, too.
            let again = [
                added,
                ("reply-to", "/queue/r"),
                ("a", "1"),
                ("message-id", "T_0@@session-b@@2"),
                ("redelivered", "true"),
            ];
            assert_eq!(identity.of(&once), identity.of(&message(&again, b"body")), "{added:?}");
        }
    }

    #[test]
    fn the_consumer_in_an_id_of_artemis_does_not_count() {
        let identity = Identity::default();
        let of = |id: &str| identity.of(&message(&[("message-id", id), ("a", "1")], b"body"));
        assert_eq!(of("45,39"), of("1055,39"));
        for other in ["45,40", ",39", "45,39,1", "a,39", "45,b"] {
            assert_ne!(of("45,39"), of(other), "{other}");
        }
        assert_ne!(of("a,1"), of("b,1"));
    }

    #[test]
    fn what_its_sender_says_does_count() {
        let identity = Identity::default();
        let one = message(&[("message-id", "ID:1"), ("a", "1")], b"body");
        for (headers, body) in [
            ([("message-id", "ID:2"), ("a", "1")], &b"body"[..]),
            ([("message-id", "ID:1"), ("a", "2")], b"body"),
            ([("message-id", "ID:1"), ("x-request-id", "6b1f")], b"body"),
            ([("message-id", "ID:1"), ("x-customer", "13")], b"body"),
            ([("message-id", "ID:1"), ("x-word-count", "many")], b"body"),
            ([("message-id", "ID:1"), ("a", "1")], b"another"),
        ] {
            assert_ne!(identity.of(&one), identity.of(&message(&headers, body)), "{headers:?}");
        }
        let long = |end: u8| message(&[], &[&[0; 3 * SAMPLE][..], &[end]].concat());
        assert_ne!(identity.of(&long(1)), identity.of(&long(2)));
        assert_eq!(identity.of(&long(1)), identity.of(&long(1)));
    }
}

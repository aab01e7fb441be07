//! Where ActiveMQ and Artemis differ in what they do with a frame, in one table: what each was seen to do, on 5.17.2 and 2.40.0.
//!
//! RabbitMQ is unlike both in nearly all of it, and has a folder of its own. What each says of a fault is in `wording`.

use std::time::Duration;

use super::subscription::AckMode;
use crate::{
    Dialect,
    stomp::{Laxity, NoColon, NoNul, Version},
};

/// What a broker does.
#[derive(Debug)]
pub(super) struct Behaviour {
    /// After which ERRORs a connection goes on, those apart that refuse CONNECT.
    pub(super) errors: Errors,
    /// A subscription may have the id of another.
    pub(super) duplicate_ids: bool,
    /// SUBSCRIBE needs an `id` in 1.1 and 1.2.
    pub(super) needs_id: bool,
    /// What an ack mode means that does not exist; `None`: it is refused.
    pub(super) unknown_ack_mode: Option<AckMode>,
    /// Any other frame before CONNECT has all that follows on its connection ignored, CONNECT included.
    pub(super) ignores_before_connect: bool,
    /// CONNECT may come again.
    pub(super) repeated_connect: bool,
    /// A SEND in a transaction that is not open is taken, and dropped.
    pub(super) accepts_unknown_transactions: bool,
    /// In which versions an ACK for a subscription that has ended is taken.
    pub(super) accepts_late_acks: &'static [Version],
    /// In ack mode `client`, an ACK for a message is taken that was acknowledged together with a later one.
    pub(super) accepts_repeated_acks: bool,
    /// What is not acknowledged when a subscription ends comes back as if it had never been delivered.
    pub(super) unsubscribe_clears_redelivered: bool,
    /// NACK is for one message, in ack mode `client`, too.
    pub(super) nacks_one: bool,
    /// UNSUBSCRIBE by `destination` (1.0) ends a subscription that has an `id`, too.
    pub(super) unsubscribes_any: bool,
    /// `message-id` has the consumer's number before the message's.
    pub(super) consumer_in_message_id: bool,
    /// A subscription without an `id` has one that is made of its destination.
    pub(super) implied_ids: bool,
    /// CONNECTED says `heart-beat` where CONNECT did not, and in 1.0 anything but the session.
    pub(super) full_connected: bool,
    /// A silent client is given up without an ERROR.
    pub(super) closes_silently: bool,
    /// A destination without a name, and a `priority` or `expires` that is no number, close the connection without an
    /// ERROR.
    pub(super) silent_faults: bool,
    /// The shortest heart-beats that it agrees to, beside those of the configuration.
    pub(super) heart_beat_floor: Duration,
}

/// After which ERRORs a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errors {
    /// Those that refuse one message, for the time being.
    OfMessages,
    All,
    /// All in 1.0 and 1.1, none in 1.2.
    Before1_2,
}

/// The development broker by itself: as strict as STOMP has it.
const OURS: Behaviour = Behaviour {
    errors: Errors::OfMessages,
    duplicate_ids: false,
    needs_id: true,
    unknown_ack_mode: None,
    ignores_before_connect: false,
    repeated_connect: false,
    accepts_unknown_transactions: false,
    accepts_late_acks: &Version::ALL,
    accepts_repeated_acks: true,
    unsubscribe_clears_redelivered: false,
    nacks_one: false,
    unsubscribes_any: false,
    consumer_in_message_id: false,
    implied_ids: false,
    full_connected: true,
    closes_silently: false,
    silent_faults: false,
    heart_beat_floor: Duration::ZERO,
};

const ACTIVEMQ: Behaviour = Behaviour {
    errors: Errors::All,
    duplicate_ids: true,
    unknown_ack_mode: Some(AckMode::Auto),
    accepts_late_acks: &[Version::V1_0, Version::V1_2],
    accepts_repeated_acks: false,
    nacks_one: true,
    unsubscribes_any: true,
    closes_silently: true,
    silent_faults: true,
    ..OURS
};

const ARTEMIS: Behaviour = Behaviour {
    errors: Errors::Before1_2,
    needs_id: false,
    unknown_ack_mode: Some(AckMode::Client),
    ignores_before_connect: true,
    repeated_connect: true,
    accepts_unknown_transactions: true,
    accepts_late_acks: &[],
    accepts_repeated_acks: false,
    unsubscribe_clears_redelivered: true,
    consumer_in_message_id: true,
    implied_ids: true,
    full_connected: false,
    heart_beat_floor: Duration::from_millis(500),
    ..OURS
};

/// Which malformed frames a broker reads that plays this one.
pub(super) fn laxity(played: Option<Dialect>) -> Laxity {
    let strict = Laxity::default();
    match played {
        Some(Dialect::ActiveMq) => {
            Laxity { any_command: true, no_colon: NoColon::Name, no_nul: NoNul::Replaced, ..strict }
        }
        Some(Dialect::Artemis) => {
            Laxity { any_command: true, no_colon: NoColon::Skipped, no_nul: NoNul::Skipped, ..strict }
        }
        Some(Dialect::RabbitMq) => Laxity { any_body: true, any_command: true, ..strict },
        None => strict,
    }
}

/// What a broker does that plays this one; `None`: the development broker by itself.
pub(super) fn of(played: Option<Dialect>) -> &'static Behaviour {
    match played {
        Some(Dialect::ActiveMq) => &ACTIVEMQ,
        Some(Dialect::Artemis) => &ARTEMIS,
        Some(Dialect::RabbitMq) | None => &OURS,
    }
}

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
pub(super) struct Manners {
    /// After which ERRORs a connection goes on, those apart that refuse CONNECT.
    pub(super) errors: Errors,
    /// A subscription may have the id of another.
    pub(super) ids_twice: bool,
    /// SUBSCRIBE needs an `id` in 1.1 and 1.2.
    pub(super) needs_id: bool,
    /// What an ack mode means that does not exist; `None`: it is refused.
    pub(super) unknown_ack: Option<AckMode>,
    /// Any other frame before CONNECT has all that follows on its connection ignored, CONNECT included.
    pub(super) ignores_strangers: bool,
    /// CONNECT may come again.
    pub(super) connects_again: bool,
    /// A SEND in a transaction that is not open is taken, and dropped.
    pub(super) takes_lost_sends: bool,
    /// In which versions an ACK for a subscription that has ended is taken.
    pub(super) takes_late_acks: &'static [Version],
    /// What is not acknowledged when a subscription ends comes back as if it had never been delivered.
    pub(super) unsubscribe_undoes: bool,
    /// CONNECTED says `heart-beat` where CONNECT did not, and in 1.0 anything but the session.
    pub(super) connected_in_full: bool,
    /// A silent client is given up without an ERROR.
    pub(super) silent: bool,
    /// A destination without a name ends the connection without an ERROR.
    pub(super) nameless_is_silent: bool,
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
const OURS: Manners = Manners {
    errors: Errors::OfMessages,
    ids_twice: false,
    needs_id: true,
    unknown_ack: None,
    ignores_strangers: false,
    connects_again: false,
    takes_lost_sends: false,
    takes_late_acks: &Version::ALL,
    unsubscribe_undoes: false,
    connected_in_full: true,
    silent: false,
    nameless_is_silent: false,
    heart_beat_floor: Duration::ZERO,
};

const ACTIVEMQ: Manners = Manners {
    errors: Errors::All,
    ids_twice: true,
    unknown_ack: Some(AckMode::Auto),
    takes_late_acks: &[Version::V1_0, Version::V1_2],
    silent: true,
    nameless_is_silent: true,
    ..OURS
};

const ARTEMIS: Manners = Manners {
    errors: Errors::Before1_2,
    needs_id: false,
    unknown_ack: Some(AckMode::Client),
    ignores_strangers: true,
    connects_again: true,
    takes_lost_sends: true,
    takes_late_acks: &[],
    unsubscribe_undoes: true,
    connected_in_full: false,
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
pub(super) fn of(played: Option<Dialect>) -> &'static Manners {
    match played {
        Some(Dialect::ActiveMq) => &ACTIVEMQ,
        Some(Dialect::Artemis) => &ARTEMIS,
        Some(Dialect::RabbitMq) | None => &OURS,
    }
}

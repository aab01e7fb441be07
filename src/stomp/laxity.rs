//! What brokers read although the protocol forbids it.

/// Which frames of a client are read that break the rules of the protocol; by default none is. For a broker that plays another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Laxity {
    /// A frame may have a body that has none by the specification, whatever its `content-length` says: up to its NUL.
    pub(crate) any_body: bool,
    /// A frame of a command that does not exist is read as a SEND. See [`Parser::take_unknown`](super::Parser::take_unknown).
    pub(crate) any_command: bool,
    pub(crate) no_colon: NoColon,
    pub(crate) no_nul: NoNul,
}

/// What becomes of a header line without a colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum NoColon {
    #[default]
    Refused,
    /// There is no such header.
    Skipped,
    /// It is the name of a header without a value.
    Name,
}

/// What becomes of a body that goes on where by its `content-length` it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum NoNul {
    #[default]
    Refused,
    /// The frame ends there, and one octet is taken for its NUL.
    Replaced,
    /// The frame ends there. What has arrived of the rest is skipped, up to a NUL.
    Skipped,
}

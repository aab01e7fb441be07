//! What a broker may be told.

use std::{fmt, str::FromStr, time::Duration};

use super::behaviour::{self, Behaviour};
use crate::{Dialect, stomp::Limits};

/// Settings of a broker; the default suits a developer's machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BrokerConfig {
    /// What CONNECT must carry; `None` (the default) admits every client.
    pub credentials: Option<Credentials>,
    /// Whether [`BrokerServer::bind`](super::BrokerServer::bind) takes an address that other machines can
    /// reach. Off by default: there is no TLS here, and by default no password.
    pub allow_remote: bool,
    /// Bytes of messages, of half-received frames, of names (subscriptions, selectors, destinations, transactions; at
    /// most half of it) and of answers that clients do not read, over all connections: 256 MiB. Beyond it producers
    /// are not read while there are consumers, and refused otherwise. A message counts once for each subscriber of its
    /// topic. Up to 64 KiB of each connection do not count.
    pub memory: usize,
    /// What one frame may hold.
    pub frame: Limits,
    /// Octets of one frame, from the command to the NUL: no limit of its own. A longer frame ends the connection, without an
    /// ERROR.
    pub frame_len: usize,
    /// Connections at once: 1000.
    pub connections: usize,
    /// Queues and topics that hold something or are subscribed to: 10,000.
    pub destinations: usize,
    /// Subscriptions of one connection: 1000.
    pub subscriptions: usize,
    /// Open transactions of one connection: 100.
    pub transactions: usize,
    /// Temporary queues of one connection: 100.
    pub temporary_queues: usize,
    /// Unacknowledged messages of one subscription that does not say: 1000, as on ActiveMQ. Octets, where Artemis is played.
    pub prefetch: usize,
    /// The shortest heart-beat interval agreed to, in either direction: 10 ms.
    pub heart_beat_floor: Duration,
    /// How long a new connection may take to send CONNECT: 30 s.
    pub connect_timeout: Duration,
    /// Which broker this one plays, for tests of how a client gets on with it: ActiveMQ. See
    /// [`with_dialect`](Self::with_dialect).
    pub dialect: Dialect,
    /// Whether it was told to play that one, faults included.
    pub(super) plays: bool,
    /// Which messages are refused, for tests of what a client makes of that: none.
    pub refuses: Vec<Refuse>,
}

/// Messages that a broker refuses with an ERROR, as one does that has an ACL or is full.
///
/// Written as `forbidden:/queue/replies`, or `full:/queue/replies=3` for the first three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refuse {
    /// What the ERROR says.
    pub why: RefuseWhy,
    /// What their destination begins with.
    pub destination: String,
    /// How many are refused; the next ones are taken.
    pub times: u32,
}

/// Why a broker refuses a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefuseWhy {
    /// The sender is not allowed to write there.
    Forbidden,
    /// There is no room for it.
    Full,
}

impl FromStr for Refuse {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "forbidden:DESTINATION or full:DESTINATION, and =TIMES behind it";
        let (why, rest) = text.split_once(':').ok_or(FORM)?;
        let why = match why {
            "forbidden" => RefuseWhy::Forbidden,
            "full" => RefuseWhy::Full,
            _ => return Err(FORM),
        };
        let (destination, times) = match rest.rsplit_once('=') {
            Some((destination, times)) => (destination, times.parse().map_err(|_| FORM)?),
            None => (rest, u32::MAX),
        };
        if destination.is_empty() {
            return Err(FORM);
        }
        Ok(Self { why, destination: destination.to_owned(), times })
    }
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            credentials: None,
            allow_remote: false,
            memory: 256 * 1024 * 1024,
            frame: Limits::default(),
            frame_len: usize::MAX,
            connections: 1000,
            destinations: 10_000,
            subscriptions: 1000,
            transactions: 100,
            temporary_queues: 100,
            prefetch: 1000,
            heart_beat_floor: Duration::from_millis(10),
            connect_timeout: Duration::from_secs(30),
            dialect: Dialect::default(),
            plays: false,
            refuses: Vec::new(),
        }
    }
}

impl BrokerConfig {
    /// Asks every client for this login and passcode.
    #[must_use]
    pub fn with_credentials(mut self, login: impl Into<String>, passcode: impl Into<String>) -> Self {
        self.credentials = Some(Credentials { login: login.into(), passcode: passcode.into() });
        self
    }

    /// See [`allow_remote`](Self::allow_remote).
    #[must_use]
    pub fn with_allow_remote(mut self, allow: bool) -> Self {
        self.allow_remote = allow;
        self
    }

    /// Plays this broker: it has its name in CONNECTED, its headers, its default window, its destinations, acknowledgements,
    /// ERRORs and transactions, its reading of malformed frames, and the limits of its frames. RabbitMQ knows one
    /// user, `guest` with the passcode `guest`, unless [`with_credentials`](Self::with_credentials) names another: a
    /// client that sends no login is that user.
    #[must_use]
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        let row = dialect.row();
        self.dialect = dialect;
        self.plays = true;
        self.prefetch = match usize::try_from(row.prefetch.per_message) {
            Ok(each) => row.prefetch.unset.saturating_mul(each),
            Err(_) => usize::MAX,
        };
        self.frame.header_line = self.frame.header_line.min(row.limits.header_line);
        self.frame.headers = self.frame.headers.min(row.limits.headers);
        self.frame.body = self.frame.body.min(row.limits.body);
        self.frame_len = self.frame_len.min(row.limits.frame);
        if dialect == Dialect::RabbitMq && self.credentials.is_none() {
            return self.with_credentials("guest", "guest");
        }
        self
    }

    /// Which broker is played, if one is.
    pub(super) fn played(&self) -> Option<Dialect> {
        self.plays.then_some(self.dialect)
    }

    /// What it does with frames.
    pub(super) fn behaviour(&self) -> &'static Behaviour {
        behaviour::of(self.played())
    }

    /// See [`refuses`](Self::refuses).
    #[must_use]
    pub fn with_refuses(mut self, refuses: Vec<Refuse>) -> Self {
        self.refuses = refuses;
        self
    }

    /// See [`memory`](Self::memory).
    #[must_use]
    pub fn with_memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// See [`frame`](Self::frame).
    #[must_use]
    pub fn with_frame(mut self, limits: Limits) -> Self {
        self.frame = limits;
        self
    }
}

/// A login and its passcode.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    login: String,
    passcode: String,
}

impl Credentials {
    /// Whether both are right, in a time that does not tell where they differ.
    pub(super) fn admit(&self, login: Option<&[u8]>, passcode: Option<&[u8]>) -> bool {
        let same = |ours: &str, theirs: Option<&[u8]>| {
            let theirs = theirs.unwrap_or_default();
            let mut difference = ours.len() ^ theirs.len();
            for (a, b) in ours.bytes().zip(theirs.iter()) {
                difference |= usize::from(a ^ b);
            }
            difference == 0
        };
        // Not `&&`: a wrong login must cost as much as a wrong passcode.
        same(&self.login, login) & same(&self.passcode, passcode)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

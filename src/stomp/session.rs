//! The client's side of one connection.
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::excerpt::printable;
use super::{
    Command, Encoder, Flaws, Frame, HeartBeat, HeartBeatOffer, Lengths, Limits, Parser, Secrets,
    SessionError, Version,
};

/// Octets of a broker's explanation that are kept: it may be a stack trace.
const EXPLANATION: usize = 1024;
/// Octets of a user's name that are shown.
const NAME: usize = 256;

/// What a client says of itself, and what it puts up with.
///
/// CONNECT has no escapes: in these texts LF, CR and NUL cannot be sent, and become spaces. A backslash is sent as it is,
/// unless [`escape_connect`](Self::escape_connect) says otherwise.
#[derive(Clone)]
pub struct SessionConfig {
    /// The `host` header: a virtual host of RabbitMQ, where `/` is the default; others ignore it.
    pub host: String,
    /// The user, if the broker asks for one.
    pub login: Option<String>,
    /// The user's password.
    pub passcode: Option<String>,
    /// The `client-id` header, which durable subscriptions of ActiveMQ need.
    pub client_id: Option<String>,
    /// Whether backslashes in these texts are escaped; `false` by default, as STOMP 1.2 ("Value Encoding") has it. ActiveMQ
    /// and RabbitMQ unescape CONNECT all the same, and need `true`.
    pub escape_connect: bool,
    /// Versions to offer, in any order; all of them by default. None is as good as 1.0 alone.
    pub versions: Vec<Version>,
    /// Heart-beats to offer, 10 s both ways by default.
    pub heart_beat: HeartBeatOffer,
    /// How large frames of the broker may be.
    pub limits: Limits,
    /// The time within which CONNECTED must come, 10 s by default.
    pub connect_timeout: Duration,
    /// Whether undefined escapes in a MESSAGE are let through, which is the default; see
    /// [`Parser::lenient_escapes`].
    pub lenient_escapes: bool,
    /// Whether a MESSAGE whose body is beyond the limits comes without it, rather than ending the session, which
    /// is the default; see [`Parser::cut_long_messages`].
    pub cut_long_messages: bool,
    /// Whether a MESSAGE that is not quite one is read all the same, rather than ending the session, which is the
    /// default; see [`Parser::tolerate_messages`].
    pub tolerate_messages: bool,
}

impl Default for SessionConfig {
    fn default() -> Self {
        let seconds = Duration::from_secs(10);
        Self {
            host: "/".to_owned(),
            login: None,
            passcode: None,
            client_id: None,
            escape_connect: false,
            versions: Version::ALL.to_vec(),
            heart_beat: HeartBeatOffer { send: seconds, receive: seconds },
            limits: Limits::default(),
            connect_timeout: seconds,
            lenient_escapes: true,
            cut_long_messages: false,
            tolerate_messages: false,
        }
    }
}

impl fmt::Debug for SessionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redacted = |secret: &Option<String>| secret.as_ref().map(|_| format_args!("(redacted)"));
        f.debug_struct("SessionConfig")
            .field("host", &self.host)
            .field("login", &redacted(&self.login))
            .field("passcode", &redacted(&self.passcode))
            .field("client_id", &self.client_id)
            .field("escape_connect", &self.escape_connect)
            .field("versions", &self.versions)
            .field("heart_beat", &self.heart_beat)
            .field("limits", &self.limits)
            .field("connect_timeout", &self.connect_timeout)
            .field("lenient_escapes", &self.lenient_escapes)
            .field("cut_long_messages", &self.cut_long_messages)
            .field("tolerate_messages", &self.tolerate_messages)
            .finish()
    }
}

/// What the broker said of itself, and what both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// The version that both sides speak from now on.
    pub version: Version,
    /// The `server` header, such as `ActiveMQ/5.17.2`.
    pub server: Option<String>,
    /// The `session` header.
    pub session: Option<String>,
    /// The broker's offer, which is not yet what was agreed on.
    pub heart_beat: HeartBeatOffer,
}

/// What came from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The session is open: frames may be sent.
    Connected(Connected),
    /// A MESSAGE.
    Message(Frame),
    /// A RECEIPT, by its `receipt-id`.
    Receipt(Bytes),
    /// An ERROR. By the specification the connection is over; ActiveMQ mostly keeps it. The session goes on,
    /// so that the caller can decide.
    Error(Frame),
}

/// The client's side of one connection, from CONNECT on: sends heart-beats, watches the broker's, and turns
/// bytes into [`Event`]s.
///
/// | state | what arrives | next |
/// |---|---|---|
/// | Connecting | CONNECTED | Connected, with [`Event::Connected`] |
/// | Connecting | ERROR | Failed: refused |
/// | Connecting | `connect_timeout` passes | Failed |
/// | Connected | MESSAGE, RECEIPT, ERROR | Connected, with that event |
/// | Connected | the broker is silent for too long | Failed |
/// | either | anything else | Failed |
///
/// Frames are sent past it, with an [`Encoder`] for its [`version`](Self::version), once it
/// [`is_connected`](Self::is_connected) and not before. A new connection takes a new session.
///
/// ```
/// use std::time::Instant;
/// use stomp_wsgi::stomp::{Event, Session, SessionConfig, Version};
///
/// # fn main() -> Result<(), stomp_wsgi::stomp::SessionError> {
/// let now = Instant::now();
/// let mut out = Vec::new();
/// let mut session = Session::connect(&SessionConfig::default(), now, &mut out);
/// // Send what is in `out`, tell `sent` of it, and receive:
/// session.received(now, b"CONNECTED\nversion:1.2\n\n\0");
/// while let Some(event) = session.next_event()? {
///     let Event::Connected(connected) = event else { unreachable!() };
///     assert_eq!(connected.version, Version::V1_2);
/// }
/// // Call `timer` at `deadline`, and repeat.
/// assert_eq!(session.deadline(), None);
/// # Ok(()) }
/// ```
pub struct Session {
    parser: Parser,
    version: Version,
    last_received: Instant,
    state: State,
    /// What no error shows, whatever the broker repeats.
    secrets: Secrets,
}

enum State {
    Connecting(Box<Connecting>),
    Connected(HeartBeat),
    Failed(SessionError),
}

/// What is needed until the answer to CONNECT.
struct Connecting {
    versions: Vec<Version>,
    heart_beat: HeartBeatOffer,
    /// The user, to be named in the error when the broker refuses it.
    user: Option<String>,
    timeout: Duration,
    /// None when it is too far away for the clock.
    deadline: Option<Instant>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("parser", &self.parser)
            .field("version", &self.version)
            .field("last_received", &self.last_received)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting(_) => f.write_str("Connecting"),
            Self::Connected(heart_beat) => f.debug_tuple("Connected").field(heart_beat).finish(),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl Session {
    /// Begins a session on a connection that was just made: appends CONNECT to `out`.
    pub fn connect(config: &SessionConfig, now: Instant, out: &mut Vec<u8>) -> Self {
        let mut versions =
            if config.versions.is_empty() { vec![Version::V1_0] } else { config.versions.clone() };
        versions.sort_unstable();
        versions.dedup();
        let mut parser = Parser::new(config.limits);
        parser.lenient_escapes(config.lenient_escapes);
        parser.cut_long_messages(config.cut_long_messages);
        parser.tolerate_messages(config.tolerate_messages);

        let spelled = |value: &str| {
            if config.escape_connect { value.replace('\\', "\\\\") } else { value.to_owned() }
        };
        let offered: Vec<_> = versions.iter().map(|version| version.as_str()).collect();
        // CONNECT is the same in every version.
        let mut frame = Encoder::new(out, Version::V1_0, Command::Connect)
            .header("accept-version", offered.join(","))
            .header("host", spelled(&config.host))
            .header("heart-beat", config.heart_beat.to_string());
        for (name, value) in
            [("login", &config.login), ("passcode", &config.passcode), ("client-id", &config.client_id)]
        {
            if let Some(value) = value {
                frame = frame.header(name, spelled(value));
            }
        }
        frame.finish();
        // A user that has the name of its passcode is not named.
        let passcode = Secrets::new(None, config.passcode.as_deref());
        let user = config.login.as_ref().map(|user| passcode.excerpt(user.as_bytes(), NAME));

        Self {
            parser,
            version: Version::V1_0,
            last_received: now,
            state: State::Connecting(Box::new(Connecting {
                versions,
                heart_beat: config.heart_beat,
                user,
                timeout: config.connect_timeout,
                deadline: now.checked_add(config.connect_timeout),
            })),
            secrets: Secrets::new(config.login.as_deref(), config.passcode.as_deref()),
        }
    }

    /// Has errors show none of these, which are more than its own login and passcode.
    pub(crate) fn keep_secret(&mut self, secrets: Secrets) {
        self.secrets = secrets;
    }

    /// Takes what was read. Call [`next_event`](Self::next_event) then.
    pub fn received(&mut self, now: Instant, bytes: &[u8]) {
        self.last_received = now;
        if let State::Connected(heart_beat) = &mut self.state {
            heart_beat.received(now);
        }
        // Nobody would take out of a failed one what goes in.
        if !matches!(self.state, State::Failed(_)) {
            self.parser.feed(bytes);
        }
    }

    /// The next event; `None` until more is received. Call it until then after every
    /// [`received`](Self::received). After an error there is only that error.
    pub fn next_event(&mut self) -> Result<Option<Event>, SessionError> {
        if let State::Failed(error) = &self.state {
            return Err(error.clone());
        }
        let error = match self.parser.next_frame() {
            Ok(None) => return Ok(None),
            Ok(Some(frame)) => match self.handle(frame) {
                Ok(event) => return Ok(Some(event)),
                Err(error) => error,
            },
            Err(error) => error.redacted(&self.secrets).into(),
        };
        Err(self.fail(error))
    }

    /// Octets went out: that is as good as a beat.
    pub fn sent(&mut self, now: Instant) {
        if let State::Connected(heart_beat) = &mut self.state {
            heart_beat.sent(now);
        }
    }

    /// Does what is due: fails when the broker is late, and appends a beat to `out`, which is what is still
    /// to be sent. Where there is something, that stands for the beat: one must not go into the middle of a
    /// frame. Call it at [`deadline`](Self::deadline), after whatever was received meanwhile.
    pub fn timer(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), SessionError> {
        let late = match &mut self.state {
            State::Connecting(connecting) => {
                let late = connecting.deadline.is_some_and(|deadline| deadline <= now);
                late.then_some(SessionError::ConnectTimeout { timeout: connecting.timeout })
            }
            State::Connected(heart_beat) => {
                if heart_beat.beat_due(now) {
                    if out.is_empty() {
                        out.push(b'\n');
                    }
                    // Sent or not: the next beat is due after the next half interval.
                    heart_beat.sent(now);
                }
                let silence = heart_beat.receive_interval().unwrap_or_default().saturating_mul(2);
                heart_beat.peer_dead(now).then_some(SessionError::PeerSilent { silence })
            }
            State::Failed(error) => Some(error.clone()),
        };
        late.map_or(Ok(()), |error| Err(self.fail(error)))
    }

    /// When to call [`timer`](Self::timer), if ever. Ask anew after every other call.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Connecting(connecting) => connecting.deadline,
            State::Connected(heart_beat) => heart_beat.deadline(),
            State::Failed(_) => None,
        }
    }

    /// What is known of the broker's MESSAGE frames, where they are tolerated: whose word their `content-length` is, and
    /// the `receipt-id` of the RECEIPT that [`take_doubt`](Self::take_doubt) asks for.
    pub fn set_lengths(&mut self, lengths: Lengths, probe: &str) {
        self.parser.set_lengths(lengths);
        self.parser.set_probe(probe);
    }

    /// Headers that every MESSAGE has; see [`Parser::set_needed`].
    pub fn set_needed(&mut self, needed: &'static [&'static str]) {
        self.parser.set_needed(needed);
    }

    /// Whether the broker is to be asked for the RECEIPT that was named; see [`Parser::take_doubt`].
    pub fn take_doubt(&mut self) -> bool {
        self.parser.take_doubt()
    }

    /// What was wrong with the frames since it was asked last; see [`Parser::take_flaws`].
    pub fn take_flaws(&mut self) -> Flaws {
        self.parser.take_flaws()
    }

    /// The version that was agreed on; 1.0 until then.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether CONNECTED has come, and nothing has gone wrong since.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected(_))
    }

    /// The agreed timers, once connected.
    pub fn heart_beat(&self) -> Option<&HeartBeat> {
        match &self.state {
            State::Connected(heart_beat) => Some(heart_beat),
            _ => None,
        }
    }

    /// Octets that were received and are not part of an event yet.
    pub fn buffered(&self) -> usize {
        self.parser.buffered()
    }

    fn handle(&mut self, frame: Frame) -> Result<Event, SessionError> {
        match (&self.state, frame.command) {
            (State::Connecting(connecting), Command::Connected) => {
                let connected = connecting.accept(&frame, &self.secrets)?;
                let heart_beat =
                    HeartBeat::negotiate(connecting.heart_beat, connected.heart_beat, self.last_received);
                self.version = connected.version;
                self.parser.set_version(connected.version);
                self.state = State::Connected(heart_beat);
                Ok(Event::Connected(connected))
            }
            (State::Connecting(connecting), Command::Error) => {
                Err(refused(&frame, connecting.user.as_ref(), &self.secrets))
            }
            (State::Connected(_), Command::Message) => Ok(Event::Message(frame)),
            (State::Connected(_), Command::Error) => Ok(Event::Error(frame)),
            (State::Connected(_), Command::Receipt) => match frame.headers.get("receipt-id") {
                // All that is of use of this frame: a slice would need an allocation, too, to share the buffer.
                Some(id) => Ok(Event::Receipt(Bytes::copy_from_slice(id))),
                None => Err(SessionError::MissingHeader { command: Command::Receipt, header: "receipt-id" }),
            },
            (_, command) => Err(SessionError::UnexpectedFrame { command }),
        }
    }

    fn fail(&mut self, error: SessionError) -> SessionError {
        self.state = State::Failed(error.clone());
        self.parser.clear();
        error
    }
}

impl Connecting {
    fn accept(&self, frame: &Frame, secrets: &Secrets) -> Result<Connected, SessionError> {
        let header = |name| frame.headers.get(name);
        let version = header("version").unwrap_or(b"1.0");
        let not_offered = || SessionError::VersionNotOffered { version: secrets.excerpt(version, 32) };
        let version = Version::parse(version).ok_or_else(not_offered)?;
        if !self.versions.contains(&version) {
            return Err(not_offered());
        }
        let heart_beat = match header("heart-beat") {
            Some(value) => HeartBeatOffer::parse(value)
                .map_err(|_| SessionError::BadHeartBeat { value: secrets.excerpt(value, 32) })?,
            None => HeartBeatOffer::default(),
        };
        let text = |name| header(name).map(|value| printable(value, 256));
        Ok(Connected { version, server: text("server"), session: text("session"), heart_beat })
    }
}

/// Why the broker would not have us, in its own words, but for ours.
fn refused(frame: &Frame, user: Option<&String>, secrets: &Secrets) -> SessionError {
    let body = secrets.excerpt(&frame.body, EXPLANATION);
    let message = match frame.headers.get("message") {
        Some(message) => secrets.excerpt(message, EXPLANATION),
        None => body.lines().next().unwrap_or("no reason given").to_owned(),
    };
    SessionError::Refused { user: user.cloned(), message, body }
}

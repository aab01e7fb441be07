//! One connection after another: failover, backoff, session and outbox.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hasher, RandomState},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use reactors::{Action, Input};

use super::{
    Dialect, FrameLimits, Jms, Outbox,
    dialect::is_development,
    priority::{CHECK, Priority},
    unreadable::Unreadable,
};
use crate::{
    stomp::{
        self, Command, Encoder, Flaws, Frame, HeartBeatOffer, Limits, Secrets, Session, SessionConfig,
        SessionError, Version,
    },
    tls::{self, Tls, TlsError},
    uri::{Address, Brokers},
};

/// How to connect.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionConfig {
    pub(crate) brokers: Brokers,
    /// For resolving, connecting and CONNECTED, each.
    pub(crate) timeout: Duration,
    pub(crate) heart_beat: HeartBeatOffer,
    pub(crate) limits: Limits,
    /// Who we are, where durable subscriptions need it.
    pub(crate) client_id: Option<String>,
    /// Of the jitter and the shuffle.
    pub(crate) seed: u64,
    /// Tells when to go back to a broker of choice, where there are some.
    pub(crate) priority: Option<Arc<Priority>>,
}

/// A connection that was up for so long was no failure, even if it had nothing to serve.
const LASTING: Duration = Duration::from_secs(10);

/// What a TLS port says to who comes without (RFC 8446 section 5.1).
const TLS_ALERT: &[u8] = &[21, 3];

/// How long a connection stays open after a TLS error, so that the alert can be sent.
const ALERT_TIME: Duration = Duration::from_secs(1);

/// A broker of choice that did not keep us is looked for less and less often.
const LONGEST_CHECK: Duration = Duration::from_secs(300);

/// However a URI has it, no shorter delay between rounds.
const SHORTEST: Duration = Duration::from_millis(10);

/// Octets of a header's value that a log line shows.
const SHOWN: usize = 256;

/// What a connection tells the link that it belongs to.
#[derive(Debug)]
pub(crate) enum Event {
    /// Ready for frames.
    Up,
    Message(Frame),
    /// One behind which earlier connections could not be read on. Nothing is read behind it on this one either: settle
    /// it unread, and leave.
    Unreadable(Frame),
    Receipt(Bytes),
    Error(Frame),
    /// A broker of choice is there, and this is another: finish what there is, and [`leave`](Connection::leave).
    Return,
    /// There was a connection, or an attempt at one, and now there is none.
    Down(Down),
}

/// Why a connection ended, and what follows.
#[derive(Debug)]
pub(crate) struct Down {
    pub(crate) why: String,
    /// The broker would not have us: trying again will not help.
    pub(crate) refused: bool,
    /// When the next attempt begins; `None` after the last.
    pub(crate) retry_in: Option<Duration>,
}

enum State {
    /// No socket; the next attempt begins then (`None`: at once, or when it is released).
    Idle(Option<Instant>),
    /// Asked for a socket.
    Connecting,
    /// A socket, and a session on it that may not be up yet.
    Open(Box<Session>),
    /// Asked to drop the socket, or waiting for an alert to be sent first, for this reason; `bool`: refused.
    Closing(String, bool),
    /// No socket, and no wish for one.
    Over,
}

/// A connection that reconnects by itself.
pub(crate) struct Connection {
    config: ConnectionConfig,
    /// Of all brokers: they may be one cluster, where one repeats what another was told.
    secrets: Secrets,
    state: State,
    /// The next thing to tell the reactor.
    pending: Option<Action>,
    outbox: Outbox,
    /// Frames that go before the next.
    later: Vec<u8>,
    /// Between the socket and the session, where the address wants it.
    tls: Option<tls::Stream>,
    /// What TLS made of what was received; kept for its buffer.
    plain: Vec<u8>,
    /// A TLS alert is being sent; the socket is closed at this time at the latest.
    alert: Option<Instant>,
    events: VecDeque<Event>,
    random: fastrand::Rng,
    /// Which address is next, and which was the first: the list is walked once per round.
    next: usize,
    first: usize,
    round: u32,
    delay: Duration,
    ever_up: bool,
    up_since: Option<Instant>,
    /// The broker has confirmed what this connection is for.
    served: bool,
    /// The broker has delivered a message by this connection.
    delivered: bool,
    /// Counts sockets that came up: what was delivered on an earlier one is the broker's again.
    epoch: u64,
    /// `None`: neither the broker nor anybody else has said.
    dialect: Option<Dialect>,
    /// Whether CONNECT escapes backslashes; `None`: the dialect decides.
    escapes: Option<bool>,
    /// The broker refused a CONNECT whose backslashes it reads in the other way.
    misread: bool,
    /// This attempt repeats the last one with the backslashes written in the other way.
    second: bool,
    /// What its CONNECTED said, and `--dialect`.
    jms: Jms,
    /// What a frame to it may hold, by the same.
    limits: &'static FrameLimits,
    /// It vouches for the senders of messages.
    vouches: bool,
    peer: Arc<str>,
    paused: bool,
    /// When to ask for a broker of choice, and how often.
    check: Option<Instant>,
    patience: Duration,
    /// On the way to one.
    returning: bool,
    /// Which messages ended connections in the parser; it outlives them.
    unreadable: Unreadable,
    /// What is received is not read any more.
    muted: bool,
    /// Names the RECEIPT by which the broker's frames are told from a body that claims to go on. Nobody else knows it.
    probe: String,
    /// Once there is no socket, there is to be none.
    held: bool,
    /// When to send something to a broker that agreed to no heart-beats, and cuts off the silent.
    keep_alive: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(mut config: ConnectionConfig) -> Self {
        let mut random = fastrand::Rng::with_seed(config.seed);
        if config.brokers.backoff.randomize {
            random.shuffle(&mut config.brokers.addresses);
        }
        config.brokers.addresses.sort_by_key(|address| !address.priority);
        let delay = config.brokers.backoff.first();
        let mut connection = Self {
            secrets: config.brokers.secrets(),
            config,
            state: State::Idle(None),
            pending: None,
            outbox: Outbox::default(),
            later: Vec::new(),
            tls: None,
            plain: Vec::new(),
            alert: None,
            events: VecDeque::new(),
            random,
            next: 0,
            first: 0,
            round: 0,
            delay,
            ever_up: false,
            up_since: None,
            served: false,
            delivered: false,
            epoch: 0,
            dialect: None,
            escapes: None,
            misread: false,
            second: false,
            jms: Jms::default(),
            limits: Default::default(),
            vouches: false,
            peer: "".into(),
            paused: false,
            check: None,
            patience: CHECK,
            returning: false,
            unreadable: Unreadable::default(),
            muted: false,
            probe: unguessable(),
            held: false,
            keep_alive: None,
        };
        connection.attempt();
        connection
    }

    /// Takes note of a connection's input: everything but `Output` and `Stop`.
    pub(crate) fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Connected => {
                if matches!(self.state, State::Connecting) {
                    self.muted = false;
                    let config = self.session_config();
                    let mut session = Session::connect(&config, now, self.outbox.tail());
                    session.keep_secret(self.secrets.clone());
                    self.state = State::Open(Box::new(session));
                    self.secure();
                }
            }
            Input::Received(bytes) => match (&self.state, &mut self.tls) {
                (State::Open(_), None) => self.received(now, bytes),
                (State::Open(_), Some(tls)) => {
                    let mut plain = std::mem::take(&mut self.plain);
                    let opened = tls.open(bytes, &mut plain);
                    let closed = tls.is_closed();
                    if !plain.is_empty() {
                        self.received(now, &plain);
                        plain.clear();
                    }
                    self.plain = plain;
                    if let Err(error) = opened {
                        self.broken(now, &error);
                    } else if closed && matches!(self.state, State::Open(_)) {
                        // After close_notify the broker sends nothing, even if it keeps the socket open.
                        self.pending = Some(Action::Close);
                    }
                }
                _ => {}
            },
            Input::Sent(count) => {
                match &mut self.tls {
                    Some(tls) => tls.take(count),
                    // What was given up in the meantime is no longer in the outbox.
                    None if matches!(self.state, State::Open(_)) => self.outbox.take(count),
                    None => {}
                }
                if let State::Open(session) = &mut self.state {
                    session.sent(now);
                } else if self.alert.is_some() && self.outbox().is_empty() {
                    self.hang_up();
                }
            }
            Input::Closed(result) => self.closed(now, result),
            Input::Timer => self.timer(now),
            _ => {}
        }
    }

    fn received(&mut self, now: Instant, bytes: &[u8]) {
        if let State::Open(session) = &mut self.state {
            if !session.is_connected() && bytes.starts_with(TLS_ALERT) {
                return self.close("the broker speaks TLS on this port: use ssl://".to_owned(), true);
            }
            if self.muted {
                // It is alive.
                return session.received(now, &[]);
            }
            session.received(now, bytes);
            self.drain_session(now);
            // A link that is never idle gets no Timer, but its beats are due all the same.
            if self.deadline().is_some_and(|at| at <= now) {
                self.timer(now);
            }
        }
    }

    /// Begins TLS, where the address wants it.
    fn secure(&mut self) {
        let address = self.address();
        if !address.tls {
            return;
        }
        let tls = self.config.brokers.tls.clone().map_or_else(Tls::system, Ok);
        match tls.and_then(|tls| tls.connect(&address.host).map_err(|error| error.to_string())) {
            Ok(stream) => self.tls = Some(stream),
            Err(why) => self.close(why, true),
        }
    }

    /// Encrypts what the link has written. Call it after each turn of the link. `false`: TLS failed, and the next
    /// [`action`](Self::action) closes the socket.
    #[must_use]
    pub(crate) fn seal(&mut self) -> bool {
        let Some(tls) = &mut self.tls else { return true };
        let Err(error) = tls.seal(&mut self.outbox) else { return true };
        self.close(error.to_string(), error.is_refusal());
        self.pending.is_none()
    }

    /// Ends the connection after a TLS error. The alert is sent first: it puts the reason into the broker's log.
    fn broken(&mut self, now: Instant, error: &TlsError) {
        if matches!(self.state, State::Open(_)) {
            self.close(error.to_string(), error.is_refusal());
            if !self.outbox().is_empty() {
                self.pending = None;
                self.alert = Some(now + ALERT_TIME);
            }
        }
    }

    fn hang_up(&mut self) {
        self.alert = None;
        self.pending = Some(Action::Close);
    }

    /// What happened, in order, until `None`.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What the reactor is to do for the connection, if anything.
    pub(crate) fn action(&mut self) -> Option<Action> {
        self.pending.take()
    }

    /// When [`Input::Timer`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Idle(at) => *at,
            State::Closing(..) => self.alert,
            State::Open(session) => {
                [session.deadline(), self.check, self.keep_alive].into_iter().flatten().min()
            }
            _ => None,
        }
    }

    /// Where frames go while the connection is up.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        self.release();
        self.outbox.tail()
    }

    pub(crate) fn push(&mut self, frames: Vec<u8>) {
        self.release();
        self.outbox.push(frames);
    }

    /// The same for frames of which the caller keeps a copy.
    pub(crate) fn append(&mut self, frames: &[u8]) {
        self.release();
        self.outbox.append(frames);
    }

    /// Where frames go that are to wait for the next that does not, or for [`release`](Self::release).
    pub(crate) fn later(&mut self) -> &mut Vec<u8> {
        &mut self.later
    }

    pub(crate) fn release(&mut self) {
        self.outbox.tail().append(&mut self.later);
    }

    pub(crate) fn outbox(&self) -> &[u8] {
        self.tls.as_ref().map_or(&self.outbox, tls::Stream::outbox).pending()
    }

    /// Whether all that was to be sent is with the operating system.
    pub(crate) fn is_sent(&self) -> bool {
        self.later.is_empty() && self.outbox.is_empty() && self.outbox().is_empty()
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(&self.state, State::Open(session) if session.is_connected())
    }

    /// Whether there is a socket, or will be one without any further input.
    pub(crate) fn has_socket(&self) -> bool {
        matches!(self.state, State::Connecting | State::Open(_) | State::Closing(..))
    }

    pub(crate) fn version(&self) -> Version {
        match &self.state {
            State::Open(session) => session.version(),
            _ => Version::V1_2,
        }
    }

    /// Headers that every MESSAGE has that comes from now on.
    pub(crate) fn set_needed(&mut self, needed: &'static [&'static str]) {
        if let State::Open(session) = &mut self.state {
            session.set_needed(needed);
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect.unwrap_or_default()
    }

    /// Whether the broker said which it is, or the deployer did.
    pub(crate) fn knows_broker(&self) -> bool {
        self.dialect.is_some()
    }

    /// What the broker does to the bodies of JMS messages.
    pub(crate) fn jms(&self) -> Jms {
        self.jms
    }

    /// What a frame to this broker may hold, unless it was set up otherwise.
    pub(crate) fn limits(&self) -> &'static FrameLimits {
        self.limits
    }

    /// Whether the connection goes on after an ERROR that names one frame's receipt. Of a broker that we do not know we
    /// take it that it closes the connection, as STOMP says.
    pub(crate) fn survives_error(&self) -> bool {
        self.dialect.is_some_and(Dialect::survives_error)
    }

    /// The header by which the broker vouches for the senders of messages. A broker that we do not know vouches for
    /// nobody, nor does the development broker, unless `--dialect` says so.
    pub(crate) fn user_header(&self) -> Option<&'static str> {
        self.dialect.filter(|_| self.vouches).and_then(|dialect| dialect.row().user)
    }

    /// What an ERROR says, fit to be shown.
    pub(crate) fn complaint(&self, error: &Frame) -> String {
        error.redacted_complaint(&self.secrets)
    }

    /// A header's value of a frame, fit to be shown.
    pub(crate) fn shown(&self, frame: &Frame, name: &str) -> String {
        self.secrets.value(frame.headers.get(name).unwrap_or_default(), SHOWN)
    }

    /// `host:port` of the broker in use.
    pub(crate) fn peer(&self) -> &Arc<str> {
        &self.peer
    }

    /// While we do not read, the peer cannot be found silent.
    pub(crate) fn pause(&mut self, now: Instant, paused: bool) {
        if self.paused && !paused {
            if let State::Open(session) = &mut self.state {
                session.received(now, &[]);
            }
        }
        self.paused = paused;
    }

    /// The broker has confirmed a reply: when this connection ends, the next is to be had at once.
    pub(crate) fn served(&mut self) {
        self.served = true;
    }

    /// The next attempt begins no later than after so long.
    pub(crate) fn hasten(&mut self, now: Instant, longest: Duration) {
        if let State::Idle(Some(at)) = &mut self.state {
            *at = (*at).min(now + longest);
        }
    }

    /// Gives the connection up because of what the peer did, and tries the next.
    pub(crate) fn fail(&mut self, why: String) {
        self.close(why, false);
    }

    /// Gives up this broker, which was left in good order, for one of choice.
    pub(crate) fn leave(&mut self) {
        self.close(format!("left {} for a broker of choice", self.peer), false);
    }

    /// What ends this connection from now on is no failure: the first broker is next, at once.
    pub(crate) fn leaving(&mut self) {
        self.returning = true;
        // A broker that lets us in and then throws us out must not have us go to and fro.
        self.patience = (self.patience * 2).min(LONGEST_CHECK);
    }

    /// Makes no further connection before [`resume`](Self::resume), and drops one that is not up yet. One that is up
    /// stays until it ends.
    pub(crate) fn hold(&mut self) {
        self.held = true;
        match self.state {
            State::Idle(_) => self.state = State::Idle(None),
            State::Connecting if matches!(self.pending, Some(Action::Connect { .. })) => {
                // Nobody was asked yet.
                self.pending = None;
                self.state = State::Idle(None);
            }
            State::Connecting => {
                self.state = State::Closing("not needed now".to_owned(), false);
                self.pending = Some(Action::Close);
            }
            State::Open(_) if !self.is_up() => self.fail("not needed now".to_owned()),
            _ => {}
        }
    }

    /// Connects again, at once.
    pub(crate) fn resume(&mut self) {
        self.held = false;
        if matches!(self.state, State::Idle(_)) {
            self.attempt();
        }
    }

    /// Ends for good, without trying again.
    pub(crate) fn end(&mut self) {
        if matches!(self.pending, Some(Action::Connect { .. })) {
            // Nobody was asked yet, and there is nothing to close.
            self.pending = None;
        } else if self.has_socket() && (self.alert.is_some() || !matches!(self.state, State::Closing(..))) {
            self.hang_up();
        }
        self.clear();
        self.state = State::Over;
    }

    fn close(&mut self, why: String, refused: bool) {
        if matches!(self.state, State::Open(_)) {
            self.state = State::Closing(why, refused);
            self.clear();
            self.pending = Some(Action::Close);
        }
    }

    fn clear(&mut self) {
        self.outbox.clear();
        self.later.clear();
    }

    fn address(&self) -> &Address {
        &self.config.brokers.addresses[self.next % self.config.brokers.addresses.len()]
    }

    fn attempt(&mut self) {
        let Address { host, port, .. } = self.address().clone();
        self.peer = self.address().to_string().into();
        tracing::debug!(broker = %self.peer, "connecting");
        self.state = State::Connecting;
        self.pending = Some(Action::Connect { host, port, timeout: self.config.timeout });
    }

    fn session_config(&self) -> SessionConfig {
        let address = self.address();
        SessionConfig {
            // RabbitMQ's first virtual host; the others pass over it.
            host: self.config.brokers.virtual_host.clone().unwrap_or_else(|| "/".to_owned()),
            login: address.login.clone(),
            passcode: address.passcode.clone(),
            client_id: self.config.client_id.clone(),
            escape_connect: self.escapes(),
            versions: vec![Version::V1_0, Version::V1_1, Version::V1_2],
            heart_beat: self.config.heart_beat,
            limits: self.config.limits,
            connect_timeout: self.config.timeout,
            // A message with a bad escape must not cut the connection each time it is delivered.
            lenient_escapes: true,
            // Nor one that is too large.
            cut_long_messages: true,
            // Nor one whose head or length is not quite right.
            tolerate_messages: true,
        }
    }

    /// Whether the next CONNECT escapes backslashes. Most brokers unescape it, so an unknown one is taken to do so.
    fn escapes(&self) -> bool {
        let dialect = self.config.brokers.dialect.or(self.dialect);
        self.escapes.unwrap_or_else(|| dialect.is_none_or(|dialect| dialect.row().unescapes_connect))
    }

    /// Whether the broker may have misread a backslash in CONNECT. With `--dialect` it is known how the broker reads it.
    fn may_be_misread(&self) -> bool {
        let Address { login, passcode, .. } = self.address();
        let texts = [login, passcode, &self.config.client_id, &self.config.brokers.virtual_host];
        self.config.brokers.dialect.is_none() && texts.into_iter().flatten().any(|text| text.contains('\\'))
    }

    /// Called after each attempt that failed: if the broker may have `misread` a backslash, the next attempt writes it in
    /// the other way. Returns whether that attempt follows at once, which the first one does.
    fn respell(&mut self, misread: bool) -> bool {
        let second = std::mem::take(&mut self.second);
        if !misread {
            return false;
        }
        self.escapes = Some(!self.escapes());
        self.second = !second;
        self.second
    }

    fn drain_session(&mut self, now: Instant) {
        while let State::Open(session) = &mut self.state {
            match session.next_event() {
                Ok(None) => return self.probe(),
                Ok(Some(stomp::Event::Connected(connected))) => {
                    if self.may_be_misread() {
                        self.escapes = Some(self.escapes());
                    }
                    self.second = false;
                    let (said, server) = (self.config.brokers.dialect, connected.server.as_deref());
                    self.dialect = said.or_else(|| Dialect::of(server));
                    self.jms = Jms::of(said, server);
                    self.limits = self.dialect().limits(server);
                    self.vouches = said.is_some() || !server.is_some_and(is_development);
                    let dialect = self.dialect();
                    if self.config.brokers.virtual_host.is_some() && !dialect.row().virtual_hosts {
                        tracing::warn!(%dialect, "this broker has no virtual hosts; --vhost has no effect");
                    }
                    self.epoch += 1;
                    self.ever_up = true;
                    (self.up_since, self.served, self.delivered) = (Some(now), false, false);
                    self.watch(now);
                    if let State::Open(session) = &mut self.state {
                        session.set_lengths(dialect.row().lengths, &self.probe);
                    }
                    self.events.push_back(Event::Up);
                }
                Ok(Some(stomp::Event::Message(frame))) => {
                    self.delivered = true;
                    report(session.take_flaws(), &frame, &self.secrets);
                    if self.unreadable.delivered(&frame) {
                        self.muted = true;
                        return self.events.push_back(Event::Unreadable(frame));
                    }
                    self.events.push_back(Event::Message(frame));
                }
                Ok(Some(stomp::Event::Receipt(id))) if *id == *self.probe.as_bytes() => {}
                Ok(Some(stomp::Event::Receipt(id))) => {
                    self.unreadable.passed();
                    self.events.push_back(Event::Receipt(id));
                }
                Ok(Some(stomp::Event::Error(frame))) => {
                    self.unreadable.passed();
                    self.events.push_back(Event::Error(frame));
                }
                Err(error) => {
                    match &error {
                        SessionError::Parse(_) => self.unreadable.failed(),
                        _ => self.unreadable.passed(),
                    }
                    let mut refused = false;
                    if let SessionError::Refused { message, .. } = &error {
                        // A broker that is unknown here may follow the specification, and not unescape.
                        let unescapes = Dialect::of_refusal(message)
                            .is_some_and(|dialect| dialect.row().unescapes_connect);
                        self.misread = unescapes != self.escapes() && self.may_be_misread();
                        refused = !self.misread;
                    }
                    let strange = self.up_since.is_none() && matches!(error, SessionError::Parse(_));
                    let hint = if strange { ": is it a STOMP port?" } else { "" };
                    return self.close(format!("{error}{hint}"), refused);
                }
            }
        }
    }

    /// Asks for a RECEIPT, where what has arrived does not tell whether a MESSAGE goes on.
    fn probe(&mut self) {
        let State::Open(session) = &mut self.state else { return };
        if !session.take_doubt() {
            return;
        }
        tracing::debug!("a message may be shorter than its content-length says; asking for a RECEIPT");
        let version = session.version();
        self.release();
        // What every broker confirms, and what changes nothing.
        let out = self.outbox.tail();
        Encoder::new(out, version, Command::Begin)
            .header("transaction", &self.probe)
            .header("receipt", &self.probe)
            .finish();
        Encoder::new(out, version, Command::Abort).header("transaction", &self.probe).finish();
    }

    /// Sets what a connection that is up has timers for, beside heart-beats.
    fn watch(&mut self, now: Instant) {
        let State::Open(session) = &self.state else { return };
        let beats = session.heart_beat().is_some_and(|beat| beat.send_interval().is_some());
        self.keep_alive = self.dialect().row().silence.filter(|_| !beats).map(|silence| now + silence / 3);
        self.check = None;
        if let (Some(priority), false) = (&self.config.priority, self.address().priority) {
            priority.forget();
            self.check = Some(now + self.patience);
        }
    }

    /// Does what is due beside heart-beats.
    fn watched(&mut self, now: Instant) {
        if self.check.is_some_and(|at| at <= now) {
            let may_return = self.config.priority.as_ref().is_some_and(|priority| priority.may_return());
            self.check = (!may_return).then_some(now + CHECK);
            if may_return {
                self.events.push_back(Event::Return);
            }
        }
        if self.keep_alive.is_some_and(|at| at <= now) {
            self.keep_alive = self.dialect().row().silence.map(|silence| now + silence / 3);
            // What is still to be sent is as good, and must not be torn in two.
            if self.outbox.is_empty() {
                self.outbox.tail().push(b'\n');
            }
        }
    }

    fn timer(&mut self, now: Instant) {
        if self.is_up() {
            self.watched(now);
        }
        match &mut self.state {
            State::Idle(Some(at)) if *at <= now => self.attempt(),
            State::Closing(..) if self.alert.is_some_and(|at| at <= now) => self.hang_up(),
            State::Open(session) => {
                if self.paused {
                    session.received(now, &[]);
                }
                if let Err(error) = session.timer(now, self.outbox.tail()) {
                    let hint = match &self.tls {
                        Some(tls) if tls.is_handshaking() => ", nor with TLS: is it a port with TLS?",
                        None if self.up_since.is_none() => ": is it a STOMP port without TLS?",
                        _ => "",
                    };
                    self.close(format!("{error}{hint}"), false);
                }
            }
            _ => {}
        }
    }

    fn closed(&mut self, now: Instant, result: io::Result<()>) {
        self.clear();
        self.unreadable.passed();
        self.tls = None;
        self.alert = None;
        (self.check, self.keep_alive) = (None, None);
        let peer = Arc::clone(&self.peer);
        let mut misread = std::mem::take(&mut self.misread);
        let (mut why, refused) = match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return,
            // By then it is said in the log who the peer is.
            State::Closing(why, refused) if self.up_since.is_some() => (why, refused),
            State::Closing(why, refused) => (format!("{peer}: {why}"), refused),
            State::Connecting => match result {
                Err(error) => (format!("cannot connect to {peer}: {}", explain(&error)), false),
                Ok(()) => (format!("the connection to {peer} was not made"), false),
            },
            State::Open(session) if !session.is_connected() => {
                // Some brokers, such as RabbitMQ, close the connection without an ERROR at an undefined escape.
                misread = self.may_be_misread();
                let ways =
                    if misread && self.second { ", with and without its backslashes escaped" } else { "" };
                let tls = if self.address().tls { "with" } else { "without" };
                let why = format!(
                    "{peer} closed the connection before CONNECTED{ways}: is it a STOMP port {tls} TLS?"
                );
                (why, false)
            }
            State::Open(_) | State::Idle(_) => match result {
                Err(error) => (format!("the connection to {peer} broke: {error}"), false),
                Ok(()) => (format!("{peer} closed the connection"), false),
            },
        };
        if self.held {
            // It is no failure of the broker's, which is the first to be tried again.
            self.up_since = None;
            self.state = State::Idle(None);
            self.events.push_back(Event::Down(Down { why, refused: false, retry_in: Some(Duration::ZERO) }));
            return;
        }
        let respelled = self.respell(misread);
        // One that neither lasted nor served counts as another failure: a broker that lets us in and then throws
        // us out, for what we ask or what it delivers, is not to be asked again and again without a pause.
        let since = self.up_since.take();
        let lasted = since.is_some_and(|since| now.saturating_duration_since(since) >= LASTING);
        if lasted && self.address().priority {
            self.patience = CHECK;
        }
        let begins = lasted || since.is_some() && self.served;
        if begins {
            self.round = 0;
            self.delay = self.config.brokers.backoff.first();
        }
        let retry_in = if std::mem::take(&mut self.returning) {
            self.next = self.next.next_multiple_of(self.config.brokers.addresses.len());
            self.first = self.next;
            Some(Duration::ZERO)
        } else if respelled {
            let how = if self.escapes() { "escaped" } else { "as they are" };
            why = format!(
                "{why} (the next attempt sends the backslashes in CONNECT {how}; --dialect makes this attempt unnecessary)"
            );
            Some(Duration::ZERO)
        } else {
            self.next_attempt(begins)
        };
        let why = match retry_in {
            None if self.round > 1 => format!("{why}; gave up after {} attempts", self.round),
            _ => why,
        };
        self.state = match retry_in {
            Some(delay) => State::Idle(Some(now + delay)),
            None => State::Over,
        };
        if retry_in == Some(Duration::ZERO) {
            self.attempt();
        }
        self.events.push_back(Event::Down(Down { why, refused, retry_in }));
    }

    /// The delay until the next attempt: none within a round over the list, then a growing one. What ends a good
    /// connection `begins` the first round.
    fn next_attempt(&mut self, begins: bool) -> Option<Duration> {
        self.next += 1;
        if begins {
            self.first = self.next;
        }
        let len = self.config.brokers.addresses.len();
        let tried = self.next - self.first;
        if tried % len != 0 || begins && len > 1 {
            return Some(Duration::ZERO);
        }
        let backoff = &self.config.brokers.backoff;
        // A broker that delivers is there. Where it ends the connection over an answer, that message is to blame, and is dealt
        // with: it must not use up the attempts.
        if !begins && !std::mem::take(&mut self.delivered) {
            self.round += 1;
            let limit =
                if self.ever_up { backoff.attempts } else { backoff.startup_attempts.or(backoff.attempts) };
            if limit.is_some_and(|limit| self.round >= limit) {
                return None;
            }
        }
        // At random, so that a cluster's clients do not all come back at once.
        let delay = self.delay.max(SHORTEST);
        let delay = match backoff.jitter {
            Some(jitter) => delay + jitter.mul_f64(self.random.f64()),
            None => delay.mul_f64(0.5 + self.random.f64() / 2.0),
        };
        self.delay = self.delay.max(SHORTEST).mul_f64(backoff.multiplier).min(backoff.max);
        Some(delay)
    }
}

/// Says once for each message what was wrong with it.
fn report(flaws: Flaws, frame: &Frame, secrets: &Secrets) {
    if !flaws.any() {
        return;
    }
    let Flaws { lines, lengths, octets, .. } = flaws;
    let header = |name| secrets.value(frame.headers.get(name).unwrap_or_default(), SHOWN);
    tracing::warn!(
        destination = %header("destination"),
        message_id = %header("message-id"),
        lines,
        lengths,
        octets,
        "a message is malformed, and is taken all the same: header lines without a colon or a name were skipped, \
         wrong values of content-length ignored, octets between this message and the one before skipped"
    );
}

/// 128 bits of the operating system's randomness, as text.
fn unguessable() -> String {
    let word = || RandomState::new().build_hasher().finish();
    format!("probe-{:016x}{:016x}", word(), word())
}

/// An error of connecting, with what to do about it.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "connection refused (is the broker running, and is this its STOMP port?)".into()
        }
        io::ErrorKind::TimedOut => "it does not answer (host, port, firewall?)".into(),
        _ => error.to_string(),
    }
}

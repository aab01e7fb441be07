//! The broker itself: one owner of all state, without sockets, clocks or threads.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    BrokerConfig, Depth,
    connection::{Connection, Stage},
    destination::{Address, Destinations, QueueId},
    id::Ids,
    refusal::{Fate, Refusal},
    subscription::Key,
};
use crate::{
    Dialect,
    stomp::{Frame, ParseError},
};

/// How often expired messages are looked for, while there may be any.
const SWEEP: Duration = Duration::from_secs(1);

/// A point in time, on both clocks: one for intervals, one for the dates in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Never goes back.
    pub monotonic: Instant,
    /// What `expires` is compared with.
    pub wall: SystemTime,
}

impl Now {
    /// What the system's clocks say.
    pub fn system() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// Milliseconds since 1970, as JMS counts.
    pub(super) fn millis(self) -> u64 {
        let since = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A connection's number; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(super) u64);

/// What to do with a connection's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Read it while [`Broker::wants_read`], and write what is in its outbox.
    Open,
    /// Write what is in its outbox, then shut down the writing side; read until the end, and report it with
    /// [`Broker::closed`].
    Closing,
    /// Close it: the broker knows it no more.
    Gone,
}

/// A broker without sockets.
///
/// Tell it what happened ([`accept`](Self::accept), [`received`](Self::received), [`sent`](Self::sent),
/// [`closed`](Self::closed), and [`timer`](Self::timer) at [`deadline`](Self::deadline)). After each, or after a
/// batch of them, take [`next_changed`](Self::next_changed) until it has none: each answer is a connection
/// whose [`outbox`](Self::outbox), [`wants_read`](Self::wants_read) or [`status`](Self::status) may have
/// changed.
///
/// ```
/// use stomp_wsgi::broker::{Broker, BrokerConfig, Now};
///
/// let now = Now::system();
/// let mut broker = Broker::new(BrokerConfig::default(), now);
/// let client = broker.accept(now);
/// broker.received(client, now, b"CONNECT\naccept-version:1.2\nhost:/\n\n\0");
/// assert_eq!(broker.next_changed(), Some(client));
/// assert!(broker.outbox(client).starts_with(b"CONNECTED\nversion:1.2\n"));
/// let written = broker.outbox(client).len();
/// broker.sent(client, now, written);
/// broker.received(client, now, b"SEND\ndestination:/queue/orders\n\nhello\0");
/// assert_eq!(broker.depth("/queue/orders").waiting, 1);
/// ```
#[derive(Debug)]
pub struct Broker {
    pub(super) config: BrokerConfig,
    pub(super) ids: Ids,
    pub(super) connections: BTreeMap<ConnId, Connection>,
    next_connection: u64,
    pub(super) destinations: Destinations,
    pub(super) next_message: u64,
    /// Bytes of messages and half-received frames.
    pub(super) memory: usize,
    /// Bytes of what clients have named: subscriptions, transactions, temporary queues. Destinations count their own.
    pub(super) names: usize,
    /// Bytes of outboxes that their clients do not read.
    pub(super) unread: usize,
    /// Connections that are not read until there is memory.
    pub(super) paused: BTreeSet<ConnId>,
    /// Queues that may have something to deliver.
    pub(super) due_queues: VecDeque<QueueId>,
    /// Topic subscriptions that may have something to deliver.
    pub(super) due_subscriptions: VecDeque<Key>,
    pub(super) changed: VecDeque<ConnId>,
    /// No deadline is earlier than this.
    wake: Option<Instant>,
    next_sweep: Option<Instant>,
}

impl Broker {
    /// A broker without connections.
    pub fn new(config: BrokerConfig, now: Now) -> Self {
        Self {
            config,
            ids: Ids::new(now),
            connections: BTreeMap::new(),
            next_connection: 1,
            destinations: Destinations::default(),
            next_message: 1,
            memory: 0,
            names: 0,
            unread: 0,
            paused: BTreeSet::new(),
            due_queues: VecDeque::new(),
            due_subscriptions: VecDeque::new(),
            changed: VecDeque::new(),
            wake: None,
            next_sweep: None,
        }
    }

    /// A client has connected. Where there are too many already, all that it gets is an ERROR.
    pub fn accept(&mut self, now: Now) -> ConnId {
        let id = ConnId(self.next_connection);
        self.next_connection += 1;
        let full = self.connections.len() >= self.config.connections;
        let session = self.ids.session(id, self.config.dialect);
        let connection = Connection::new(id, session, &self.config, now.monotonic);
        self.connections.insert(id, connection);
        tracing::debug!(connection = id.0, "connected");
        if full {
            self.refuse(id, &Refusal::too_many("connections", self.config.connections), None, now);
        }
        self.schedule(id);
        id
    }

    /// Bytes have come from a client.
    pub fn received(&mut self, id: ConnId, now: Now, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.liveness.received(now.monotonic);
        if connection.is_closing() {
            return;
        }
        connection.parser.feed(bytes);
        self.process(id, now);
        self.settle(now);
    }

    /// So many bytes of a connection's outbox were written.
    pub fn sent(&mut self, id: ConnId, now: Now, count: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let stalled = connection.is_stalled();
        let refill = connection.sent(count, now.monotonic);
        if stalled && !connection.is_stalled() {
            connection.liveness.received(now.monotonic);
            self.mark_changed(id);
        }
        self.charge_outbox(id);
        if refill {
            self.list_sources(id);
        }
        // Paused connections may wait for this memory.
        if refill || !self.paused.is_empty() {
            self.settle(now);
        }
    }

    /// A client's connection has ended, in whatever way.
    pub fn closed(&mut self, id: ConnId, now: Now) {
        self.end_session(id);
        if self.forget(id) {
            tracing::debug!(connection = id.0, "disconnected");
        }
        self.settle(now);
    }

    /// Whether there was such a connection.
    fn forget(&mut self, id: ConnId) -> bool {
        let connection = self.connections.remove(&id);
        self.unread -= connection.as_ref().map_or(0, |connection| connection.unread);
        connection.is_some()
    }

    /// When to call [`timer`](Self::timer), if nothing else happens before. Only another call changes it.
    pub fn deadline(&self) -> Option<Instant> {
        match (self.wake, self.next_sweep) {
            (Some(wake), Some(sweep)) => Some(wake.min(sweep)),
            (wake, sweep) => wake.or(sweep),
        }
    }

    /// Time has passed. Call it after what was read until then: a heart-beat that waits in a socket is one.
    pub fn timer(&mut self, now: Now) {
        if self.wake.is_some_and(|at| at <= now.monotonic) {
            let ids: Vec<_> = self.connections.keys().copied().collect();
            ids.into_iter().for_each(|id| self.check(id, now));
            self.wake = self.connections.values().filter_map(Connection::deadline).min();
        }
        if self.next_sweep.is_some_and(|at| at <= now.monotonic) {
            self.next_sweep = None;
            self.sweep(now);
        }
        self.settle(now);
    }

    /// What is to be written to a client; grows only at its end, until [`sent`](Self::sent) takes from it.
    pub fn outbox(&self, id: ConnId) -> &[u8] {
        self.connections.get(&id).map_or(&[], Connection::outbox)
    }

    /// Whether to read from a client. If not, do not: that is the broker's back-pressure.
    pub fn wants_read(&self, id: ConnId) -> bool {
        self.connections.get(&id).is_some_and(Connection::wants_read)
    }

    /// What to do with a client's socket.
    pub fn status(&self, id: ConnId) -> Status {
        match self.connections.get(&id) {
            None => Status::Gone,
            Some(connection) if connection.is_closing() => Status::Closing,
            Some(_) => Status::Open,
        }
    }

    /// A connection to look at again.
    pub fn next_changed(&mut self) -> Option<ConnId> {
        let id = self.changed.pop_front()?;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.listed = false;
        }
        self.charge_outbox(id);
        Some(id)
    }

    /// How full a queue is, or how many listen to a topic (whose messages wait nowhere for long). Zero for
    /// one that does not exist.
    pub fn depth(&self, destination: &str) -> Depth {
        if self.config.dialect == Dialect::RabbitMq {
            return self.depth_as_rabbitmq(destination.as_bytes());
        }
        match Address::parse(destination.as_bytes(), self.config.dialect, None) {
            Ok(Address::Topic(name)) => Depth {
                consumers: self.destinations.topic(&name).map_or(0, |topic| topic.len()),
                ..Depth::default()
            },
            Ok(Address::Queue(name) | Address::RemoteTemporary(name)) => {
                let queue = self.destinations.queue_id(&name).and_then(|id| self.destinations.queue(id));
                queue.map_or_else(Depth::default, |queue| queue.depth())
            }
            _ => Depth::default(),
        }
    }

    /// How many connections there are, those included that are being closed.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Bytes of messages that the broker holds, and of frames that it has half received.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// All that [`BrokerConfig::memory`] bounds: besides messages, what clients have named (subscriptions with their
    /// selectors, destinations, transactions, temporary queues), and answers that they do not read.
    pub fn held(&self) -> usize {
        self.memory + self.named() + self.unread
    }

    /// Obeys the frames that a connection has sent, as far as they are complete.
    pub(super) fn process(&mut self, id: ConnId, now: Now) {
        while let Some(connection) = self.connections.get_mut(&id).filter(|c| c.is_obeyed()) {
            match connection.parser.next_frame() {
                Ok(Some(frame)) => {
                    let unknown = connection.parser.take_unknown();
                    if connection.buffered > 0 {
                        self.charge(id);
                    }
                    if self.config.frame_len < usize::MAX && frame_len(&frame) > self.config.frame_len {
                        self.close(id, now);
                    } else if let Some(line) = unknown {
                        self.unknown_command(id, line, &frame, now);
                    } else {
                        self.command(id, frame, now);
                    }
                }
                Ok(None) => {
                    if self.charge(id) {
                        if let Err(refusal) = self.admit(id, 0) {
                            self.refuse(id, &refusal, None, now);
                        }
                    }
                    if let Some(connection) = self.connections.get_mut(&id) {
                        // Has the parser give back the buffer that a large frame left behind.
                        connection.parser.feed(&[]);
                    }
                    break;
                }
                Err(ParseError::BodyTooLong { .. }) if self.config.frame_len <= self.config.frame.body => {
                    self.close(id, now);
                }
                Err(error) => {
                    let refusal = Refusal::unreadable(&error, self.config.dialect);
                    self.refuse(id, &refusal, None, now);
                }
            }
        }
    }

    /// Does all that follows from what happened: deliveries, and reading on where there is memory again.
    fn settle(&mut self, now: Now) {
        self.deliver_due(now);
        self.relieve(now);
    }

    /// Closes the connection of a silent client. RabbitMQ and ActiveMQ send no ERROR.
    fn refuse_silent(&mut self, id: ConnId, refusal: Refusal, now: Now) {
        let silent = self.config.dialect == Dialect::RabbitMq || self.config.behaviour().closes_silently;
        let fate = if silent { Fate::ClosesSilently } else { refusal.fate };
        self.refuse(id, &Refusal { fate, ..refusal }, None, now);
    }

    /// Ends a session from this side; the socket lives on until its outbox is written.
    pub(super) fn close(&mut self, id: ConnId, now: Now) {
        self.end_session(id);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.close(now.monotonic);
        }
        self.schedule(id);
        self.mark_changed(id);
    }

    /// Does what is due on a connection: a timeout or a heart-beat.
    fn check(&mut self, id: ConnId, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.deadline().is_none_or(|at| at > now.monotonic) {
            return;
        }
        match connection.stage {
            Stage::New(_) => {
                let refusal =
                    Refusal::new("no CONNECT in time", "The first frame must be CONNECT or STOMP, at once.");
                self.refuse_silent(id, refusal, now);
            }
            Stage::Closing(_) => {
                self.mark_changed(id);
                self.forget(id);
            }
            Stage::Open => {
                if connection.is_stalled() {
                    connection.liveness.received(now.monotonic);
                }
                if let Some(silence) = connection.liveness.dead(now.monotonic) {
                    let refusal = Refusal::new(
                        "no heart-beat from the client",
                        format!(
                            "Nothing came for {} ms. Send something, or one LF, within the interval that the \
                             heart-beat header promised.",
                            silence.as_millis()
                        ),
                    );
                    self.refuse_silent(id, refusal, now);
                } else if connection.liveness.beat_due(now.monotonic) {
                    connection.beat(now.monotonic);
                    self.mark_changed(id);
                }
            }
        }
    }

    /// Drops expired messages that no consumer takes.
    fn sweep(&mut self, now: Now) {
        for id in self.destinations.expiring() {
            if let Some(queue) = self.destinations.queue_mut(id) {
                self.memory -= queue.sweep(now);
                if queue.expiring() > 0 {
                    self.next_sweep = now.monotonic.checked_add(SWEEP);
                }
            }
            self.list_queue(id);
        }
    }

    /// Has [`timer`](Self::timer) look for expired messages.
    pub(super) fn schedule_sweep(&mut self, now: Now) {
        if self.next_sweep.is_none() {
            self.next_sweep = now.monotonic.checked_add(SWEEP);
        }
    }

    /// A connection has a new deadline.
    pub(super) fn schedule(&mut self, id: ConnId) {
        let deadline = self.connections.get(&id).and_then(Connection::deadline);
        self.wake = match (self.wake, deadline) {
            (Some(wake), Some(deadline)) => Some(wake.min(deadline)),
            (wake, deadline) => wake.or(deadline),
        };
    }

    pub(super) fn mark_changed(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            if !std::mem::replace(&mut connection.listed, true) {
                self.changed.push_back(id);
            }
        }
    }
}

/// Octets of a frame as its sender wrote it, but for escapes.
fn frame_len(frame: &Frame) -> usize {
    let lines: usize = frame.headers.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    frame.command.as_str().len() + lines + frame.body.len() + 3
}

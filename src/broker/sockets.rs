//! All sockets of one broker, on one thread.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    sync::mpsc,
    time::{Duration, Instant},
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use reactors::{CloseOnFork, READ_BUFFER, Stop};

use super::{Broker, BrokerConfig, ConnId, Depth, Now, Status};

pub(super) const LISTENER: Token = Token(0);
pub(super) const WAKER: Token = Token(1);
const FIRST: usize = 2;

/// Connections that are accepted in a row before the others have their turn.
const ACCEPTS: usize = 64;

/// How long accepting pauses where the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A question from another thread.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) destination: String,
    pub(super) answer: mpsc::Sender<Depth>,
}

/// A client's socket.
#[derive(Debug)]
struct Socket {
    /// Dropped before the stream is closed.
    _mark: CloseOnFork,
    stream: TcpStream,
    /// Until a read or write would block; then until the next event.
    readable: bool,
    writable: bool,
    /// Whether it waits in `ready`.
    listed: bool,
    /// Whether nothing more will be written.
    shut: bool,
    /// Whether nothing more will come.
    ended: bool,
}

/// The broker and its sockets.
#[derive(Debug)]
pub(super) struct Sockets {
    poll: Poll,
    /// Dropped before the listener is closed.
    _mark: CloseOnFork,
    listener: TcpListener,
    broker: Broker,
    /// Above this number of connections new ones are closed without an ERROR.
    most: usize,
    sockets: HashMap<ConnId, Socket>,
    /// Sockets to read from.
    ready: VecDeque<ConnId>,
    /// Connections whose outbox or status may have changed.
    changed: VecDeque<ConnId>,
    acceptable: bool,
    /// When to try again to accept, after the system refused.
    accept_at: Option<Instant>,
}

impl Sockets {
    pub(super) fn new(poll: Poll, listener: TcpListener, config: BrokerConfig) -> Self {
        Self {
            poll,
            _mark: CloseOnFork::new(&listener),
            listener,
            most: config.connections.saturating_add(ACCEPTS),
            broker: Broker::new(config, Now::system()),
            sockets: HashMap::new(),
            ready: VecDeque::new(),
            changed: VecDeque::new(),
            acceptable: false,
            accept_at: None,
        }
    }

    /// Reads, runs timers and writes, in turns.
    pub(super) fn run(mut self, stop: &Stop, asked: &mpsc::Receiver<Ask>) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BUFFER];
        while !stop.is_stopped() {
            if let Err(error) = self.poll.poll(&mut events, self.timeout()) {
                if error.kind() != ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.acceptable = true,
                    WAKER => {}
                    Token(token) => self.note(ConnId((token - FIRST) as u64), event),
                }
            }
            let now = Now::system();
            if self.acceptable && self.accept_at.is_none_or(|at| at <= now.monotonic) {
                self.accept(now);
            }
            for _ in 0..self.ready.len() {
                if let Some(id) = self.ready.pop_front() {
                    self.read(id, &mut buffer, now);
                }
            }
            if self.broker.deadline().is_some_and(|at| at <= now.monotonic) {
                self.broker.timer(now);
            }
            self.take_changed();
            for _ in 0..self.changed.len() {
                if let Some(id) = self.changed.pop_front() {
                    self.write(id, now);
                }
            }
            self.take_changed();
            for ask in asked.try_iter() {
                // The thread that asked may have given up.
                let _ = ask.answer.send(self.broker.depth(&ask.destination));
            }
        }
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() || !self.changed.is_empty() || (self.acceptable && self.accept_at.is_none())
        {
            return Some(Duration::ZERO);
        }
        let deadline = [self.broker.deadline(), self.accept_at].into_iter().flatten().min();
        deadline.map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn take_changed(&mut self) {
        while let Some(id) = self.broker.next_changed() {
            self.changed.push_back(id);
        }
    }

    fn note(&mut self, id: ConnId, event: &mio::event::Event) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        if event.is_writable() {
            socket.writable = true;
            self.changed.push_back(id);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            socket.readable = true;
            if !std::mem::replace(&mut socket.listed, true) {
                self.ready.push_back(id);
            }
        }
    }

    fn accept(&mut self, now: Now) {
        self.accept_at = None;
        for _ in 0..ACCEPTS {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => {
                        self.acceptable = false;
                        return;
                    }
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => continue,
                    _ => {
                        tracing::warn!(%error, "cannot accept a connection; trying again soon");
                        self.accept_at = Some(now.monotonic + ACCEPT_PAUSE);
                        return;
                    }
                },
            };
            if self.broker.connections() >= self.most {
                continue;
            }
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a client left at once");
                continue;
            }
            let id = self.broker.accept(now);
            let interest = Interest::READABLE | Interest::WRITABLE;
            if let Err(error) = self.poll.registry().register(&mut stream, token(id), interest) {
                tracing::warn!(%error, "cannot watch a connection");
                self.broker.closed(id, now);
                continue;
            }
            let socket = Socket {
                _mark: CloseOnFork::new(&stream),
                stream,
                readable: false,
                writable: true,
                listed: false,
                shut: false,
                ended: false,
            };
            self.sockets.insert(id, socket);
        }
    }

    /// Reads until the socket is empty or the buffer was full once.
    fn read(&mut self, id: ConnId, buffer: &mut [u8], now: Now) {
        let mut room = buffer.len();
        loop {
            let Some(socket) = self.sockets.get_mut(&id) else { return };
            socket.listed = false;
            // Not read now: it is listed again when the broker says that it has changed.
            if !self.broker.wants_read(id) || socket.ended {
                return;
            }
            match socket.stream.read(&mut buffer[..room]) {
                Ok(0) => {
                    socket.ended = true;
                    // The client has ended its side. The answers to what it asked for are still sent.
                    if self.broker.status(id) == Status::Closing {
                        self.changed.push_back(id);
                        return;
                    }
                    return self.drop_socket(id, now);
                }
                Ok(count) => {
                    room -= count;
                    self.broker.received(id, now, &buffer[..count]);
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => {
                        socket.readable = false;
                        return;
                    }
                    ErrorKind::Interrupted => {}
                    _ => {
                        tracing::debug!(connection = id.0, %error, "lost");
                        return self.drop_socket(id, now);
                    }
                },
            }
            if room == 0 {
                break;
            }
        }
        self.list(id);
    }

    /// Has a socket read in the next turn.
    fn list(&mut self, id: ConnId) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            if socket.readable && !std::mem::replace(&mut socket.listed, true) {
                self.ready.push_back(id);
            }
        }
    }

    /// Writes what is in the outbox, and closes what is to be closed.
    fn write(&mut self, id: ConnId, now: Now) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        if socket.writable && !socket.shut && !self.broker.outbox(id).is_empty() {
            match socket.stream.write(self.broker.outbox(id)) {
                Ok(count) => {
                    self.broker.sent(id, now, count);
                    // Not all of it: only another try tells whether the socket is full.
                    if !self.broker.outbox(id).is_empty() {
                        self.changed.push_back(id);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => socket.writable = false,
                    ErrorKind::Interrupted => self.changed.push_back(id),
                    _ => {
                        tracing::debug!(connection = id.0, %error, "lost");
                        return self.drop_socket(id, now);
                    }
                },
            }
        }
        match self.broker.status(id) {
            Status::Gone => self.drop_socket(id, now),
            Status::Closing if self.broker.outbox(id).is_empty() => {
                if socket.ended {
                    return self.drop_socket(id, now);
                }
                // Where the client is gone already, reading will tell.
                if !std::mem::replace(&mut socket.shut, true) {
                    drop(socket.stream.shutdown(Shutdown::Write));
                }
                self.list(id);
            }
            _ if self.broker.wants_read(id) => self.list(id),
            _ => {}
        }
    }

    fn drop_socket(&mut self, id: ConnId, now: Now) {
        self.broker.closed(id, now);
        if let Some(mut socket) = self.sockets.remove(&id) {
            // The system forgets a closed socket by itself.
            drop(self.poll.registry().deregister(&mut socket.stream));
        }
    }
}

fn token(id: ConnId) -> Token {
    Token(FIRST + id.0 as usize)
}

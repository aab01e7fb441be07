//! One link's place in the engine, and the names it connects to.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    ops::ControlFlow,
    sync::{Arc, mpsc::Sender},
    time::Instant,
};

use ::mio::{Interest, Poll, Token, Waker, net::TcpStream};

use crate::{CloseOnFork, Input, Link, OUTBOX_HIGH_WATER, threads};

/// What a name stands for, or why that is unknown.
pub(super) type Addresses = io::Result<std::vec::IntoIter<SocketAddr>>;

/// A link and its socket.
pub(super) struct Seat {
    pub(super) link: Box<dyn Link>,
    socket: Socket,
    /// Counts connections, so that the answer to an earlier look-up is known as such.
    pub(super) attempt: u64,
    /// When the attempt has taken too long.
    pub(super) deadline: Option<Instant>,
    pub(super) until: Option<Instant>,
    pub(super) read: bool,
    /// What the readiness queue said and no call has contradicted since.
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The peer's end was announced: it shows only to those who read on.
    pub(super) ended: bool,
    pub(super) queued: bool,
    /// When the peer last took something.
    pub(super) progress: Instant,
}

enum Socket {
    /// None, or not before its name is known.
    Closed,
    Connecting(Marked, std::vec::IntoIter<SocketAddr>),
    Open(Marked),
}

/// A socket and its mark, which is dropped first.
struct Marked {
    _mark: CloseOnFork,
    socket: TcpStream,
}

impl Seat {
    pub(super) fn new(link: Box<dyn Link>) -> Self {
        Self {
            link,
            socket: Socket::Closed,
            attempt: 0,
            deadline: None,
            until: None,
            read: false,
            readable: false,
            writable: false,
            ended: false,
            queued: true,
            progress: Instant::now(),
        }
    }

    pub(super) fn enqueue(&mut self, place: usize, ready: &mut VecDeque<usize>) {
        if !std::mem::replace(&mut self.queued, true) {
            ready.push_back(place);
        }
    }

    pub(super) fn can_go_on(&self) -> bool {
        let open = matches!(self.socket, Socket::Open(_));
        open && (self.readable && self.read || self.writable && !self.link.outbox().is_empty())
    }

    pub(super) fn is_full(&self) -> bool {
        matches!(self.socket, Socket::Open(_)) && self.link.outbox().len() > OUTBOX_HIGH_WATER
    }

    /// Gives up the socket or the attempt, and says so.
    pub(super) fn close(&mut self, result: io::Result<()>) {
        self.socket = Socket::Closed;
        self.deadline = None;
        self.attempt += 1;
        self.link.handle(Instant::now(), Input::Closed(result));
    }

    /// Tries one address after the other; each begins with nothing known.
    pub(super) fn connect(&mut self, addresses: Addresses, poll: &Poll, place: usize) {
        let mut failure = io::Error::new(ErrorKind::NotFound, "the name has no address");
        match addresses {
            Err(error) => failure = error,
            Ok(mut addresses) => {
                while let Some(address) = addresses.next() {
                    (self.readable, self.writable, self.ended) = (false, false, false);
                    let attempt = TcpStream::connect(address).and_then(|mut socket| {
                        let interest = Interest::READABLE | Interest::WRITABLE;
                        poll.registry().register(&mut socket, Token(place), interest)?;
                        Ok(Marked { _mark: CloseOnFork::new(&socket), socket })
                    });
                    match attempt {
                        Ok(socket) => return self.socket = Socket::Connecting(socket, addresses),
                        Err(error) => failure = error,
                    }
                }
            }
        }
        self.close(Err(failure));
    }

    /// Goes on with what the socket is ready for.
    pub(super) fn turn(&mut self, buffer: &mut [u8], poll: &Poll, place: usize) {
        match std::mem::replace(&mut self.socket, Socket::Closed) {
            Socket::Closed => {}
            Socket::Connecting(socket, addresses) => match is_connected(&socket.socket, self.writable) {
                Ok(false) => self.socket = Socket::Connecting(socket, addresses),
                Ok(true) => {
                    self.socket = Socket::Open(socket);
                    self.deadline = None;
                    self.progress = Instant::now();
                    self.link.handle(self.progress, Input::Connected);
                }
                Err(error) if addresses.len() == 0 => self.close(Err(error)),
                Err(_) => self.connect(Ok(addresses), poll, place),
            },
            open => {
                self.socket = open;
                let result = self.write();
                let result = if result.is_continue() { self.read(buffer) } else { result };
                if let ControlFlow::Break(result) = result {
                    self.close(result);
                }
            }
        }
    }

    pub(super) fn write(&mut self) -> ControlFlow<io::Result<()>> {
        let Socket::Open(Marked { socket, .. }) = &mut self.socket else { return ControlFlow::Continue(()) };
        if self.writable && !self.link.outbox().is_empty() {
            match socket.write(self.link.outbox()) {
                Ok(n) => {
                    self.progress = Instant::now();
                    self.link.handle(self.progress, Input::Sent(n));
                }
                Err(error) => return later(error, &mut self.writable),
            }
        }
        ControlFlow::Continue(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> ControlFlow<io::Result<()>> {
        let Socket::Open(Marked { socket, .. }) = &mut self.socket else { return ControlFlow::Continue(()) };
        if self.readable && self.read {
            match socket.read(buffer) {
                Ok(0) => return ControlFlow::Break(Ok(())),
                Ok(n) => {
                    // A short read took everything that there was, but for the end.
                    self.readable = n == buffer.len() || self.ended;
                    self.link.handle(Instant::now(), Input::Received(&buffer[..n]));
                }
                Err(error) => return later(error, &mut self.readable),
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether this is only a matter of time.
fn later(error: io::Error, readiness: &mut bool) -> ControlFlow<io::Result<()>> {
    match error.kind() {
        ErrorKind::WouldBlock => *readiness = false,
        ErrorKind::Interrupted => {}
        _ => return ControlFlow::Break(Err(error)),
    }
    ControlFlow::Continue(())
}

/// Writability alone may be news of a failure, or of an earlier socket in this place.
fn is_connected(socket: &TcpStream, writable: bool) -> io::Result<bool> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Ok(_) if writable => socket.set_nodelay(true).map(|()| true),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

/// Looks names up where it may take its time.
pub(super) struct Resolver {
    pub(super) sender: Sender<(usize, u64, Addresses)>,
    pub(super) waker: Arc<Waker>,
}

impl Resolver {
    pub(super) fn look_up(&self, host: String, port: u16, place: usize, attempt: u64) -> io::Result<()> {
        let (sender, waker) = (self.sender.clone(), Arc::clone(&self.waker));
        if let Ok(address) = host.parse::<IpAddr>() {
            let addresses = vec![SocketAddr::new(address, port)].into_iter();
            // We hold the other end.
            let _ = sender.send((place, attempt, Ok(addresses)));
            return waker.wake();
        }
        let look_up = move || {
            let addresses = (host.as_str(), port).to_socket_addrs();
            // Nobody listens once the reactor is gone.
            let _ = sender.send((place, attempt, addresses));
            let _ = waker.wake();
        };
        threads::spawn("stomp-wsgi-resolver", look_up).map(drop)
    }
}

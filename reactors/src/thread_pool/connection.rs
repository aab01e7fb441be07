//! A connection, or the attempt, and its threads.

use std::{
    io::{self, ErrorKind, Write},
    mem,
    net::{Shutdown, TcpStream, ToSocketAddrs},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};

use super::{Seat, Sitter, lock};
use crate::{
    CloseOnFork, Input, LOOK, Link, READ_BUFFER,
    pool::{Lead, wait_for},
    threads::spawn,
};

/// How long a thread waits for room in a socket before it leaves the writing to a thread of the connection's own.
const PATIENCE: Duration = Duration::from_millis(1);

/// One connection, or the attempt. Each has a number, by which its threads know when it is gone.
pub(super) struct Connection {
    line: Option<Arc<Line>>,
    /// When the attempt has taken too long; `None` is never.
    deadline: Option<Instant>,
    /// When something came last, and whether it came soon after something else.
    arrived: Instant,
    brisk: bool,
    /// The reader is not at the socket, and sleeps unless it is about to ask.
    resting: bool,
    buffer: Vec<u8>,
    writer: Option<Sender<Vec<u8>>>,
    /// The writer's buffer, unless the writer has it.
    chunk: Option<Vec<u8>>,
    threads: Vec<JoinHandle<()>>,
}

/// A socket, and who may read from it.
pub(super) struct Line {
    seat: Arc<Seat>,
    number: u64,
    /// Dropped before the socket is closed.
    _mark: CloseOnFork,
    socket: TcpStream,
    reader: Thread,
    /// A worker waits at it, or will, and the reader must not.
    lent: AtomicBool,
    /// Whether the link wants to read.
    wanted: AtomicBool,
    /// What the link waits for.
    until: Mutex<Option<Instant>>,
}

impl Connection {
    /// Begins to connect. `seat` is where the link sits.
    pub(super) fn open(
        seat: Option<Arc<Seat>>,
        number: u64,
        host: String,
        port: u16,
        timeout: Duration,
    ) -> io::Result<Self> {
        // It is there as long as anybody goes on with the link.
        let seat = seat.ok_or(ErrorKind::NotConnected)?;
        let reader = spawn("stomp-wsgi-reader", move || match connect(&host, port, timeout) {
            Err(error) => seat.enter(|sitter| {
                if sitter.connection(number).is_some() {
                    seat.close(sitter, Err(error));
                }
            }),
            Ok(socket) => Line::new(Arc::clone(&seat), number, socket).read_all(),
        })?;
        let now = Instant::now();
        Ok(Self {
            line: None,
            // The reader keeps to the time too, except in a look-up.
            deadline: now.checked_add(timeout),
            arrived: now,
            brisk: false,
            resting: false,
            buffer: vec![0; READ_BUFFER],
            writer: None,
            chunk: Some(Vec::new()),
            threads: vec![reader],
        })
    }

    pub(super) fn line(&self) -> Option<&Arc<Line>> {
        self.line.as_ref()
    }

    /// When the attempt has taken too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| self.line.is_none())
    }

    /// What a worker may read from in the reader's place: not while the reader is at it, and not where so little comes
    /// that the worker would mostly wait.
    pub(super) fn to_lend(&self) -> Option<Arc<dyn Lead>> {
        let line = self.line.as_ref()?;
        let free = self.resting && self.brisk && !line.lent.load(Ordering::SeqCst);
        free.then(|| Arc::clone(line) as Arc<dyn Lead>)
    }

    /// Has the reader go on, if `read`.
    pub(super) fn allow(&mut self, read: bool) {
        let Some(line) = &self.line else { return };
        line.wanted.store(read, Ordering::SeqCst);
        let free = self.resting && !line.lent.load(Ordering::SeqCst);
        if read && free && thread::current().id() != line.reader.id() {
            line.reader.unpark();
        }
    }

    /// Writes what there is room for. A thread waits for more room, so that this one can go on.
    pub(super) fn write(&mut self, link: &mut dyn Link, now: Instant) -> io::Result<bool> {
        let (Some(line), Some(chunk)) = (&self.line, &mut self.chunk) else { return Ok(false) };
        let outbox = link.outbox();
        if outbox.is_empty() {
            return Ok(false);
        }
        match (&line.socket).write(outbox) {
            Ok(n) => link.handle(now, Input::Sent(n)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                chunk.clear();
                chunk.extend_from_slice(&outbox[..outbox.len().min(READ_BUFFER)]);
                self.delegate()?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Gives the chunk to the writer, which the first slow moment of a connection starts.
    fn delegate(&mut self) -> io::Result<()> {
        let (Some(line), Some(chunk)) = (&self.line, self.chunk.take()) else { return Ok(()) };
        line.socket.set_write_timeout(None)?;
        if self.writer.is_none() {
            let (sender, chunks) = channel::<Vec<u8>>();
            let line = Arc::clone(line);
            self.threads.push(spawn("stomp-wsgi-writer", move || {
                for chunk in chunks {
                    let result = retry(|| (&line.socket).write(&chunk));
                    line.wrote(result, chunk);
                }
            })?);
            self.writer = Some(sender);
        }
        if let Some(writer) = &self.writer {
            // It lives until we drop the sender.
            let _ = writer.send(chunk);
        }
        Ok(())
    }

    /// Ends it, and its threads, but for an attempt that still goes on, which is left to itself.
    pub(super) fn shut(self) -> Vec<JoinHandle<()>> {
        let Some(line) = &self.line else { return Vec::new() };
        line.wanted.store(false, Ordering::SeqCst);
        // Ends the calls that threads are in; where the peer was faster, they have ended already.
        let _ = line.socket.shutdown(Shutdown::Both);
        line.reader.unpark();
        self.threads
    }
}

impl Line {
    /// For its reader, which is this thread.
    fn new(seat: Arc<Seat>, number: u64, socket: TcpStream) -> Arc<Self> {
        Arc::new(Self {
            seat,
            number,
            _mark: CloseOnFork::new(&socket),
            socket,
            reader: thread::current(),
            lent: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            until: Mutex::default(),
        })
    }

    /// What the reader does.
    fn read_all(self: Arc<Self>) {
        self.seat.enter(|sitter| {
            if let Some(connection) = sitter.connection(self.number) {
                connection.line = Some(Arc::clone(&self));
                connection.resting = true;
                sitter.link.handle(Instant::now(), Input::Connected);
            }
        });
        while let Some(go) = self.may_read() {
            if !go {
                thread::park();
                continue;
            }
            // The bytes stay where they are until they are wanted. And they leave the socket only in the link's place,
            // where nobody can look for them in between (`unread`).
            let ready = retry(|| self.socket.peek(&mut [0]));
            self.seat.enter(|sitter| {
                let Some(connection) = sitter.connection(self.number) else { return };
                connection.resting = true;
                match ready {
                    Ok(_) => self.read(sitter),
                    Err(error) => self.seat.close(sitter, Err(error)),
                }
            });
        }
    }

    /// Whether the reader may go to the socket; `None` once the connection is gone.
    fn may_read(&self) -> Option<bool> {
        let look = |sitter: &mut Sitter| {
            let read = sitter.read && !self.lent.load(Ordering::SeqCst);
            sitter.connection(self.number)?.resting = !read;
            Some(read)
        };
        self.seat.look(look).flatten()
    }

    /// Reads what there is, if that is wanted.
    fn read(&self, sitter: &mut Sitter) {
        let read = sitter.read;
        let Some(connection) = sitter.connection(self.number).filter(|_| read) else { return };
        let mut buffer = mem::take(&mut connection.buffer);
        match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok((0, _)) => return self.seat.close(sitter, Ok(())),
            Err(error) => return self.seat.close(sitter, Err(error.into())),
            Ok((n, _)) => {
                let now = Instant::now();
                connection.brisk = now - connection.arrived < LOOK;
                connection.arrived = now;
                sitter.link.handle(now, Input::Received(&buffer[..n]));
            }
        }
        if let Some(connection) = sitter.connection(self.number) {
            connection.buffer = buffer;
        }
    }

    fn wrote(&self, result: io::Result<usize>, chunk: Vec<u8>) {
        self.seat.enter(|sitter| {
            let Some(connection) = sitter.connection(self.number) else { return };
            connection.chunk = Some(chunk);
            // Fails only on a socket that is no more, as the next call will tell.
            let _ = self.socket.set_write_timeout(Some(PATIENCE));
            match result {
                Ok(n) => sitter.link.handle(Instant::now(), Input::Sent(n)),
                Err(error) => self.seat.close(sitter, Err(error)),
            }
        });
    }

    /// Whether there are bytes, or the end.
    pub(super) fn unread(&self) -> bool {
        recv(&self.socket, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT).is_ok()
    }

    /// Whether a worker waits at it, or will.
    pub(super) fn is_lent(&self) -> bool {
        self.lent.load(Ordering::SeqCst)
    }

    /// What the link waits for: a worker that has the line waits for that, too.
    pub(super) fn set_until(&self, until: Option<Instant>) {
        *lock(&self.until) = until;
    }
}

impl Lead for Line {
    fn lend(&self) {
        self.lent.store(true, Ordering::SeqCst);
    }

    fn wait(&self) -> bool {
        // Not locked while it waits.
        let until = *lock(&self.until);
        self.wanted.load(Ordering::SeqCst) && wait_for(&self.socket, until)
    }

    fn go_on(&self) -> bool {
        self.seat.enter(|sitter| self.read(sitter));
        self.wanted.load(Ordering::SeqCst)
    }

    fn give_back(&self) {
        self.lent.store(false, Ordering::SeqCst);
        // Has the reader go on, and the clock.
        self.seat.enter(|_| {});
    }
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn connect(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let begun = Instant::now();
    let mut failure = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = timeout.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                return Ok(socket);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

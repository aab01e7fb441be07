//! Blocking sockets and plain threads.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs},
    num::NonZeroUsize,
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    task::{Context, Wake, Waker},
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use crate::{
    Action, Input, Link, READ_BUFFER, Reactor, Stop,
    pool::{Mailbox, Pool},
};

/// How long an owner waits for room in a socket before it leaves the writing to a thread.
const PATIENCE: Duration = Duration::from_millis(1);

/// Threads all the way: each link has an owner and, per connection, a reader (and a writer once the peer is
/// slow); jobs run on a fixed set of workers.
///
/// A look-up or a connection attempt cannot be interrupted. One that the link has given up on may outlive
/// [`run`](Reactor::run) until it ends by itself; its result is dropped.
#[derive(Debug, Clone)]
pub struct ThreadPool {
    workers: NonZeroUsize,
}

impl ThreadPool {
    /// With so many worker threads.
    pub fn new(workers: NonZeroUsize) -> Self {
        Self { workers }
    }
}

impl Reactor for ThreadPool {
    fn name(&self) -> &'static str {
        "thread-pool"
    }

    fn workers(&self) -> NonZeroUsize {
        self.workers
    }

    fn run(&self, links: Vec<Box<dyn Link>>, stop: &Stop) -> io::Result<()> {
        let pool = Pool::default();
        thread::scope(|workers| {
            let _close = pool.close_on_drop();
            pool.staff(workers, self.workers)?;
            thread::scope(|owners| {
                Mailbox::for_each(links, stop).into_iter().enumerate().try_for_each(|(n, (link, mailbox))| {
                    let owner = thread::Builder::new().name(format!("stomp-wsgi-link-{n}"));
                    owner.spawn_scoped(owners, || drive(link, &pool, mailbox)).map(drop)
                })
            })
        })
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Owns a link: asks whether anything happened, and parks if nothing did. Whatever happens unparks it.
fn drive(mut link: Box<dyn Link>, pool: &Pool, mailbox: Mailbox) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let cx = Context::from_waker(&waker);
    let mut connection: Option<Connection> = None;
    let mut jobs = Vec::new();
    loop {
        let (until, read) = loop {
            match link.poll() {
                Action::Run(job) => jobs.push(job),
                Action::Wait { until, read } => break (until, read),
                Action::Finished => return,
                Action::Connect { host, port, timeout } => match Connection::open(host, port, timeout) {
                    Ok(opening) => connection = Some(opening),
                    Err(error) => link.handle(Instant::now(), Input::Closed(Err(error))),
                },
                Action::Close => {
                    connection = None;
                    link.handle(Instant::now(), Input::Closed(Ok(())));
                }
            }
        };
        if !jobs.is_empty() {
            pool.extend(jobs.drain(..), &mailbox);
        }

        let now = Instant::now();
        let connected = connection.as_ref().is_some_and(|it| it.socket.is_some());
        let mut busy = mailbox.deliver(&cx, link.as_mut(), connected);
        if let Some(open) = &mut connection {
            let wants = (read, mailbox.may_write(link.as_ref()));
            match open.turn(link.as_mut(), now, wants) {
                ControlFlow::Continue(did) => busy |= did,
                ControlFlow::Break(result) => {
                    connection = None;
                    link.handle(now, Input::Closed(result));
                    busy = true;
                }
            }
        }
        if busy {
            continue;
        }
        let attempt = connection.as_ref().and_then(Connection::deadline);
        match until.into_iter().chain(attempt).min() {
            None => thread::park(),
            Some(until) if now < until => thread::park_timeout(until - now),
            // Bytes first: the reader has not been scheduled yet, but it will unpark us.
            Some(_) if read && connection.as_ref().is_some_and(Connection::unread) => thread::park(),
            Some(_) => link.handle(Instant::now(), Input::Timer),
        }
    }
}

/// One connection, or the attempt. What its threads have to say comes through its own channel, so nothing of
/// an earlier connection can be mistaken for news of this one.
struct Connection {
    events: Receiver<Event>,
    post: Post,
    socket: Option<Arc<TcpStream>>,
    /// When the attempt has taken too long; `None` is never.
    deadline: Option<Instant>,
    /// Empty buffers on their way to the reader: each is the leave to read once.
    leave: Sender<Vec<u8>>,
    buffers: Vec<Vec<u8>>,
    /// What was read and not yet asked for.
    arrived: VecDeque<(io::Result<usize>, Vec<u8>)>,
    /// How many reads the reader has sent, and how many of them are here.
    reads: Arc<Mutex<u64>>,
    seen: u64,
    writer: Option<Sender<Vec<u8>>>,
    /// The writer's buffer, unless the writer has it.
    chunk: Option<Vec<u8>>,
    threads: Vec<JoinHandle<()>>,
}

enum Event {
    Connected(io::Result<Arc<TcpStream>>),
    Read(io::Result<usize>, Vec<u8>),
    Wrote(io::Result<usize>, Vec<u8>),
}

/// How a connection's threads reach its owner.
#[derive(Clone)]
struct Post(Sender<Event>, Thread);

impl Post {
    fn send(&self, event: Event) {
        // Without a receiver the connection is given up, which its threads notice elsewhere.
        let _ = self.0.send(event);
        self.1.unpark();
    }
}

impl Connection {
    fn open(host: String, port: u16, timeout: Duration) -> io::Result<Self> {
        let (sender, events) = channel();
        let (leave, buffers) = channel::<Vec<u8>>();
        let post = Post(sender, thread::current());
        let reads = Arc::new(Mutex::new(0));
        let reader = spawn("stomp-wsgi-reader", {
            let (post, reads) = (post.clone(), Arc::clone(&reads));
            move || match connect(&host, port, timeout) {
                Err(error) => post.send(Event::Connected(Err(error))),
                Ok(socket) => {
                    let socket = Arc::new(socket);
                    post.send(Event::Connected(Ok(Arc::clone(&socket))));
                    for mut buffer in buffers {
                        let ready = retry(|| socket.peek(&mut [0]));
                        // To the owner, bytes are either in the socket or on their way; see `unread`.
                        let mut reads = reads.lock().unwrap_or_else(PoisonError::into_inner);
                        let result = ready.and_then(|_| retry(|| (&*socket).read(&mut buffer)));
                        post.send(Event::Read(result, buffer));
                        *reads += 1;
                    }
                }
            }
        })?;
        Ok(Self {
            events,
            post,
            socket: None,
            // The reader keeps to the time too, except in a look-up.
            deadline: Instant::now().checked_add(timeout),
            leave,
            // The second lets the reader go on while the link looks at the first.
            buffers: vec![vec![0; READ_BUFFER]; 2],
            arrived: VecDeque::new(),
            reads,
            seen: 0,
            writer: None,
            chunk: Some(Vec::new()),
            threads: vec![reader],
        })
    }

    /// One write, what the threads had to say, one read. Breaks with how the connection ended.
    fn turn(
        &mut self,
        link: &mut dyn Link,
        now: Instant,
        (read, write): (bool, bool),
    ) -> ControlFlow<io::Result<()>, bool> {
        let mut busy = write && self.write(link, now)?;
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Connected(Ok(socket)) => {
                    self.socket = Some(socket);
                    link.handle(now, Input::Connected);
                    // What it wants to read is known once it was asked.
                    return ControlFlow::Continue(true);
                }
                Event::Connected(Err(error)) | Event::Wrote(Err(error), _) => {
                    return ControlFlow::Break(Err(error));
                }
                Event::Read(result, buffer) => {
                    self.seen += 1;
                    self.arrived.push_back((result, buffer));
                }
                Event::Wrote(Ok(n), chunk) => {
                    self.chunk = Some(chunk);
                    if let Some(socket) = &self.socket {
                        // Fails only on a socket that is no more, as the next call will tell.
                        let _ = socket.set_write_timeout(Some(PATIENCE));
                    }
                    link.handle(now, Input::Sent(n));
                    busy = true;
                }
            }
        }
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            return ControlFlow::Break(Err(ErrorKind::TimedOut.into()));
        }
        if read && self.socket.is_some() {
            if let Some((result, buffer)) = self.arrived.pop_front() {
                match result {
                    Ok(0) => return ControlFlow::Break(Ok(())),
                    Ok(n) => link.handle(now, Input::Received(&buffer[..n])),
                    Err(error) => return ControlFlow::Break(Err(error)),
                }
                self.buffers.push(buffer);
                busy = true;
            } else {
                for buffer in self.buffers.drain(..) {
                    // A reader that is gone has left its reason in `arrived`.
                    let _ = self.leave.send(buffer);
                }
            }
        }
        ControlFlow::Continue(busy)
    }

    /// Writes what there is room for. A thread waits for more room, so that the owner can go on.
    fn write(&mut self, link: &mut dyn Link, now: Instant) -> ControlFlow<io::Result<()>, bool> {
        let (Some(mut socket), Some(chunk)) = (self.socket.as_deref(), &mut self.chunk) else {
            return ControlFlow::Continue(false);
        };
        let outbox = link.outbox();
        if outbox.is_empty() {
            return ControlFlow::Continue(false);
        }
        match socket.write(outbox) {
            Ok(n) => link.handle(now, Input::Sent(n)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                chunk.clear();
                chunk.extend_from_slice(&outbox[..outbox.len().min(READ_BUFFER)]);
                return match self.delegate() {
                    Ok(()) => ControlFlow::Continue(false),
                    Err(error) => ControlFlow::Break(Err(error)),
                };
            }
            Err(error) => return ControlFlow::Break(Err(error)),
        }
        ControlFlow::Continue(true)
    }

    /// Gives the chunk to the writer, which the first slow moment of a connection starts.
    fn delegate(&mut self) -> io::Result<()> {
        let (Some(socket), Some(chunk)) = (&self.socket, self.chunk.take()) else { return Ok(()) };
        socket.set_write_timeout(None)?;
        if self.writer.is_none() {
            let (sender, chunks) = channel::<Vec<u8>>();
            let (socket, post) = (Arc::clone(socket), self.post.clone());
            self.threads.push(spawn("stomp-wsgi-writer", move || {
                for chunk in chunks {
                    let result = retry(|| (&*socket).write(&chunk));
                    post.send(Event::Wrote(result, chunk));
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

    fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| self.socket.is_none())
    }

    /// Whether the reader has, or is about to have, something for us. The threads' calls that begin just now
    /// are answered `WouldBlock`, and repeated.
    fn unread(&self) -> bool {
        let reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        *reads != self.seen
            || self.socket.as_deref().is_some_and(|socket| {
                let unread = socket.set_nonblocking(true).and_then(|()| socket.peek(&mut [0]));
                socket.set_nonblocking(false).is_ok() && unread.is_ok()
            })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // An attempt that still goes on is left to itself.
        if let Some(socket) = self.socket.take() {
            // Ends the calls that the threads are in; where the peer was faster, they have ended already.
            let _ = socket.shutdown(Shutdown::Both);
            self.leave = channel().0;
            self.writer = None;
            for thread in self.threads.drain(..) {
                // Nothing in them panics.
                let _ = thread.join();
            }
        }
    }
}

fn spawn(name: &str, main: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(main)
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {
                thread::yield_now();
            }
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

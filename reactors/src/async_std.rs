//! Tasks on async-std's global executor.
//!
//! async-std is no longer maintained (RUSTSEC-2025-0052). It stays for the comparison; the repository's
//! `examples/custom_reactor.rs` shows the same shape on smol, which is the way on.

use std::{
    io::{self, ErrorKind},
    num::NonZeroUsize,
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use ::async_std::{
    future::timeout,
    io::{Read, Write},
    net::TcpStream,
    task::{block_on, sleep, spawn},
};

use crate::{
    Input, Link, READ_BUFFER, Reactor, Stop,
    pool::{Mailbox, Pool},
    task,
};

/// One task per link on the process-wide executor; jobs run on threads of their own.
///
/// Not on async-std's blocking threads: those serve the whole process, look-ups included, up to a limit
/// that jobs which stay for the whole run would use up, and they can have no name.
///
/// The executor's threads outlive [`run`](Reactor::run), and so may a look-up that the link has given up on;
/// its result is dropped.
#[derive(Debug, Clone)]
pub struct AsyncStd {
    workers: NonZeroUsize,
}

impl AsyncStd {
    /// With so many worker threads.
    pub fn new(workers: NonZeroUsize) -> Self {
        Self { workers }
    }
}

impl Reactor for AsyncStd {
    fn name(&self) -> &'static str {
        "async-std"
    }

    fn workers(&self) -> NonZeroUsize {
        self.workers
    }

    fn run(&self, links: Vec<Box<dyn Link>>, stop: &Stop) -> io::Result<()> {
        let pool = Arc::new(Pool::default());
        thread::scope(|scope| {
            let _close = pool.close_on_drop();
            pool.staff(scope, self.workers)?;
            let links: Vec<_> = Mailbox::for_each(links, stop)
                .into_iter()
                .map(|(link, mailbox)| {
                    let line = Line {
                        socket: Socket::Closed,
                        alarm: Alarm::default(),
                        buffer: vec![0; READ_BUFFER],
                    };
                    spawn(task::drive(link, Arc::clone(&pool), mailbox, line))
                })
                .collect();
            block_on(async {
                for link in links {
                    link.await;
                }
            });
            Ok(())
        })
    }
}

struct Line {
    socket: Socket,
    alarm: Alarm,
    buffer: Vec<u8>,
}

impl task::Line for Line {
    fn connect(&mut self, host: String, port: u16, timeout: Duration) {
        self.socket = Socket::Connecting(Box::pin(connect(host, port, timeout)));
    }

    fn close(&mut self) {
        self.socket = Socket::Closed;
    }

    fn is_open(&self) -> bool {
        matches!(self.socket, Socket::Open(_))
    }

    fn turn(&mut self, cx: &mut Context<'_>, link: &mut dyn Link, wants: (bool, bool)) -> bool {
        self.socket.turn(cx, link, &mut self.buffer, wants)
    }

    fn rings(&mut self, cx: &mut Context<'_>, until: Option<Instant>) -> bool {
        self.alarm.rings(cx, until)
    }
}

/// When it rings, and what rings then. One that is set too early rings once in vain, which is cheaper than to
/// set it anew with every input.
#[derive(Default)]
struct Alarm(Option<(Instant, Boxed<()>)>);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Alarm {
    /// Whether it is time.
    fn rings(&mut self, cx: &mut Context<'_>, until: Option<Instant>) -> bool {
        let Some(until) = until else { return false };
        loop {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|it| !it.is_zero()) else {
                return true;
            };
            match &mut self.0 {
                Some((at, sleep)) if *at <= until => match sleep.as_mut().poll(cx) {
                    Poll::Pending => return false,
                    Poll::Ready(()) => self.0 = None,
                },
                _ => self.0 = Some((until, Box::pin(sleep(left)))),
            }
        }
    }
}

enum Socket {
    Closed,
    Connecting(Boxed<io::Result<TcpStream>>),
    Open(TcpStream),
}

impl Socket {
    /// Goes on with what there is to do; says whether anything happened. `wants`: to read, and to write.
    fn turn(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut dyn Link,
        buffer: &mut [u8],
        wants: (bool, bool),
    ) -> bool {
        let result = match self {
            Socket::Closed => return false,
            Socket::Connecting(attempt) => match attempt.as_mut().poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(socket)) => {
                    *self = Socket::Open(socket);
                    link.handle(Instant::now(), Input::Connected);
                    return true;
                }
                Poll::Ready(Err(error)) => Err(error),
            },
            Socket::Open(socket) => match transfer(cx, socket, link, buffer, wants) {
                ControlFlow::Continue(busy) => return busy,
                ControlFlow::Break(result) => result,
            },
        };
        *self = Socket::Closed;
        link.handle(Instant::now(), Input::Closed(result));
        true
    }
}

/// One write and one read. Breaks with how the connection ended.
fn transfer(
    cx: &mut Context<'_>,
    socket: &mut TcpStream,
    link: &mut dyn Link,
    buffer: &mut [u8],
    (read, write): (bool, bool),
) -> ControlFlow<io::Result<()>, bool> {
    let mut busy = false;
    let mut socket = Pin::new(socket);
    if write && !link.outbox().is_empty() {
        match socket.as_mut().poll_write(cx, link.outbox()) {
            Poll::Pending => {}
            Poll::Ready(Err(error)) => return ControlFlow::Break(Err(error)),
            Poll::Ready(Ok(n)) => {
                link.handle(Instant::now(), Input::Sent(n));
                busy = true;
            }
        }
    }
    if read {
        match socket.poll_read(cx, buffer) {
            Poll::Pending => {}
            Poll::Ready(Err(error)) => return ControlFlow::Break(Err(error)),
            Poll::Ready(Ok(0)) => return ControlFlow::Break(Ok(())),
            Poll::Ready(Ok(n)) => {
                link.handle(Instant::now(), Input::Received(&buffer[..n]));
                busy = true;
            }
        }
    }
    ControlFlow::Continue(busy)
}

async fn connect(host: String, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let attempt = timeout(limit, TcpStream::connect((host.as_str(), port)));
    let socket = attempt.await.map_err(|_| io::Error::from(ErrorKind::TimedOut))??;
    socket.set_nodelay(true)?;
    Ok(socket)
}

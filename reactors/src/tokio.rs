//! Tasks on tokio's multi-thread runtime.

use std::{
    io,
    num::NonZeroUsize,
    ops::ControlFlow,
    panic::resume_unwind,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use ::tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    runtime::Builder,
    task::JoinError,
    time::{Sleep, sleep_until, timeout},
};

use crate::{
    Input, JOB_STACK, Link, READ_BUFFER, Reactor, Stop,
    pool::{Mailbox, Pool},
    task,
};

/// Look-ups share tokio's pool of blocking threads with the workers, and need some of their own.
const LOOK_UPS: usize = 64;

/// One task per link on a multi-thread runtime of its own; jobs run on blocking threads.
///
/// A look-up that the link has given up on may outlive [`run`](Reactor::run); its result is dropped.
#[derive(Debug, Clone)]
pub struct Tokio {
    workers: NonZeroUsize,
}

impl Tokio {
    /// With so many blocking threads for jobs.
    pub fn new(workers: NonZeroUsize) -> Self {
        Self { workers }
    }
}

impl Reactor for Tokio {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn workers(&self) -> NonZeroUsize {
        self.workers
    }

    fn run(&self, links: Vec<Box<dyn Link>>, stop: &Stop) -> io::Result<()> {
        let runtime = Builder::new_multi_thread()
            .thread_name("stomp-wsgi-tokio")
            .thread_stack_size(JOB_STACK)
            .max_blocking_threads(self.workers.get().saturating_add(LOOK_UPS))
            // Turns of tasks between two looks at the sockets. Ours are long where a peer never pauses (`Place`).
            .event_interval(8)
            .enable_all()
            .build()?;
        let pool = Arc::new(Pool::default());
        let close = pool.close_on_drop();
        // Each stays for the whole run: Python keeps state per thread, and tokio ends idle threads.
        let workers: Vec<_> = std::iter::repeat_n(Arc::clone(&pool), self.workers.get())
            .map(|pool| runtime.spawn_blocking(move || pool.work()))
            .collect();
        let links: Vec<_> = Mailbox::for_each(links, stop)
            .into_iter()
            .map(|(link, mailbox)| {
                let pool = Arc::clone(&pool);
                runtime.spawn(async {
                    // Made where there is a clock.
                    let alarm = Box::pin(sleep_until(Instant::now().into()));
                    let line = Line { socket: Socket::Closed, alarm, buffer: vec![0; READ_BUFFER] };
                    task::drive(link, pool, mailbox, line).await;
                })
            })
            .collect();
        let result = runtime.block_on(async {
            let mut result = Ok(());
            for link in links {
                result = result.and(link.await);
            }
            drop(close);
            for worker in workers {
                result = result.and(worker.await);
            }
            result
        });
        // Unlike its drop, does not wait for look-ups.
        runtime.shutdown_background();
        match result.map_err(JoinError::try_into_panic) {
            Err(Ok(panic)) => resume_unwind(panic),
            // Nobody cancels these tasks.
            Err(Err(_)) | Ok(()) => Ok(()),
        }
    }
}

struct Line {
    socket: Socket,
    alarm: Pin<Box<Sleep>>,
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

    /// An alarm that is set too early rings once in vain, which is cheaper than to set it anew with every input. The
    /// driver looks at sockets before it looks at the clock, so what had arrived shows by then.
    fn rings(&mut self, cx: &mut Context<'_>, until: Option<Instant>) -> bool {
        let Some(until) = until.map(::tokio::time::Instant::from) else { return false };
        if self.alarm.deadline() > until {
            self.alarm.as_mut().reset(until);
        }
        while self.alarm.as_mut().poll(cx).is_ready() {
            if self.alarm.deadline() == until {
                return true;
            }
            self.alarm.as_mut().reset(until);
        }
        false
    }
}

enum Socket {
    Closed,
    Connecting(Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>),
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
        let mut buffer = ReadBuf::new(buffer);
        match socket.poll_read(cx, &mut buffer) {
            Poll::Pending => {}
            Poll::Ready(Err(error)) => return ControlFlow::Break(Err(error)),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => return ControlFlow::Break(Ok(())),
            Poll::Ready(Ok(())) => {
                link.handle(Instant::now(), Input::Received(buffer.filled()));
                busy = true;
            }
        }
    }
    ControlFlow::Continue(busy)
}

async fn connect(host: String, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let socket = timeout(limit, TcpStream::connect((host, port))).await??;
    socket.set_nodelay(true)?;
    Ok(socket)
}

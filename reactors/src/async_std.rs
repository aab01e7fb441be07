//! Tasks on async-std's global executor.
//!
//! async-std is no longer maintained (RUSTSEC-2025-0052). It stays for the comparison; the repository's
//! `examples/custom_reactor.rs` shows the same shape on smol, which is the way on.

use std::{
    io::{self, ErrorKind},
    num::NonZeroUsize,
    panic::resume_unwind,
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
    Link, Reactor, Stop,
    pool::{Mailbox, Pool},
    task,
};

/// One task per link, the first on the thread that runs the reactor, others on the process-wide executor, which wakes
/// a thread more for each event; jobs run on threads of their own.
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
        // The executor's, and one for the sockets and the time; both start with the first of these, for the whole
        // process.
        task::expect_threads("stomp-wsgi-async-std", task::cores() + 1)?;
        task::start_runtime(|| {
            block_on(sleep(Duration::from_nanos(1)));
            Ok(())
        })?;
        let pool = Arc::new(Pool::default());
        thread::scope(|scope| {
            let _close = pool.close_on_drop();
            pool.staff(scope, self.workers, stop, || ())?;
            let mut links = Mailbox::for_each(links, stop).into_iter().map(|(link, mailbox)| {
                task::drive(link, Arc::clone(&pool), mailbox, Alarm::default(), stop.clone())
            });
            let first = links.next();
            let others: Vec<_> = links.map(spawn).collect();
            let result = block_on(async {
                let mut result = Ok(());
                if let Some(link) = first {
                    result = link.await;
                }
                for link in others {
                    result = result.and(link.await);
                }
                result
            });
            result.unwrap_or_else(|panic| resume_unwind(panic));
            Ok::<_, io::Error>(())
        })?;
        pool.outcome()
    }
}

/// When it rings, and what rings then.
#[derive(Default)]
struct Alarm(Option<(Instant, Sleep)>);

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

impl task::Runtime for Alarm {
    type Stream = TcpStream;

    async fn connect(host: String, port: u16, limit: Duration) -> io::Result<TcpStream> {
        let attempt = async { TcpStream::connect(&*task::look_up(host, port).await?).await };
        let attempt = timeout(limit, attempt);
        let socket = attempt.await.map_err(|_| io::Error::from(ErrorKind::TimedOut))??;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    fn poll_read(stream: &mut TcpStream, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(stream).poll_read(cx, buffer)
    }

    fn poll_write(stream: &mut TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(stream).poll_write(cx, bytes)
    }

    fn release(stream: TcpStream) -> io::Result<std::net::TcpStream> {
        let socket = std::net::TcpStream::try_from(stream)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    fn adopt(socket: std::net::TcpStream) -> io::Result<TcpStream> {
        Ok(socket.into())
    }

    fn rings(&mut self, cx: &mut Context<'_>, until: Instant) -> bool {
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

//! Tasks on tokio's multi-thread runtime.

use std::{
    io,
    num::NonZeroUsize,
    panic::resume_unwind,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use ::tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    runtime::Builder,
    time::{Sleep, sleep_until, timeout},
};

use crate::{
    JOB_STACK, Link, Reactor, Stop,
    pool::{Mailbox, Pool},
    task,
};

/// One task per link on a multi-thread runtime of its own; jobs run on threads beside it, and while they are quick,
/// one of these waits for the socket, too.
///
/// Not on tokio's blocking threads: where the system has no more threads, tokio leaves the job to another of them,
/// and each of ours is taken for the whole run. A look-up that the link has given up on may outlive [`run`](Reactor::run); its result is dropped.
#[derive(Debug, Clone)]
pub struct Tokio {
    workers: NonZeroUsize,
}

impl Tokio {
    /// With so many worker threads.
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
        task::expect_threads("stomp-wsgi-tokio", task::cores())?;
        let runtime = task::start_runtime(|| {
            Builder::new_multi_thread()
                .thread_name("stomp-wsgi-tokio")
                .thread_stack_size(JOB_STACK)
                // Turns of tasks between two looks at the sockets. Ours are long where a peer never pauses (`Place`).
                .event_interval(8)
                .enable_all()
                .build()
        })?;
        let pool = Arc::new(Pool::default());
        let result = thread::scope(|scope| {
            let _close = pool.close_on_drop();
            // In the runtime's context: workers give it sockets.
            pool.staff(scope, self.workers, stop, || runtime.enter())?;
            let links: Vec<_> = Mailbox::for_each(links, stop)
                .into_iter()
                .map(|(link, mailbox)| {
                    let (pool, stop) = (Arc::clone(&pool), stop.clone());
                    runtime.spawn(async {
                        // Made where there is a clock.
                        let alarm = Alarm(Box::pin(sleep_until(Instant::now().into())));
                        task::drive(link, pool, mailbox, alarm, stop).await
                    })
                })
                .collect();
            Ok::<_, io::Error>(runtime.block_on(async {
                let mut result = Ok(());
                for link in links {
                    // Nobody cancels these tasks.
                    let ended = link.await.unwrap_or_else(|error| Err(Box::new(error.to_string())));
                    result = result.and(ended);
                }
                result
            }))
        });
        // Unlike its drop, does not wait for anything.
        runtime.shutdown_background();
        result?.unwrap_or_else(|panic| resume_unwind(panic));
        pool.outcome()
    }
}

struct Alarm(Pin<Box<Sleep>>);

impl task::Runtime for Alarm {
    type Stream = TcpStream;

    async fn connect(host: String, port: u16, limit: Duration) -> io::Result<TcpStream> {
        let attempt = async { TcpStream::connect(&*task::look_up(host, port).await?).await };
        let socket = timeout(limit, attempt).await??;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    fn poll_read(stream: &mut TcpStream, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        Pin::new(stream).poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len())
    }

    fn poll_write(stream: &mut TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(stream).poll_write(cx, bytes)
    }

    fn release(stream: TcpStream) -> io::Result<std::net::TcpStream> {
        stream.into_std()
    }

    fn adopt(socket: std::net::TcpStream) -> io::Result<TcpStream> {
        TcpStream::from_std(socket)
    }

    fn rings(&mut self, cx: &mut Context<'_>, until: Instant) -> bool {
        let (alarm, until) = (&mut self.0, until.into());
        if alarm.deadline() > until {
            alarm.as_mut().reset(until);
        }
        while alarm.as_mut().poll(cx).is_ready() {
            if alarm.deadline() == until {
                return true;
            }
            alarm.as_mut().reset(until);
        }
        false
    }
}

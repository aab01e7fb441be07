//! Tasks on tokio's multi-thread runtime.

use std::{
    io,
    num::NonZeroUsize,
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
    JOB_STACK, Link, Reactor, Stop,
    pool::{Mailbox, Pool},
    task,
};

/// Look-ups share tokio's pool of blocking threads with the workers, and need some of their own.
const LOOK_UPS: usize = 64;

/// One task per link on a multi-thread runtime of its own; jobs run on blocking threads, and while they are quick,
/// one of these waits for the socket, too.
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
                    let alarm = Alarm(Box::pin(sleep_until(Instant::now().into())));
                    task::drive(link, pool, mailbox, alarm).await;
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

struct Alarm(Pin<Box<Sleep>>);

impl task::Runtime for Alarm {
    type Stream = TcpStream;

    async fn connect(host: String, port: u16, limit: Duration) -> io::Result<TcpStream> {
        let socket = timeout(limit, TcpStream::connect((host, port))).await??;
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

//! What the asynchronous reactors share: a link as a task.
//!
//! The task waits for the socket and the clock. But a worker with outputs goes on with the link itself, on its own
//! thread: to wake the task for that costs more than to write. Wakers are the task's all the same. And while jobs are
//! quick, the worker that did the last of them waits for the next bytes, too, and for the time ([`Loan`](socket::Loan)).

use std::{
    any::Any,
    future::poll_fn,
    io,
    net::TcpStream,
    os::fd::AsRawFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use self::socket::Socket;
use crate::{
    Action, Input, Job, Link, READ_BUFFER, Stop,
    place::Place,
    pool::{Drive, Mailbox, Pool},
};

mod runtime;
mod socket;

pub(crate) use runtime::{cores, expect_threads, look_up, start_runtime};

/// What a runtime brings: connections, and a clock for each link.
pub(crate) trait Runtime: Send + 'static {
    type Stream: AsRawFd + Send + 'static;

    /// Resolves and connects, in no more time than that.
    fn connect(
        host: String,
        port: u16,
        limit: Duration,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static;

    fn poll_read(
        stream: &mut Self::Stream,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>>;

    fn poll_write(stream: &mut Self::Stream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Out of the runtime's hands, so that it no longer wakes anybody for it. It stays non-blocking.
    fn release(stream: Self::Stream) -> io::Result<TcpStream>;

    /// The other way round. On a thread of the runtime's, or one of its workers.
    fn adopt(socket: TcpStream) -> io::Result<Self::Stream>;

    /// Whether it is time. An alarm that is set too early rings once in vain, which is cheaper than to set it
    /// anew with every input.
    fn rings(&mut self, cx: &mut Context<'_>, until: Instant) -> bool;
}

/// Why a link ended before its time.
pub(crate) type Panic = Box<dyn Any + Send>;

/// Goes on with a link until it has finished. One that panics has `stop` asked for.
pub(crate) async fn drive(
    link: Box<dyn Link>,
    pool: Arc<Pool>,
    mailbox: Mailbox,
    runtime: impl Runtime,
    stop: Stop,
) -> Result<(), Panic> {
    let seat = Arc::new_cyclic(|me: &Weak<Seat<_>>| {
        mailbox.driven_by(me.clone());
        let (buffer, jobs) = (vec![0; READ_BUFFER], Vec::new());
        let socket = Socket::new(me.clone());
        let sitter = Sitter { link, socket, runtime, buffer, mailbox, jobs };
        Seat {
            pool,
            place: Place::new(Some(sitter)),
            finished: AtomicBool::new(false),
            task: Mutex::new(Waker::noop().clone()),
            panic: Mutex::default(),
            stop,
        }
    });
    poll_fn(|cx| {
        lock(&seat.task).clone_from(cx.waker());
        seat.drive();
        if seat.finished.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    lock(&seat.panic).take().map_or(Ok(()), Err)
}

struct Seat<R: Runtime> {
    pool: Arc<Pool>,
    /// Empty once the link has finished.
    place: Place<Option<Sitter<R>>>,
    finished: AtomicBool,
    task: Mutex<Waker>,
    /// The link's, on whichever thread. It ends the link, and goes on in the task.
    panic: Mutex<Option<Panic>>,
    stop: Stop,
}

/// A link, and all that is its own.
struct Sitter<R: Runtime> {
    link: Box<dyn Link>,
    socket: Socket<R>,
    runtime: R,
    buffer: Vec<u8>,
    mailbox: Mailbox,
    jobs: Vec<Job>,
}

impl<R: Runtime> Drive for Seat<R> {
    fn drive(&self) {
        let task = lock(&self.task).clone();
        let mut cx = Context::from_waker(&task);
        let round = |place: &mut Option<Sitter<R>>| {
            let Some(sitter) = place else { return false };
            match catch_unwind(AssertUnwindSafe(|| sitter.round(&self.pool, &mut cx))) {
                Ok(Some(busy)) => return busy,
                Ok(None) => {}
                Err(panic) => *lock(&self.panic) = Some(panic),
            }
            *place = None;
            if lock(&self.panic).is_some() {
                self.stop.stop();
            }
            self.finished.store(true, Ordering::SeqCst);
            lock(&self.task).wake_by_ref();
            false
        };
        if !self.place.nudge(round) {
            // One that is never idle lets others go first.
            lock(&self.task).wake_by_ref();
        }
    }
}

impl<R: Runtime> Sitter<R> {
    /// Asks the link what to do, gives it what there is, reads and writes once. Says whether there may be more to do;
    /// nothing once the link has finished.
    fn round(&mut self, pool: &Pool, cx: &mut Context<'_>) -> Option<bool> {
        let Self { link, socket, runtime, buffer, mailbox, jobs } = self;
        let link = link.as_mut();
        let (until, read) = loop {
            match link.poll() {
                Action::Run(job) => jobs.push(job),
                Action::Wait { until, read } => break (until, read),
                Action::Finished => {
                    socket.close();
                    return None;
                }
                Action::Connect { host, port, timeout } => socket.connect(R::connect(host, port, timeout)),
                Action::Close => {
                    socket.close();
                    link.handle(Instant::now(), Input::Closed(Ok(())));
                }
            }
        };
        if !jobs.is_empty() {
            socket.lend((until, read), |lead| pool.extend(jobs.drain(..), mailbox, lead));
        }
        let delivered = mailbox.deliver(cx, link, socket.is_open());
        let wants = (read, mailbox.may_write(link));
        let mut busy = delivered | socket.turn(cx, link, buffer, wants);
        // Only now: the worker may have given it back.
        let left = socket.leave_time(until);
        let mut rings = |until| if left { until <= Instant::now() } else { runtime.rings(cx, until) };
        if !busy && until.is_some_and(&mut rings) {
            // What had arrived by then comes first.
            socket.look();
            busy = socket.turn(cx, link, buffer, wants);
            if !busy {
                link.handle(Instant::now(), Input::Timer);
                busy = true;
            }
        }
        Some(busy)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What the asynchronous reactors share: a link as a task.
//!
//! The task waits for the socket and the clock. But a worker with outputs goes on with the link itself, on its own
//! thread: to wake the task for that costs more than to write. Wakers are the task's all the same.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use crate::{
    Action, Input, Job, Link,
    place::Place,
    pool::{Drive, Mailbox, Pool},
};

/// A link's socket and clock.
pub(crate) trait Line: Send + 'static {
    /// Begins to connect.
    fn connect(&mut self, host: String, port: u16, timeout: Duration);

    /// Drops the connection, or the attempt.
    fn close(&mut self);

    fn is_open(&self) -> bool;

    /// Goes on with what there is to do; says whether anything happened. `wants`: to read, and to write.
    fn turn(&mut self, cx: &mut Context<'_>, link: &mut dyn Link, wants: (bool, bool)) -> bool;

    /// Whether it is time, and all that had arrived by then was read.
    fn rings(&mut self, cx: &mut Context<'_>, until: Option<Instant>) -> bool;
}

/// Goes on with a link until it has finished.
pub(crate) async fn drive(link: Box<dyn Link>, pool: Arc<Pool>, mailbox: Mailbox, line: impl Line) {
    let seat = Arc::new_cyclic(|me: &Weak<Seat<_>>| {
        mailbox.driven_by(me.clone());
        let sitter = Sitter { link, line, mailbox, jobs: Vec::new() };
        Seat {
            pool,
            place: Place::new(Some(sitter)),
            finished: AtomicBool::new(false),
            task: Mutex::new(Waker::noop().clone()),
            panic: Mutex::default(),
        }
    });
    poll_fn(|cx| {
        lock(&seat.task).clone_from(cx.waker());
        seat.drive();
        if seat.finished.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    if let Some(panic) = lock(&seat.panic).take() {
        resume_unwind(panic);
    }
}

struct Seat<L> {
    pool: Arc<Pool>,
    /// Empty once the link has finished.
    place: Place<Option<Sitter<L>>>,
    finished: AtomicBool,
    task: Mutex<Waker>,
    /// The link's, on whichever thread. It ends the link, and goes on in the task.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A link, and all that is its own.
struct Sitter<L> {
    link: Box<dyn Link>,
    line: L,
    mailbox: Mailbox,
    jobs: Vec<Job>,
}

impl<L: Line> Drive for Seat<L> {
    fn drive(&self) {
        let task = lock(&self.task).clone();
        let mut cx = Context::from_waker(&task);
        let round = |place: &mut Option<Sitter<L>>| {
            let Some(sitter) = place else { return false };
            match catch_unwind(AssertUnwindSafe(|| sitter.round(&self.pool, &mut cx))) {
                Ok(Some(busy)) => return busy,
                Ok(None) => {}
                Err(panic) => *lock(&self.panic) = Some(panic),
            }
            *place = None;
            self.finished.store(true, Ordering::SeqCst);
            task.wake_by_ref();
            false
        };
        if !self.place.nudge(round) {
            // One that is never idle lets others go first.
            task.wake_by_ref();
        }
    }
}

impl<L: Line> Sitter<L> {
    /// Asks the link what to do, gives it what there is, reads and writes once. Says whether there may be more to do;
    /// nothing once the link has finished.
    fn round(&mut self, pool: &Pool, cx: &mut Context<'_>) -> Option<bool> {
        let Self { link, line, mailbox, jobs } = self;
        let link = link.as_mut();
        let (until, read) = loop {
            match link.poll() {
                Action::Run(job) => jobs.push(job),
                Action::Wait { until, read } => break (until, read),
                Action::Finished => return None,
                Action::Connect { host, port, timeout } => line.connect(host, port, timeout),
                Action::Close => {
                    line.close();
                    link.handle(Instant::now(), Input::Closed(Ok(())));
                }
            }
        };
        if !jobs.is_empty() {
            pool.extend(jobs.drain(..), mailbox, None);
        }
        let delivered = mailbox.deliver(cx, link, line.is_open());
        let wants = (read, mailbox.may_write(link));
        let mut busy = delivered | line.turn(cx, link, wants);
        if !busy && line.rings(cx, until) {
            // What had arrived by then comes first.
            busy = line.turn(cx, link, wants);
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

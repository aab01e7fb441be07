//! Blocking sockets and plain threads.
//!
//! Whoever has news of a link goes on with it, on his own thread: the reader of its connection with the bytes,
//! a worker with what its jobs gave, the link's clock with the time. To hand the news to somebody else would cost
//! more than to act on it. And while jobs are quick, the worker that did the last of them waits for the next, too (`Lead`),
//! so that a request comes and goes without a second thread; then it keeps the link's time as well.

use std::{
    any::Any,
    io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc::channel},
    task::{Context, Wake, Waker},
    thread::{self, JoinHandle, Thread},
    time::Instant,
};

use self::connection::{Connection, Line};
use crate::{
    Action, Input, Job, LOOK, Link, Reactor, Stop,
    place::Place,
    pool::{Drive, MOMENT, Mailbox, Pool},
    threads,
};

mod connection;

/// Threads all the way: each link has one that keeps its time and, per connection, a reader (and a writer once
/// the peer is slow); jobs run on a fixed set of workers.
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
        let pool = Arc::new(Pool::default());
        thread::scope(|workers| {
            let _close = pool.close_on_drop();
            pool.staff(workers, self.workers, stop, || ())?;
            thread::scope(|clocks| {
                // No link begins before each has a clock: one that has begun ends only when it is told to stop.
                let mut ready = Vec::with_capacity(links.len());
                for (n, (link, mailbox)) in Mailbox::for_each(links, stop).into_iter().enumerate() {
                    let (sender, begins) = channel::<()>();
                    let (pool, stop) = (Arc::clone(&pool), stop.clone());
                    let clock = move || {
                        if begins.recv().is_ok() {
                            Seat::new(link, pool, mailbox, stop).keep_time();
                        }
                    };
                    threads::spawn_scoped(clocks, &format!("stomp-wsgi-link-{n}"), None, clock)?;
                    ready.push(sender);
                }
                // Each of them waits for this.
                for clock in &ready {
                    let _ = clock.send(());
                }
                Ok::<_, io::Error>(())
            })
        })?;
        pool.outcome()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A link's place.
struct Seat {
    me: Weak<Self>,
    pool: Arc<Pool>,
    /// Empty once the link has finished.
    place: Place<Option<Sitter>>,
    clock: Thread,
    /// Wakes the clock's thread, where nobody is there to go on at once.
    waker: Waker,
    /// Threads of connections that are gone.
    leaving: Mutex<Vec<JoinHandle<()>>>,
    /// The link's, on whichever thread. It ends the link, stops the others, and goes on where the clock is.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    stop: Stop,
}

/// A link, and all that is its own.
struct Sitter {
    link: Box<dyn Link>,
    mailbox: Mailbox,
    jobs: Vec<Job>,
    connection: Option<Connection>,
    /// How many connections there were: the number of the last.
    attempts: u64,
    /// What the link waits for.
    until: Option<Instant>,
    read: bool,
    /// When the clock's thread looks by itself.
    alarm: Option<Instant>,
}

impl Seat {
    /// The place of a link whose clock is this thread.
    fn new(link: Box<dyn Link>, pool: Arc<Pool>, mailbox: Mailbox, stop: Stop) -> Arc<Self> {
        Arc::new_cyclic(|me: &Weak<Self>| {
            mailbox.driven_by(me.clone());
            let sitter = Sitter {
                link,
                mailbox,
                jobs: Vec::new(),
                connection: None,
                attempts: 0,
                until: None,
                read: false,
                alarm: None,
            };
            Self {
                me: me.clone(),
                pool,
                place: Place::new(Some(sitter)),
                clock: thread::current(),
                waker: Waker::from(Arc::new(Unpark(thread::current()))),
                leaving: Mutex::default(),
                panic: Mutex::default(),
                stop,
            }
        })
    }

    /// The clock: looks when it is time, or when it is called, until the link has finished.
    fn keep_time(&self) {
        loop {
            self.enter(|_| {});
            let alarm = self.look(|sitter| {
                let led = sitter.is_led();
                // Who leads it looks first.
                sitter.alarm =
                    sitter.due().map(|due| if led { due.max(Instant::now() + MOMENT) } else { due });
                sitter.alarm
            });
            let Some(alarm) = alarm else { break };
            lock(&self.leaving).retain(|thread| !thread.is_finished());
            match alarm.map(|alarm| alarm.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                // Bytes first. Whoever reads is about to bring them.
                Some(left) if left.is_zero() => thread::park_timeout(LOOK),
                Some(left) => thread::park_timeout(left),
            }
        }
        for thread in std::mem::take(&mut *lock(&self.leaving)) {
            // Nothing in them panics.
            let _ = thread.join();
        }
        if let Some(panic) = lock(&self.panic).take() {
            resume_unwind(panic);
        }
    }

    /// Has the link hear something, and goes on with it.
    fn enter(&self, tell: impl FnOnce(&mut Sitter)) {
        let change = |place: &mut _| self.guard(place, |place| place.as_mut().map(tell).unwrap_or_default());
        if !self.place.enter(change, |place| self.guard(place, |place| self.round(place))) {
            self.clock.unpark();
        }
    }

    /// Looks at the link, unless it has finished, which changes nothing for it.
    fn look<R>(&self, look: impl FnOnce(&mut Sitter) -> R) -> Option<R> {
        let look = |place: &mut Option<Sitter>| place.as_mut().map(look);
        let (seen, done) = self.place.look(look, |place| self.guard(place, |place| self.round(place)));
        if !done {
            self.clock.unpark();
        }
        seen
    }

    /// Has nobody but the clock's thread, and so the caller of `run`, feel a link that panics.
    fn guard<T: Default>(
        &self,
        place: &mut Option<Sitter>,
        go_on: impl FnOnce(&mut Option<Sitter>) -> T,
    ) -> T {
        catch_unwind(AssertUnwindSafe(|| go_on(place))).unwrap_or_else(|panic| {
            *lock(&self.panic) = Some(panic);
            self.finish(place);
            self.stop.stop();
            T::default()
        })
    }

    fn finish(&self, place: &mut Option<Sitter>) {
        if let Some(connection) = place.take().and_then(|sitter| sitter.connection) {
            self.part(connection);
        }
        self.clock.unpark();
    }

    /// Asks the link what to do, gives it what there is, writes once. Says whether there may be more to do.
    fn round(&self, place: &mut Option<Sitter>) -> bool {
        let Some(sitter) = place else { return false };
        loop {
            match sitter.link.poll() {
                Action::Run(job) => sitter.jobs.push(job),
                Action::Wait { until, read } => {
                    (sitter.until, sitter.read) = (until, read);
                    break;
                }
                Action::Finished => {
                    self.finish(place);
                    return false;
                }
                Action::Connect { host, port, timeout } => {
                    sitter.attempts += 1;
                    match Connection::open(self.me.upgrade(), sitter.attempts, host, port, timeout) {
                        Ok(opening) => sitter.connection = Some(opening),
                        Err(error) => sitter.link.handle(Instant::now(), Input::Closed(Err(error))),
                    }
                }
                Action::Close => self.close(sitter, Ok(())),
            }
        }
        if !sitter.jobs.is_empty() {
            let line = sitter.connection.as_ref().and_then(Connection::to_lend);
            self.pool.extend(sitter.jobs.drain(..), &sitter.mailbox, line);
        }

        let now = Instant::now();
        let connected = sitter.line().is_some();
        let cx = Context::from_waker(&self.waker);
        let mut busy = sitter.mailbox.deliver(&cx, sitter.link.as_mut(), connected);
        if let Some(connection) = &mut sitter.connection {
            if sitter.mailbox.may_write(sitter.link.as_ref()) {
                match connection.write(sitter.link.as_mut(), now) {
                    Ok(wrote) => busy |= wrote,
                    Err(error) => {
                        self.close(sitter, Err(error));
                        return true;
                    }
                }
            }
        }
        if let Some(connection) = &mut sitter.connection {
            connection.allow(sitter.read);
        }
        busy || self.rings(sitter, now)
    }

    /// Tells a link with nothing else to do that it is time, if it is; else sees to it that the clock will look, or the worker
    /// that leads it.
    fn rings(&self, sitter: &mut Sitter, now: Instant) -> bool {
        let due = sitter.due();
        if let Some(line) = sitter.line() {
            line.set_until(due);
        }
        let Some(due) = due else { return false };
        let late = sitter.deadline().is_some_and(|deadline| deadline <= now);
        if now < due || !late && sitter.read && sitter.line().is_some_and(|line| line.unread()) {
            if !sitter.is_led() && sitter.alarm.is_none_or(|alarm| due < alarm) {
                sitter.alarm = Some(due);
                self.clock.unpark();
            }
            return false;
        }
        if late {
            self.close(sitter, Err(io::ErrorKind::TimedOut.into()));
        } else {
            sitter.link.handle(now, Input::Timer);
        }
        true
    }

    fn close(&self, sitter: &mut Sitter, result: io::Result<()>) {
        if let Some(connection) = sitter.connection.take() {
            self.part(connection);
        }
        sitter.link.handle(Instant::now(), Input::Closed(result));
    }

    fn part(&self, connection: Connection) {
        lock(&self.leaving).extend(connection.shut());
    }
}

impl Sitter {
    fn line(&self) -> Option<&Arc<Line>> {
        self.connection.as_ref()?.line()
    }

    /// When the attempt to connect has taken too long.
    fn deadline(&self) -> Option<Instant> {
        self.connection.as_ref()?.deadline()
    }

    /// Whether a worker waits for what comes next.
    fn is_led(&self) -> bool {
        self.line().is_some_and(|line| line.is_lent())
    }

    fn due(&self) -> Option<Instant> {
        self.until.into_iter().chain(self.deadline()).min()
    }

    /// The connection of this number, unless it is gone.
    fn connection(&mut self, number: u64) -> Option<&mut Connection> {
        self.connection.as_mut().filter(|_| self.attempts == number)
    }
}

impl Drive for Seat {
    fn drive(&self) {
        if !self.place.nudge(|place| self.guard(place, |place| self.round(place))) {
            self.clock.unpark();
        }
    }
}

/// Nothing here leaves its state half changed, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

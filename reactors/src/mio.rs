//! One thread and one readiness queue.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    num::NonZeroUsize,
    ops::ControlFlow,
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use ::mio::{Events, Poll, Token, Waker};

use self::seat::{Addresses, Resolver, Seat};
use crate::{Action, Input, Job, Link, Output, READ_BUFFER, Reactor, Stop, pace::Pace};

mod seat;

/// Everything that is not a link's socket: a wish to stop, a name resolved.
const WAKER: Token = Token(usize::MAX);

/// How long jobs may run in a row before sockets and clocks get their turn.
const SLICE: Duration = Duration::from_millis(1);

/// How long a job waits for a peer that takes nothing at all. Then the connection is closed.
const PATIENCE: Duration = Duration::from_secs(10);

/// One thread does everything, the jobs included: nothing to hand over and nothing to lock, but a job holds
/// up everything else until it ends or emits.
///
/// A job's outputs are written before the next job begins, which nobody could interrupt to write them. But while jobs
/// take microseconds each, as the latest all did, those of some are written together (25 us to 1 ms); one of them that
/// turns out to be slow delays what the others gave.
///
/// Names are looked up on threads of their own. One that the link has given up on may outlive
/// [`run`](Reactor::run); its result is dropped.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Mio {}

impl Mio {
    /// There is nothing to choose.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Reactor for Mio {
    fn name(&self) -> &'static str {
        "mio"
    }

    fn workers(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    fn inline(&self) -> bool {
        true
    }

    fn run(&self, links: Vec<Box<dyn Link>>, stop: &Stop) -> io::Result<()> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let hook = Arc::downgrade(&waker);
        // It cannot be woken only once the queue is gone, and then nobody waits.
        stop.on_stop(move || drop(hook.upgrade().map(|waker| waker.wake())));
        let (sender, names) = channel();
        let seats: Vec<_> = links.into_iter().map(|link| Some(Seat::new(link))).collect();
        let mut engine = Engine {
            ready: (0..seats.len()).collect(),
            alive: seats.len(),
            seats,
            jobs: VecDeque::new(),
            next: None,
            poll,
            events: Events::with_capacity(1024),
            resolver: Resolver { sender, waker },
            names,
            stop: stop.clone(),
            told: false,
            pace: Pace::inline(),
            unwritten: Vec::new(),
            buffer: vec![0; READ_BUFFER],
        };
        while engine.alive > 0 {
            let busy = !engine.ready.is_empty() || !engine.jobs.is_empty();
            engine.turn(if busy { Duration::ZERO } else { Duration::MAX })?;
            engine.work()?;
        }
        Ok(())
    }
}

struct Engine {
    /// Empty once the link has finished. A link's place is its token.
    seats: Vec<Option<Seat>>,
    alive: usize,
    /// Seats that have something to do, each of them once.
    ready: VecDeque<usize>,
    jobs: VecDeque<(usize, Job)>,
    /// No clock strikes before this.
    next: Option<Instant>,
    poll: Poll,
    events: Events,
    resolver: Resolver,
    names: Receiver<(usize, u64, Addresses)>,
    stop: Stop,
    told: bool,
    pace: Pace,
    /// Seats with what quick jobs have given.
    unwritten: Vec<usize>,
    buffer: Vec<u8>,
}

impl Engine {
    /// Waits for news, at most for `patience` or until a clock strikes, and gives each seat its turn.
    fn turn(&mut self, patience: Duration) -> io::Result<()> {
        let now = Instant::now();
        let clock = self.next.map(|next| next.saturating_duration_since(now));
        let timeout = clock.map_or(patience, |clock| clock.min(patience));
        match self.poll.poll(&mut self.events, (timeout < Duration::MAX).then_some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
            let place = event.token().0;
            if let Some(Some(seat)) = self.seats.get_mut(place) {
                seat.ended |= event.is_read_closed() || event.is_error();
                seat.readable |= event.is_readable() || seat.ended;
                seat.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
                seat.enqueue(place, &mut self.ready);
            }
        }
        if !self.told && self.stop.is_stopped() {
            self.told = true;
            for place in 0..self.seats.len() {
                self.input(place, Input::Stop);
            }
        }
        while let Ok((place, attempt, addresses)) = self.names.try_recv() {
            if let Some(seat) = self.seats[place].as_mut().filter(|it| it.attempt == attempt) {
                seat.connect(addresses, &self.poll, place);
                self.obey(place);
            }
        }
        for _ in 0..self.ready.len() {
            if let Some(place) = self.ready.pop_front() {
                if let Some(seat) = &mut self.seats[place] {
                    seat.queued = false;
                    seat.turn(&mut self.buffer, &self.poll, place);
                    self.obey(place);
                }
            }
        }
        // What was due before we looked at the sockets: whatever had arrived by then is read.
        if self.next.is_some_and(|next| next <= now) {
            self.strike(now);
        }
        Ok(())
    }

    /// Delivers the timers that are due, except where bytes come first.
    fn strike(&mut self, now: Instant) {
        self.next = None;
        for place in 0..self.seats.len() {
            let Some(seat) = &mut self.seats[place] else { continue };
            if seat.deadline.is_some_and(|deadline| deadline <= now) {
                seat.close(Err(ErrorKind::TimedOut.into()));
                self.obey(place);
            } else if seat.until.is_some_and(|until| until <= now) && !seat.queued {
                self.input(place, Input::Timer);
            } else {
                self.next = earliest(self.next, earliest(seat.until, seat.deadline));
            }
        }
    }

    fn input(&mut self, place: usize, input: Input<'_>) {
        if let Some(seat) = &mut self.seats[place] {
            seat.link.handle(Instant::now(), input);
            self.obey(place);
        }
    }

    /// Asks a link what to do until it has to wait.
    fn obey(&mut self, place: usize) {
        let Some(seat) = &mut self.seats[place] else { return };
        loop {
            match seat.link.poll() {
                Action::Run(job) => self.jobs.push_back((place, job)),
                Action::Close => seat.close(Ok(())),
                Action::Connect { host, port, timeout } => {
                    seat.attempt += 1;
                    seat.deadline = Instant::now().checked_add(timeout);
                    if let Err(error) = self.resolver.look_up(host, port, place, seat.attempt) {
                        seat.close(Err(error));
                    }
                }
                Action::Finished => {
                    self.seats[place] = None;
                    self.alive -= 1;
                    return;
                }
                Action::Wait { until, read } => {
                    (seat.until, seat.read) = (until, read);
                    self.next = earliest(self.next, earliest(until, seat.deadline));
                    if seat.can_go_on() {
                        seat.enqueue(place, &mut self.ready);
                    }
                    return;
                }
            }
        }
    }

    /// Runs jobs for a while.
    fn work(&mut self) -> io::Result<()> {
        let start = Instant::now();
        let until = start + SLICE;
        let mut result = Ok(());
        // When this job began, and the first of those whose outputs are not written; how many these are.
        let (mut began, mut since, mut held) = (start, start, 0);
        while let Some((place, job)) = self.jobs.pop_front() {
            let quiet = self.pace.is_quick();
            let mut now = began;
            // A finished link's jobs are of no use to anybody.
            if self.seats[place].is_some() {
                job.run(&mut |output| {
                    // The job's own time ends here: what becomes of its output is not its fault.
                    now = Instant::now();
                    if result.is_ok() {
                        result = self.output(now, place, output, quiet);
                    }
                });
            }
            self.pace.took(now - began);
            held += 1;
            if self.pace.lets_go(now - since, held, self.jobs.len()) {
                self.write_all();
                (since, held) = (now, 0);
            }
            began = if quiet { now } else { Instant::now() };
            if result.is_err() || began >= until {
                break;
            }
        }
        self.write_all();
        result
    }

    /// Writes what quick jobs have given.
    fn write_all(&mut self) {
        for place in std::mem::take(&mut self.unwritten) {
            self.write(place);
        }
    }

    fn write(&mut self, place: usize) {
        let Some(seat) = &mut self.seats[place] else { return };
        if let ControlFlow::Break(result) = seat.write() {
            seat.close(result);
        }
        self.obey(place);
    }

    /// Writes an output before its job, or the next one, goes on; or soon, where these are `quiet`.
    fn output(&mut self, now: Instant, place: usize, output: Output, quiet: bool) -> io::Result<()> {
        let part = output.end.is_none();
        let Some(seat) = &mut self.seats[place] else { return Ok(()) };
        seat.link.handle(now, Input::Output(output));
        if quiet && !part && !seat.is_full() {
            if !self.unwritten.contains(&place) {
                self.unwritten.push(place);
            }
            return Ok(());
        }
        self.write(place);
        if part {
            // The job will go on for a while, so this is a chance for the others.
            self.turn(Duration::ZERO)?;
        }
        while let Some(seat) = self.seats[place].as_mut().filter(|it| it.is_full()) {
            let left = PATIENCE.saturating_sub(seat.progress.max(now).elapsed());
            if left.is_zero() {
                seat.close(Err(ErrorKind::TimedOut.into()));
                self.obey(place);
            } else {
                self.turn(if self.ready.is_empty() { left } else { Duration::ZERO })?;
            }
        }
        Ok(())
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

//! What the reactors with worker threads share: the jobs on their way out, the outputs on their way back.
//!
//! All links' jobs wait in one FIFO queue, the [`Pool`]; a worker that finds more of them goes on without
//! anybody waking it. Outputs land in their link's [`Mailbox`] the moment they are there, and wake its owner
//! only if the owner sleeps: while it is awake and busy, the next outputs simply join the batch. Where the link can be
//! gone on with on any thread ([`Drive`]), the worker does so itself rather than wake the owner, unless jobs crowd, or
//! are slow while others wait.
//!
//! To wake a thread costs more than a quick job. So while jobs are quick, or all workers would get no more of them
//! done than one ([`Crew`]), one worker does all of them, and wakes owners for what several jobs have given. Meanwhile
//! another, the lookout, sees every [`LOOK`] whether the first is stuck with a job that is slow after all; then it
//! announces what waits, and everybody is called. A reactor may lend that worker what it reads from, too: see [`Lead`].

use std::{
    collections::VecDeque,
    io,
    net::TcpStream,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    Input, JOB_STACK, Job, LOOK, Link, OUTBOX_HIGH_WATER, OUTPUT_QUEUE, Output, READ_BUFFER, Stop,
    crew::{Crew, Load, Watch},
    threads,
};

/// Where more jobs wait than these, other threads had better read and write while a worker does them.
const MANY: usize = 32;

/// For so long a worker waits for bytes, and so for word that others had better do that, or that it is time earlier.
pub(crate) const MOMENT: Duration = Duration::from_millis(5);

/// So many jobs later that may have changed.
const CROWD: u64 = 1024;

/// How a worker has somebody see to outputs: [`Shared::tell`] or [`Shared::call`].
type Tell = fn(&Shared, Option<Waker>);

/// Somebody who goes on with a link at once, on the thread that calls.
pub(crate) trait Drive: Send + Sync {
    /// There are outputs. Does not wait for whoever goes on with the link just now.
    fn drive(&self);
}

/// A link that a worker may lead while jobs are quick: it waits for the next bytes, and for the time, in the place of
/// whoever else would wake it. Just one has it: the worker at work, or [`Queue::lent`] while it runs jobs, so that others
/// can take it from there.
pub(crate) trait Lead: Send + Sync {
    /// From now on a worker has it.
    fn lend(&self);

    /// Waits a moment; says whether there is something, or it is time.
    fn wait(&self) -> bool;

    /// Goes on with the link, and says whether to wait again.
    fn go_on(&self) -> bool;

    /// The worker no longer has it.
    fn give_back(&self);
}

/// Waits a moment for bytes, or until it is `due`; says whether there are any, or it is.
pub(crate) fn wait_for(socket: &TcpStream, due: Option<Instant>) -> bool {
    let left = due.map_or(MOMENT, |due| due.saturating_duration_since(Instant::now()).min(MOMENT));
    let ready = Timespec::try_from(left)
        .is_ok_and(|left| poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&left)).is_ok_and(|n| n > 0));
    ready || due.is_some_and(|due| due <= Instant::now())
}

/// The jobs of all links, in the order in which they were asked for.
#[derive(Default)]
pub(crate) struct Pool {
    queue: Mutex<Queue>,
    ready: Condvar,
    /// Why a worker ended before its time.
    failure: OnceLock<String>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<(Job, Arc<Shared>)>,
    /// Workers asleep, and how many of them were sent a wake-up that they have not noticed yet. While jobs
    /// wait and somebody sleeps, one wake-up is on its way, unless one worker is enough and another looks out; each woken
    /// worker sends the next.
    idle: usize,
    waking: usize,
    /// Workers that have a job, and how many jobs there were so far.
    running: usize,
    begun: u64,
    /// Those of them that were found stuck with theirs, none of which began later than this one.
    stuck: usize,
    last_stuck: u64,
    crew: Crew,
    /// Mailboxes with outputs that their owners were not told of.
    unheard: Vec<Arc<Shared>>,
    /// Whether an idle worker looks out.
    lookout: bool,
    /// What the next worker without a job may read from, and how many jobs there had been when it came here.
    lent: Option<(Arc<dyn Lead>, u64)>,
    /// Whether a worker reads.
    reading: bool,
    /// Until there were so many jobs, there may be many at once.
    crowded: u64,
    closed: bool,
}

impl Queue {
    /// What to read from, for a worker with nothing else to do. Another must be left for the jobs of other links.
    fn take_lead(&mut self) -> Option<Arc<dyn Lead>> {
        let free = self.jobs.is_empty() && self.moving() == 0 && self.idle > 0;
        self.lent.take_if(|_| free).map(|(lead, _)| lead)
    }

    /// A worker has a job; answers which.
    fn begin(&mut self) -> u64 {
        self.running += 1;
        self.begun += 1;
        self.begun
    }

    /// It has it no longer.
    fn end(&mut self, job: u64) {
        self.running -= 1;
        self.stuck -= usize::from(job <= self.last_stuck);
    }

    /// No job has begun for long, though one would have been enough: what runs is slow, and no reason for others to rest.
    fn found_stuck(&mut self) {
        self.crew.got_stuck();
        (self.stuck, self.last_stuck) = (self.running, self.begun);
    }

    /// Workers that have a job and are not stuck with it.
    fn moving(&self) -> usize {
        self.running - self.stuck
    }

    /// Whether there are so many jobs at once that one core is better left to them alone.
    fn is_crowded(&self) -> bool {
        self.crew.one_is_enough() && self.begun < self.crowded
    }

    /// Whether to leave outputs to their owner: a worker had better go on with the next job, or leave the core to others.
    fn tell(&self) -> Tell {
        let others = !self.jobs.is_empty() || self.running > 1;
        if self.is_crowded() || others && !self.crew.one_is_enough() { Shared::call } else { Shared::tell }
    }

    /// What had better be read by somebody else from now on: the worker that has it is kept by slow jobs, or by many.
    fn withdraw(&mut self) -> Option<Arc<dyn Lead>> {
        let kept = !self.may_lead();
        let (busy, begun) = (!self.jobs.is_empty(), self.begun);
        self.lent.take_if(|(_, since)| kept || busy && begun - *since > 2 * MANY as u64).map(|(lead, _)| lead)
    }

    /// Whether the worker that does the jobs has time to read: not where each takes a while, and others wait.
    fn may_lead(&self) -> bool {
        (self.crew.is_quick() || self.crew.one_is_enough() && self.jobs.len() <= 1) && !self.is_crowded()
    }

    /// Whether there is a use for somebody who looks out.
    fn wants_lookout(&self) -> bool {
        !self.lookout && (self.is_served() || self.reading)
    }

    /// Whether a worker is at it, and one is enough.
    fn is_served(&self) -> bool {
        self.moving() > 0 && self.crew.one_is_enough()
    }

    /// Has somebody announce what is in this mailbox, when the quick jobs are done or one of them is not quick.
    fn leave_unheard(&mut self, mailbox: &Arc<Shared>) {
        if !self.unheard.iter().any(|other| Arc::ptr_eq(other, mailbox)) {
            self.unheard.push(Arc::clone(mailbox));
        }
    }
}

impl Pool {
    /// Adds jobs whose outputs go to `mailbox`. Where they will be quick, its owner had better write what else it has
    /// together with what they give ([`Mailbox::may_write`]), and the worker who does them may have `lead` afterwards.
    pub(crate) fn extend(
        &self,
        jobs: impl Iterator<Item = Job>,
        mailbox: &Mailbox,
        lead: Option<Arc<dyn Lead>>,
    ) {
        let mut queue = lock(&self.queue);
        queue.jobs.extend(jobs.map(|job| (job, Arc::clone(&mailbox.0))));
        if queue.jobs.len() > MANY {
            queue.crowded = queue.begun + CROWD;
        }
        // Nobody would look out with a single one, unless a worker has read it; nor where nobody is left to do so.
        let lookouts = queue.idle.saturating_sub(usize::from(queue.moving() == 0));
        if queue.crew.one_is_enough()
            && (queue.jobs.len() > 1 || queue.reading && queue.moving() > 0)
            && lookouts > 0
        {
            mailbox.0.held.store(true, Ordering::Release);
            queue.leave_unheard(&mailbox.0);
        }
        if let Some(lead) =
            lead.filter(|_| queue.may_lead() && lookouts > 0 && queue.lent.is_none() && !queue.reading)
        {
            lead.lend();
            queue.lent = Some((lead, queue.begun));
        }
        self.wake_one(queue);
    }

    /// Runs jobs on this thread until the pool is closed.
    pub(crate) fn work(&self) {
        let mut queue = lock(&self.queue);
        // When the first output that nobody was told of may have been given, and how many there may be.
        let mut held: Option<(Instant, usize)> = None;
        while !queue.closed {
            let next = if queue.is_served() { None } else { queue.jobs.pop_front() };
            let Some((job, mailbox)) = next else {
                queue = match queue.take_lead() {
                    Some(lead) => self.lead(queue, lead),
                    None => self.rest(queue),
                };
                continue;
            };
            let (running, idle) = (queue.running, queue.idle);
            let turn = queue.crew.begin(running, idle);
            let nth = queue.begin();
            let more = !queue.jobs.is_empty() || queue.lent.is_some();
            let quiet = queue.lookout && queue.is_served() && more;
            let tell = queue.tell();
            self.wake_one(queue);
            let start = Instant::now();
            // The job's own: what becomes of its output is not its fault.
            let mut end = start;
            let mut watch = turn.map(Watch::start);
            // A finished link's jobs are of no use to anybody.
            if !lock(&mailbox.state).finished {
                job.run(&mut |output| {
                    end = Instant::now();
                    if output.end.is_some() {
                        watch.iter_mut().for_each(Watch::stop);
                    }
                    mailbox.put(output, quiet, tell);
                });
            }
            let (since, given) = held.get_or_insert((start, 0));
            *given += 1;
            queue = lock(&self.queue);
            if quiet {
                // Only now: what was announced while the job ran was not its output.
                queue.leave_unheard(&mailbox);
            }
            let load = Load { running: queue.running, waiting: queue.jobs.len() };
            queue.crew.took(start, end, watch, load);
            if queue.crew.lets_go(end - *since, *given, queue.jobs.len()) {
                held = None;
                let tell = queue.tell();
                queue = self.announce(queue, tell);
            }
            let lead = queue.withdraw();
            queue = self.give_back(queue, lead);
            // Only now: to see to the outputs may take a while, too.
            queue.end(nth);
        }
    }

    /// Waits once, and makes jobs of what comes.
    fn lead<'a>(&'a self, mut queue: MutexGuard<'a, Queue>, lead: Arc<dyn Lead>) -> MutexGuard<'a, Queue> {
        queue.reading = true;
        drop(queue);
        let ready = lead.wait();
        queue = lock(&self.queue);
        // As good as a job: there is somebody for those that come of it.
        let nth = queue.begin();
        drop(queue);
        let go_on = ready && lead.go_on();
        queue = lock(&self.queue);
        queue.end(nth);
        queue.reading = false;
        if go_on && queue.may_lead() && !queue.closed {
            queue.lent = Some((lead, queue.begun));
            queue
        } else {
            self.give_back(queue, Some(lead))
        }
    }

    fn give_back<'a>(
        &'a self,
        queue: MutexGuard<'a, Queue>,
        lead: Option<Arc<dyn Lead>>,
    ) -> MutexGuard<'a, Queue> {
        let Some(lead) = lead else { return queue };
        drop(queue);
        lead.give_back();
        lock(&self.queue)
    }

    /// Waits for a call; or looks out, while others are at work.
    fn rest<'a>(&'a self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        queue.idle += 1;
        if queue.wants_lookout() {
            queue.lookout = true;
            let begun = queue.begun;
            queue = self.ready.wait_timeout(queue, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            queue.lookout = false;
            if queue.moving() > 0 && queue.begun == begun {
                queue.found_stuck();
                let lead = queue.withdraw();
                queue = self.announce(queue, Shared::tell);
                queue = self.give_back(queue, lead);
            }
        } else {
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.idle -= 1;
        queue.waking = queue.waking.saturating_sub(1);
        queue
    }

    /// Tells owners of what they have.
    fn announce<'a>(&'a self, mut queue: MutexGuard<'a, Queue>, tell: Tell) -> MutexGuard<'a, Queue> {
        if queue.unheard.is_empty() {
            return queue;
        }
        let mailboxes = std::mem::take(&mut queue.unheard);
        drop(queue);
        mailboxes.iter().for_each(|mailbox| mailbox.announce(tell));
        lock(&self.queue)
    }

    /// Starts worker threads that live as long as the pool is open; each holds what `enter` gives it.
    pub(crate) fn staff<'s, T>(
        &'s self,
        scope: &'s thread::Scope<'s, '_>,
        workers: NonZeroUsize,
        stop: &'s Stop,
        enter: impl Fn() -> T + Copy + Send + 's,
    ) -> io::Result<()> {
        (1..=workers.get()).try_for_each(|n| {
            let main = move || {
                let _entered = enter();
                self.work_or_stop(stop);
            };
            threads::spawn_scoped(scope, &format!("stomp-wsgi-worker-{n}"), Some(JOB_STACK), main).map(drop)
        })
    }

    /// What a worker thread does. No job makes it panic, but should anything else: with a worker less, and a job that
    /// does not end, nobody could rely on the rest.
    fn work_or_stop(&self, stop: &Stop) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.work())) {
            let why = format!("a worker thread panicked: {}", threads::reason(&*panic));
            tracing::error!("{why}; stopping");
            let _ = self.failure.set(why);
            // Its job goes on for ever, as far as the others can see.
            lock(&self.queue).found_stuck();
            stop.stop();
        }
    }

    /// How the workers ended.
    pub(crate) fn outcome(&self) -> io::Result<()> {
        self.failure.get().map_or(Ok(()), |why| Err(io::Error::other(why.clone())))
    }

    /// A guard that sends the workers home: after the jobs that run, but before those that wait.
    pub(crate) fn close_on_drop(&self) -> impl Drop + '_ {
        struct Close<'a>(&'a Pool);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                let mut queue = lock(&self.0.queue);
                queue.closed = true;
                queue.lent = None;
                drop(queue);
                self.0.ready.notify_all();
            }
        }
        Close(self)
    }

    /// Calls a worker if there is a use for one more: a job, or the need of a lookout for what a slow job would hold up.
    fn wake_one(&self, mut queue: MutexGuard<'_, Queue>) {
        let watched = queue.lent.is_some() || queue.reading || !queue.unheard.is_empty();
        let served = queue.jobs.is_empty() && !watched || queue.is_served() && queue.lookout;
        let wake = !served && queue.idle > 0 && queue.waking == 0;
        queue.waking += usize::from(wake);
        drop(queue);
        if wake {
            self.ready.notify_one();
        }
    }
}

/// What waits for the owner of one link. Dropping it is how a link finishes: from then on outputs are
/// dropped, and workers that waited for room go on.
pub(crate) struct Mailbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    room: Condvar,
    /// Somebody is going to announce what is there.
    held: AtomicBool,
    /// Who goes on with the link, where that can be any thread.
    driver: OnceLock<Weak<dyn Drive>>,
}

#[derive(Default)]
struct State {
    outputs: VecDeque<Output>,
    stop: bool,
    finished: bool,
    /// Workers that wait for room.
    blocked: usize,
    /// The sleeping owner, and whether outputs may wake it.
    owner: Option<Waker>,
    wanted: bool,
}

enum Mail {
    Stop,
    Output(Output),
}

impl Mailbox {
    /// One mailbox for each link; all of them hear of `stop`.
    pub(crate) fn for_each<T>(links: Vec<T>, stop: &Stop) -> Vec<(T, Self)> {
        let links: Vec<_> = links.into_iter().map(|link| (link, Self(Arc::default()))).collect();
        let mailboxes: Vec<Weak<Shared>> = links.iter().map(|(_, it)| Arc::downgrade(&it.0)).collect();
        stop.on_stop(move || mailboxes.iter().filter_map(Weak::upgrade).for_each(|it| it.stop()));
        links
    }

    /// Has outputs, once the owner is told of them, bring `driver` to the thread that gave them.
    pub(crate) fn driven_by(&self, driver: Weak<dyn Drive>) {
        // There is one for the link's whole life.
        let _ = self.0.driver.set(driver);
    }

    /// Whether to write at once: not while quick jobs are about to give more.
    pub(crate) fn may_write(&self, link: &dyn Link) -> bool {
        !self.0.held.load(Ordering::Acquire) || link.outbox().len() > READ_BUFFER
    }

    /// Hands over what is there, and says whether there was anything. Where not, `cx` is woken when there is.
    /// Outputs wait while `link` is connected and has enough to send.
    pub(crate) fn deliver(&self, cx: &Context<'_>, link: &mut dyn Link, connected: bool) -> bool {
        let now = Instant::now();
        for n in 0..OUTPUT_QUEUE {
            match self.next(cx, !connected || link.outbox().len() <= OUTBOX_HIGH_WATER) {
                Some(Mail::Stop) => link.handle(now, Input::Stop),
                Some(Mail::Output(output)) => link.handle(now, Input::Output(output)),
                None => return n > 0,
            }
        }
        true
    }

    fn next(&self, cx: &Context<'_>, outputs: bool) -> Option<Mail> {
        let mut state = lock(&self.0.state);
        if std::mem::take(&mut state.stop) {
            return Some(Mail::Stop);
        }
        if let Some(output) = outputs.then(|| state.outputs.pop_front()).flatten() {
            // Not at the first free place: workers would wake for one output each.
            if state.blocked > 0 && state.outputs.len() <= OUTPUT_QUEUE / 2 {
                self.0.room.notify_all();
            }
            return Some(Mail::Output(output));
        }
        state.wanted = outputs;
        if !state.owner.as_ref().is_some_and(|owner| owner.will_wake(cx.waker())) {
            state.owner = Some(cx.waker().clone());
        }
        None
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.finished = true;
        state.outputs.clear();
        self.0.room.notify_all();
    }
}

impl Shared {
    /// Waits while the mailbox is full. Its owner is not told where somebody will `announce` it.
    fn put(&self, output: Output, quiet: bool, tell: Tell) {
        // A part comes from a job that goes on, which may take a while.
        let quiet = quiet && output.end.is_some();
        let mut state = lock(&self.state);
        while state.outputs.len() >= OUTPUT_QUEUE && !state.finished {
            let owner = if state.wanted { state.owner.take() } else { None };
            if owner.is_some() {
                drop(state);
                tell(self, owner);
                state = lock(&self.state);
                continue;
            }
            state.blocked += 1;
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.blocked -= 1;
        }
        if !state.finished {
            state.outputs.push_back(output);
            let owner = if state.wanted && !quiet { state.owner.take() } else { None };
            drop(state);
            tell(self, owner);
        }
    }

    /// Has somebody see to what is there, and to what the owner has itself.
    fn announce(&self, tell: Tell) {
        // First: an owner that has not seen this is asleep when it is looked for.
        self.held.store(false, Ordering::Release);
        let mut state = lock(&self.state);
        let owner = if state.wanted { state.owner.take() } else { None };
        drop(state);
        tell(self, owner);
    }

    /// Has somebody see to the outputs, if the owner sleeps.
    fn tell(&self, owner: Option<Waker>) {
        match self.driver.get().and_then(Weak::upgrade) {
            Some(driver) if owner.is_some() => driver.drive(),
            _ => self.call(owner),
        }
    }

    /// Wakes the owner, if it sleeps.
    fn call(&self, owner: Option<Waker>) {
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    fn stop(&self) {
        let mut state = lock(&self.state);
        state.stop = true;
        let owner = state.owner.take();
        drop(state);
        self.call(owner);
    }
}

/// Nothing here leaves its state half changed, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

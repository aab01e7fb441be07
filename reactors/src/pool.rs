//! What the reactors with worker threads share: the jobs on their way out, the outputs on their way back.
//!
//! All links' jobs wait in one FIFO queue, the [`Pool`]; a worker that finds more of them goes on without
//! anybody waking it. Outputs land in their link's [`Mailbox`] the moment they are there, and wake its owner
//! only if the owner sleeps: while it is awake and busy, the next outputs simply join the batch.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Waker},
    time::Instant,
};

#[cfg(any(feature = "thread-pool", feature = "async-std"))]
use std::{io, num::NonZeroUsize, thread};

#[cfg(any(feature = "thread-pool", feature = "async-std"))]
use crate::JOB_STACK;
use crate::{Input, Job, Link, OUTBOX_HIGH_WATER, OUTPUT_QUEUE, Output, Stop};

/// The jobs of all links, in the order in which they were asked for.
#[derive(Default)]
pub(crate) struct Pool {
    queue: Mutex<Queue>,
    ready: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<(Job, Arc<Shared>)>,
    /// Workers asleep, and how many of them were sent a wake-up that they have not noticed yet. While jobs
    /// wait and somebody sleeps, one wake-up is on its way; each woken worker sends the next.
    idle: usize,
    waking: usize,
    closed: bool,
}

impl Pool {
    /// Adds jobs whose outputs go to `mailbox`.
    pub(crate) fn extend(&self, jobs: impl Iterator<Item = Job>, mailbox: &Mailbox) {
        let mut queue = lock(&self.queue);
        queue.jobs.extend(jobs.map(|job| (job, Arc::clone(&mailbox.0))));
        self.wake_one(queue);
    }

    /// Runs jobs on this thread until the pool is closed.
    pub(crate) fn work(&self) {
        let mut queue = lock(&self.queue);
        while !queue.closed {
            if let Some((job, mailbox)) = queue.jobs.pop_front() {
                self.wake_one(queue);
                // A finished link's jobs are of no use to anybody.
                if !lock(&mailbox.state).finished {
                    job.run(&mut |output| mailbox.put(output));
                }
                queue = lock(&self.queue);
            } else {
                queue.idle += 1;
                queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
                queue.waking = queue.waking.saturating_sub(1);
            }
        }
    }

    /// Starts worker threads that live as long as the pool is open.
    #[cfg(any(feature = "thread-pool", feature = "async-std"))]
    pub(crate) fn staff<'s>(
        &'s self,
        scope: &'s thread::Scope<'s, '_>,
        workers: NonZeroUsize,
    ) -> io::Result<()> {
        (1..=workers.get()).try_for_each(|n| {
            let name = format!("stomp-wsgi-worker-{n}");
            let worker = thread::Builder::new().name(name).stack_size(JOB_STACK);
            worker.spawn_scoped(scope, || self.work()).map(drop)
        })
    }

    /// A guard that sends the workers home: after the jobs that run, but before those that wait.
    pub(crate) fn close_on_drop(&self) -> impl Drop + '_ {
        struct Close<'a>(&'a Pool);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                lock(&self.0.queue).closed = true;
                self.0.ready.notify_all();
            }
        }
        Close(self)
    }

    fn wake_one(&self, mut queue: MutexGuard<'_, Queue>) {
        let wake = !queue.jobs.is_empty() && queue.idle > 0 && queue.waking == 0;
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
    /// Waits while the mailbox is full.
    fn put(&self, output: Output) {
        let mut state = lock(&self.state);
        while state.outputs.len() >= OUTPUT_QUEUE && !state.finished {
            state.blocked += 1;
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.blocked -= 1;
        }
        if !state.finished {
            state.outputs.push_back(output);
            let owner = if state.wanted { state.owner.take() } else { None };
            drop(state);
            wake(owner);
        }
    }

    fn stop(&self) {
        let mut state = lock(&self.state);
        state.stop = true;
        let owner = state.owner.take();
        drop(state);
        wake(owner);
    }
}

fn wake(owner: Option<Waker>) {
    if let Some(owner) = owner {
        owner.wake();
    }
}

/// Nothing here leaves its state half changed, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The seam between a protocol and a concurrency model.
//!
//! A [`Reactor`] connects, moves bytes, keeps time and runs jobs. A [`Link`] is a state machine without
//! sockets, clocks or threads that decides everything else: what to send, when to reconnect, which jobs
//! to run. This crate holds the seam, four reactors (`ThreadPool`, `Tokio`, `Mio`, `AsyncStd`, each behind
//! the feature of its name) and the suite that every reactor must pass (`conformance`, likewise).
//! It knows nothing of STOMP, HTTP or Python.
//!
//! # How a reactor drives a link
//!
//! ```text
//!             +--------------------- Input -----------------------+
//!             v                                                   |
//!   Link::handle(now, input)  ->  Link::poll() until Wait/Finished   ->  obey each Action,
//!                                                                        send Link::outbox()
//! ```
//!
//! 1. Before any input, and after every `handle` (or a batch of them), call [`Link::poll`] until it
//!    answers [`Action::Wait`] or [`Action::Finished`], obeying each action on the way. The rest of a batch
//!    still reaches a link that has made up its mind; once it answered `Finished`, nothing does.
//! 2. While connected, write [`Link::outbox`] to the socket whenever it is not empty, and report what was
//!    written with [`Input::Sent`]. Between two inputs the outbox does not change.
//! 3. While connected, and the last `Wait` said `read: true`, read and report with [`Input::Received`].
//!    With `read: false` do not read at all: the kernel's window closes and the peer feels it. (A read that
//!    a thread was in already may end; keep its bytes until they are wanted.) The peer's end shows in the
//!    same way, to those who read.
//! 4. [`Input::Timer`] is delivered when `until` has passed **and nothing else is ready**. Reads come
//!    first: after a long inline job the peer's heart-beats sit unread in the socket, and a timer that
//!    overtook them would find a healthy peer silent. A link that is never idle waits for its timer; but
//!    every input brings `now`.
//! 5. At most [`Reactor::workers`] jobs run at once, over all links. Jobs start in the order in which they
//!    were asked for. A job's outputs are delivered in order, only to the link that asked for it, and each
//!    as soon as it is there, not only when the job's next part, or another job, has ended. (Where jobs have
//!    lately been quick, or one worker gets as much done as all would, what they give may go out together:
//!    after 25 microseconds to [`LOOK`] and the job that runs then, or, where one of them turns out to be slow,
//!    after three times [`LOOK`], but for an inline reactor, which has nobody else to see to it.) A job's thread has
//!    [`JOB_STACK`] bytes of stack, but for an inline reactor's, which is its caller's.
//! 6. While the outbox holds more than [`OUTBOX_HIGH_WATER`] bytes on a connected link, outputs stay in a
//!    bounded queue ([`OUTPUT_QUEUE`]) and workers wait: a slow peer slows the application, not memory.
//!    (An inline reactor has no queue; its job waits instead while sockets and clocks go on, and a peer that
//!    takes nothing for 10 s loses the connection.) Outputs of a link that has finished are dropped, and
//!    never block a worker; its jobs that have not begun are not run.
//! 7. Every step is bounded, and links take turns: one read of at most [`READ_BUFFER`] bytes, what outputs
//!    are queued, one write. Bounded is not one at a time: handle a batch, then write once.
//! 8. When `stop` is asked for, each link gets [`Input::Stop`] once, at once, whatever it was doing, a
//!    connection attempt included. `run` returns when every link has finished and every job that had begun
//!    has ended, and leaves no thread, job or socket behind; except that a look-up or a connection attempt
//!    which cannot be interrupted may end by itself later, unheard.
//! 9. Inputs that belong to an earlier socket never reach the link: once `Closed` was delivered (or
//!    `Close` obeyed), nothing of that socket arrives any more. Outputs still do: jobs outlive sockets.
//! 10. From [`Input::Connected`] on, at the latest, and until it is closed a socket is marked by [`CloseOnFork`], so
//!     that the processes which jobs fork do not keep the connection open. And it is close-on-exec.

use std::{
    fmt, io,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

#[cfg(feature = "async-std")]
pub mod async_std;
mod close_on_fork;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(any(feature = "thread-pool", feature = "tokio", feature = "async-std"))]
mod crew;
mod job;
#[cfg(feature = "mio")]
pub mod mio;
#[cfg(any(feature = "thread-pool", feature = "tokio", feature = "async-std", feature = "mio"))]
mod pace;
#[cfg(any(feature = "thread-pool", feature = "tokio", feature = "async-std"))]
mod place;
#[cfg(any(feature = "thread-pool", feature = "tokio", feature = "async-std"))]
mod pool;
mod stop;
#[cfg(any(feature = "tokio", feature = "async-std"))]
mod task;
#[cfg(feature = "thread-pool")]
pub mod thread_pool;
mod threads;
#[cfg(feature = "tokio")]
pub mod tokio;

#[cfg(feature = "async-std")]
pub use self::async_std::AsyncStd;
#[cfg(feature = "mio")]
pub use self::mio::Mio;
#[cfg(feature = "thread-pool")]
pub use self::thread_pool::ThreadPool;
#[cfg(feature = "tokio")]
pub use self::tokio::Tokio;
pub use close_on_fork::{CLOSE_ON_FORK_LIMIT, CloseOnFork, close_on_fork};
pub use job::{End, Job, Output};
pub use stop::Stop;
pub use threads::thread_error;

/// Most bytes that a reactor reads at once.
pub const READ_BUFFER: usize = 64 * 1024;

/// Bytes in an outbox beyond which a reactor hands over no further [`Output`].
pub const OUTBOX_HIGH_WATER: usize = 1024 * 1024;

/// Outputs that may wait for one link before workers have to wait.
pub const OUTPUT_QUEUE: usize = 256;

/// How often somebody looks whether a job that was to be quick is slow. Outputs of others wait for two such looks from
/// its beginning at most, and no longer than this before it.
pub const LOOK: Duration = Duration::from_millis(1);

/// Bytes of stack that a job's thread has: what threads mostly have on Linux, and four times what Rust gives
/// its own. Interpreters count calls, not bytes, and trust that a thousand of them fit.
pub const JOB_STACK: usize = 8 * 1024 * 1024;

/// A concurrency model: connects, moves bytes, keeps time and runs jobs.
pub trait Reactor {
    /// What `--reactor` takes and what reports show.
    fn name(&self) -> &'static str;

    /// How many jobs run at once.
    fn workers(&self) -> NonZeroUsize;

    /// Whether a running job holds up everything else, heart-beats included.
    fn inline(&self) -> bool {
        false
    }

    /// Drives `links` until each has finished. See the crate's documentation for the contract.
    ///
    /// # Errors
    /// Only what makes the model itself impossible (no epoll, a thread that cannot be started, a worker that
    /// panicked). Where that shows at the start, no link has begun, and no thread is left. A connection that fails is
    /// an [`Input::Closed`] for its link.
    ///
    /// # Panics
    /// If a link does. Then `stop` was asked for, and all other links have finished first.
    fn run(&self, links: Vec<Box<dyn Link>>, stop: &Stop) -> io::Result<()>;
}

impl<R: Reactor + ?Sized> Reactor for Box<R> {
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn workers(&self) -> NonZeroUsize {
        (**self).workers()
    }
    fn inline(&self) -> bool {
        (**self).inline()
    }
    fn run(&self, links: Vec<Box<dyn Link>>, stop: &Stop) -> io::Result<()> {
        (**self).run(links, stop)
    }
}

/// One connection to one peer, over all its reconnects. One thread at a time goes on with it, not always the same, so it
/// needs no lock.
pub trait Link: Send {
    /// Takes note of what happened. Never blocks.
    fn handle(&mut self, now: Instant, input: Input<'_>);

    /// What to do next. Call again until it answers [`Action::Wait`] or [`Action::Finished`], and again
    /// after every [`handle`](Link::handle).
    fn poll(&mut self) -> Action;

    /// Bytes to send, while connected. Grows only at its end, until [`Input::Sent`] takes from its front.
    fn outbox(&self) -> &[u8];
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// The connection that [`Action::Connect`] asked for is there.
    Connected,
    /// Bytes arrived; never empty.
    Received(&'a [u8]),
    /// So many bytes of the outbox were written; never zero.
    Sent(usize),
    /// The connection is gone, or could not be made. `Ok` is the peer's orderly end, or our own
    /// [`Action::Close`].
    Closed(io::Result<()>),
    /// A job has something to send, or has ended.
    Output(Output),
    /// The time that [`Action::Wait`] named has come.
    Timer,
    /// Finish what runs, and end.
    Stop,
}

/// What to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action {
    /// Resolve and connect; answered by [`Input::Connected`] or [`Input::Closed`] with an error. Asked only
    /// while there is no connection.
    Connect {
        /// A name or an address, without brackets.
        host: String,
        /// The TCP port.
        port: u16,
        /// For resolving and connecting together; after that it fails with [`io::ErrorKind::TimedOut`].
        timeout: Duration,
    },
    /// Drop the connection now (or the attempt), without waiting for the outbox; answered by
    /// [`Input::Closed`] with `Ok`.
    Close,
    /// Run this where a worker is free.
    Run(Job),
    /// Nothing to do until the next input, or until `until`.
    Wait {
        /// When to deliver [`Input::Timer`].
        until: Option<Instant>,
        /// Whether to read from the socket.
        read: bool,
    },
    /// The link is done; drop it.
    Finished,
}

impl fmt::Debug for dyn Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("outbox", &self.outbox().len()).finish_non_exhaustive()
    }
}

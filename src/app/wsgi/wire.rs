//! How the Python side reaches the [`Reply`] of the request that its thread serves.
//!
//! A reply is borrowed for one call of the application, and a Python object cannot hold a borrow. So the
//! reply is lent to the thread for the length of that call, and whoever holds a [`Ticket`] for the call
//! can use it meanwhile, on that thread and no other.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use scoped_tls_hkt::scoped_thread_local;

use super::fork;
use crate::app::Reply;

scoped_thread_local!(static mut REPLY: for<'a> &'a mut (dyn Reply + 'a));

/// Numbers threads. Rust's own ids can be had only with a count of references, which several threads share.
static THREADS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static THREAD: u64 = THREADS.fetch_add(1, Ordering::Relaxed);
    static SERVING: Cell<u64> = const { Cell::new(0) };
    static TICKETS: Cell<u64> = const { Cell::new(0) };
}

/// Names one call of the application on one thread of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    call: u64,
    thread: u64,
    generation: u32,
}

impl Ticket {
    /// Whether this is a copy, in a process that the application forked.
    pub(super) fn is_forked(self) -> bool {
        self.generation != fork::generation()
    }
}

/// Lends `reply` to this thread while `work` runs.
pub(super) fn lend<R>(reply: &mut dyn Reply, work: impl FnOnce(Ticket) -> R) -> R {
    let number = TICKETS.get() + 1;
    TICKETS.set(number);
    let _outer = Outer(SERVING.replace(number));
    let ticket = Ticket { call: number, thread: this_thread(), generation: fork::generation() };
    REPLY.set(reply, || work(ticket))
}

/// Uses the reply; `None` on another thread than the one that serves that call, and in a forked process.
pub(super) fn with<R>(ticket: Ticket, work: impl FnOnce(&mut dyn Reply) -> R) -> Option<R> {
    reaches(ticket).then(|| REPLY.with(|reply| work(reply)))
}

/// Whether [`with`] would find the reply.
pub(super) fn reaches(ticket: Ticket) -> bool {
    SERVING.get() == ticket.call && this_thread() == ticket.thread && !ticket.is_forked() && REPLY.is_set()
}

fn this_thread() -> u64 {
    THREAD.with(|thread| *thread)
}

/// Calls may nest: an application may well serve another in the middle of its own.
struct Outer(u64);

impl Drop for Outer {
    fn drop(&mut self) {
        SERVING.set(self.0);
    }
}

//! How the Python side reaches the [`Reply`] of the request that its thread serves.
//!
//! A reply is borrowed for one call of the application, and a Python object cannot hold a borrow. So the
//! reply is lent to the thread for the length of that call, and whoever holds a [`Ticket`] for the call
//! can use it meanwhile, on that thread and no other.

use std::cell::Cell;

use scoped_tls_hkt::scoped_thread_local;

use crate::app::Reply;

scoped_thread_local!(static mut REPLY: for<'a> &'a mut (dyn Reply + 'a));

thread_local! {
    static SERVING: Cell<u64> = const { Cell::new(0) };
    static TICKETS: Cell<u64> = const { Cell::new(0) };
}

/// Names one call of the application on one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64, std::thread::ThreadId);

/// Lends `reply` to this thread while `work` runs.
pub(super) fn lend<R>(reply: &mut dyn Reply, work: impl FnOnce(Ticket) -> R) -> R {
    let number = TICKETS.get() + 1;
    TICKETS.set(number);
    let _outer = Outer(SERVING.replace(number));
    let ticket = Ticket(number, std::thread::current().id());
    REPLY.set(reply, || work(ticket))
}

/// Uses the reply; `None` on another thread than the one that serves that call.
pub(super) fn with<R>(ticket: Ticket, work: impl FnOnce(&mut dyn Reply) -> R) -> Option<R> {
    reaches(ticket).then(|| REPLY.with(|reply| work(reply)))
}

/// Whether [`with`] would find the reply.
pub(super) fn reaches(ticket: Ticket) -> bool {
    SERVING.get() == ticket.0 && std::thread::current().id() == ticket.1 && REPLY.is_set()
}

/// Calls may nest: an application may well serve another in the middle of its own.
struct Outer(u64);

impl Drop for Outer {
    fn drop(&mut self) {
        SERVING.set(self.0);
    }
}

//! What the runtimes of libraries need of the system before they may be relied on: threads, and look-ups of names.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
    thread,
};

use crate::threads::{reason, spawn, spawn_scoped};

/// Makes sure that a runtime gets the threads that it is about to start: one that gets none panics, and one that gets
/// a few goes on with these and does not say so.
pub(crate) fn expect_threads(name: &str, count: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
        // All at the same time.
        let wait = || drop(gate.lock());
        let started: io::Result<Vec<_>> =
            (0..count).map(|_| spawn_scoped(scope, name, Some(64 << 10), wait)).collect();
        drop(closed);
        // Unlike the scope, waits until the system has them back.
        started?.into_iter().for_each(|thread| drop(thread.join()));
        Ok(())
    })
}

/// Starts a runtime. That of a library which panics where it gets no thread is an error.
pub(crate) fn start_runtime<T>(start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(start))
        .unwrap_or_else(|panic| Err(io::Error::other(format!("cannot start: {}", reason(&*panic)))))
}

/// How many threads a runtime has by default.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[derive(Default)]
struct Answer {
    addresses: Option<io::Result<Vec<SocketAddr>>>,
    waker: Option<Waker>,
}

/// The addresses of a host, looked up on a thread of its own. A runtime's own look-up may panic, or wait for ever,
/// where it gets no thread.
pub(crate) async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let answer = Arc::new(Mutex::new(Answer::default()));
    let asked = Arc::clone(&answer);
    spawn("stomp-wsgi-resolver", move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        let mut answer = asked.lock().unwrap_or_else(PoisonError::into_inner);
        answer.addresses = Some(addresses);
        let waker = answer.waker.take();
        drop(answer);
        waker.into_iter().for_each(Waker::wake);
    })?;
    poll_fn(|cx| {
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        match answer.addresses.take() {
            Some(addresses) => Poll::Ready(addresses),
            None => {
                answer.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_panics_is_an_error() {
        let result = start_runtime(|| -> io::Result<()> { panic!("no thread") });
        assert_eq!(result.unwrap_err().to_string(), "cannot start: no thread");
    }
}

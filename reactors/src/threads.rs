//! Threads, and what to say where the system has none left.

use std::io;
#[cfg(any(feature = "thread-pool", feature = "mio", feature = "tokio", feature = "async-std"))]
use std::thread::{Builder, JoinHandle};
#[cfg(any(feature = "thread-pool", feature = "tokio", feature = "async-std"))]
use std::thread::{Scope, ScopedJoinHandle};

/// Explains why a thread cannot be started: a reactor, and whatever runs beside it, needs all of its threads.
pub fn thread_error(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!(
            "cannot start the thread {name}: {error}; raise the limit of processes and threads (ulimit -u, the \
             cgroup's pids.max, systemd's TasksMax)"
        ),
    )
}

/// Starts a thread.
#[cfg(any(feature = "thread-pool", feature = "mio", feature = "tokio", feature = "async-std"))]
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    main: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    permitted(name, || Builder::new().name(name.to_owned()).spawn(main))
}

/// Starts a thread that ends before its scope does, with so much stack; `None` is Rust's own default.
#[cfg(any(feature = "thread-pool", feature = "tokio", feature = "async-std"))]
pub(crate) fn spawn_scoped<'s, T: Send + 's>(
    scope: &'s Scope<'s, '_>,
    name: &str,
    stack: Option<usize>,
    main: impl FnOnce() -> T + Send + 's,
) -> io::Result<ScopedJoinHandle<'s, T>> {
    let builder = Builder::new().name(name.to_owned());
    let builder = stack.into_iter().fold(builder, Builder::stack_size);
    permitted(name, || builder.spawn_scoped(scope, main))
}

/// What a panic said.
#[cfg(any(feature = "thread-pool", feature = "tokio", feature = "async-std"))]
pub(crate) fn reason(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it does not say why")
}

#[cfg(any(feature = "thread-pool", feature = "mio", feature = "tokio", feature = "async-std"))]
#[cfg(not(test))]
fn permitted<T>(name: &str, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    start().map_err(|error| thread_error(name, &error))
}

#[cfg(any(feature = "thread-pool", feature = "mio", feature = "tokio", feature = "async-std"))]
#[cfg(test)]
fn permitted<T>(name: &str, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    limit::take().and_then(|()| start()).map_err(|error| thread_error(name, &error))
}

/// A limit of threads, for those that the test's own thread starts.
#[cfg(any(feature = "thread-pool", feature = "mio", feature = "tokio", feature = "async-std"))]
#[cfg(test)]
pub(crate) mod limit {
    use std::{cell::Cell, io};

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// From now on only so many more; `None` is no limit.
    #[cfg(all(feature = "thread-pool", feature = "tokio", feature = "async-std", feature = "mio"))]
    pub(crate) fn set(count: Option<usize>) {
        LEFT.set(count);
    }

    pub(super) fn take() -> io::Result<()> {
        match LEFT.get() {
            Some(0) => Err(io::ErrorKind::WouldBlock.into()),
            left => {
                LEFT.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }
}

#[cfg(all(test, feature = "thread-pool", feature = "tokio", feature = "async-std", feature = "mio"))]
mod tests {
    use std::{
        num::NonZeroUsize,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Instant,
    };

    use super::*;
    use crate::{Action, AsyncStd, Input, Link, Reactor, Stop, ThreadPool, Tokio, task::cores};

    /// Finishes at once, and counts how often a reactor asked it what to do.
    struct Counted(Arc<AtomicUsize>);

    impl Link for Counted {
        fn handle(&mut self, _: Instant, _: Input<'_>) {}

        fn poll(&mut self) -> Action {
            self.0.fetch_add(1, Ordering::SeqCst);
            Action::Finished
        }

        fn outbox(&self) -> &[u8] {
            &[]
        }
    }

    /// However many threads a reactor gets before there are no more: it says so, and no link has begun.
    fn needs_all_threads(reactor: &dyn Reactor, at_least: usize) {
        const LINKS: usize = 3;
        for count in 0.. {
            let polled = Arc::new(AtomicUsize::new(0));
            let links = (0..LINKS).map(|_| Box::new(Counted(Arc::clone(&polled))) as Box<dyn Link>).collect();
            limit::set(Some(count));
            let result = reactor.run(links, &Stop::new());
            limit::set(None);
            match result {
                Ok(()) => {
                    assert!(count >= at_least, "{}: {count} threads do", reactor.name());
                    assert_eq!(polled.load(Ordering::SeqCst), LINKS);
                    return;
                }
                Err(error) => {
                    let said = error.to_string();
                    assert!(said.contains("cannot start the thread stomp-wsgi-"), "{said}");
                    assert!(said.contains("pids.max"), "{said}");
                    assert_eq!(polled.load(Ordering::SeqCst), 0, "{}: with {count} threads", reactor.name());
                }
            }
        }
    }

    #[test]
    fn a_reactor_has_all_of_its_threads_or_says_so() {
        let workers = NonZeroUsize::new(4).unwrap();
        needs_all_threads(&ThreadPool::new(workers), 4 + 3);
        needs_all_threads(&Tokio::new(workers), 4 + cores());
        needs_all_threads(&AsyncStd::new(workers), 4 + cores());
    }
}

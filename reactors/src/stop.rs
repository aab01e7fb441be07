//! The wish to stop, heard by every reactor in its own way.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// A wish to stop, shared by whoever may have it and whoever obeys it.
#[derive(Clone, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    hooks: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl Stop {
    /// Nobody wants to stop yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everyone to stop. Runs the hooks on this thread; only the first call does anything. Not for
    /// use inside a signal handler.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        self.run_hooks();
    }

    /// Whether somebody asked.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }

    /// Has `hook` run once, when somebody asks; at once, if somebody has. Hooks only wake: they must not
    /// block, and must do no harm after their reactor is gone. One that panics keeps no other from running.
    pub fn on_stop(&self, hook: impl FnOnce() + Send + 'static) {
        self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(hook));
        // `stop` may have run between the caller's decision and the push.
        if self.is_stopped() {
            self.run_hooks();
        }
    }

    fn run_hooks(&self) {
        let hooks = std::mem::take(&mut *self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner));
        for hook in hooks {
            if catch_unwind(AssertUnwindSafe(hook)).is_err() {
                tracing::error!("something that was to hear of the stop panicked");
            }
        }
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stop").field(&self.is_stopped()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn hooks_run_once_whenever_they_were_set() {
        let (stop, (tx, rx)) = (Stop::new(), mpsc::channel());
        let early = tx.clone();
        stop.on_stop(move || early.send("early").unwrap());
        assert!(!stop.is_stopped());
        stop.stop();
        stop.stop();
        stop.on_stop(move || tx.send("late").unwrap());
        assert_eq!(rx.iter().collect::<Vec<_>>(), ["early", "late"]);
    }

    #[test]
    fn a_hook_that_panics_keeps_no_other_from_running() {
        let (stop, (tx, rx)) = (Stop::new(), mpsc::channel());
        for n in 0..4 {
            let tx = tx.clone();
            stop.on_stop(move || {
                assert!(n % 2 == 1, "this one fails");
                tx.send(n).unwrap();
            });
        }
        stop.stop();
        assert!(stop.is_stopped());
        stop.on_stop(|| panic!("too late, and fails, too"));
        drop(tx);
        assert_eq!(rx.iter().collect::<Vec<_>>(), [1, 3]);
    }
}

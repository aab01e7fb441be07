//! The wish to stop, heard by every reactor in its own way.

use std::{
    fmt,
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
        for hook in self.take_hooks() {
            hook();
        }
    }

    /// Whether somebody asked.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }

    /// Has `hook` run once, when somebody asks; at once, if somebody has. Hooks only wake: they must not
    /// block, and must do no harm after their reactor is gone.
    pub fn on_stop(&self, hook: impl FnOnce() + Send + 'static) {
        self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(hook));
        // `stop` may have run between the caller's decision and the push.
        if self.is_stopped() {
            for hook in self.take_hooks() {
                hook();
            }
        }
    }

    fn take_hooks(&self) -> Vec<Box<dyn FnOnce() + Send>> {
        std::mem::take(&mut *self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner))
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
}

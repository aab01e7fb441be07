//! Processes that the application started with `multiprocessing`, at an end by force.
//!
//! Python terminates those of them that are daemonic when it ends (`multiprocessing.util._exit_function`). A process that
//! ends by force does not come to that, and they would go on without it.

use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;
use rustix::process::{Pid, Signal, kill_process};

use super::fork;

/// Those that there were a moment ago, for when Python does not answer.
static KNOWN: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Takes note of them. To be called now and then; costs next to nothing where `multiprocessing` was not imported.
pub(super) fn note(py: Python<'_>) {
    match fork::daemons(py) {
        Ok(children) => *KNOWN.lock().unwrap_or_else(PoisonError::into_inner) = children,
        Err(error) => tracing::debug!(%error, "multiprocessing does not say which children there are"),
    }
}

/// Sends SIGTERM to the daemonic processes that the application started with `multiprocessing`, as Python does at its end.
/// Waits for none of them. For a process that is about to end by force, whatever its threads are doing: where Python does
/// not answer within `patience`, those are meant that it last knew of.
pub fn terminate_children(patience: Duration) {
    let (sender, done) = mpsc::channel();
    let ask = move || {
        // None where there is no interpreter, and so no children.
        Python::try_attach(note);
        // Nobody waits any more, if it took too long.
        let _ = sender.send(());
    };
    if thread::Builder::new().name("stomp-wsgi-children".to_owned()).spawn(ask).is_ok() {
        let _ = done.recv_timeout(patience);
    }
    let known = std::mem::take(&mut *KNOWN.lock().unwrap_or_else(PoisonError::into_inner));
    for child in known.into_iter().filter_map(Pid::from_raw) {
        // It has ended already where this fails.
        let _ = kill_process(child, Signal::TERM);
    }
}

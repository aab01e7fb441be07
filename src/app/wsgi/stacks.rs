//! What every Python thread is doing, for the log when all workers are stuck.
//!
//! To ask Python takes the GIL, which a stuck thread may hold: one that is in an extension that never lets go of it.
//! So a thread of its own asks, and is left to itself where that takes too long.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use pyo3::ffi;
use pyo3::prelude::*;

const SOURCE: &CStr = ffi::c_str!(include_str!("stacks.py"));

/// How long a thread may wait for the GIL, and then read the lines of source code that it shows.
const PATIENCE: Duration = Duration::from_secs(3);

/// A thread is asking; it may do so for ever, and one is enough.
static ASKING: AtomicBool = AtomicBool::new(false);

/// The stacks of all threads, or why they cannot be had.
pub(super) fn of_all_threads() -> String {
    const HELD: &str = "their Python stacks cannot be had: one of them holds Python's lock (the GIL) all the time, as an \
                        extension may that waits without letting go of it";
    if ASKING.swap(true, Ordering::SeqCst) {
        return HELD.to_owned();
    }
    let (sender, answer) = channel();
    let ask = move || {
        let stacks = Python::try_attach(|py| describe(py).map_err(|error| error.to_string()));
        ASKING.store(false, Ordering::SeqCst);
        // It may be too late.
        let _ = sender.send(stacks.unwrap_or_else(|| Err("Python is not running".to_owned())));
    };
    if let Err(error) = thread::Builder::new().name("stomp-wsgi-stacks".to_owned()).spawn(ask) {
        ASKING.store(false, Ordering::SeqCst);
        return format!("their Python stacks cannot be had: no thread to ask for them: {error}");
    }
    match answer.recv_timeout(PATIENCE) {
        Ok(Ok(stacks)) => stacks,
        Ok(Err(error)) => format!("their Python stacks cannot be had: {error}"),
        Err(RecvTimeoutError::Timeout) => HELD.to_owned(),
        Err(RecvTimeoutError::Disconnected) => {
            "their Python stacks cannot be had: asking for them failed".to_owned()
        }
    }
}

fn describe(py: Python<'_>) -> PyResult<String> {
    let ours = py.import("threading")?.call_method0("get_ident")?;
    PyModule::from_code(py, SOURCE, c"stomp_wsgi/stacks.py", c"_stomp_wsgi_stacks")?
        .call_method1("describe", (ours,))?
        .extract()
}

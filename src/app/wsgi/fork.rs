//! Applications that fork.
//!
//! A child made by `os.fork()` has copies of our sockets and queues, and one thread: the one that ran the
//! application. Most children never come back to us (`subprocess`, `multiprocessing`, `os._exit()`). One that
//! does, because it returns from the application or raises, must not go on as a second server with the same
//! connection: it cannot send anything, and ends where its request does.
//!
//! `fork.py` closes the copies of our sockets in the child ([`reactors::CloseOnFork`]) and resets its signals. Python
//! runs it for forks that are Python's own: `os.fork()`, `os.forkpty()`, `multiprocessing`. It does not see an extension
//! module that calls `fork` in C.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use pyo3::exceptions::PySystemExit;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

const SOURCE: &CStr = ffi::c_str!(include_str!("fork.py"));

const MODULE: &CStr = c"_stomp_wsgi_fork";

/// How many forks lie between this process and the one that [`watch`]ed first.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Whether that is more than none, for handlers of signals.
static FORKED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Has Python tell of forks. To do so twice makes no difference.
pub(super) fn watch(py: Python<'_>) -> PyResult<()> {
    if py.import("sys")?.getattr("modules")?.contains(MODULE)? {
        return Ok(());
    }
    // Made now, for a child had better not wait for a lock.
    let flag = Arc::clone(&FORKED);
    let forked = PyCFunction::new_closure(py, None, None, move |_, _| {
        GENERATION.fetch_add(1, Ordering::Relaxed);
        flag.store(true, Ordering::SeqCst);
        reactors::close_on_fork().collect::<Vec<_>>()
    })?;
    let module = PyModule::from_code(py, SOURCE, c"stomp_wsgi/fork.py", MODULE)?;
    module.call_method1("watch", (forked,))?;
    Ok(())
}

/// Has children begin with this handler of a signal that the program took from Python.
pub(super) fn restores(py: Python<'_>, signal: i32, handler: &Bound<'_, PyAny>) -> PyResult<()> {
    let module = py.import("sys")?.getattr("modules")?.get_item(MODULE)?;
    module.getattr("handlers")?.set_item(signal, handler)
}

/// Has these signals wait while a process forks. Answers what is true in children, and false in this process.
pub(super) fn hold(py: Python<'_>, signals: &[i32]) -> PyResult<Arc<AtomicBool>> {
    let module = py.import("sys")?.getattr("modules")?.get_item(MODULE)?;
    module.getattr("held")?.call_method1("update", (signals.to_vec(),))?;
    Ok(Arc::clone(&FORKED))
}

/// The daemonic processes of `multiprocessing` that have not ended, as far as Python knows.
pub(super) fn daemons(py: Python<'_>) -> PyResult<Vec<i32>> {
    py.import("sys")?.getattr("modules")?.get_item(MODULE)?.call_method0("daemons")?.extract()
}

/// Differs between a process and its children.
pub(super) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Has this process be the one that is not a child, where it is one. Says whether it was.
pub(super) fn settle() -> bool {
    FORKED.store(false, Ordering::SeqCst);
    GENERATION.swap(0, Ordering::Relaxed) > 0
}

/// Writes to standard error, in a child.
pub(super) fn print(text: &str) {
    // Nobody is left to tell where this fails.
    let _ = Python::attach(|py| {
        let stream = py.import("sys")?.getattr("__stderr__")?;
        stream.call_method1("write", (text,))?;
        stream.call_method0("flush").map(drop)
    });
}

/// Ends a child as the end of a script would, but for `atexit`, whose functions are the parent's.
///
/// Nothing in a child may log: another thread may have held that lock when this one was copied.
pub(super) fn leave(py: Python<'_>, outcome: PyResult<()>) -> ! {
    let status = match outcome {
        Ok(()) => 0,
        Err(error) => status(py, &error),
    };
    super::interpreter::flush(py);
    let _ = py.import("os").and_then(|os| os.call_method1("_exit", (status,)));
    // Python's own cannot fail, but an application may have replaced it.
    std::process::abort()
}

/// What a script that raises this exits with.
fn status(py: Python<'_>, error: &PyErr) -> i32 {
    if !error.is_instance_of::<PySystemExit>(py) {
        error.display(py);
        return 1;
    }
    let code = match error.value(py).getattr("code") {
        Ok(code) => code,
        Err(_) => return 1,
    };
    if code.is_none() {
        return 0;
    }
    code.extract().unwrap_or_else(|_| {
        // `sys.exit("what went wrong")`
        error.display(py);
        1
    })
}

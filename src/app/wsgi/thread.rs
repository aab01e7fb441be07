//! One Python thread state for each thread that runs the application, for as long as that thread lives.
//!
//! [`Python::attach`] makes a thread state where there is none and destroys it when it detaches, and with
//! it everything in `threading.local`: Django's and SQLAlchemy's database connections, for example. It is
//! also five times slower than to find one. So the first request on a thread takes one more hold of its
//! state, and the end of the thread lets it go. This works the same on threads of our own and on those of
//! another reactor's pool, which come and go as that reactor likes.
#![allow(unsafe_code)]

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

thread_local! {
    static KEPT: OnceCell<Kept> = const { OnceCell::new() };
}

/// The interpreter is on its way out: threads that end now leave their states behind.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs `work` attached to Python, on this thread's own thread state. Nested calls cost next to nothing.
pub(super) fn attach<R>(work: impl for<'py> FnOnce(Python<'py>) -> R) -> R {
    // The error is that the thread is ending, when there is nothing left to keep.
    let _ = KEPT.try_with(|kept| {
        kept.get_or_init(Kept::new);
    });
    Python::attach(work)
}

/// From now on no thread state is let go of.
pub(super) fn close() {
    CLOSED.store(true, Ordering::Release);
}

/// A hold of this thread's Python thread state.
struct Kept(());

impl Kept {
    fn new() -> Self {
        Python::attach(|py| {
            // SAFETY: this thread is attached, so this finds its state and only counts one more hold of
            // it. The matching release is in `drop`, on the same thread, as this is a thread-local.
            unsafe { ffi::PyGILState_Ensure() };
            if let Err(error) = name_thread(py) {
                tracing::debug!(%error, "no name for a Python thread");
            }
        });
        Self(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if CLOSED.load(Ordering::Acquire) {
            return;
        }
        // None: the interpreter is gone already, and the state with it.
        Python::try_attach(|_| {
            // SAFETY: gives back the hold of `new`. This thread is attached by a hold of its own, so the
            // count does not reach zero here but where `try_attach` detaches, which destroys the state.
            unsafe { ffi::PyGILState_Release(ffi::PyGILState_STATE::PyGILState_LOCKED) };
        });
    }
}

/// Gives Python's idea of this thread the name that it has in Rust, for logs and debuggers.
fn name_thread(py: Python<'_>) -> PyResult<()> {
    let thread = std::thread::current();
    // Python names its main thread itself.
    let Some(name) = thread.name().filter(|name| *name != "main") else { return Ok(()) };
    py.import(intern!(py, "threading"))?
        .call_method0(intern!(py, "current_thread"))?
        .setattr(intern!(py, "name"), name)
}

//! A context for each request (PEP 567): what it sets of context variables is seen by nobody after it.
//!
//! The requests of a thread share its thread state, and so would share that thread's context. A copy of that
//! costs next to nothing, as it is made of the same nodes until somebody changes it.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;

/// Runs `work` in a copy of this thread's context. Calls may nest.
pub(super) fn fresh<R>(py: Python<'_>, work: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let _entered = Entered::new(py)?;
    work()
}

struct Entered<'py>(Bound<'py, PyAny>);

impl<'py> Entered<'py> {
    fn new(py: Python<'py>) -> PyResult<Self> {
        // SAFETY: this thread is attached. The call answers a new reference, or null with an exception set.
        let copy = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent())? };
        // SAFETY: as above, and `copy` is a context, which nobody else has entered.
        match unsafe { ffi::PyContext_Enter(copy.as_ptr()) } {
            0 => Ok(Self(copy)),
            _ => Err(PyErr::fetch(py)),
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread is attached, as `self.0` says, and entered this context in `new`.
        if unsafe { ffi::PyContext_Exit(self.0.as_ptr()) } != 0 {
            // An extension has switched contexts under us and not back; its own to lose.
            let error = PyErr::fetch(self.0.py());
            tracing::error!(%error, "a request's context cannot be left");
        }
    }
}

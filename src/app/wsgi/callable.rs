//! The `start_response` of one request after the other.
//!
//! It and the `write` that it returns are methods of an object, for which Python makes an object each; to make and
//! drop all three costs as much as half of an environ. So a thread keeps them for its next request, unless the
//! application has kept one of them.
#![allow(unsafe_code)]

use std::cell::Cell;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

use super::start_response::{Call, StartResponse};

thread_local! {
    static SPARE: Cell<Option<Spare>> = const { Cell::new(None) };
}

/// What a request has left.
struct Spare {
    object: Py<StartResponse>,
    start: Py<PyCFunction>,
    write: Py<PyCFunction>,
}

/// What one request has of it.
pub(super) struct Callable<'py> {
    object: Bound<'py, StartResponse>,
    start: Bound<'py, PyCFunction>,
}

impl<'py> Callable<'py> {
    pub(super) fn begin(py: Python<'py>, call: Call) -> PyResult<Self> {
        let Spare { object, start, write } = match SPARE.take() {
            Some(spare) => spare,
            None => Spare::new(py, call)?,
        };
        object.get().begin(py, call, write);
        Ok(Self { object: object.into_bound(py), start: start.into_bound(py) })
    }

    /// What the application gets.
    pub(super) fn start_response(&self) -> &Bound<'py, PyCFunction> {
        &self.start
    }

    pub(super) fn get(&self) -> &StartResponse {
        self.object.get()
    }

    pub(super) fn end(self) {
        let Self { object, start } = self;
        let Some(write) = object.get().end(object.py()) else { return };
        let write = write.into_bound(object.py());
        // The object's own are this one, and those of its methods.
        if is_ours(&start) && is_ours(&write) && references(&object) == 3 {
            let (object, start, write) = (object.unbind(), start.unbind(), write.unbind());
            // A nested call may have left its own.
            drop(SPARE.replace(Some(Spare { object, start, write })));
        }
    }
}

impl Spare {
    fn new(py: Python<'_>, call: Call) -> PyResult<Self> {
        let object = Bound::new(py, StartResponse::new(call))?;
        let start = object.getattr(intern!(py, "start_response"))?.cast_into()?.unbind();
        let write = object.getattr(intern!(py, "write"))?.cast_into()?.unbind();
        Ok(Self { object: object.unbind(), start, write })
    }
}

/// Whether nobody else has a function, not even weakly.
fn is_ours(function: &Bound<'_, PyCFunction>) -> bool {
    // SAFETY: a builtin function, which its type says it is, is such a struct; this thread is attached.
    let weak = unsafe { (*function.as_ptr().cast::<ffi::PyCFunctionObject>()).m_weakreflist };
    references(function) == 1 && weak.is_null()
}

fn references<T>(object: &Bound<'_, T>) -> isize {
    // SAFETY: the object lives, and this thread is attached.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

//! Calls the application and sends what it returns (PEP 3333, "Specification Details").

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use super::callable::Callable;
use super::report;
use super::start_response::{Call, StartResponse};
use crate::app::Flow;

/// One call of the application, to its end. The error is whatever it raised, `SystemExit` and the like
/// included, or what it did wrong.
pub(super) fn respond(
    app: &Bound<'_, PyAny>,
    environ: Bound<'_, PyDict>,
    start: &Callable<'_>,
    call: Call,
) -> PyResult<()> {
    let py = app.py();
    let result = app.call1((environ, start.start_response()));
    let start = start.get();
    let outcome = result.and_then(|result| send(start, call, &result));
    if call.ticket.is_forked() {
        return outcome.map(drop);
    }
    match outcome {
        Ok(0) => Ok(()),
        Ok(short) => {
            tracing::warn!(short, "the body is shorter than its Content-Length");
            Ok(())
        }
        Err(error) if start.is_whole(py) => {
            let traceback = report::traceback(py, &error);
            tracing::error!("the application failed after its response\n{traceback}");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Sends what the application returned. Answers how much is missing of its Content-Length.
fn send(start: &StartResponse, call: Call, result: &Bound<'_, PyAny>) -> PyResult<u64> {
    let py = result.py();
    // Exactly these types: a subclass may well iterate its own way, or have a close().
    if let Ok(blocks) = result.cast_exact::<PyList>() {
        return listed(start, call, || blocks.len(), |index| blocks.get_item(index), py);
    }
    if let Ok(blocks) = result.cast_exact::<PyTuple>() {
        return listed(start, call, || blocks.len(), |index| blocks.get_item(index), py);
    }
    // A panic is a bug of ours, for which the application's locks and files must not pay.
    let outcome = catch_unwind(AssertUnwindSafe(|| iterated(start, call, result)));
    let closed = close(result);
    let outcome = outcome.unwrap_or_else(|panic| resume_unwind(panic));
    match closed {
        Err(error) if call.ticket.is_forked() => Err(error),
        Err(error) => {
            // This concerns no requester: the response is what it is by now.
            let traceback = report::traceback(py, &error);
            tracing::error!("close() of a response failed\n{traceback}");
            outcome
        }
        Ok(()) => outcome,
    }
}

/// A list or a tuple, without an iterator. A list may change while it is being sent.
fn listed<'py>(
    start: &StartResponse,
    call: Call,
    length: impl Fn() -> usize,
    get: impl Fn(usize) -> PyResult<Bound<'py, PyAny>>,
    py: Python<'py>,
) -> PyResult<u64> {
    let sole = call.head_only && length() == 1;
    let mut index = 0;
    while index < length() {
        let block = get(index)?;
        if start.block(py, bytes(&block)?, sole)? != Flow::Continue {
            break;
        }
        index += 1;
    }
    start.finish(py, sole.then_some(0))
}

fn iterated(start: &StartResponse, call: Call, result: &Bound<'_, PyAny>) -> PyResult<u64> {
    let py = result.py();
    let sole = call.head_only && result.len().is_ok_and(|length| length == 1);
    for block in result.try_iter().map_err(|error| not_iterable(result, error))? {
        let block = block?;
        if start.block(py, bytes(&block)?, sole)? != Flow::Continue {
            break;
        }
    }
    start.finish(py, sole.then_some(0))
}

/// Blocks are bytes and nothing like them: a `bytearray` may change after it was yielded.
fn bytes<'a>(block: &'a Bound<'_, PyAny>) -> PyResult<&'a [u8]> {
    if let Ok(block) = block.cast::<PyBytes>() {
        return Ok(block.as_bytes());
    }
    let kind = block.get_type().name()?;
    let hint = match kind.to_string_lossy().as_ref() {
        "str" => ": encode it",
        "int" => "; return [body], not body",
        _ => "",
    };
    Err(PyTypeError::new_err(format!("the application yielded {kind}, not bytes{hint}")))
}

fn not_iterable(result: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = result.py();
    if !error.is_instance_of::<PyTypeError>(py) || result.hasattr(intern!(py, "__iter__")).unwrap_or(false) {
        return error;
    }
    let message = if result.is_none() {
        "the application returned None, not an iterable of bytes".to_owned()
    } else if result.hasattr(intern!(py, "__await__")).unwrap_or(false) {
        "the application returned an awaitable: it is not WSGI; wrap an ASGI application with a2wsgi"
            .to_owned()
    } else {
        let kind = result.get_type().name().map_or_else(|_| "?".to_owned(), |kind| kind.to_string());
        format!("the application returned {kind}, not an iterable of bytes")
    };
    PyTypeError::new_err(message)
}

/// Closes what the application returned, if it can be.
fn close(result: &Bound<'_, PyAny>) -> PyResult<()> {
    match result.getattr_opt(intern!(result.py(), "close"))? {
        Some(close) => close.call0().map(drop),
        None => Ok(()),
    }
}

//! Python exceptions as text.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

/// What Python itself would print: traceback, causes and all. Ends without a line feed.
pub(super) fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let format = || -> PyResult<String> {
        let value = error.value(py);
        let lines = py
            .import(intern!(py, "traceback"))?
            .call_method1(intern!(py, "format_exception"), (value.get_type(), value, error.traceback(py)))?;
        let text = PyString::new(py, "").call_method1(intern!(py, "join"), (lines.cast::<PyList>()?,))?;
        Ok(text.cast::<PyString>()?.to_string_lossy().trim_end().to_owned())
    };
    format().unwrap_or_else(|_| summary(py, error))
}

/// The last line of that: the exception's type and message.
pub(super) fn summary(py: Python<'_>, error: &PyErr) -> String {
    let kind = error.get_type(py).name().map_or_else(|_| "exception".to_owned(), |name| name.to_string());
    match error.value(py).str() {
        Ok(text) if !text.is_empty().unwrap_or(true) => format!("{kind}: {}", text.to_string_lossy()),
        Ok(_) => kind,
        Err(_) => format!("{kind}: <its message cannot be had>"),
    }
}

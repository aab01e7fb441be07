//! What Python writes by itself: standard output and error, and what `logging` makes of records without a handler.

use std::ffi::CStr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

use super::errors::{Errors, Stream};
use super::{fork, report};

const SOURCE: &CStr = ffi::c_str!(include_str!("output.py"));

/// Has standard output written line by line, and, if `logged`, standard error become events of the log.
pub(super) fn prepare(py: Python<'_>, logged: bool) -> PyResult<()> {
    let module = PyModule::from_code(py, SOURCE, c"stomp_wsgi/output.py", c"_stomp_wsgi_output")?;
    module.call_method0("write_lines_at_once")?;
    if logged {
        let record = PyCFunction::new_closure(py, None, None, |arguments, _| {
            let (level, logger, message, exception): (u32, String, String, Option<String>) =
                arguments.extract()?;
            log(level, &logger, &message, exception.as_deref());
            PyResult::Ok(())
        })?;
        let stream = Bound::new(py, Errors { stream: Stream::Standard })?;
        module.call_method1("log_standard_error", (stream, record))?;
    }
    Ok(())
}

/// One record of `logging`, by its level's number.
fn log(level: u32, logger: &str, message: &str, exception: Option<&str>) {
    let message = report::bounded(message);
    let exception = exception.map(report::bounded);
    if fork::generation() > 0 {
        let exception = exception.as_deref().unwrap_or_default();
        return fork::print(&format!("{logger}: {message}\n{exception}"));
    }
    let exception = exception.as_deref();
    match level {
        40.. => tracing::error!(target: "python.logging", logger, exception, "{message}"),
        30.. => tracing::warn!(target: "python.logging", logger, exception, "{message}"),
        20.. => tracing::info!(target: "python.logging", logger, exception, "{message}"),
        _ => tracing::debug!(target: "python.logging", logger, exception, "{message}"),
    }
}

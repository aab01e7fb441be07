//! `wsgi.errors`: where an application writes what is for the operator.
//!
//! What is written becomes events of level WARN with the target `wsgi.errors`, so it goes wherever this
//! process logs to: standard error, unless configured otherwise. A line is logged when it is complete, when
//! the application flushes, or at the end of the request; text of several lines that is written at once (a
//! traceback) stays one event.

use std::borrow::Cow;
use std::cell::RefCell;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::fork;

thread_local! {
    /// The line that this thread has begun. One stream object serves all requests, and a thread serves one
    /// at a time, so lines of different requests never mix.
    static LINE: RefCell<Line> = const { RefCell::new(Line { text: String::new(), generation: 0 }) };
}

struct Line {
    text: String,
    /// The process that it belongs to: one forked in the middle of a line has a copy, and must not log it again.
    generation: u32,
}

/// Text that grows beyond this without an end of line is logged as it stands.
const LONGEST_LINE: usize = 64 * 1024;

/// The stream object.
#[pyclass(frozen, module = "stomp_wsgi", name = "Errors")]
pub(super) struct Errors;

#[pymethods]
impl Errors {
    /// Any text whatever: PEP 3333 has no room for an encoding error here.
    #[pyo3(signature = (text, /))]
    fn write(&self, text: &Bound<'_, PyString>) -> PyResult<usize> {
        let length = text.len()?;
        append(&printable(text)?);
        Ok(length)
    }

    #[pyo3(signature = (lines, /))]
    fn writelines(&self, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        for line in lines.try_iter()? {
            append(&printable(line?.cast::<PyString>()?)?);
        }
        Ok(())
    }

    fn flush(&self) {
        flush();
    }

    /// For those who ask a stream what it is, as `logging` and `faulthandler` do.
    fn isatty(&self) -> bool {
        false
    }

    #[getter]
    fn encoding(&self) -> &'static str {
        "utf-8"
    }
}

/// Logs the line that was begun on this thread, if there is one.
pub(super) fn flush() {
    with_line(|line| {
        if !line.is_empty() {
            log(line);
            line.clear();
        }
    });
}

fn append(text: &str) {
    with_line(|line| {
        line.push_str(text);
        let end =
            if line.len() > LONGEST_LINE { Some(line.len()) } else { line.rfind('\n').map(|at| at + 1) };
        if let Some(end) = end {
            log(&line[..end]);
            line.drain(..end);
        }
    });
}

fn with_line(work: impl Fn(&mut String)) {
    // What a thread's last Python objects write when it ends finds no line to add to.
    let work_on = |line: &RefCell<Line>| {
        let line = &mut *line.borrow_mut();
        let generation = fork::generation();
        if line.generation != generation {
            line.text.clear();
            line.generation = generation;
        }
        work(&mut line.text);
    };
    LINE.try_with(work_on).unwrap_or_else(|_| work(&mut String::new()));
}

fn log(text: &str) {
    if fork::generation() > 0 {
        return fork::print(text);
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    tracing::warn!(target: "wsgi.errors", "{text}");
}

/// The text, lone surrogates escaped as Python does it on standard error.
fn printable<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, str>> {
    if let Ok(text) = text.to_str() {
        return Ok(Cow::Borrowed(text));
    }
    let py = text.py();
    let arguments = (intern!(py, "utf-8"), intern!(py, "backslashreplace"));
    let escaped: Vec<u8> = text.call_method1(intern!(py, "encode"), arguments)?.extract()?;
    Ok(Cow::Owned(String::from_utf8_lossy(&escaped).into_owned()))
}

//! `wsgi.errors`: where an application writes what is for the operator.
//!
//! What is written becomes events with the target `wsgi.errors`, so it goes wherever this process logs to: standard
//! error, unless configured otherwise. They are of level ERROR, as in the error log of other servers, unless the text
//! begins as `logging` or Flask write a record of another level. A line is logged when it is complete, when the
//! application flushes, or at the end of the request; text of several lines that is written at once (a traceback) stays
//! one event, and is cut beyond 64 KiB.
//!
//! `sys.stderr` is such a stream, too, where the log is to be all that standard error holds (`output.rs`).

use std::borrow::Cow;
use std::cell::RefCell;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::{fork, report};

thread_local! {
    /// The lines that this thread has begun, by stream. One stream object serves all requests, and a thread serves one
    /// at a time, so lines of different requests never mix.
    static LINES: [RefCell<Line>; 2] = const { [RefCell::new(Line::NEW), RefCell::new(Line::NEW)] };
}

/// Where a line belongs.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    /// `wsgi.errors`.
    Request,
    /// `sys.stderr`.
    Standard,
}

struct Line {
    text: String,
    /// The process that it belongs to: one forked in the middle of a line has a copy, and must not log it again.
    generation: u32,
}

impl Line {
    const NEW: Self = Self { text: String::new(), generation: 0 };
}

/// Text that grows beyond this without an end of line is logged as it stands.
const LONGEST_LINE: usize = report::LONGEST;

/// The stream object.
#[pyclass(frozen, module = "stomp_wsgi", name = "Errors")]
pub(super) struct Errors {
    pub(super) stream: Stream,
}

#[pymethods]
impl Errors {
    /// Any text whatever: PEP 3333 has no room for an encoding error here.
    #[pyo3(signature = (text, /))]
    fn write(&self, text: &Bound<'_, PyString>) -> PyResult<usize> {
        let length = text.len()?;
        append(self.stream, &printable(text)?);
        Ok(length)
    }

    #[pyo3(signature = (lines, /))]
    fn writelines(&self, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        for line in lines.try_iter()? {
            append(self.stream, &printable(line?.cast::<PyString>()?)?);
        }
        Ok(())
    }

    fn flush(&self) {
        flush_line(self.stream);
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

/// Logs the lines that were begun on this thread, if there are any.
pub(super) fn flush() {
    flush_line(Stream::Request);
    flush_line(Stream::Standard);
}

fn flush_line(stream: Stream) {
    with_line(stream, |line| {
        if !line.is_empty() {
            log(stream, line);
            line.clear();
        }
    });
}

fn append(stream: Stream, text: &str) {
    let text = &*report::bounded(text);
    with_line(stream, |line| {
        if line.len() + text.len() > LONGEST_LINE && !line.is_empty() {
            log(stream, line);
            line.clear();
        }
        line.push_str(text);
        let end =
            if line.len() >= LONGEST_LINE { Some(line.len()) } else { line.rfind('\n').map(|at| at + 1) };
        if let Some(end) = end {
            log(stream, &line[..end]);
            line.drain(..end);
        }
    });
}

fn with_line(stream: Stream, work: impl Fn(&mut String)) {
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
    LINES.try_with(|lines| work_on(&lines[stream as usize])).unwrap_or_else(|_| work(&mut String::new()));
}

fn log(stream: Stream, text: &str) {
    if fork::generation() > 0 {
        return fork::print(text);
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    macro_rules! event {
        ($level:ident) => {
            match stream {
                Stream::Request => tracing::$level!(target: "wsgi.errors", "{text}"),
                Stream::Standard => tracing::$level!(target: "python.stderr", "{text}"),
            }
        };
    }
    match level(text) {
        "DEBUG" => event!(debug),
        "INFO" => event!(info),
        "WARNING" => event!(warn),
        _ => event!(error),
    }
}

/// The level of a record, in its first line: `LEVEL:logger:message` is `logging`'s own format,
/// `[time] LEVEL in module: message` that of Flask, whose log is `wsgi.errors`.
fn level(text: &str) -> &str {
    let line = text.split('\n').next().unwrap_or_default();
    let found = match line.strip_prefix('[') {
        Some(rest) => rest.split_once("] ").and_then(|(_, record)| record.split_once(" in ")),
        None => line.split_once(':'),
    };
    found.map_or("", |(level, _)| level)
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

#[cfg(test)]
mod tests {
    use super::level;

    #[test]
    fn records_tell_their_level() {
        for (text, expected) in [
            ("[2026-01-02 03:04:05,678] WARNING in app: too warm", "WARNING"),
            ("[2026-01-02 03:04:05,678] ERROR in app: Exception on / [GET]\nTraceback: in", "ERROR"),
            ("INFO:shop.cart:added", "INFO"),
            ("DEBUG:root:", "DEBUG"),
            ("plain", ""),
            ("[1] of [2]", ""),
            ("/srv/app.py:7: UserWarning: no", "/srv/app.py"),
        ] {
            assert_eq!(level(text), expected, "{text}");
        }
    }
}

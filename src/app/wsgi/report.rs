//! Python exceptions as text.

use std::borrow::Cow;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

/// Octets of a text of the application's that one event of the log holds: what a requester sent may be in it.
pub(super) const LONGEST: usize = 64 * 1024;
/// The end of it, where an exception says what it is.
const TAIL: usize = LONGEST / 4;

/// The text, or where it is longer than [`LONGEST`] its beginning and its end.
pub(super) fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    let head = boundary(text, LONGEST - TAIL - NOTE);
    let tail = boundary(text, text.len() - TAIL);
    Cow::Owned(format!(
        "{}... ({} of {} bytes left out) ...{}",
        &text[..head],
        tail - head,
        text.len(),
        &text[tail..]
    ))
}

/// The last place up to `at` where a character begins.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// What the note about it takes at most.
const NOTE: usize = 100;

/// What Python itself would print: traceback, causes and all, within [`LONGEST`]. Ends without a line feed.
pub(super) fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let format = || -> PyResult<String> {
        let value = error.value(py);
        let lines = py
            .import(intern!(py, "traceback"))?
            .call_method1(intern!(py, "format_exception"), (value.get_type(), value, error.traceback(py)))?;
        let text = PyString::new(py, "").call_method1(intern!(py, "join"), (lines.cast::<PyList>()?,))?;
        Ok(bounded(text.cast::<PyString>()?.to_string_lossy().trim_end()).into_owned())
    };
    format().unwrap_or_else(|_| summary(py, error))
}

/// The last line of that: the exception's type and message.
pub(super) fn summary(py: Python<'_>, error: &PyErr) -> String {
    let kind = error.get_type(py).name().map_or_else(|_| "exception".to_owned(), |name| name.to_string());
    match error.value(py).str() {
        Ok(text) if !text.is_empty().unwrap_or(true) => {
            bounded(&format!("{kind}: {}", text.to_string_lossy())).into_owned()
        }
        Ok(_) => kind,
        Err(_) => format!("{kind}: <its message cannot be had>"),
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, bounded};

    #[test]
    fn long_texts_keep_beginning_and_end() {
        let text = format!("Traceback\n{}\nValueError: no", "\u{20ac}".repeat(LONGEST));
        let shown = bounded(&text);
        assert!(shown.len() <= LONGEST && shown.len() > LONGEST - 200, "{}", shown.len());
        assert!(shown.starts_with("Traceback\n") && shown.ends_with("\nValueError: no"));
        assert!(shown.contains(&format!("of {} bytes left out", text.len())));
        assert_eq!(bounded("short"), "short");
    }
}

//! "Bytes in Unicode clothing": PEP 3333's native strings, which hold one byte in each code point.

use std::borrow::Cow;

use pyo3::prelude::*;
use pyo3::types::PyString;

/// The bytes as a native string, byte by byte (latin-1), whatever encoding they are in.
pub(super) fn native<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    if bytes.is_ascii() {
        PyString::new(py, std::str::from_utf8(bytes).expect("ASCII is UTF-8"))
    } else {
        PyString::new(py, &bytes.iter().copied().map(char::from).collect::<String>())
    }
}

/// The bytes of a native string, or `None` where a code point is above U+00FF.
pub(super) fn bytes<'a>(text: &'a Bound<'_, PyString>) -> Option<Cow<'a, [u8]>> {
    // Fails for lone surrogates only, and these are above U+00FF too.
    let text = text.to_str().ok()?;
    if text.is_ascii() {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    text.chars().map(|char| u8::try_from(char).ok()).collect::<Option<Vec<u8>>>().map(Cow::Owned)
}

//! "Bytes in Unicode clothing": PEP 3333's native strings, which hold one byte in each code point.

#![allow(unsafe_code)]

use std::borrow::Cow;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// The bytes as a native string, byte by byte (latin-1), whatever encoding they are in.
///
/// # Panics
/// Where Python has no memory left, as all that makes strings.
pub(super) fn native<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    // No slice is longer than that.
    let length = bytes.len() as ffi::Py_ssize_t;
    // SAFETY: this thread is attached, as `py` says; pointer and length are those of a slice, which is copied; no name
    // of an error handler is null, since every byte is latin-1. The call answers a new reference to a string, or null.
    unsafe {
        let text = ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), length, std::ptr::null());
        Bound::from_owned_ptr(py, text).cast_into_unchecked()
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

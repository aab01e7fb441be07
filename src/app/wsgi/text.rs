//! "Bytes in Unicode clothing": PEP 3333's native strings, which hold one byte in each code point.

#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;
use pyo3::types::string::PyStringData;

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
pub(super) fn bytes<'a>(text: &'a Bound<'_, PyString>) -> Option<&'a [u8]> {
    // SAFETY: what PyO3 asks for is that its reading of a bit field be tested on each platform. The tests of
    // environ and start_response do: nothing of a request or a response comes out right without it.
    match unsafe { text.data() } {
        // CPython keeps each string as narrow as it can.
        Ok(PyStringData::Ucs1(bytes)) => Some(bytes),
        _ => None,
    }
}

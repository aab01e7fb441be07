//! Python strings that requests share: the keys of their headers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::text;

/// How many header names are remembered. Applications see a few dozen; who sends ever new ones gains nothing
/// by it and takes no memory.
const NAMES: usize = 512;

/// A longer name is not worth remembering.
const LONGEST: usize = 64;

/// The strings, and what to make them of.
#[derive(Default)]
pub(super) struct Names {
    keys: HashMap<Box<[u8]>, Option<Py<PyString>>, BuildHasherDefault<Fnv>>,
}

/// FNV-1a: names are short, and who contrives collisions can slow down a map of this size very little.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Names {
    /// The environ key of a header; `None` for one that must not have a key of that kind.
    pub(super) fn key<'py>(&mut self, py: Python<'py>, name: &[u8]) -> Option<Bound<'py, PyString>> {
        if let Some(known) = self.keys.get(name) {
            return known.as_ref().map(|key| key.bind(py).clone());
        }
        let key = key(py, name);
        if self.keys.len() < NAMES && name.len() <= LONGEST {
            self.keys.insert(name.into(), key.clone().map(Bound::unbind));
        }
        key
    }
}

/// RFC 3875 section 4.1.18: upper-case, `-` as `_`, `HTTP_` before it.
fn key<'py>(py: Python<'py>, name: &[u8]) -> Option<Bound<'py, PyString>> {
    let upper: Vec<u8> =
        name.iter().map(|&byte| if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }).collect();
    // The first two have keys of their own. The third would set the proxy of whatever the application
    // calls (httpoxy, CVE-2016-5385).
    if matches!(&*upper, b"CONTENT_TYPE" | b"CONTENT_LENGTH" | b"PROXY" | b"") {
        return None;
    }
    let key = [b"HTTP_", &*upper].concat();
    Some(match std::str::from_utf8(&key) {
        Ok(key) if key.is_ascii() => PyString::intern(py, key),
        _ => text::native(py, &key),
    })
}

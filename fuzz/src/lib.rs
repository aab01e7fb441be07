//! What the fuzz targets check, by public items only: given any octets, none of these may panic.
//!
//! `fuzz_targets/` feeds them to libFuzzer, and `tests/corpus.rs` runs them over `corpus/` as an ordinary test.

pub mod mapping;
pub mod parser;
pub mod session;
pub mod structured;
#[cfg(feature = "tls")]
pub mod tls;
pub mod uri;
pub mod worker;

/// One target.
pub type Check = fn(&[u8]);

/// The targets by name.
pub const TARGETS: &[(&str, Check)] = &[
    ("mapping", mapping::check),
    ("parser", parser::check),
    ("session", session::check),
    ("structured", structured::check),
    #[cfg(feature = "tls")]
    ("tls", tls::check),
    ("uri", uri::check),
    ("worker", worker::check),
];

/// Octets, read from the front. Where none are left, numbers are 0 and slices empty.
pub struct Octets<'a>(pub &'a [u8]);

impl<'a> Octets<'a> {
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// 0 to 65535.
    pub fn number(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

//! Bytes on their way to one client.

/// Bytes that wait to be written, behind those that were written.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
}

/// Beyond this an empty buffer is given back.
const SPARE: usize = 1024 * 1024;

impl Outbox {
    /// What is to be written.
    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Where to add more.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        // Moving the rest to the front pays when it is the smaller part.
        if self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        &mut self.bytes
    }

    pub(super) fn written(&mut self, count: usize) {
        self.written += count;
        debug_assert!(self.written <= self.bytes.len(), "no more is written than there was");
        if self.written >= self.bytes.len() {
            self.written = 0;
            self.bytes.clear();
            if self.bytes.capacity() > SPARE {
                self.bytes = Vec::new();
            }
        }
    }
}

//! Bytes that wait to be sent.

/// A buffer that grows at its end and is taken from its front.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    buffer: Vec<u8>,
    sent: usize,
}

/// An empty outbox keeps no more memory than this.
const KEPT: usize = 256 * 1024;

impl Outbox {
    pub(crate) fn pending(&self) -> &[u8] {
        &self.buffer[self.sent..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending().is_empty()
    }

    /// Where frames are appended.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Appends whole frames; takes the buffer over where that saves copying it.
    pub(crate) fn push(&mut self, bytes: Vec<u8>) {
        if self.is_empty() && bytes.len() > self.buffer.capacity() {
            self.buffer = bytes;
            self.sent = 0;
        } else {
            self.buffer.extend_from_slice(&bytes);
        }
    }

    /// The same for frames of which the caller keeps a copy.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub(crate) fn take(&mut self, sent: usize) {
        self.sent += sent;
        debug_assert!(self.sent <= self.buffer.len(), "a reactor sends only what it was given");
        if self.sent >= self.buffer.len() {
            self.clear();
        } else if self.sent > KEPT && self.sent > self.buffer.len() / 2 {
            self.buffer.drain(..self.sent);
            self.sent = 0;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT);
        self.sent = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_from_the_front_and_grows_at_the_end() {
        let mut outbox = Outbox::default();
        outbox.push(b"one".to_vec());
        outbox.take(1);
        outbox.tail().extend_from_slice(b"two");
        assert_eq!(outbox.pending(), b"netwo");
        outbox.take(5);
        assert!(outbox.is_empty());
    }

    #[test]
    fn gives_memory_back() {
        let mut outbox = Outbox::default();
        outbox.push(vec![7; 10 * KEPT]);
        outbox.take(9 * KEPT);
        assert_eq!((outbox.pending().len(), outbox.sent), (KEPT, 0));
        outbox.take(KEPT);
        assert!(outbox.buffer.capacity() <= KEPT);
    }
}

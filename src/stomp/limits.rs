//! What a peer may ask of us.
use super::ParseError;

/// How large a frame may be. Larger ones end the connection as soon as that is certain, not when they are
/// complete; but see [`Parser::cut_long_messages`](super::Parser::cut_long_messages).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one header line: name, colon, value. 64 KiB by default; ActiveMQ takes 10 KiB.
    pub header_line: usize,
    /// Headers of one frame, 1000 by default.
    pub headers: usize,
    /// Octets of the command and all headers, 256 KiB by default.
    pub head: usize,
    /// Octets of the body, 100 MiB by default.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_line: 64 << 10, headers: 1000, head: 256 << 10, body: 100 << 20 }
    }
}

impl Limits {
    /// Checks a head of which `arrived` octets are there, its last line being `line..end`. Where two limits
    /// are exceeded, the one that was first counts: the answer must not depend on how the octets were cut.
    pub(super) fn check_head(&self, line: usize, end: usize, arrived: usize) -> Result<(), ParseError> {
        let line_too_long = end - line > self.header_line;
        let head_too_long = arrived > self.head;
        if line_too_long && (!head_too_long || line + self.header_line <= self.head) {
            return Err(ParseError::LineTooLong { limit: self.header_line });
        }
        if head_too_long {
            return Err(ParseError::HeadTooLong { limit: self.head });
        }
        Ok(())
    }
}

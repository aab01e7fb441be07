//! Frames to bytes.
use super::headers::trim;
use super::{Command, Frame, Version};

/// Appends one frame to a buffer, without building it first.
///
/// What a header cannot carry becomes a space, so that no name or value, wherever it comes from, ends its
/// line or its frame. [`Version::carries`] says beforehand whether that would happen.
///
/// ```
/// use stomp_wsgi::stomp::{Command, Encoder, Version};
///
/// let mut out = Vec::new();
/// Encoder::new(&mut out, Version::V1_2, Command::Send)
///     .header("destination", "/queue/a")
///     .header("note", "one:two")
///     .body(b"hello");
/// assert_eq!(out, b"SEND\ndestination:/queue/a\nnote:one\\ctwo\ncontent-length:5\n\nhello\0");
/// ```
#[derive(Debug)]
#[must_use = "a frame ends with `body`, `text` or `finish`"]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    command: Command,
    escapes: Escapes,
}

/// Which octets have an escape. NUL has none in any version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// 1.0, and CONNECT, STOMP and CONNECTED of every version.
    None,
    /// 1.1: LF, colon, backslash.
    V1_1,
    /// 1.2: CR too.
    V1_2,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Name,
    Value,
}

impl<'a> Encoder<'a> {
    /// Begins a frame.
    pub fn new(out: &'a mut Vec<u8>, version: Version, command: Command) -> Self {
        out.extend_from_slice(command.as_str().as_bytes());
        out.push(b'\n');
        Self::resume(out, version, command)
    }

    /// Goes on with a frame of which there is something.
    pub(crate) fn resume(out: &'a mut Vec<u8>, version: Version, command: Command) -> Self {
        let escapes = match version {
            _ if !command.escapes_headers() => Escapes::None,
            Version::V1_0 => Escapes::None,
            Version::V1_1 => Escapes::V1_1,
            Version::V1_2 => Escapes::V1_2,
        };
        Self { out, command, escapes }
    }

    /// Adds a header, escaped as the version has it.
    ///
    /// Two names are passed over: an empty one, which no peer accepts, and `content-length`, which
    /// [`body`](Self::body) alone knows.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let (name, value) = (name.as_ref(), value.as_ref());
        if self.passes_over(name) {
            return self;
        }
        self.put(name, Part::Name);
        self.out.push(b':');
        self.put(value, Part::Value);
        self.out.push(b'\n');
        self
    }

    /// The same where the name is a constant that needs no escape.
    pub(crate) fn known(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        debug_assert!(
            name.bytes().all(|octet| SPECIAL[usize::from(octet)] == 0) && !self.passes_over(name.as_bytes())
        );
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b':');
        self.put(value.as_ref(), Part::Value);
        self.out.push(b'\n');
        self
    }

    /// Adds headers that were encoded before, for the same version.
    pub(crate) fn encoded(self, lines: &[u8]) -> Self {
        self.out.extend_from_slice(lines);
        self
    }

    /// Adds a header whose value is a number.
    pub fn number(self, name: impl AsRef<[u8]>, value: u64) -> Self {
        self.header(name, itoa::Buffer::new().format(value))
    }

    /// Ends the frame with a body and its `content-length`, which is there for an empty one too: a JMS
    /// broker takes such a message for bytes.
    pub fn body(self, body: &[u8]) {
        self.body_of([body]);
    }

    /// The same with a body in pieces.
    pub(crate) fn body_of<const N: usize>(self, pieces: [&[u8]; N]) {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        debug_assert!(length == 0 || self.command.allows_body(), "{} has no body", self.command);
        self.out.extend_from_slice(b"content-length:");
        self.out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        self.out.extend_from_slice(b"\n\n");
        pieces.iter().for_each(|piece| self.out.extend_from_slice(piece));
        self.out.push(0);
    }

    /// Ends the frame with a body and no `content-length`, which a JMS broker takes for a text message. A
    /// text with a NUL in it is sent as [`body`](Self::body) does: it would end there otherwise.
    pub fn text(self, body: &[u8]) {
        self.text_of([body]);
    }

    /// The same with a body in pieces.
    pub(crate) fn text_of<const N: usize>(self, pieces: [&[u8]; N]) {
        if pieces.iter().any(|piece| memchr::memchr(0, piece).is_some()) {
            return self.body_of(pieces);
        }
        let empty = pieces.iter().all(|piece| piece.is_empty());
        debug_assert!(empty || self.command.allows_body(), "{} has no body", self.command);
        self.out.push(b'\n');
        pieces.iter().for_each(|piece| self.out.extend_from_slice(piece));
        self.out.push(0);
    }

    /// Ends the frame with a body whose length was said before, or which has no NUL.
    #[cfg(feature = "broker")]
    pub(crate) fn text_as_it_is(self, body: &[u8]) {
        self.out.push(b'\n');
        self.out.extend_from_slice(body);
        self.out.push(0);
    }

    /// Ends the frame without a body and without `content-length`.
    pub fn finish(self) {
        self.out.extend_from_slice(b"\n\0");
    }

    /// Appends a whole frame. Its `content-length` is the true one, whatever its headers say, and is sent
    /// when they have one or the body is not empty.
    pub fn frame(out: &mut Vec<u8>, version: Version, frame: &Frame) {
        let mut encoder = Encoder::new(out, version, frame.command);
        for (name, value) in frame.headers.iter() {
            encoder = encoder.header(name, value);
        }
        if frame.body.is_empty() && frame.headers.get("content-length").is_none() {
            encoder.finish();
        } else {
            encoder.body(&frame.body);
        }
    }

    fn passes_over(&self, name: &[u8]) -> bool {
        // Without escapes, a peer may trim: what it would see counts, and what is sent as a space is one.
        if self.escapes == Escapes::None
            && name.iter().any(|octet| !octet.is_ascii_graphic() || *octet == b':')
        {
            let seen: Vec<u8> = name.iter().map(|&octet| substitute(octet, Part::Name)).collect();
            let seen = trim(&seen);
            return seen.is_empty() || seen == b"content-length";
        }
        name.is_empty() || name == b"content-length"
    }

    fn put(&mut self, text: &[u8], part: Part) {
        let escaping = self.escapes != Escapes::None;
        let mask = match (escaping, part) {
            (true, _) => ALWAYS | COLON | BACKSLASH,
            (false, Part::Name) => ALWAYS | COLON,
            (false, Part::Value) => ALWAYS,
        };
        if text.iter().fold(0, |special, &octet| special | SPECIAL[usize::from(octet)]) & mask == 0 {
            return self.out.extend_from_slice(text);
        }
        let mut rest = text;
        while let Some(at) = rest.iter().position(|&octet| SPECIAL[usize::from(octet)] & mask != 0) {
            self.out.extend_from_slice(&rest[..at]);
            let escape = match rest[at] {
                b'\n' => b'n',
                b':' => b'c',
                b'\\' => b'\\',
                b'\r' if self.escapes == Escapes::V1_2 => b'r',
                _ => 0,
            };
            if escaping && escape != 0 {
                self.out.extend_from_slice(&[b'\\', escape]);
            } else {
                self.out.push(substitute(rest[at], part));
            }
            rest = &rest[at + 1..];
        }
        self.out.extend_from_slice(rest);
    }
}

/// What is sent for an octet that has no escape.
fn substitute(octet: u8, part: Part) -> u8 {
    match octet {
        b'\n' | b'\r' | 0 => b' ',
        b':' if part == Part::Name => b' ',
        _ => octet,
    }
}

/// Where each octet cannot stand for itself. Names and values are looked up octet by octet without a branch:
/// for the usual few dozen octets that is quicker than searching them.
static SPECIAL: [u8; 256] = {
    let mut table = [0; 256];
    table[b'\n' as usize] = ALWAYS;
    table[b'\r' as usize] = ALWAYS;
    table[0] = ALWAYS;
    table[b':' as usize] = COLON;
    table[b'\\' as usize] = BACKSLASH;
    table
};
/// In no header.
const ALWAYS: u8 = 1;
/// In a name, and wherever there are escapes.
const COLON: u8 = 2;
/// Wherever there are escapes.
const BACKSLASH: u8 = 4;

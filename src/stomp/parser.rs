//! Bytes to frames.
use std::fmt;

use bytes::Bytes;

use super::excerpt::{excerpt, excerpt_of_line, excerpt_of_word};
use super::headers::{self, Coding, Entry, Undecodable, offset};
use super::{Command, Frame, Headers, Limits, ParseError, Version};

/// A body's buffer is not made larger than this ahead of what has really arrived.
const BODY_STEP: usize = 1 << 20;

/// A read buffer that a large head or read left behind is given back when it is empty.
const SPARE_CAPACITY: usize = 256 << 10;

/// Where a first line without an end is given up on. The longest command has 11 octets; a few more of what
/// the peer speaks instead make for a better message.
const COMMAND_LINE: usize = 32;

/// Turns bytes into frames, however they are cut.
///
/// [`feed`](Self::feed) what was read, then call [`next_frame`](Self::next_frame) until it has none. No octet
/// is looked at again when more arrive, so neither large bodies nor small reads cost more than their length.
///
/// ```
/// use stomp_wsgi::stomp::{Command, Limits, Parser};
///
/// let mut parser = Parser::new(Limits::default());
/// parser.feed(b"\nSEND\ndestination:/queue/a\n\nhel");
/// assert_eq!(parser.next_frame().unwrap(), None);
/// parser.feed(b"lo\0\n");
/// let frame = parser.next_frame().unwrap().unwrap();
/// assert_eq!((frame.command, &frame.body[..]), (Command::Send, &b"hello"[..]));
/// ```
pub struct Parser {
    limits: Limits,
    version: Option<Version>,
    lenient: bool,
    cuts: bool,
    /// What was fed and is not consumed yet begins at `start`.
    buffer: Vec<u8>,
    start: usize,
    state: State,
    /// Headers of the head that is being read.
    entries: Vec<Entry>,
    /// The head that is waiting for its body, in the body states.
    head: Option<(Command, Headers)>,
    /// Octets of that body so far, which are no longer in `buffer`.
    body: Vec<u8>,
}

/// | state | what arrives | next |
/// |---|---|---|
/// | Idle | LF, CR, NUL | Idle |
/// | Idle | anything else | Head |
/// | Head | a line | Head |
/// | Head | an empty line | SizedBody with `content-length`, OpenBody without |
/// | SizedBody | that many octets and NUL | Idle, with a frame |
/// | OpenBody | NUL | Idle, with a frame |
/// | Head, OpenBody | a body beyond the limit that is to be cut | CutBody |
/// | CutBody | what SizedBody, OpenBody would end with | Idle, with a frame that has no body |
/// | any | what is wrong | Failed |
#[derive(Debug, Clone)]
enum State {
    Idle,
    /// Offsets from the beginning of the head: `scanned` without an LF since `line`.
    Head {
        command: Option<Command>,
        line: usize,
        scanned: usize,
    },
    /// `length` octets, then NUL.
    SizedBody {
        length: usize,
    },
    /// Up to the first NUL.
    OpenBody,
    /// Either of them, where nothing is kept: `arrived` octets so far.
    CutBody {
        arrived: usize,
        length: Option<usize>,
    },
    Failed(ParseError),
}

impl Parser {
    /// A parser for the beginning of a connection, when neither side knows the version: until
    /// [`set_version`](Self::set_version) a line may end with CR and LF.
    pub fn new(limits: Limits) -> Self {
        // Offsets within a head are 32 bits wide.
        let head = limits.head.min(u32::MAX as usize / 2);
        Self {
            limits: Limits { head, ..limits },
            version: None,
            lenient: false,
            cuts: false,
            buffer: Vec::new(),
            start: 0,
            state: State::Idle,
            entries: Vec::new(),
            head: None,
            body: Vec::new(),
        }
    }

    /// Reads what follows as this version has it. Call it between the CONNECTED, or CONNECT, that settles the
    /// version and the next call of [`next_frame`](Self::next_frame).
    pub fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// Whether undefined escapes in the headers of a MESSAGE are kept as they are, rather than being an
    /// error. Off by default.
    ///
    /// By the specification they are fatal. But a broker that lets one through (ActiveMQ does) would deliver
    /// the message again to every new connection, and end each.
    pub fn lenient_escapes(&mut self, lenient: bool) {
        self.lenient = lenient;
    }

    /// Whether the body of a MESSAGE beyond [`Limits::body`] is dropped as it arrives, and the frame comes
    /// without it ([`Frame::cut`]), rather than being an error. Off by default.
    ///
    /// A broker delivers such a message again to every new connection, and would end each.
    pub fn cut_long_messages(&mut self, cut: bool) {
        self.cuts = cut;
    }

    /// Takes what was read.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        match self.state {
            State::Failed(_) => return,
            // Of a large body this is the only copy.
            State::SizedBody { length } if self.unread().is_empty() => {
                let (body, rest) = bytes.split_at(bytes.len().min(length - self.body.len()));
                self.extend_body(body, length);
                bytes = rest;
            }
            _ => {}
        }
        let unread = self.buffer.len() - self.start;
        if unread == 0 {
            self.buffer.clear();
            self.start = 0;
            if self.buffer.capacity() > SPARE_CAPACITY {
                self.buffer = Vec::new();
            }
        } else if self.start >= unread {
            // Moves fewer octets than were consumed since it last did.
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` until more is fed. After an error there is only that error.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ParseError> {
        self.advance().inspect_err(|error| {
            self.state = State::Failed(error.clone());
            self.clear();
        })
    }

    /// Gives up what was fed: nobody will ask for it.
    pub(super) fn clear(&mut self) {
        self.buffer = Vec::new();
        self.start = 0;
        self.entries = Vec::new();
        self.head = None;
        self.body = Vec::new();
    }

    /// Octets that were fed and are not part of a frame yet.
    pub fn buffered(&self) -> usize {
        self.unread().len() + self.body.len()
    }

    /// Octets of memory that it holds.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity() + self.body.capacity()
    }

    fn advance(&mut self) -> Result<Option<Frame>, ParseError> {
        loop {
            let done = match self.state {
                State::Idle => self.idle(),
                State::Head { command, line, scanned } => self.head(command, line, scanned)?,
                State::SizedBody { length } => self.sized_body(length)?,
                State::OpenBody => self.open_body()?,
                State::CutBody { arrived, length } => self.cut_body(arrived, length)?,
                State::Failed(ref error) => return Err(error.clone()),
            };
            match done {
                Step::Next(state) => self.state = state,
                Step::More(state) => {
                    self.state = state;
                    return Ok(None);
                }
                Step::Frame(body, cut) => {
                    self.state = State::Idle;
                    let (command, headers) = self.head.take().expect("a body comes after its head");
                    return Ok(Some(Frame { command, headers, body, cut }));
                }
            }
        }
    }

    fn idle(&mut self) -> Step {
        let noise = |octet: &u8| matches!(octet, b'\n' | b'\r' | 0);
        match self.unread().iter().position(|octet| !noise(octet)) {
            Some(at) => {
                self.start += at;
                Step::Next(State::Head { command: None, line: 0, scanned: 0 })
            }
            None => {
                self.start = self.buffer.len();
                Step::More(State::Idle)
            }
        }
    }

    fn head(
        &mut self,
        mut command: Option<Command>,
        mut line: usize,
        mut scanned: usize,
    ) -> Result<Step, ParseError> {
        let unread = &self.buffer[self.start..];
        let strips_cr = self.version.is_none_or(|version| version == Version::V1_2);
        loop {
            let found = memchr::memchr(b'\n', &unread[scanned..]).map(|at| scanned + at);
            let end = found.unwrap_or(unread.len());
            if command.is_some() {
                self.limits.check_head(line, end, end + usize::from(found.is_some()))?;
            } else if end > COMMAND_LINE {
                return Err(ParseError::UnknownCommand { line: excerpt_of_line(&unread[..=COMMAND_LINE]) });
            }
            if found.is_none() {
                return Ok(Step::More(State::Head { command, line, scanned: end }));
            }
            let text = match &unread[line..end] {
                [text @ .., b'\r'] if strips_cr => text,
                text => text,
            };
            match command {
                None => {
                    let unknown = || ParseError::UnknownCommand { line: excerpt_of_line(text) };
                    command = Some(Command::parse(text).ok_or_else(unknown)?);
                }
                Some(command) if text.is_empty() => return self.end_of_head(command, end + 1),
                Some(command) => {
                    let colon = match memchr::memchr(b':', text) {
                        Some(0) => return Err(ParseError::NoName { command }),
                        Some(at) => line + at,
                        None => return Err(no_colon(command, text)),
                    };
                    if self.entries.len() == self.limits.headers {
                        return Err(ParseError::TooManyHeaders { limit: self.limits.headers });
                    }
                    let (start, end) = (offset(line), offset(line + text.len()));
                    self.entries.push(Entry { start, colon: offset(colon), end });
                }
            }
            line = end + 1;
            scanned = line;
        }
    }

    fn end_of_head(&mut self, command: Command, len: usize) -> Result<Step, ParseError> {
        let head = &self.buffer[self.start..self.start + len];
        let coding = self.coding(command, head);
        let headers = headers::decode(head, &mut self.entries, coding).map_err(|error| match error {
            Undecodable::EmptyName => ParseError::NoName { command },
            Undecodable::UndefinedEscape { entry, escape } => ParseError::UndefinedEscape {
                command,
                header: excerpt(&head[entry.name()], 32),
                escape: format!("\\{}", excerpt(&head[escape.start + 1..escape.end], 1)),
            },
        })?;
        let length = content_length(command, &headers)?;
        if length.is_some_and(|length| length > 0) && !command.allows_body() {
            return Err(ParseError::UnexpectedBody { command });
        }
        let long = length.is_some_and(|length| length > self.limits.body);
        // As many octets as cannot be counted never come.
        if long && (!self.is_cut(command) || length == Some(usize::MAX)) {
            return Err(ParseError::BodyTooLong { command, limit: self.limits.body });
        }
        self.entries.clear();
        self.start += len;
        self.head = Some((command, headers));
        Ok(Step::Next(match length {
            _ if long => State::CutBody { arrived: 0, length },
            Some(length) => State::SizedBody { length },
            None => State::OpenBody,
        }))
    }

    fn coding(&self, command: Command, head: &[u8]) -> Coding {
        let names_version = |name: &[u8]| self.entries.iter().any(|entry| head[entry.name()] == *name);
        match self.version {
            Some(Version::V1_0) => Coding::Trimmed,
            Some(_) if !command.escapes_headers() => Coding::Plain,
            Some(version) => Coding::Escaped {
                cr: version == Version::V1_2,
                lenient: self.lenient && command == Command::Message,
            },
            // Peers of 1.0 write "login: guest", and this is how they are told from later ones.
            None if !command.escapes_headers() => {
                let name: &[u8] = if command == Command::Connected { b"version" } else { b"accept-version" };
                if names_version(name) { Coding::Plain } else { Coding::Trimmed }
            }
            // The ERROR of a server that refuses a connection: to be read as well as possible.
            None => Coding::Escaped { cr: true, lenient: true },
        }
    }

    fn sized_body(&mut self, length: usize) -> Result<Step, ParseError> {
        let missing = length - self.body.len();
        let unread = &self.buffer[self.start..];
        let body = match unread.get(missing) {
            Some(0) if self.body.is_empty() => Bytes::copy_from_slice(&unread[..missing]),
            Some(0) => {
                self.body.reserve_exact(missing);
                self.body.extend_from_slice(&unread[..missing]);
                std::mem::take(&mut self.body).into()
            }
            Some(_) => return Err(ParseError::NoNul { command: self.command(), length }),
            None => {
                let taken = std::mem::take(&mut self.buffer);
                self.extend_body(&taken[self.start..], length);
                self.buffer = taken;
                self.start = self.buffer.len();
                return Ok(Step::More(State::SizedBody { length }));
            }
        };
        self.start += missing + 1;
        Ok(Step::Frame(body, None))
    }

    fn extend_body(&mut self, octets: &[u8], length: usize) {
        if self.body.capacity() - self.body.len() < octets.len() {
            // At least as much as there is already, so that all copies together stay linear; never much more
            // than has arrived; and exactly `length` at the end.
            let ahead = BODY_STEP.max(self.body.len()).max(octets.len());
            self.body.reserve_exact(ahead.min(length - self.body.len()));
        }
        self.body.extend_from_slice(octets);
    }

    fn open_body(&mut self) -> Result<Step, ParseError> {
        let unread = &self.buffer[self.start..];
        let command = self.command();
        if !command.allows_body() && unread.first().is_some_and(|octet| *octet != 0) {
            return Err(ParseError::UnexpectedBody { command });
        }
        let nul = memchr::memchr(0, unread);
        let arrived = &unread[..nul.unwrap_or(unread.len())];
        if self.body.len() + arrived.len() > self.limits.body {
            if self.is_cut(command) {
                let arrived = std::mem::take(&mut self.body).len();
                return Ok(Step::Next(State::CutBody { arrived, length: None }));
            }
            return Err(ParseError::BodyTooLong { command, limit: self.limits.body });
        }
        if nul.is_none() {
            self.body.extend_from_slice(arrived);
            self.start = self.buffer.len();
            return Ok(Step::More(State::OpenBody));
        }
        self.start += arrived.len() + 1;
        if self.body.is_empty() {
            return Ok(Step::Frame(Bytes::copy_from_slice(arrived), None));
        }
        self.body.extend_from_slice(arrived);
        // It grew by doubling, and a frame may be kept for long.
        self.body.shrink_to_fit();
        Ok(Step::Frame(std::mem::take(&mut self.body).into(), None))
    }

    fn cut_body(&mut self, arrived: usize, length: Option<usize>) -> Result<Step, ParseError> {
        let unread = &self.buffer[self.start..];
        let end = match length {
            Some(length) => Some(length - arrived).filter(|end| *end < unread.len()),
            None => memchr::memchr(0, unread),
        };
        let arrived = arrived.saturating_add(end.unwrap_or(unread.len()));
        let Some(end) = end else {
            self.start = self.buffer.len();
            return Ok(Step::More(State::CutBody { arrived, length }));
        };
        if unread[end] != 0 {
            return Err(ParseError::NoNul { command: self.command(), length: arrived });
        }
        self.start += end + 1;
        Ok(Step::Frame(Bytes::new(), Some(arrived)))
    }

    /// Whether a body beyond the limit is dropped.
    fn is_cut(&self, command: Command) -> bool {
        self.cuts && command == Command::Message
    }

    /// The frame that a body belongs to.
    fn command(&self) -> Command {
        self.head.as_ref().expect("a body comes after its head").0
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

/// What was read is not shown: it is other people's.
impl fmt::Debug for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parser")
            .field("limits", &self.limits)
            .field("version", &self.version)
            .field("state", &self.state)
            .field("buffered", &self.buffered())
            .finish_non_exhaustive()
    }
}

/// Where a state leads.
enum Step {
    /// To another, which may find more to do.
    Next(State),
    /// To another, which has nothing to do until more is fed.
    More(State),
    /// To [`State::Idle`], with the body of a frame that is complete, or how long it was where it was cut.
    Frame(Bytes, Option<usize>),
}

fn no_colon(command: Command, text: &[u8]) -> ParseError {
    // "passcode secret" is such a line.
    let line = if command.escapes_headers() { excerpt_of_word(text) } else { String::new() };
    ParseError::NoColon { command, line }
}

fn content_length(command: Command, headers: &Headers) -> Result<Option<usize>, ParseError> {
    let Some(value) = headers.get("content-length") else { return Ok(None) };
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(ParseError::ContentLength { command, value: excerpt(value, 32) });
    }
    // Digits that are more than any limit are a length all the same, and too much.
    let digit = |octet: &u8| usize::from(octet - b'0');
    let length =
        value.iter().fold(0, |length: usize, octet| length.saturating_mul(10).saturating_add(digit(octet)));
    Ok(Some(length))
}

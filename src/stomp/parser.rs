//! Bytes to frames.
mod body;

use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;

use body::end_of_frame;

use super::excerpt::{excerpt, excerpt_of_line, excerpt_of_word};
use super::headers::{self, Coding, Entry, Undecodable, offset};
use super::laxity::{Laxity, NoColon};
use super::tolerance::{self, Claim, Flaws, Lengths, Trust};
use super::{Command, Cut, Frame, Headers, Limits, ParseError, Version};

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
    laxity: Laxity,
    /// The first line of the frame that is being read, where [`Laxity::any_command`] has it read as a SEND.
    unknown: Option<String>,
    tolerant: bool,
    needed: &'static [&'static str],
    lengths: Lengths,
    /// What the `receipt-id` of the probe's RECEIPT looks like; see [`take_doubt`](Self::take_doubt).
    probe: Vec<u8>,
    /// What was wrong with the frame that is being read, and with those that were handed out since
    /// [`take_flaws`](Self::take_flaws).
    flaws: Flaws,
    /// A line without a colon was skipped: a line feed in the name of a property tears its line, and the next is the
    /// rest of it, which ActiveMQ does not escape. Whatever that says, the broker's own header counts before it.
    torn: bool,
    /// Which of `entries` are such lines.
    late: Vec<usize>,
    /// Headers that were dropped of the head that is being read.
    dropped: usize,
    /// Of the body that is being read: whether its end is in doubt.
    doubt: Doubt,
    /// The last frame was a MESSAGE that was taken to end at a NUL: octets which are no frame may be the rest of its body.
    open_end: bool,
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
///
/// With [`Parser::tolerate_messages`], of a MESSAGE:
///
/// | state | what arrives | next |
/// |---|---|---|
/// | Head | a line that is no header, or beyond the limits | Head, without it |
/// | SizedBody | no NUL at its end, or the probe's RECEIPT before its end | OpenBody, from the body's beginning |
/// | OpenBody, CutBody | a NUL that no frame follows | the same: the NUL is part of the body |
/// | Head (of the next frame) | no command of a server | Rest |
/// | Rest | NUL, and a frame behind it | Idle |
#[derive(Debug, Clone)]
enum State {
    Idle,
    /// Offsets from the beginning of the head: `scanned` without an LF since `line`.
    Head {
        command: Option<Command>,
        line: usize,
        scanned: usize,
        /// The line is too long to be kept, and is dropped as it arrives.
        dropping: bool,
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
    /// The rest of a body that was taken to end earlier: so many octets so far.
    Rest {
        octets: usize,
    },
    Failed(Box<ParseError>),
}

/// Whether the end that `content-length` claims for a body may be made up.
#[derive(Debug, Clone, Copy, Default)]
struct Doubt {
    trust: Trust,
    /// NULs of the body before here are known to be no end of a frame.
    searched: usize,
    /// A NUL that may be the frame's end stands at `searched`.
    found: bool,
    /// The caller was told.
    taken: bool,
    /// The probe's RECEIPT does not begin before here.
    probed: usize,
}

/// Headers that are kept even beyond the limits: without them a message can neither be delimited, nor settled, nor
/// answered. Brokers do not always put them first.
const KEPT: [&[u8]; 7] = [
    b"ack",
    b"message-id",
    b"subscription",
    b"destination",
    b"content-length",
    b"reply-to",
    b"correlation-id",
];

/// So many of them are kept beyond the limits, each of at most so many octets.
const KEPT_HEADERS: usize = 16;
const KEPT_LINE: usize = 16 << 10;

/// How far behind an empty line the headers are looked for that a head must have.
const HEAD_GOES_ON: usize = 64 << 10;

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
            laxity: Laxity::default(),
            unknown: None,
            tolerant: false,
            needed: &[],
            lengths: Lengths::default(),
            probe: Vec::new(),
            flaws: Flaws::default(),
            torn: false,
            late: Vec::new(),
            dropped: 0,
            doubt: Doubt::default(),
            open_end: false,
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

    /// Which frames are read that break the rules of the protocol. None by default.
    #[cfg(feature = "broker")]
    pub(crate) fn set_laxity(&mut self, laxity: Laxity) {
        self.laxity = laxity;
    }

    /// The first line of the frame that [`next_frame`](Self::next_frame) gave last, where that is no command.
    #[cfg(feature = "broker")]
    pub(crate) fn take_unknown(&mut self) -> Option<String> {
        self.unknown.take()
    }

    /// Whether a MESSAGE is read as tolerantly as brokers write it, so that no message ends the connection again
    /// and again, each time that it is delivered. Off by default.
    ///
    /// - A line of the head that has no colon or no name is skipped.
    /// - Headers beyond the limits are dropped as they arrive, but for those without which the message can be neither
    ///   settled nor answered. The frame comes without its body then ([`Cut::Head`]).
    /// - A `content-length` that is no number, or at the end of which there is no NUL, does not count. The body ends at
    ///   the first NUL that is followed by the end of what has arrived, or by a frame of a server.
    /// - What follows a MESSAGE and is no frame is skipped up to such a NUL: it is the rest of a body with a NUL in it.
    ///
    /// [`take_flaws`](Self::take_flaws) says how much of that there was. See also [`Lengths`].
    pub fn tolerate_messages(&mut self, tolerate: bool) {
        self.tolerant = tolerate;
    }

    /// Headers that every MESSAGE has, with [`tolerate_messages`](Self::tolerate_messages): an empty line before them does
    /// not end its head, where they come behind it. None by default.
    pub fn set_needed(&mut self, needed: &'static [&'static str]) {
        self.needed = needed;
    }

    /// Whose word the `content-length` of a MESSAGE is, with [`tolerate_messages`](Self::tolerate_messages).
    pub fn set_lengths(&mut self, lengths: Lengths) {
        self.lengths = lengths;
    }

    /// The `receipt-id` of the RECEIPT that a caller asks the broker for where [`take_doubt`](Self::take_doubt) says
    /// so. No sender of messages may be able to guess it. None if it is empty.
    pub fn set_probe(&mut self, receipt: &str) {
        self.probe =
            if receipt.is_empty() { Vec::new() } else { format!("receipt-id:{receipt}\n").into_bytes() };
    }

    /// Whether a RECEIPT is wanted, to tell what the broker writes from a body: once for each MESSAGE whose
    /// `content-length` claims more than has arrived, while what has arrived looks complete. If that RECEIPT
    /// comes before the claimed end, the claim is a forgery, and the body ends at a NUL.
    pub fn take_doubt(&mut self) -> bool {
        self.doubt.found && !std::mem::replace(&mut self.doubt.taken, true)
    }

    /// What was wrong with the frames since it was asked last.
    pub fn take_flaws(&mut self) -> Flaws {
        std::mem::take(&mut self.flaws)
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
        let frame = self.advance();
        if let Err(error) = &frame {
            self.state = State::Failed(Box::new(error.clone()));
            self.clear();
        }
        frame
    }

    /// Gives up what was fed: nobody will ask for it.
    pub(crate) fn clear(&mut self) {
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
                State::Head { command, line, scanned, dropping } => {
                    self.head(command, line, scanned, dropping)?
                }
                State::SizedBody { length } => self.sized_body(length)?,
                State::OpenBody => self.open_body()?,
                State::CutBody { arrived, length } => self.cut_body(arrived, length)?,
                State::Rest { octets } => self.rest(octets)?,
                State::Failed(ref error) => return Err((**error).clone()),
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
                    let (body, cut) = match std::mem::take(&mut self.dropped) {
                        0 => (body, cut),
                        dropped => (Bytes::new(), Some(Cut::Head(dropped))),
                    };
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
                Step::Next(State::Head { command: None, line: 0, scanned: 0, dropping: false })
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
        line: usize,
        mut scanned: usize,
        mut dropping: bool,
    ) -> Result<Step, ParseError> {
        let strips_cr = self.version.is_none_or(|version| version == Version::V1_2);
        // The octets before `kept` are those of headers that count. Lines that do not count are between it and `line`,
        // and are taken out when there is nothing more to read.
        let (mut kept, mut line) = (line, line);
        loop {
            if command.is_some() && kept == line && !dropping && !self.torn {
                (line, scanned) = self.plain_lines(line, scanned, strips_cr);
                kept = line;
                let arrived = self.buffer.len() - self.start;
                if scanned == arrived
                    && arrived - line <= self.limits.header_line
                    && arrived <= self.limits.head
                {
                    return Ok(Step::More(State::Head { command, line, scanned, dropping }));
                }
            }
            let unread = &self.buffer[self.start..];
            let tolerant = self.tolerant && command == Some(Command::Message);
            let found = match unread[scanned..] {
                // An empty line, mostly.
                [b'\n', ..] => Some(scanned),
                ref rest => memchr::memchr(b'\n', rest).map(|at| scanned + at),
            };
            let end = found.unwrap_or(unread.len());
            if tolerant {
                dropping |= end - line > self.limits.header_line;
            } else if command.is_some() {
                self.limits.check_head(line, end, end + usize::from(found.is_some()))?;
            } else if end > COMMAND_LINE {
                return self.unknown(&unread[..=COMMAND_LINE]);
            }
            if found.is_none() {
                if dropping {
                    line = end;
                }
                if line > kept {
                    self.buffer.drain(self.start + kept..self.start + line);
                }
                return Ok(Step::More(State::Head {
                    command,
                    line: kept,
                    scanned: end - (line - kept),
                    dropping,
                }));
            }
            let text = match &unread[line..end] {
                [text @ .., b'\r'] if strips_cr => text,
                text => text,
            };
            match command {
                None => match Command::parse(text) {
                    Some(known) if self.is_expected(known) => {
                        command = Some(known);
                        (kept, line) = (end + 1, end + 1);
                    }
                    _ if self.laxity.any_command => {
                        self.unknown = Some(String::from_utf8_lossy(text).into_owned());
                        command = Some(Command::Send);
                        (kept, line) = (end + 1, end + 1);
                    }
                    _ => return self.unknown(text),
                },
                Some(_) if dropping => {
                    dropping = false;
                    self.dropped += 1;
                    line = end + 1;
                }
                Some(command) if text.is_empty() => match self.goes_on(tolerant, end + 1) {
                    Some(false) => return self.end_of_head(command, kept, end + 1),
                    Some(true) => {
                        self.flaws.lines += 1;
                        line = end + 1;
                    }
                    None => {
                        self.buffer.drain(self.start + kept..self.start + line);
                        return Ok(Step::More(State::Head {
                            command: Some(command),
                            line: kept,
                            scanned: kept,
                            dropping,
                        }));
                    }
                },
                Some(command) => {
                    let colon = match memchr::memchr(b':', text) {
                        Some(at) if at > 0 => at,
                        colon if tolerant => {
                            self.torn = colon.is_none() && self.version != Some(Version::V1_0);
                            self.flaws.lines += 1;
                            line = end + 1;
                            scanned = line;
                            continue;
                        }
                        Some(_) => return Err(ParseError::NoName { command }),
                        None => match self.laxity.no_colon {
                            NoColon::Refused => return Err(no_colon(command, text)),
                            NoColon::Skipped => {
                                line = end + 1;
                                scanned = line;
                                continue;
                            }
                            NoColon::Name => {
                                let at = self.start + line + text.len();
                                self.buffer.insert(at, b':');
                                scanned = line;
                                continue;
                            }
                        },
                    };
                    let len = end + 1 - line;
                    let more = self.entries.len() >= self.limits.headers;
                    if more && !tolerant {
                        return Err(ParseError::TooManyHeaders { limit: self.limits.headers });
                    }
                    if tolerant && (more || kept + len > self.limits.head) {
                        let keeps = KEPT.contains(&&text[..colon])
                            && len <= KEPT_LINE
                            && self.entries.len() < self.limits.headers.saturating_add(KEPT_HEADERS)
                            && kept + len <= self.limits.head + KEPT_HEADERS * KEPT_LINE;
                        if !keeps {
                            self.dropped += 1;
                            line = end + 1;
                            scanned = line;
                            continue;
                        }
                    }
                    if std::mem::take(&mut self.torn) {
                        self.late.push(self.entries.len());
                    }
                    let (start, end_of_text) = (offset(kept), offset(kept + text.len()));
                    self.entries.push(Entry { start, colon: offset(kept + colon), end: end_of_text });
                    if line > kept {
                        self.buffer.copy_within(self.start + line..=self.start + end, self.start + kept);
                    }
                    kept += len;
                    line = end + 1;
                }
            }
            scanned = line;
        }
    }

    /// Takes the headers from `line` on as long as they are as they should be, which nearly all are. Where it stopped, and up
    /// to where there is no LF.
    fn plain_lines(&mut self, mut line: usize, scanned: usize, strips_cr: bool) -> (usize, usize) {
        let Limits { header_line, headers, head, .. } = self.limits;
        let unread = &self.buffer[self.start..];
        for end in memchr::memchr_iter(b'\n', &unread[scanned..]).map(|at| scanned + at) {
            let text = match &unread[line..end] {
                [text @ .., b'\r'] if strips_cr => text,
                text => text,
            };
            let fits = end - line <= header_line && end < head && self.entries.len() < headers;
            // Names are short: to call memchr would take longer.
            let colon = if !fits { None } else { text.iter().position(|&octet| octet == b':') };
            let Some(colon @ 1..) = colon else {
                // What is there is not looked at twice.
                return (line, end);
            };
            // The limit of a head is below 4 GiB.
            let [start, colon, end_of_text] = [line, line + colon, line + text.len()].map(|at| at as u32);
            self.entries.push(Entry { start, colon, end: end_of_text });
            line = end + 1;
        }
        (line, unread.len())
    }

    /// Whether a head goes on behind an empty line: a line feed in the name of a property, which ActiveMQ does not escape,
    /// may end a line anywhere. So it is where a line without a colon came before it, or headers that every head has come
    /// behind it, and another empty line. `None`: not enough is there to tell.
    fn goes_on(&self, tolerant: bool, next: usize) -> Option<bool> {
        if !tolerant {
            return Some(false);
        }
        let unread = &self.buffer[self.start..];
        let has = |name: &str| self.entries.iter().any(|entry| entry.is_named(name, unread));
        let mut missing = self.needed.iter().filter(|name| !has(name)).peekable();
        if missing.peek().is_none() && !self.torn || self.needed.is_empty() {
            return Some(false);
        }
        let rest = &unread[next..unread.len().min(next + HEAD_GOES_ON)];
        let end = match end_of_frame(rest) {
            Some(nul) => nul,
            None if rest.len() < HEAD_GOES_ON => return None,
            None => rest.len(),
        };
        let rest = &rest[..end];
        let Some(end) = memchr::memmem::find(rest, b"\n\n") else { return Some(false) };
        let is_torn = self.torn && rest[..end].contains(&b':');
        let has = |name: &str| {
            let at = |at: &usize| rest[..*at].ends_with(b"\n") || *at == 0;
            memchr::memmem::find_iter(rest, &format!("{name}:")).any(|found| at(&found))
        };
        Some(is_torn || missing.peek().is_some() && missing.all(|name| has(name)))
    }

    /// What follows is no frame: of a MESSAGE before it the rest, perhaps.
    fn unknown(&self, line: &[u8]) -> Result<Step, ParseError> {
        if self.tolerant && self.open_end {
            return Ok(Step::Next(State::Rest { octets: 0 }));
        }
        Err(ParseError::UnknownCommand { line: excerpt_of_line(line) })
    }

    /// Whether such a frame may come. Behind a MESSAGE that may go on only those of a server do.
    fn is_expected(&self, command: Command) -> bool {
        !(self.tolerant && self.open_end)
            || matches!(command, Command::Message | Command::Receipt | Command::Error)
    }

    /// The head is so long as it is kept, and `len` octets as it came, with the line that ends it.
    fn end_of_head(&mut self, command: Command, kept: usize, len: usize) -> Result<Step, ParseError> {
        let head = &self.buffer[self.start..self.start + kept];
        let coding = self.coding(command, head);
        let tolerant = self.tolerant && command == Command::Message;
        if tolerant && coding == Coding::Trimmed {
            let all = self.entries.len();
            self.entries.retain(|entry| !headers::trim(&head[entry.name()]).is_empty());
            self.flaws.lines += all - self.entries.len();
        }
        let headers = headers::decode(head, &mut self.entries, coding).map_err(|error| match error {
            Undecodable::EmptyName => ParseError::NoName { command },
            Undecodable::UndefinedEscape { entry, escape } => ParseError::UndefinedEscape {
                command,
                header: excerpt(&head[entry.name()], 32),
                escape: format!("\\{}", excerpt(&head[escape.start + 1..escape.end], 1)),
            },
        })?;
        let headers =
            if self.late.is_empty() { headers } else { last(&headers, &std::mem::take(&mut self.late)) };
        let (length, trust) = if tolerant {
            let Claim { length, trust, usable } = tolerance::content_length(&headers, self.lengths);
            self.flaws.lengths += usize::from(!usable);
            (length, trust)
        } else if self.laxity.any_body && !command.allows_body() {
            (None, Trust::Full)
        } else {
            (content_length(command, &headers)?, Trust::Full)
        };
        if length.is_some_and(|length| length > 0) && !command.allows_body() {
            return Err(ParseError::UnexpectedBody { command });
        }
        let long = length.is_some_and(|length| length > self.limits.body);
        // As many octets as cannot be counted never come.
        if long && (!self.is_cut(command) || length == Some(usize::MAX)) {
            return Err(ParseError::BodyTooLong { command, limit: self.limits.body });
        }
        self.doubt = Doubt { trust, ..Doubt::default() };
        self.open_end = false;
        self.entries.clear();
        self.torn = false;
        self.start += len;
        self.head = Some((command, headers));
        Ok(Step::Next(match length {
            // Where the length is made up, there may be a body that is not long.
            _ if long && trust == Trust::Full => State::CutBody { arrived: 0, length },
            Some(length) => State::SizedBody { length },
            None => State::OpenBody,
        }))
    }

    fn coding(&self, command: Command, head: &[u8]) -> Coding {
        let names_version = |name| self.entries.iter().any(|entry| entry.is_named(name, head));
        match self.version {
            Some(Version::V1_0) => Coding::Trimmed,
            Some(_) if !command.escapes_headers() => Coding::Plain,
            Some(version) => Coding::Escaped {
                cr: version == Version::V1_2,
                lenient: self.lenient && command == Command::Message,
            },
            // Peers of 1.0 write "login: guest", and this is how they are told from later ones.
            None if !command.escapes_headers() => {
                let name = if command == Command::Connected { "version" } else { "accept-version" };
                if names_version(name) { Coding::Plain } else { Coding::Trimmed }
            }
            // The ERROR of a server that refuses a connection: to be read as well as possible.
            None => Coding::Escaped { cr: true, lenient: true },
        }
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
    /// To [`State::Idle`], with the body of a frame that is complete, or why it is not here.
    Frame(Bytes, Option<Cut>),
}

/// The headers with some of them, in order, behind all others, and without those that repeat the name of another: a
/// broker's own header may not be doubled by a sender.
fn last(headers: &Headers, late: &[usize]) -> Headers {
    let of = |wanted: bool| {
        let entries = headers.iter().enumerate();
        entries.filter(move |(at, _)| late.binary_search(at).is_ok() == wanted).map(|(_, header)| header)
    };
    let mut names: HashSet<&[u8]> = of(false).map(|(name, _)| name).collect();
    of(false).chain(of(true).filter(|(name, _)| names.insert(name))).collect()
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

//! The headers of one frame.
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

/// Where a header stands in its buffer: its name runs from `start` to `colon`, its value from the octet
/// after to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) start: u32,
    pub(super) colon: u32,
    pub(super) end: u32,
}

impl Entry {
    /// Octets of an entry that is stored behind the headers.
    const LEN: usize = 12;

    pub(super) fn name(self) -> Range<usize> {
        self.start as usize..self.colon as usize
    }

    pub(super) fn value(self) -> Range<usize> {
        self.colon as usize + 1..self.end as usize
    }

    /// Whether it is a header of that name. The length first: it settles nearly all of them without touching the buffer.
    pub(super) fn is_named(self, name: &str, buffer: &[u8]) -> bool {
        (self.colon - self.start) as usize == name.len() && buffer[self.name()] == *name.as_bytes()
    }

    fn store(self, stored: &mut [u8]) {
        stored[..4].copy_from_slice(&self.start.to_le_bytes());
        stored[4..8].copy_from_slice(&self.colon.to_le_bytes());
        stored[8..].copy_from_slice(&self.end.to_le_bytes());
    }

    fn load(stored: &[u8]) -> Self {
        let offset = |at| {
            let octets = stored[at..at + 4].try_into().expect("four octets");
            u32::from_le_bytes(octets)
        };
        Self { start: offset(0), colon: offset(4), end: offset(8) }
    }
}

/// Decoded headers of one frame, in order, repeats included.
///
/// All of them share one buffer, so that a clone copies nothing. Where a name repeats, the first header
/// counts: brokers put theirs before those that a sender made up.
///
/// ```
/// use stomp_wsgi::stomp::Headers;
///
/// let headers: Headers = [("destination", "/queue/a"), ("destination", "/queue/b")].into_iter().collect();
/// assert_eq!(headers.text("destination"), Some("/queue/a"));
/// assert_eq!(headers.len(), 2);
/// ```
#[derive(Clone, Default)]
pub struct Headers {
    /// The headers, and behind them, from `entries` on, where each stands: a single allocation, and a small
    /// struct, since frames are handed from one owner to the next many times.
    buffer: Bytes,
    entries: u32,
}

impl Headers {
    /// Every entry lies within `buffer`.
    fn new(mut buffer: Vec<u8>, entries: &[Entry]) -> Self {
        let at = buffer.len();
        buffer.reserve_exact(entries.len() * Entry::LEN);
        buffer.resize(at + entries.len() * Entry::LEN, 0);
        for (stored, entry) in buffer[at..].chunks_exact_mut(Entry::LEN).zip(entries) {
            entry.store(stored);
        }
        Self { buffer: buffer.into(), entries: offset(at) }
    }

    fn entries(&self) -> impl ExactSizeIterator<Item = Entry> + DoubleEndedIterator {
        self.buffer[self.entries as usize..].chunks_exact(Entry::LEN).map(Entry::load)
    }

    /// The value of the first header of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.find(name).map(|entry| &self.buffer[entry.value()])
    }

    /// The same, where it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// The same as [`get`](Self::get), as a slice of the shared buffer: nothing is copied, and the buffer
    /// (of about the size of the frame's head) lives as long as the slice.
    pub fn bytes(&self, name: &str) -> Option<Bytes> {
        self.find(name).map(|entry| self.buffer.slice(entry.value()))
    }

    /// The values of all headers of that name.
    pub(crate) fn all(&self, name: &str) -> impl DoubleEndedIterator<Item = &[u8]> {
        let named = self.entries().filter(move |entry| entry.is_named(name, &self.buffer));
        named.map(|entry| &self.buffer[entry.value()])
    }

    /// A value that is one of these, as a slice of the shared buffer.
    pub(crate) fn share(&self, value: &[u8]) -> Bytes {
        self.buffer.slice_ref(value)
    }

    /// Names, in the order of the frame.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.entries().map(|entry| &self.buffer[entry.name()])
    }

    /// The value of the header in that place.
    pub(crate) fn value(&self, at: usize) -> &[u8] {
        let at = self.entries as usize + at * Entry::LEN;
        &self.buffer[Entry::load(&self.buffer[at..at + Entry::LEN]).value()]
    }

    /// Names and values, in the order of the frame.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + DoubleEndedIterator {
        self.entries().map(|entry| (&self.buffer[entry.name()], &self.buffer[entry.value()]))
    }

    /// How many headers there are, repeats included.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// About how many octets of memory they take.
    #[cfg(feature = "python")]
    pub(crate) fn octets(&self) -> usize {
        self.buffer.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same headers, of which the first of this name has another value. Where there is none of that name, it
    /// comes before the others.
    pub(crate) fn with(&self, name: &str, value: &[u8]) -> Self {
        let replaced = self.iter().position(|(known, _)| known == name.as_bytes());
        let mut builder =
            Builder::with_capacity(self.len() + 1, self.buffer.len() + name.len() + value.len());
        if replaced.is_none() {
            builder.push(name.as_bytes(), &[value]);
        }
        for (at, (name, old)) in self.iter().enumerate() {
            builder.push(name, &[if replaced == Some(at) { value } else { old }]);
        }
        builder.finish()
    }

    fn find(&self, name: &str) -> Option<Entry> {
        self.entries().find(|entry| entry.is_named(name, &self.buffer))
    }
}

/// Builds headers out of pairs of a name and a value.
///
/// # Panics
///
/// When they add up to more than 4 GiB.
impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut builder = Builder::with_capacity(0, 0);
        for (name, value) in pairs {
            builder.push(name.as_ref(), &[value.as_ref()]);
        }
        builder.finish()
    }
}

/// Headers, one after the other.
pub(crate) struct Builder {
    buffer: Vec<u8>,
    entries: SmallVec<[Entry; 16]>,
}

impl Builder {
    /// For so many headers, of which names and values are so many octets in all, or more.
    pub(crate) fn with_capacity(headers: usize, octets: usize) -> Self {
        let octets = octets + headers * (1 + Entry::LEN);
        Self { buffer: Vec::with_capacity(octets), entries: SmallVec::with_capacity(headers) }
    }

    /// Adds a header whose value is in pieces.
    pub(crate) fn push(&mut self, name: &[u8], value: &[&[u8]]) {
        let start = offset(self.buffer.len());
        self.buffer.extend_from_slice(name);
        let colon = offset(self.buffer.len());
        self.buffer.push(b':');
        value.iter().for_each(|piece| self.buffer.extend_from_slice(piece));
        self.entries.push(Entry { start, colon, end: offset(self.buffer.len()) });
    }

    pub(crate) fn finish(self) -> Headers {
        Headers::new(self.buffer, &self.entries)
    }
}

/// An offset within a head. The parser's limits keep heads far below 4 GiB.
pub(super) fn offset(octets: usize) -> u32 {
    u32::try_from(octets).expect("the headers of one frame are smaller than 4 GiB")
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.iter() {
            let value = if is_secret(name) { "(redacted)".into() } else { value.escape_ascii().to_string() };
            map.entry(&format_args!("{}", name.escape_ascii()), &format_args!("{value}"));
        }
        map.finish()
    }
}

/// Credentials of STOMP, and those of HTTP however they are prefixed.
fn is_secret(name: &[u8]) -> bool {
    let ends_with =
        |end: &[u8]| name.len() >= end.len() && name[name.len() - end.len()..].eq_ignore_ascii_case(end);
    [&b"login"[..], b"passcode", b"authorization", b"cookie"].into_iter().any(ends_with)
}

/// How the headers of a frame stand on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// As they are: CONNECT, STOMP and CONNECTED.
    Plain,
    /// As they are, but for spaces and tabs around them: 1.0.
    Trimmed,
    /// With escapes.
    Escaped {
        /// Whether `\r` is one of them: 1.2.
        cr: bool,
        /// Whether undefined escapes stand for themselves.
        lenient: bool,
    },
}

/// A header that cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Undecodable {
    /// Nothing is left of a name when it is trimmed.
    EmptyName,
    /// A backslash with what follows it, which may be nothing.
    UndefinedEscape { entry: Entry, escape: Range<usize> },
}

/// Headers of a head that stands at the beginning of a read buffer, copied out of it.
///
/// The copy is on purpose. A frame may be kept for as long as an application runs; as a slice it would keep
/// the whole read buffer, a hundred times its own size, and the parser would need another one meanwhile. For
/// a head of 500 octets it was measured to take 15 to 40 ns more than a slice, up to a tenth of what parsing takes.
pub(super) fn decode(head: &[u8], entries: &mut [Entry], coding: Coding) -> Result<Headers, Undecodable> {
    let unchanged = |range: Range<usize>| trim(&head[range.clone()]).len() == range.len();
    let mut buffer = Vec::with_capacity(head.len() + entries.len() * Entry::LEN);
    match coding {
        Coding::Trimmed
            if !entries.iter().all(|entry| unchanged(entry.name()) && unchanged(entry.value())) =>
        {
            return trimmed(head, entries);
        }
        Coding::Escaped { cr, lenient } => match memchr::memchr(b'\\', head) {
            Some(first) => unescape(head, &mut buffer, entries, first, cr, lenient)?,
            None => buffer.extend_from_slice(head),
        },
        Coding::Plain | Coding::Trimmed => buffer.extend_from_slice(head),
    }
    Ok(Headers::new(buffer, entries))
}

fn trimmed(head: &[u8], entries: &[Entry]) -> Result<Headers, Undecodable> {
    let headers: Headers =
        entries.iter().map(|entry| (trim(&head[entry.name()]), trim(&head[entry.value()]))).collect();
    if headers.iter().any(|(name, _)| name.is_empty()) {
        return Err(Undecodable::EmptyName);
    }
    Ok(headers)
}

/// Copies the whole head without its escapes, in one pass; `first` is where the first backslash stands.
/// Each escape that goes moves what follows one octet to the left, and the entries with it.
fn unescape(
    head: &[u8],
    buffer: &mut Vec<u8>,
    entries: &mut [Entry],
    first: usize,
    cr: bool,
    lenient: bool,
) -> Result<(), Undecodable> {
    let mut copied = 0;
    let mut removed = 0;
    let mut next = Some(first);
    for entry in entries {
        let encoded = *entry;
        for edge in [&mut entry.start, &mut entry.colon, &mut entry.end] {
            while let Some(at) = next.filter(|at| *at < *edge as usize) {
                // At the end of a name or a value, what follows the backslash is a colon, CR or LF: no escape.
                let octet = match head.get(at + 1) {
                    Some(b'n') => Some(b'\n'),
                    Some(b'c') => Some(b':'),
                    Some(b'\\') => Some(b'\\'),
                    Some(b'r') if cr => Some(b'\r'),
                    _ => None,
                };
                let rest = match octet {
                    Some(octet) => {
                        buffer.extend_from_slice(&head[copied..at]);
                        buffer.push(octet);
                        copied = at + 2;
                        removed += 1;
                        copied
                    }
                    None if lenient => at + 1,
                    None => {
                        let escape = at..(*edge as usize).min(at + 2);
                        return Err(Undecodable::UndefinedEscape { entry: encoded, escape });
                    }
                };
                next = memchr::memchr(b'\\', &head[rest..]).map(|found| rest + found);
            }
            *edge -= removed;
        }
    }
    buffer.extend_from_slice(&head[copied..]);
    Ok(())
}

/// `text` without spaces and tabs at its ends.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let blank = |octet: &u8| matches!(octet, b' ' | b'\t');
    let start = text.iter().position(|octet| !blank(octet)).unwrap_or(text.len());
    let end = text.iter().rposition(|octet| !blank(octet)).map_or(start, |last| last + 1);
    &text[start..end]
}

//! The headers of one frame.
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

/// Headers kept without an allocation of their own: a MESSAGE has about a dozen, and then those of an
/// application.
const INLINE: usize = 16;

pub(super) type Entries = SmallVec<[Entry; INLINE]>;

/// Where a header stands in its buffer: `name` runs from `start` to `colon`, its value from the octet after
/// to `end`. Offsets, not slices, so that headers can be moved about with their buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) start: u32,
    pub(super) colon: u32,
    pub(super) end: u32,
}

impl Entry {
    pub(super) fn name(self) -> Range<usize> {
        self.start as usize..self.colon as usize
    }

    pub(super) fn value(self) -> Range<usize> {
        self.colon as usize + 1..self.end as usize
    }
}

/// Decoded headers of one frame, in order, repeats included.
///
/// All of them share one buffer, so that a clone copies ranges and no text. Where a name repeats, the first
/// header counts: brokers put theirs before those that a sender made up.
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
    buffer: Bytes,
    entries: Entries,
}

impl Headers {
    /// Every entry lies within `buffer`.
    pub(super) fn new(buffer: Bytes, entries: Entries) -> Self {
        Self { buffer, entries }
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

    /// Names and values, in the order of the frame.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|entry| (&self.buffer[entry.name()], &self.buffer[entry.value()]))
    }

    /// How many headers there are, repeats included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn find(&self, name: &str) -> Option<Entry> {
        let name = name.as_bytes();
        self.entries.iter().copied().find(|entry| {
            // The length first: it settles nearly all of them without touching the buffer.
            (entry.colon - entry.start) as usize == name.len() && self.buffer[entry.name()] == *name
        })
    }
}

/// Builds headers out of pairs of a name and a value.
///
/// # Panics
///
/// When they add up to more than 4 GiB.
impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut buffer = Vec::new();
        let mut entries = Entries::new();
        for (name, value) in pairs {
            let start = offset(buffer.len());
            buffer.extend_from_slice(name.as_ref());
            let colon = offset(buffer.len());
            buffer.push(b':');
            buffer.extend_from_slice(value.as_ref());
            entries.push(Entry { start, colon, end: offset(buffer.len()) });
        }
        Self::new(buffer.into(), entries)
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
/// the whole read buffer, a hundred times its own size, and the parser would need another one meanwhile.
pub(super) fn decode(head: &[u8], entries: Entries, coding: Coding) -> Result<Headers, Undecodable> {
    let unchanged = match coding {
        Coding::Plain => true,
        Coding::Trimmed => entries.iter().all(|entry| {
            trim(&head[entry.name()]).len() == entry.name().len()
                && trim(&head[entry.value()]).len() == entry.value().len()
        }),
        Coding::Escaped { .. } => memchr::memchr(b'\\', head).is_none(),
    };
    if unchanged {
        return Ok(Headers::new(Bytes::copy_from_slice(head), entries));
    }
    let mut buffer = Vec::with_capacity(head.len());
    let mut decoded = Entries::with_capacity(entries.len());
    for entry in entries {
        let mut undefined = None;
        let mut append = |buffer: &mut Vec<u8>, range: Range<usize>| match coding {
            Coding::Plain => buffer.extend_from_slice(&head[range]),
            Coding::Trimmed => buffer.extend_from_slice(trim(&head[range])),
            Coding::Escaped { cr, lenient } => {
                if let Some(escape) = unescape(&head[range.clone()], buffer, cr, lenient) {
                    undefined.get_or_insert(range.start + escape.start..range.start + escape.end);
                }
            }
        };
        let start = offset(buffer.len());
        append(&mut buffer, entry.name());
        let colon = offset(buffer.len());
        buffer.push(b':');
        append(&mut buffer, entry.value());
        if let Some(escape) = undefined {
            return Err(Undecodable::UndefinedEscape { entry, escape });
        }
        if start == colon {
            return Err(Undecodable::EmptyName);
        }
        decoded.push(Entry { start, colon, end: offset(buffer.len()) });
    }
    Ok(Headers::new(buffer.into(), decoded))
}

/// Appends `text` without its escapes, in one pass; answers where the first undefined one stands.
fn unescape(text: &[u8], out: &mut Vec<u8>, cr: bool, lenient: bool) -> Option<Range<usize>> {
    let mut from = 0;
    while let Some(found) = memchr::memchr(b'\\', &text[from..]) {
        let at = from + found;
        out.extend_from_slice(&text[from..at]);
        let decoded = match text.get(at + 1) {
            Some(b'n') => Some(b'\n'),
            Some(b'c') => Some(b':'),
            Some(b'\\') => Some(b'\\'),
            Some(b'r') if cr => Some(b'\r'),
            _ => None,
        };
        match decoded {
            Some(octet) => {
                out.push(octet);
                from = at + 2;
            }
            // What follows the backslash is then read as usual: it is no backslash.
            None if lenient => {
                out.push(b'\\');
                from = at + 1;
            }
            None => return Some(at..text.len().min(at + 2)),
        }
    }
    out.extend_from_slice(&text[from..]);
    None
}

/// `text` without spaces and tabs at its ends.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let blank = |octet: &u8| matches!(octet, b' ' | b'\t');
    let start = text.iter().position(|octet| !blank(octet)).unwrap_or(text.len());
    let end = text.iter().rposition(|octet| !blank(octet)).map_or(start, |last| last + 1);
    &text[start..end]
}

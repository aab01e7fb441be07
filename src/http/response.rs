//! Status and headers of a response.
use std::borrow::Cow;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use super::name::is_token;
use super::reply_head::Manner;

/// Status code and reason, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// 100 to 999.
    pub code: u16,
    /// What follows the code, as bytes: latin-1 as WSGI gives it, or UTF-8. May be empty.
    pub reason: Vec<u8>,
}

impl Status {
    /// Reads `404 Not Found` (PEP 3333: "a status code and a reason phrase, separated by a single space,
    /// with no surrounding whitespace"). Lenient in one thing, as most servers are: a lone `404` is taken.
    ///
    /// # Errors
    ///
    /// [`InvalidHead::Status`].
    pub fn parse(line: &[u8]) -> Result<Self, InvalidHead> {
        let invalid = || InvalidHead::Status { line: excerpt(line) };
        let (digits, rest) = line.split_at_checked(3).ok_or_else(invalid)?;
        let reason = match rest {
            [] => rest,
            [b' ', reason @ ..] => reason,
            _ => return Err(invalid()),
        };
        if !digits.iter().all(u8::is_ascii_digit) || digits[0] == b'0' {
            return Err(invalid());
        }
        if reason.first() == Some(&b' ') || reason.last() == Some(&b' ') || reason.iter().any(is_control) {
            return Err(invalid());
        }
        let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        Ok(Self { code, reason: reason.to_vec() })
    }

    /// A status with the phrase that RFC 9110 (section 15) gives it; empty for codes that are not there.
    pub fn of(code: u16) -> Self {
        let reason = match code {
            200 => "OK",
            201 => "Created",
            202 => "Accepted",
            204 => "No Content",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            409 => "Conflict",
            413 => "Content Too Large",
            415 => "Unsupported Media Type",
            422 => "Unprocessable Content",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Gateway Timeout",
            505 => "HTTP Version Not Supported",
            _ => "",
        };
        Self { code, reason: reason.as_bytes().to_vec() }
    }

    /// Whether a response with this status has a body at all: not 1xx, 204 or 304 (RFC 9110 section 6.4.1).
    pub fn has_body(&self) -> bool {
        !matches!(self.code, 100..=199 | 204 | 304)
    }
}

/// What `start_response` was given. Clones share it, until one of them is changed.
#[derive(Debug, Clone)]
pub struct Head(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    parts: HeadParts,
    /// What they are in a reply, and in which manner.
    encoded: OnceLock<(Manner, Vec<u8>)>,
}

/// What is in a [`Head`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadParts {
    /// The status.
    pub status: Status,
    /// Names and values in order, repeats included. What is put here by [`header`](Self::header) has been checked;
    /// what is not is made harmless when it is sent, and may be left out.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Head {
    /// A head without headers.
    pub fn new(status: Status) -> Self {
        Self(Arc::new(Shared::new(HeadParts { status, headers: Vec::new() })))
    }

    /// What `encode` makes of it in this manner, or has made of it before.
    pub(super) fn encoded<E>(
        &self,
        manner: Manner,
        encode: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Cow<'_, [u8]>, E> {
        let kept = &self.0.encoded;
        if let Some((_, lines)) = kept.get().filter(|(known, _)| *known == manner) {
            return Ok(Cow::Borrowed(lines));
        }
        Ok(match kept.set((manner, encode()?)) {
            Ok(()) => Cow::Borrowed(&kept.get().expect("it was set just now").1),
            Err((_, lines)) => Cow::Owned(lines),
        })
    }
}

impl Shared {
    fn new(parts: HeadParts) -> Self {
        Self { parts, encoded: OnceLock::new() }
    }
}

/// Without what was encoded: the clone is about to be changed.
impl Clone for Shared {
    fn clone(&self) -> Self {
        Self::new(self.parts.clone())
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.0.parts == other.0.parts
    }
}

impl Eq for Head {}

impl Deref for Head {
    type Target = HeadParts;

    fn deref(&self) -> &HeadParts {
        &self.0.parts
    }
}

impl DerefMut for Head {
    fn deref_mut(&mut self) -> &mut HeadParts {
        let shared = Arc::make_mut(&mut self.0);
        shared.encoded.take();
        &mut shared.parts
    }
}

impl HeadParts {
    /// Adds a header. Blanks around the value are left out: they are no part of it (RFC 9110 section 5.5), but
    /// in STOMP they would be.
    ///
    /// # Errors
    ///
    /// Where PEP 3333 wants one: the name is no RFC 9110 token, the value holds a control character (CR, LF,
    /// NUL, tab and DEL among them), or the header is hop-by-hop. Also where a Content-Length is no number,
    /// or another one than was given before.
    pub fn header(&mut self, name: &[u8], value: &[u8]) -> Result<(), InvalidHead> {
        if !is_token(name) {
            return Err(InvalidHead::Name { name: excerpt(name) });
        }
        if value.iter().any(is_control) {
            return Err(InvalidHead::Value { name: excerpt(name) });
        }
        let value = value.trim_ascii();
        if is_hop_by_hop(name) {
            return Err(InvalidHead::HopByHop { name: excerpt(name) });
        }
        if name.eq_ignore_ascii_case(CONTENT_LENGTH) {
            let length = decimal(value).ok_or(InvalidHead::ContentLength)?;
            if self.content_length().is_some_and(|earlier| earlier != length) {
                return Err(InvalidHead::ContentLength);
            }
        }
        self.headers.push((name.to_vec(), value.to_vec()));
        Ok(())
    }

    /// What Content-Length says, in bytes.
    pub fn content_length(&self) -> Option<u64> {
        decimal(self.first(CONTENT_LENGTH)?)
    }

    /// The value of the first header of that name, in any case.
    pub fn first(&self, name: &[u8]) -> Option<&[u8]> {
        let is = |known: &[u8]| known == name || known.eq_ignore_ascii_case(name);
        self.headers.iter().find(|(known, _)| is(known)).map(|(_, value)| &value[..])
    }
}

const CONTENT_LENGTH: &[u8] = b"Content-Length"; // as most write it

/// RFC 2616 section 13.5.1, which PEP 3333 and `wsgiref.util.is_hop_by_hop` go by.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn is_hop_by_hop(name: &[u8]) -> bool {
    HOP_BY_HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop.as_bytes()))
}

fn is_control(byte: &u8) -> bool {
    byte.is_ascii_control()
}

/// A number as Content-Length has it: digits and nothing else, but for blanks around them.
pub(crate) fn decimal(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let append = |number: u64, byte: &u8| number.checked_mul(10)?.checked_add(digit(byte)?);
    digits.first()?;
    digits.iter().try_fold(0, append)
}

/// The beginning of what was wrong, printable, for a message to the developer.
fn excerpt(bytes: &[u8]) -> String {
    const LONGEST: usize = 60;
    let shown = &bytes[..bytes.len().min(LONGEST)];
    let dots = if bytes.len() > LONGEST { "..." } else { "" };
    format!("{}{dots}", shown.escape_ascii())
}

/// A status or header that an application may not send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHead {
    /// The status is not three digits, a space and a phrase without control characters.
    #[error("status must look like '404 Not Found', not '{line}'")]
    Status {
        /// How it began.
        line: String,
    },
    /// A header's name is no token: empty, or with a space, colon or control character in it.
    #[error("'{name}' is no header name (RFC 9110 section 5.1)")]
    Name {
        /// How it began.
        name: String,
    },
    /// A header's value holds a control character; a line break would let it add headers of its own.
    #[error("the value of header '{name}' holds a control character, such as a line break")]
    Value {
        /// The header.
        name: String,
    },
    /// A header that belongs to a connection and not to a response (PEP 3333, "Other HTTP Features").
    #[error("header '{name}' is hop-by-hop: the server's to set, not the application's")]
    HopByHop {
        /// The header.
        name: String,
    },
    /// Content-Length is no number, or given twice with different values (RFC 9110 section 8.6).
    #[error("Content-Length must be one decimal number")]
    ContentLength,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        for (line, code, reason) in [
            ("200 OK", 200, "OK"),
            ("404 Not Found", 404, "Not Found"),
            ("200", 200, ""),
            ("200 ", 200, ""),
            ("599 a", 599, "a"),
            ("999 Request denied", 999, "Request denied"),
            ("100 Continue", 100, "Continue"),
        ] {
            let expected = Status { code, reason: reason.into() };
            assert_eq!(Status::parse(line.as_bytes()), Ok(expected), "{line}");
        }
        assert_eq!(Status::parse(b"200 d\xe9j\xe0").map(|status| status.reason), Ok(b"d\xe9j\xe0".to_vec()));
    }

    #[test]
    fn malformed_statuses() {
        for line in [
            "",
            "2",
            "20",
            "2000",
            "OK",
            "20x OK",
            "099 x",
            "-20 x",
            "+20 x",
            " 200 OK",
            "200  OK",
            "200 OK ",
            "200\tOK",
            "200OK",
            "200 OK\r\nX: y",
            "200 O\0K",
            "200 O\u{7f}K",
            "２００ OK",
        ] {
            let error = Status::parse(line.as_bytes());
            assert!(matches!(error, Err(InvalidHead::Status { .. })), "{line:?}: {error:?}");
        }
    }

    #[test]
    fn phrases_and_bodies() {
        assert_eq!(Status::of(404).reason, b"Not Found");
        assert_eq!(Status::of(299).reason, b"");
        for (code, body) in [(200, true), (204, false), (304, false), (100, false), (199, false), (205, true)]
        {
            assert_eq!(Status::of(code).has_body(), body, "{code}");
        }
    }

    fn header(name: &str, value: &[u8]) -> Result<(), InvalidHead> {
        Head::new(Status::of(200)).header(name.as_bytes(), value)
    }

    #[test]
    fn errors_have_a_kind() {
        assert_eq!(header("X-A", b"caf\xe9 \"b\", c"), Ok(()));
        assert_eq!(header("X-A", b""), Ok(()));
        for name in ["", "X A", "X:A", "X-A\r\n", "X\0", "\u{e9}", "X\u{7f}"] {
            assert!(matches!(header(name, b"v"), Err(InvalidHead::Name { .. })), "{name:?}");
        }
        for value in ["a\r\nSet-Cookie: x", "a\n", "\r", "\0", "a\tb", "\u{1b}[0m", "\u{7f}"] {
            let error = Err(InvalidHead::Value { name: "X-A".into() });
            assert_eq!(header("X-A", value.as_bytes()), error, "{value:?}");
        }
        for name in ["Connection", "keep-alive", "TE", "Transfer-Encoding", "upgrade", "Trailers"] {
            assert!(matches!(header(name, b"v"), Err(InvalidHead::HopByHop { .. })), "{name}");
        }
        for value in ["", "-1", "+1", "1.0", "0x1", "1,1", "99999999999999999999"] {
            assert_eq!(
                header("content-LENGTH", value.as_bytes()),
                Err(InvalidHead::ContentLength),
                "{value}"
            );
        }
    }

    #[test]
    fn content_length_is_one_number() {
        let mut head = Head::new(Status::of(200));
        assert_eq!(head.content_length(), None);
        head.header(b"content-Length", b" 12 ").unwrap();
        assert_eq!(head.content_length(), Some(12));
        assert_eq!(head.header(b"Content-Length", b"12"), Ok(()));
        assert_eq!(head.header(b"Content-Length", b"13"), Err(InvalidHead::ContentLength));
    }

    #[test]
    fn blanks_around_a_value_are_no_part_of_it() {
        let mut head = Head::new(Status::of(200));
        // As Django gives it.
        head.header(b"Set-Cookie", b" a=1; Path=/").unwrap();
        head.header(b"X-A", b"b c  ").unwrap();
        head.header(b"X-B", b"  ").unwrap();
        let values: Vec<_> = head.headers.iter().map(|(_, value)| value.as_slice()).collect();
        assert_eq!(values, [&b"a=1; Path=/"[..], b"b c", b""]);
    }

    #[test]
    fn messages_show_an_excerpt_only() {
        let name = "\n".repeat(500);
        let message = header(&name, b"secret").unwrap_err().to_string();
        assert!(message.len() < 200 && !message.contains('\n') && !message.contains("secret"), "{message}");
    }
}

//! Structured mode: messages whose body is one whole HTTP request. What that means is said in the
//! documentation of [`http`](super).
use std::mem::MaybeUninit;

use bytes::Bytes;
use httparse::{Error, Header, Status};

use super::fields::content_type_rank;
use super::framing;
use super::metadata::{Metadata, Pair};
use super::name::{camel_decoded, is_token};
use super::target::is_host;
use crate::stomp::{Frame, Headers};

/// The most headers of a request.
pub(super) const MAX_HEADERS: usize = 500;

/// The most octets that a request may have before its body, and a chunked body after its last chunk.
pub(super) const MAX_HEAD: usize = 1 << 20;

/// A request as it stands in a message's body.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) method: String,
    pub(super) target: Bytes,
    /// All of them as they came, values without blanks around them.
    pub(super) headers: Headers,
    pub(super) body: Bytes,
}

/// Why the body of an `application/http` message is no request. The text is fit for the requester.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// `msgtype` is there and not `request`.
    #[error("msgtype of application/http has to be request")]
    Kind,
    /// The first line is not `METHOD target HTTP/1.1`.
    #[error("the first line has to be: method, space, target, space, HTTP/1.1")]
    RequestLine,
    /// HTTP, but neither 1.0 nor 1.1.
    #[error("the version has to be HTTP/1.1 or HTTP/1.0")]
    Version,
    /// A header line cannot be one.
    #[error("a header line is malformed, folded, or holds a control character")]
    Header,
    /// The empty line is missing.
    #[error("the empty line after the headers is missing")]
    Truncated,
    /// There are more than 500 headers, or more than 1 MiB of them.
    #[error("there are more than {MAX_HEADERS} headers, or more than {MAX_HEAD} octets of them")]
    TooLarge,
    /// Two `Host` headers, or one that can be none.
    #[error("Host has to be one host, with a port or without")]
    Host,
    /// Content-Length is no number, or several.
    #[error("Content-Length has to be one decimal number")]
    ContentLength,
    /// Content-Length and the octets that are there differ.
    #[error("Content-Length says {said} octets, but {there} follow the headers")]
    Length {
        /// What Content-Length says.
        said: u64,
        /// What is there.
        there: usize,
    },
    /// There is a body, and nothing says how long it is.
    #[error("{0} octets follow the headers, but neither Content-Length nor Transfer-Encoding says so")]
    Surplus(usize),
    /// Transfer-Encoding next to Content-Length, in HTTP/1.0, or not ending in `chunked`.
    #[error("Transfer-Encoding has to be chunked, in HTTP/1.1 and without Content-Length")]
    Framing,
    /// A transfer coding besides `chunked`.
    #[error("of transfer codings only chunked is supported")]
    Coding,
    /// The body is not as `chunked` has it, or does not end with it.
    #[error("the chunked body is malformed, or not all of the body")]
    Chunks,
}

impl InvalidMessage {
    /// The status of the answer.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::TooLarge => 431,
            Self::Coding => 501,
            Self::Version => 505,
            _ => 400,
        }
    }
}

/// The content type of a message, by whatever name, where it is `application/http`.
pub(super) fn media_type(metadata: &Metadata<'_>) -> Option<Vec<u8>> {
    // By far the most frequent name, and the one that wins.
    let value = match metadata.content_type.filter(|value| !value.is_empty()) {
        Some(value) => value,
        None => by_another_name(&metadata.others)?,
    };
    let media = value.split(|&byte| byte == b';').next()?;
    media.trim_ascii().eq_ignore_ascii_case(b"application/http").then(|| value.to_vec())
}

fn by_another_name<'a>(headers: &[Pair<'a>]) -> Option<&'a [u8]> {
    let ends = |name: &[u8]| name.len() >= 11 && name[name.len() - 4..].eq_ignore_ascii_case(b"type");
    let ranked = headers.iter().filter(|(name, value)| ends(name) && !value.is_empty());
    let ranked = ranked.filter_map(|(name, value)| {
        let decoded = camel_decoded(name);
        Some((content_type_rank(decoded.as_deref().unwrap_or(name))?, value))
    });
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, value)| *value)
}

/// The method, before anything else is known to be right: it decides whether anybody is to be told.
pub(super) fn method(body: &[u8]) -> Option<&[u8]> {
    let line = &body[body.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?..];
    let method = &line[..memchr::memchr(b' ', &line[..line.len().min(100)])?];
    is_token(method).then_some(method)
}

/// Reads the request out of a message's body. `media_type` is the message's own.
pub(super) fn read(frame: &Frame, media_type: &[u8]) -> Result<Whole, InvalidMessage> {
    if !is_request(media_type) {
        return Err(InvalidMessage::Kind);
    }
    let octets = &frame.body[..];
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let head = &octets[..octets.len().min(MAX_HEAD)];
    let length = match request.parse_with_uninit_headers(head, &mut headers) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if head.len() < octets.len() => return Err(InvalidMessage::TooLarge),
        Ok(Status::Partial) => return Err(InvalidMessage::Truncated),
        Err(error) => return Err(invalid(error, octets)),
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(InvalidMessage::RequestLine);
    };
    check_host(request.headers)?;
    let body = framing::body(request.headers, minor, frame.body.slice(length..))?;
    let pairs = request.headers.iter().map(|header| (header.name, header.value));
    Ok(Whole {
        method: method.to_owned(),
        target: frame.body.slice_ref(target.as_bytes()),
        headers: pairs.collect(),
        body,
    })
}

/// Whether `msgtype` is `request`, which it is where it is left out (RFC 9112 section 10.2).
fn is_request(media_type: &[u8]) -> bool {
    let parameters = media_type.split(|&byte| byte == b';').skip(1).map(<[u8]>::trim_ascii);
    parameters
        .filter_map(|parameter| parameter.split_at_checked(b"msgtype=".len()))
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"msgtype="))
        .all(|(_, value)| matches!(value.to_ascii_lowercase().as_slice(), b"request" | b"\"request\""))
}

fn invalid(error: Error, octets: &[u8]) -> InvalidMessage {
    match error {
        Error::TooManyHeaders => InvalidMessage::TooLarge,
        Error::HeaderName | Error::HeaderValue => InvalidMessage::Header,
        Error::Version if names_a_version(octets) => InvalidMessage::Version,
        _ => InvalidMessage::RequestLine,
    }
}

/// Whether the first line is that of some version of HTTP.
fn names_a_version(octets: &[u8]) -> bool {
    let line = octets.trim_ascii_start().split(|&byte| byte == b'\n').next().unwrap_or_default();
    let version = line.split(|&byte| byte == b' ').nth(2).unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', ..])
}

/// RFC 9112 section 3.2, but for a `Host` that is missing. An empty one stands for none.
fn check_host(headers: &[Header<'_>]) -> Result<(), InvalidMessage> {
    let mut hosts = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
    let valid = hosts.next().is_none_or(|host| host.value.is_empty() || is_host(host.value));
    if valid && hosts.next().is_none() { Ok(()) } else { Err(InvalidMessage::Host) }
}

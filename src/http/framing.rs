//! How long the body of a whole request is (RFC 9112 section 6), and what it is without its framing.
//!
//! Here the message's end is known, so that whatever says something else is an error, and none of it is
//! left to be taken for another request.
use bytes::Bytes;
use httparse::{EMPTY_HEADER, Header, Status};

use super::InvalidMessage;
use super::response::decimal;
use super::structured::MAX_HEAD;

/// The most trailers, which are read and thrown away (RFC 9110 section 6.5.1 allows to).
const MAX_TRAILERS: usize = 100;

/// The body of a request with these headers, in HTTP/1.`minor`; `rest` is all that follows them.
pub(super) fn body(headers: &[Header<'_>], minor: u8, rest: Bytes) -> Result<Bytes, InvalidMessage> {
    let said = content_length(headers)?;
    let mut codings = elements(headers, "transfer-encoding").peekable();
    if codings.peek().is_some() {
        // Two lengths, or one that HTTP/1.0 has not: who sent it meant another receiver to be mistaken
        // (section 6.1).
        if said.is_some() || minor == 0 {
            return Err(InvalidMessage::Framing);
        }
        let codings: Vec<_> = codings.collect();
        return match codings.as_slice() {
            [only] if only.eq_ignore_ascii_case(b"chunked") => dechunked(&rest).map(Bytes::from),
            [.., last] if last.eq_ignore_ascii_case(b"chunked") => Err(InvalidMessage::Coding),
            _ => Err(InvalidMessage::Framing),
        };
    }
    match said {
        Some(said) if said == rest.len() as u64 => Ok(rest),
        Some(said) => Err(InvalidMessage::Length { said, there: rest.len() }),
        None if rest.is_empty() => Ok(rest),
        None => Err(InvalidMessage::Surplus(rest.len())),
    }
}

/// What Content-Length says; as often as it likes, as long as it is the same (section 6.3).
fn content_length(headers: &[Header<'_>]) -> Result<Option<u64>, InvalidMessage> {
    let mut said = None;
    for value in elements(headers, "content-length") {
        let length = decimal(value).ok_or(InvalidMessage::ContentLength)?;
        if said.is_some_and(|earlier| earlier != length) {
            return Err(InvalidMessage::ContentLength);
        }
        said = Some(length);
    }
    Ok(said)
}

/// The elements of a list that may be spread over several headers.
fn elements<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.flat_map(|header| header.value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

/// Puts chunks together (section 7.1). Extensions and trailers are left out.
fn dechunked(mut rest: &[u8]) -> Result<Vec<u8>, InvalidMessage> {
    const MALFORMED: InvalidMessage = InvalidMessage::Chunks;
    let mut body = Vec::with_capacity(rest.len());
    loop {
        // httparse takes no digits for 0, and any octet within an extension.
        let Ok(Status::Complete((line, size))) = httparse::parse_chunk_size(rest) else {
            return Err(MALFORMED);
        };
        if !rest[0].is_ascii_hexdigit() || memchr::memchr(b'\n', &rest[..line - 1]).is_some() {
            return Err(MALFORMED);
        }
        rest = &rest[line..];
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).map_err(|_| MALFORMED)?;
        let (chunk, after) = rest.split_at_checked(size).ok_or(MALFORMED)?;
        body.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n").ok_or(MALFORMED)?;
    }
    if rest.len() > MAX_HEAD {
        return Err(InvalidMessage::TooLarge);
    }
    match httparse::parse_headers(rest, &mut [EMPTY_HEADER; MAX_TRAILERS]) {
        Ok(Status::Complete((end, _))) if end == rest.len() => Ok(body),
        Err(httparse::Error::TooManyHeaders) => Err(InvalidMessage::TooLarge),
        _ => Err(MALFORMED),
    }
}

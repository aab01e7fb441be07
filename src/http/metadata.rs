//! What callers call method and target.
use std::borrow::Cow;

use bytes::Bytes;

use super::target;
use crate::stomp::Headers;

/// Names of the target, the first that is there wins: Spring Integration, Camel (absolute, and relative to
/// an endpoint), CXF, SOAP over JMS (RFC 6167).
const TARGET: [&str; 5] =
    ["http_requestUrl", "CamelHttpUri", "CamelHttpPath", "org.apache.cxf.request.uri", "SOAPJMS_requestURI"];

/// Camel's, which have their query apart.
const WITH_QUERY: std::ops::RangeInclusive<usize> = 1..=2;

/// The headers that make a message a request, found in one pass.
#[derive(Debug, Default)]
pub(super) struct Metadata<'a> {
    /// Spring Integration's, Camel's, CXF's: the first that is there wins.
    method: [Option<&'a [u8]>; 3],
    /// As in [`TARGET`].
    target: [Option<&'a [u8]>; TARGET.len()],
    raw_query: Option<&'a [u8]>,
    query: Option<&'a [u8]>,
    pub(super) one_way: Option<&'a [u8]>,
    pub(super) accept_stream: Option<&'a [u8]>,
}

impl<'a> Metadata<'a> {
    pub(super) fn read(headers: &'a Headers) -> Self {
        let mut found = Self::default();
        for (name, value) in headers.iter() {
            if !matches!(name.first(), Some(b'h' | b'C' | b'o' | b'S' | b'O')) {
                continue; // most: one look is cheaper than a dozen
            }
            let slot = match name {
                b"http_requestMethod" => &mut found.method[0],
                b"CamelHttpMethod" => &mut found.method[1],
                b"org.apache.cxf.request.method" => &mut found.method[2],
                b"http_requestUrl" => &mut found.target[0],
                b"CamelHttpUri" => &mut found.target[1],
                b"CamelHttpPath" => &mut found.target[2],
                b"org.apache.cxf.request.uri" => &mut found.target[3],
                b"SOAPJMS_requestURI" => &mut found.target[4],
                b"CamelHttpRawQuery" => &mut found.raw_query,
                b"CamelHttpQuery" => &mut found.query,
                b"OnewayRequest" => &mut found.one_way,
                b"http_acceptStream" => &mut found.accept_stream,
                // Camel and CXF write names with dots and hyphens so, where they must be JMS identifiers.
                b"org_DOT_apache_DOT_cxf_DOT_request_DOT_method" => &mut found.method[2],
                b"org_DOT_apache_DOT_cxf_DOT_request_DOT_uri" => &mut found.target[3],
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        found
    }

    pub(super) fn method(&self) -> Option<&'a [u8]> {
        self.method.iter().flatten().next().copied()
    }

    pub(super) fn has_url(&self) -> bool {
        self.target.iter().any(Option::is_some)
    }

    /// The target in one piece. Camel's query headers replace the query of its URI, as in Camel itself.
    pub(super) fn url(&self, headers: &Headers) -> Option<Bytes> {
        let (at, url) = self.target.iter().enumerate().find_map(|(at, url)| Some((at, (*url)?)))?;
        // The second is decoded already, and may hold what a query cannot.
        let query = self.raw_query.map(Cow::Borrowed).or_else(|| self.query.map(encode_unsafe));
        match query {
            Some(query) if WITH_QUERY.contains(&at) => Some(target::with_query(url, &query)),
            _ => Some(headers.bytes(TARGET[at]).unwrap_or_else(|| Bytes::copy_from_slice(url))),
        }
    }
}

/// Percent-encodes what Camel's `UnsafeUriCharactersEncoder` would: blanks, quotes, brackets, non-ASCII.
/// Control characters stay, to be refused.
fn encode_unsafe(query: &[u8]) -> Cow<'_, [u8]> {
    let is_unsafe = |byte: &u8| !byte.is_ascii() || b" \"<>{}|\\^`#".contains(byte);
    if !query.iter().any(is_unsafe) {
        return Cow::Borrowed(query);
    }
    let mut encoded = Vec::with_capacity(query.len() + 16);
    for byte in query {
        if is_unsafe(byte) {
            encoded.extend_from_slice(percent_encoding::percent_encode_byte(*byte).as_bytes());
        } else {
            encoded.push(*byte);
        }
    }
    Cow::Owned(encoded)
}

/// `true`, in any case: Java, Python and JavaScript differ in it.
pub(super) fn is_true(value: &[u8]) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(b"true")
}

//! What the headers of a message mean to us, found in one pass.
use std::borrow::Cow;
use std::num::NonZeroU32;

use bytes::Bytes;
use smallvec::SmallVec;

use super::reserved::is_plainly_reserved;
use super::target;
use crate::stomp::Headers;

/// Names of the target, the first that is there wins: Spring Integration, Camel (absolute, and relative to
/// an endpoint), CXF, SOAP over JMS (RFC 6167).
const TARGET: [&str; 5] =
    ["http_requestUrl", "CamelHttpUri", "CamelHttpPath", "org.apache.cxf.request.uri", "SOAPJMS_requestURI"];

/// Camel's, which have their query apart.
const WITH_QUERY: std::ops::RangeInclusive<usize> = 1..=2;

/// A header and its value.
pub(super) type Pair<'a> = (&'a [u8], &'a [u8]);

/// The headers that say where a message came from, and those that make it a request. The first of a name counts.
#[derive(Debug, Default)]
pub(super) struct Metadata<'a> {
    pub(super) envelope: Envelope,
    /// Spring Integration's, Camel's, CXF's: the first that is there wins.
    method: [Option<&'a [u8]>; 3],
    /// As in [`TARGET`].
    target: [Option<&'a [u8]>; TARGET.len()],
    raw_query: Option<&'a [u8]>,
    query: Option<&'a [u8]>,
    pub(super) one_way: Option<&'a [u8]>,
    pub(super) accept_stream: Option<&'a [u8]>,
    pub(super) content_type: Option<&'a [u8]>,
    /// What may be a header of HTTP's, `content-type` among them.
    pub(super) others: SmallVec<[Pair<'a>; 16]>,
}

/// The places of STOMP's own.
#[derive(Debug, Clone, Default)]
pub(super) struct Envelope {
    pub(super) destination: Place,
    pub(super) subscription: Place,
    pub(super) message_id: Place,
    pub(super) correlation_id: Place,
    pub(super) reply_to: Place,
    pub(super) redelivered: Place,
    pub(super) expires: Place,
    pub(super) persistent: Place,
    pub(super) content_length: Place,
    pub(super) destination_type: Place,
    /// JMSMessageID of an OpenWire or AMQP client on Artemis, whose own `message-id` it does not know.
    pub(super) jms_message_id: Place,
}

/// Which of a message's headers it is, if it is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub(super) struct Place(Option<NonZeroU32>);

impl Place {
    /// The first of a name counts.
    fn found(&mut self, at: usize) {
        self.0 = self.0.or_else(|| NonZeroU32::new(u32::try_from(at + 1).ok()?));
    }

    /// Itself, if it is there.
    pub(super) fn known(self) -> Option<Self> {
        self.0.map(|_| self)
    }

    /// The value of that header.
    pub(super) fn of(self, headers: &Headers) -> Option<&[u8]> {
        self.0.map(|place| headers.value(place.get() as usize - 1))
    }
}

impl Envelope {
    /// Where the place of this one is kept, if it is. Lengths first: they tell most names apart.
    fn place(&mut self, name: &[u8]) -> Option<&mut Place> {
        Some(match (name.len(), name) {
            (7, b"expires") => &mut self.expires,
            (8, b"reply-to") => &mut self.reply_to,
            (10, b"message-id") => &mut self.message_id,
            (10, b"persistent") => &mut self.persistent,
            (11, b"destination") => &mut self.destination,
            (11, b"redelivered") => &mut self.redelivered,
            (12, b"subscription") => &mut self.subscription,
            (14, b"content-length") => &mut self.content_length,
            (14, b"correlation-id") => &mut self.correlation_id,
            (16, b"destination-type") => &mut self.destination_type,
            (16, b"__HDR_MESSAGE_ID") | (17, b"NATIVE_MESSAGE_ID") => &mut self.jms_message_id,
            _ => return None,
        })
    }
}

impl<'a> Metadata<'a> {
    pub(super) fn read(headers: &'a Headers) -> Self {
        let mut found = Self::default();
        for (at, name) in headers.names().enumerate() {
            if let Some(place) = found.envelope.place(name) {
                place.found(at);
                continue;
            }
            if let Some(slot) = found.slot(name) {
                slot.get_or_insert(headers.value(at));
            }
            if !is_plainly_reserved(name) {
                found.others.push((name, headers.value(at)));
            }
        }
        found
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        // Most: one look is cheaper than a dozen.
        if !matches!(name.first(), Some(b'h' | b'C' | b'o' | b'S' | b'O' | b'c')) {
            return None;
        }
        Some(match (name.len(), name) {
            (18, b"http_requestMethod") => &mut self.method[0],
            (15, b"CamelHttpMethod") => &mut self.method[1],
            (29, b"org.apache.cxf.request.method") => &mut self.method[2],
            (15, b"http_requestUrl") => &mut self.target[0],
            (12, b"CamelHttpUri") => &mut self.target[1],
            (13, b"CamelHttpPath") => &mut self.target[2],
            (26, b"org.apache.cxf.request.uri") => &mut self.target[3],
            (18, b"SOAPJMS_requestURI") => &mut self.target[4],
            (17, b"CamelHttpRawQuery") => &mut self.raw_query,
            (14, b"CamelHttpQuery") => &mut self.query,
            (13, b"OnewayRequest") => &mut self.one_way,
            (17, b"http_acceptStream") => &mut self.accept_stream,
            (12, b"content-type") => &mut self.content_type,
            // Camel and CXF write names with dots and hyphens so, where they must be JMS identifiers.
            (_, b"org_DOT_apache_DOT_cxf_DOT_request_DOT_method") => &mut self.method[2],
            (_, b"org_DOT_apache_DOT_cxf_DOT_request_DOT_uri") => &mut self.target[3],
            _ => return None,
        })
    }

    pub(super) fn method(&self) -> Option<&'a [u8]> {
        self.method.iter().flatten().next().copied()
    }

    pub(super) fn has_url(&self) -> bool {
        self.target.iter().any(Option::is_some)
    }

    /// The target in one piece. Camel's query headers replace the query of its URI, as in Camel itself. `headers` are those
    /// that were read.
    pub(super) fn url(&self, headers: &Headers) -> Option<Bytes> {
        let (at, url) = self.target.iter().enumerate().find_map(|(at, url)| Some((at, (*url)?)))?;
        // The second is decoded already, and may hold what a query cannot.
        let query = self.raw_query.map(Cow::Borrowed).or_else(|| self.query.map(encode_unsafe));
        match query {
            Some(query) if WITH_QUERY.contains(&at) => Some(target::with_query(url, &query)),
            _ => Some(headers.share(url)),
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

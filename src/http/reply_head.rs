//! Status and headers of a response, as they leave.
use std::borrow::Cow;

use smallvec::SmallVec;

use super::name::{HeaderNames, Short, has_prefix, same_key};
use super::reserved::is_reserved_outwards;
use super::{Delivery, Fault, Head, Mapping, Status, whole};
use crate::link::FrameLimits;
use crate::stomp::{Command, Encoder, Version};

/// A head whose names and values are fit for any broker.
#[derive(Debug)]
pub(super) struct ReplyHead<'a> {
    pub(super) code: u16,
    pub(super) reason: Cow<'a, [u8]>,
    pub(super) content_type: Option<Cow<'a, [u8]>>,
    /// No two of the same name.
    pub(super) fields: SmallVec<[Field<'a>; 12]>,
    /// What comes before the body, in structured mode: the response's own head.
    pub(super) inner: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) name: Short,
    pub(super) value: Cow<'a, [u8]>,
}

/// The same as bytes.
#[derive(Debug)]
pub(super) struct EncodedHead<'a> {
    /// The headers' lines.
    pub(super) lines: Cow<'a, [u8]>,
    /// As in [`ReplyHead`].
    pub(super) inner: Vec<u8>,
}

/// What a head's lines depend on, besides the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    version: Version,
    names: HeaderNames,
    max_headers: usize,
    max_header_line: usize,
    /// Of [`FrameLimits`].
    short: usize,
}

/// The most headers that [`Envelope`](super::envelope::Envelope) adds to those of the head.
pub(super) const OURS: usize = 14;

impl<'a> EncodedHead<'a> {
    /// An application's head, which keeps what it was encoded to: most applications have one for many replies. For
    /// `length` see [`ReplyHead::new`], for `broken` [`ReplyHead::encode`].
    pub(super) fn of(
        head: &'a Head,
        mapping: &Mapping,
        version: Version,
        limits: &FrameLimits,
        length: bool,
        broken: bool,
    ) -> Result<Self, Fault> {
        let &Mapping { reply_header_names: names, max_headers, max_header_line, .. } = mapping;
        let manner = Manner { version, names, max_headers, max_header_line, short: limits.short };
        let encode = || {
            let reply = ReplyHead::new(head, mapping, limits, length)?;
            Ok(reply.encode(version, broken).lines.into_owned())
        };
        // What is rare is not kept, and in nobody's way.
        let lines = if length || broken { encode()?.into() } else { head.encoded(manner, encode)? };
        Ok(Self { lines, inner: Vec::new() })
    }
}

impl<'a> ReplyHead<'a> {
    /// A status alone.
    pub(super) fn bare(status: &'a Status) -> Self {
        let reason = outward(&status.reason);
        Self { code: status.code, reason, content_type: None, fields: SmallVec::new(), inner: Vec::new() }
    }

    /// A status with a text for people, `length` octets long, in the kind of the request.
    pub(super) fn plain(status: &'a Status, delivery: &Delivery, length: usize) -> Self {
        const TEXT: &[u8] = b"text/plain; charset=utf-8";
        if !delivery.structured {
            return Self { content_type: Some(Cow::Borrowed(TEXT)), ..Self::bare(status) };
        }
        let mut head = Head::new(status.clone());
        head.headers.push((b"Content-Type".to_vec(), TEXT.to_vec()));
        Self::around(status, whole::head(&head, delivery.head_only, length as u64))
    }

    /// An application's head in structured mode, with `taken` octets of body. Of its headers no broker sees
    /// any.
    pub(super) fn whole(
        head: &'a Head,
        mapping: &Mapping,
        limits: &FrameLimits,
        is_head: bool,
        taken: usize,
    ) -> Result<Self, Fault> {
        let mut reply = Self::around(&head.status, whole::head(head, is_head, taken as u64));
        let limit = mapping.max_body(limits);
        if reply.inner.len() + taken > limit {
            return Err(Fault::TooLarge { limit });
        }
        if !mapping.fits(b"http_reasonPhrase", &reply.reason) {
            reply.reason = Cow::Borrowed(b""); // it is in the response, too
        }
        Ok(reply)
    }

    fn around(status: &'a Status, inner: Vec<u8>) -> Self {
        let content_type = Some(Cow::Borrowed(&b"application/http; msgtype=response"[..]));
        Self { content_type, inner, ..Self::bare(status) }
    }

    /// An application's head. `length` says whether its Content-Length goes along: only a reply to HEAD
    /// cannot be counted by who gets it.
    pub(super) fn new(
        head: &'a Head,
        mapping: &Mapping,
        limits: &FrameLimits,
        length: bool,
    ) -> Result<Self, Fault> {
        let names = mapping.reply_header_names;
        let mut reply = Self::bare(&head.status);
        let mut cookies = 0_usize;
        let mut dropped = 0_usize;
        for (name, value) in &head.headers {
            if same_key(name, b"content-type") {
                if reply.content_type.is_none() {
                    reply.content_type = Some(outward(value));
                } else {
                    dropped += 1;
                }
                continue;
            }
            if same_key(name, b"content-length") {
                let written = if length { names.write(b"Content-Length") } else { None };
                if let Some(written) = written.filter(|written| !reply.has(written)) {
                    reply.fields.push(Field { name: written, value: outward(value) });
                }
                continue;
            }
            let written = names.write(name).filter(|written| !is_reserved_outwards(written));
            let Some(mut written) = written.filter(|written| !is_indexed_cookie(written)) else {
                dropped += 1;
                continue;
            };
            if is_cookie(&written, names) {
                // A comma may be part of a cookie: joined, they could not be told apart (RFC 9110
                // section 5.3).
                cookies += 1;
                if cookies > 1 {
                    written.push(b'_');
                    written.extend_from_slice(itoa::Buffer::new().format(cookies).as_bytes());
                }
            } else if let Some(known) = reply.find(&written) {
                let joined = known.value.to_mut();
                joined.extend_from_slice(b", ");
                joined.extend_from_slice(&outward(value));
                continue;
            }
            reply.fields.push(Field { name: written, value: outward(value) });
        }
        // Once for a head that stays the same: the next replies have it encoded.
        if dropped > 0 {
            tracing::warn!(dropped, "response headers left out: brokers or STOMP claim their names");
        }
        reply.fits(mapping, limits)
    }

    /// `broken` where the reply is not whole.
    pub(super) fn encode(self, version: Version, broken: bool) -> EncodedHead<'static> {
        let fields: usize = self.fields.iter().map(|field| field.name.len() + field.value.len() + 8).sum();
        let mut lines = Vec::with_capacity(128 + fields);
        let mut encoder = Encoder::resume(&mut lines, version, Command::Send)
            .known("http_statusCode", itoa::Buffer::new().format(self.code));
        if !self.reason.is_empty() {
            encoder = encoder.known("http_reasonPhrase", &self.reason);
        }
        encoder = encoder.known("http_isError", if broken || self.code >= 400 { "true" } else { "false" });
        if let Some(content_type) = &self.content_type {
            encoder = encoder.known("content-type", content_type);
            // A JMS property's name has no hyphen: Artemis hands no `content-type` to JMS clients, no selector can name it,
            // and Spring reads `content_type`. A whole response says what it is by itself.
            if self.inner.is_empty() {
                encoder = encoder.known("content_type", content_type);
            }
        }
        for field in &self.fields {
            encoder = encoder.header(&field.name, &field.value);
        }
        EncodedHead { lines: lines.into(), inner: self.inner }
    }

    fn find(&mut self, name: &[u8]) -> Option<&mut Field<'a>> {
        self.fields.iter_mut().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    fn has(&self, name: &[u8]) -> bool {
        self.fields.iter().any(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// Checks how many headers there are, and how long each is.
    fn fits(self, mapping: &Mapping, limits: &FrameLimits) -> Result<Self, Fault> {
        let headers = self.fields.len() + OURS;
        if headers > mapping.max_headers {
            return Err(Fault::TooManyHeaders { headers });
        }
        let ours = [("http_reasonPhrase", Some(&self.reason)), ("content-type", self.content_type.as_ref())];
        let ours = ours.iter().filter_map(|(name, value)| Some((name.as_bytes(), (*value)?)));
        let fields = self.fields.iter().map(|field| (&field.name[..], &field.value));
        // What is so short fits, whatever is escaped in it.
        let short = limits.short.min((mapping.max_header_line / 2).saturating_sub(1));
        for (name, value) in ours.chain(fields) {
            if name.len() + value.len() <= short {
                continue;
            }
            let shown = || String::from_utf8_lossy(&name[..name.len().min(60)]).into_owned();
            if !mapping.fits(name, value) {
                return Err(Fault::HeaderLine { name: shown(), octets: line_len(name, value) });
            }
            if !limits.takes(name, value) {
                return Err(Fault::LongString { name: shown(), limit: limits.short });
            }
        }
        Ok(self)
    }
}

/// The octets of a header line: name, colon, escaped value, line feed.
pub(super) fn line_len(name: &[u8], value: &[u8]) -> usize {
    escaped_len(name) + escaped_len(value) + 2
}

/// What a text takes up when it is escaped as in STOMP 1.2, where that is most.
fn escaped_len(text: &[u8]) -> usize {
    text.len() + text.iter().filter(|byte| matches!(byte, b':' | b'\\' | b'\n' | b'\r')).count()
}

fn is_cookie(written: &[u8], names: HeaderNames) -> bool {
    match names {
        HeaderNames::Camel => written.eq_ignore_ascii_case(b"Set_HYPHEN_Cookie"),
        HeaderNames::Underscore => written.eq_ignore_ascii_case(b"Set_Cookie"),
        HeaderNames::Train | HeaderNames::Raw => written.eq_ignore_ascii_case(b"Set-Cookie"),
    }
}

/// Whether an application named a header as the second cookie would be.
fn is_indexed_cookie(written: &[u8]) -> bool {
    let cookies: [&[u8]; 3] = [b"Set-Cookie_", b"Set_Cookie_", b"Set_HYPHEN_Cookie_"];
    if !has_prefix(written, b"set") {
        return false;
    }
    cookies
        .iter()
        .any(|cookie| has_prefix(written, cookie) && written[cookie.len()..].iter().all(u8::is_ascii_digit))
}

/// A value as STOMP wants it: UTF-8 as it is, and anything else taken for latin-1. Control characters, which
/// a checked [`Head`] has none of, become spaces.
fn outward(value: &[u8]) -> Cow<'_, [u8]> {
    let mut value = match std::str::from_utf8(value) {
        Ok(_) => Cow::Borrowed(value),
        Err(_) => Cow::Owned(value.iter().copied().map(char::from).collect::<String>().into_bytes()),
    };
    if value.iter().any(u8::is_ascii_control) {
        for byte in value.to_mut().iter_mut().filter(|byte| byte.is_ascii_control()) {
            *byte = b' ';
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(names: HeaderNames, headers: &[(&str, &[u8])]) -> Vec<(String, String)> {
        let headers =
            headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect();
        let mut head = Head::new(Status::of(200));
        head.headers = headers;
        let mapping = Mapping { reply_header_names: names, ..Mapping::default() };
        let reply = ReplyHead::new(&head, &mapping, Default::default(), false).expect("a small head fits");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("what leaves is UTF-8");
        reply.fields.iter().map(|field| (text(&field.name), text(&field.value))).collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn names_are_canonical_and_repeats_joined() {
        let headers: &[(&str, &[u8])] = &[
            ("x-a", b"1"),
            ("set-cookie", b"a=1"),
            ("X-A", b"2"),
            ("Set-Cookie", b"b=2, c"),
            ("expires", b"Thu, 01 Jan 1970 00:00:00 GMT"),
            ("SET-COOKIE", b"c=3"),
            ("Content-Length", b"5"),
        ];
        let expected = [
            ("X-A", "1, 2"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie_2", "b=2, c"),
            ("Expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("Set-Cookie_3", "c=3"),
        ];
        assert_eq!(rendered(HeaderNames::Train, headers), pairs(&expected));
        let camel = rendered(HeaderNames::Camel, headers);
        assert_eq!(camel[2], ("Set_HYPHEN_Cookie_2".to_owned(), "b=2, c".to_owned()));
        let underscore = rendered(HeaderNames::Underscore, headers);
        assert_eq!(underscore[2], ("Set_Cookie_2".to_owned(), "b=2, c".to_owned()));
    }

    #[test]
    fn raw_names_lose_those_that_bite() {
        let headers: &[(&str, &[u8])] = &[
            ("eTag", b"1"),
            ("expires", b"x"),
            ("x-a", b"x"),
            ("priority", b"u=1"),
            ("X-A", b"y"),
            ("etag", b"2"),
        ];
        assert_eq!(rendered(HeaderNames::Raw, headers), pairs(&[("eTag", "1, 2"), ("X-A", "y")]));
    }

    #[test]
    fn claimed_names_are_dropped() {
        for name in [
            "JMSExpiration",
            "jmsexpiration",
            "AMQ_SCHEDULED_DELAY",
            "_AMQ_X",
            "amqp-message-id",
            "http_statusCode",
            "CamelHttpUri",
            "Set-Cookie_2",
            "Proxy",
            "bad name",
            "bad:name",
            "",
        ] {
            assert_eq!(rendered(HeaderNames::Train, &[(name, b"5")]), [], "{name}");
        }
    }

    #[test]
    fn values_are_utf8_or_made_so() {
        for (value, expected) in [
            (&b"plain"[..], "plain"),
            ("caf\u{e9} \u{20ac}".as_bytes(), "caf\u{e9} \u{20ac}"),
            (b"caf\xe9", "caf\u{e9}"),
            (b"a\r\nb\0\xff", "a  b \u{ff}"),
        ] {
            assert_eq!(rendered(HeaderNames::Train, &[("X-A", value)]), pairs(&[("X-A", expected)]));
        }
    }

    #[test]
    fn content_type_and_length_have_places_of_their_own() {
        let mut head = Head::new(Status::of(200));
        for (name, value) in [("content-TYPE", "a/b"), ("Content_Type", "x"), ("Content-Length", "9")] {
            head.header(name.as_bytes(), value.as_bytes()).unwrap();
        }
        let mapping = Mapping { reply_header_names: HeaderNames::Raw, ..Mapping::default() };
        let reply = ReplyHead::new(&head, &mapping, Default::default(), true).unwrap();
        assert_eq!(reply.content_type.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(reply.fields.len(), 1);
        assert_eq!(&reply.fields[0].name[..], b"Content-Length");
    }

    #[test]
    fn what_is_kept_is_of_this_head_and_this_manner() {
        let lines = |head: &Head, mapping: &Mapping, version, length, broken| {
            let encoded = EncodedHead::of(head, mapping, version, Default::default(), length, broken);
            let encoded = encoded.expect("a small head fits");
            String::from_utf8(encoded.lines.into_owned()).expect("what leaves is UTF-8")
        };
        let camel = Mapping { reply_header_names: HeaderNames::Camel, ..Mapping::default() };
        let small = Mapping { max_header_line: 10, ..Mapping::default() };
        let manners = [
            (Mapping::default(), Version::V1_2, false, false),
            (Mapping::default(), Version::V1_2, false, true),
            (Mapping::default(), Version::V1_2, true, false),
            (Mapping::default(), Version::V1_0, false, false),
            (camel, Version::V1_2, false, false),
        ];
        let mut head = Head::new(Status::of(200));
        head.header(b"x-a", b"1:2").unwrap();
        head.header(b"content-length", b"3").unwrap();
        for (first, version, length, broken) in &manners {
            // One that has kept nothing yet.
            let mut head = head.clone();
            head.status.code = 200;
            let kept = lines(&head, first, *version, *length, *broken);
            assert_eq!(lines(&head.clone(), first, *version, *length, *broken), kept);
            for (mapping, version, length, broken) in &manners {
                // A changed one knows nothing of what was kept.
                let (mut fresh, mut same) = (head.clone(), head.clone());
                fresh.status.reason.clear();
                fresh.status.reason.extend_from_slice(b"OK");
                let expected = lines(&fresh, mapping, *version, *length, *broken);
                assert_eq!(lines(&head, mapping, *version, *length, *broken), expected);
                assert_eq!(lines(&same, mapping, *version, *length, *broken), expected);
                same.status.code = 201;
                let changed = lines(&same, mapping, *version, *length, *broken);
                assert_eq!(changed, expected.replace("200", "201"));
            }
            assert!(EncodedHead::of(&head, &small, *version, Default::default(), *length, *broken).is_err());
        }
        assert_eq!(
            lines(&head, &manners[4].0, Version::V1_2, true, true),
            "http_statusCode:200\nhttp_reasonPhrase:OK\nhttp_isError:true\nX_HYPHEN_A:1\\c2\n\
             Content_HYPHEN_Length:3\n"
        );
    }

    #[test]
    fn what_a_broker_would_refuse_does_not_fit() {
        let mapping = Mapping::default();
        let with = |value: Vec<u8>| {
            let mut head = Head::new(Status::of(200));
            head.headers.push((b"x-a".to_vec(), value));
            head
        };
        assert!(ReplyHead::new(&with(vec![b'x'; 10_240 - 5]), &mapping, Default::default(), false).is_ok());
        let fault =
            ReplyHead::new(&with(vec![b'x'; 10_240 - 4]), &mapping, Default::default(), false).unwrap_err();
        assert_eq!(fault, Fault::HeaderLine { name: "X-A".into(), octets: 10_241 });
        let fault =
            ReplyHead::new(&with(vec![b':'; 5_200]), &mapping, Default::default(), false).unwrap_err();
        assert!(matches!(fault, Fault::HeaderLine { octets: 10_405, .. }), "{fault:?}");

        let mut head = Head::new(Status::of(200));
        head.headers = (0..76).map(|n| (format!("x-{n}").into_bytes(), vec![])).collect();
        assert!(ReplyHead::new(&head, &mapping, Default::default(), false).is_ok());
        head.headers.push((b"x-last".to_vec(), vec![]));
        let fault = ReplyHead::new(&head, &mapping, Default::default(), false).unwrap_err();
        assert_eq!(fault, Fault::TooManyHeaders { headers: 91 });
    }
}

//! Request targets: path, query and host out of what a caller wrote.
use std::borrow::Cow;

use bytes::Bytes;

use super::name::{alphanumerics_and, has_prefix};

/// A target in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Path and query as they came, with a `/` in front; no host, no fragment.
    pub(super) target: Bytes,
    /// The path, percent-decoded.
    pub(super) path: Vec<u8>,
    /// What follows the first `?`.
    pub(super) query: Bytes,
    /// The host of an absolute target.
    pub(super) host: Option<Bytes>,
}

/// Why a target is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTarget {
    /// A space or a control character; RFC 9112 section 3.2 calls such a request invalid.
    #[error("it holds a space or a control character; percent-encode it")]
    Characters,
    /// An absolute target of another scheme, such as `ftp://`.
    #[error("its scheme is neither http nor https")]
    Scheme,
    /// An absolute target without a host, or with one that no URL can have (RFC 3986 section 3.2.2).
    #[error("its host is missing or malformed")]
    Host,
    /// `user@host`: RFC 9110 section 4.2.4 takes it for an attempt to obscure the host.
    #[error("it names a user before the host")]
    UserInfo,
}

/// What a caller's URL turns out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parsed {
    Target(Target),
    /// A `jms:` URI (RFC 6167), which names the destination and no path; what follows its `?`.
    Destination {
        query: Bytes,
    },
}

/// Reads `/path?query`, `path`, `?query`, `*`, `http://host/path?query` or `jms:...`.
pub(super) fn parse(url: &Bytes) -> Result<Parsed, InvalidTarget> {
    if url.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
        return Err(InvalidTarget::Characters);
    }
    let end = memchr::memchr(b'#', url).unwrap_or(url.len());
    let url = url.slice(..end);
    if has_prefix(&url, b"jms:") {
        let query = memchr::memchr(b'?', &url).map_or_else(Bytes::new, |at| url.slice(at + 1..));
        return Ok(Parsed::Destination { query });
    }
    let Some(authority) = authority(&url)? else {
        return Ok(Parsed::Target(origin(url, None)));
    };
    let rest = url.slice(authority..);
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let host = rest.slice(..end);
    if memchr::memchr(b'@', &host).is_some() {
        return Err(InvalidTarget::UserInfo);
    }
    if !is_host(&host) {
        return Err(InvalidTarget::Host);
    }
    Ok(Parsed::Target(origin(rest.slice(end..), Some(host))))
}

/// Where the host of an absolute URL begins; `None` where the URL is not absolute.
fn authority(url: &[u8]) -> Result<Option<usize>, InvalidTarget> {
    if url.first() == Some(&b'/') {
        return Ok(None); // by far the most frequent
    }
    for scheme in [&b"http://"[..], b"https://"] {
        if has_prefix(url, scheme) {
            return Ok(Some(scheme.len()));
        }
    }
    // `a?u=ftp://b` is a path: only what a scheme may be made of counts (RFC 3986 section 3.1).
    let scheme = url
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')))
        .unwrap_or(url.len());
    if scheme > 0 && url[scheme..].starts_with(b"://") { Err(InvalidTarget::Scheme) } else { Ok(None) }
}

/// A target in origin form, or nearly so.
fn origin(url: Bytes, host: Option<Bytes>) -> Target {
    let target = match url.first() {
        Some(b'/') => url,
        _ if url == "*"[..] => url,
        _ => [b"/", &url[..]].concat().into(),
    };
    let (path, query) = match memchr::memchr(b'?', &target) {
        Some(at) => (&target[..at], target.slice(at + 1..)),
        None => (&target[..], Bytes::new()),
    };
    let path = Cow::from(percent_encoding::percent_decode(path)).into_owned();
    Target { path, query, target, host }
}

/// `url` with `query` in the place of its own.
pub(super) fn with_query(url: &[u8], query: &[u8]) -> Bytes {
    let end = url.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(url.len());
    let query = query.strip_prefix(b"?").unwrap_or(query);
    // A fragment in a query of its own header would cut nothing but the query.
    let separator: &[u8] = if query.is_empty() { b"" } else { b"?" };
    [&url[..end], separator, query].concat().into()
}

/// Whether `host` can stand in a `Host` header: `name[:port]`, an IPv4 address or `[IPv6]`, not empty.
/// Django answers 400 to some of these; that is its own to say.
pub(super) fn is_host(host: &[u8]) -> bool {
    let (named, port) = match host.split_first() {
        Some((b'[', rest)) => match memchr::memchr(b']', rest) {
            Some(at) => (is_ip_literal(&rest[..at]), &rest[at + 1..]),
            None => return false,
        },
        _ => {
            let (name, port) = host.split_at(memchr::memchr(b':', host).unwrap_or(host.len()));
            (is_name(name), port)
        }
    };
    let port = match port.split_first() {
        None => true,
        Some((b':', digits)) => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    };
    named && port
}

/// RFC 3986 section 3.2.2, `reg-name`, which IPv4 addresses are, too; here it is not empty.
fn is_name(name: &[u8]) -> bool {
    let encoded =
        |at: usize| name.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    let stands = |(at, byte): (usize, &u8)| HOST[usize::from(*byte)] && (*byte != b'%' || encoded(at));
    !name.is_empty() && name.iter().enumerate().all(stands)
}

/// What stands between brackets: an IPv6 address, with a zone (RFC 6874) or without, or `v1.x` (`IPvFuture`).
fn is_ip_literal(literal: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(literal) else { return false };
    if let Some((version, address)) = text.strip_prefix(['v', 'V']).and_then(|rest| rest.split_once('.')) {
        let address = address.as_bytes();
        return !version.is_empty()
            && version.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !address.is_empty()
            && address.iter().all(|&byte| byte != b'%' && (HOST[usize::from(byte)] || byte == b':'));
    }
    let (address, zone) = text.split_once("%25").unwrap_or((text, "zone"));
    address.parse::<std::net::Ipv6Addr>().is_ok() && is_name(zone.as_bytes())
}

/// The bytes of a host's name (RFC 3986 section 3.2.2).
const HOST: [bool; 256] = alphanumerics_and(b"-._~%!$&'()*+,;=");

/// `bytes` as part of a path: what has a meaning of its own there, or is not printable ASCII, is encoded;
/// `keep` says which of the ambiguous bytes stay.
pub(super) fn encoded(bytes: &[u8], keep: impl Fn(u8) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (byte.is_ascii_graphic() && keep(byte))
        {
            text.push(char::from(byte));
        } else {
            text.push_str(percent_encoding::percent_encode_byte(byte));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(url: &str) -> Target {
        match parse(&Bytes::copy_from_slice(url.as_bytes())) {
            Ok(Parsed::Target(target)) => target,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn targets() {
        for (url, target, path, query, host) in [
            ("/", "/", "/", "", None),
            ("", "/", "/", "", None),
            ("/a/b?c=d", "/a/b?c=d", "/a/b", "c=d", None),
            ("a/b", "/a/b", "/a/b", "", None),
            ("?c", "/?c", "/", "c", None),
            ("/a?", "/a?", "/a", "", None),
            ("/a??b?", "/a??b?", "/a", "?b?", None),
            ("/a?b#c", "/a?b", "/a", "b", None),
            ("/a#?b", "/a", "/a", "", None),
            ("*", "*", "*", "", None),
            ("*x", "/*x", "/*x", "", None),
            ("//host/a", "//host/a", "//host/a", "", None),
            ("/%41%2f%3f", "/%41%2f%3f", "/A/?", "", None),
            ("/%zz%4", "/%zz%4", "/%zz%4", "", None),
            ("/a?%41", "/a?%41", "/a", "%41", None),
            ("/\u{e9}", "/\u{e9}", "/\u{e9}", "", None),
            ("http://h", "/", "/", "", Some("h")),
            ("HTTPS://h:8443/a?b", "/a?b", "/a", "b", Some("h:8443")),
            ("http://h?b", "/?b", "/", "b", Some("h")),
            ("http://h#b", "/", "/", "", Some("h")),
            ("http://[::1]:80/", "/", "/", "", Some("[::1]:80")),
            ("http://[fe80::a%25en1]/", "/", "/", "", Some("[fe80::a%25en1]")),
            ("http://[v1.fe:d]/", "/", "/", "", Some("[v1.fe:d]")),
            ("http://caf%C3%A9:/", "/", "/", "", Some("caf%C3%A9:")),
            ("redirect?to=ftp://x", "/redirect?to=ftp://x", "/redirect", "to=ftp://x", None),
            ("a:b", "/a:b", "/a:b", "", None),
        ] {
            let got = parsed(url);
            assert_eq!(got.target, target, "{url}");
            assert_eq!(got.path, path.as_bytes(), "{url}");
            assert_eq!(got.query, query, "{url}");
            assert_eq!(got.host.as_deref(), host.map(str::as_bytes), "{url}");
        }
    }

    #[test]
    fn paths_decode_to_any_bytes() {
        assert_eq!(parsed("/%E2%82%AC%ff%00").path, b"/\xe2\x82\xac\xff\0");
    }

    #[test]
    fn impossible_targets() {
        use InvalidTarget::{Characters, Host, Scheme, UserInfo};
        for (url, error) in [
            ("/a b", Characters),
            ("/a\r\nX: y", Characters),
            ("/\0", Characters),
            ("/\u{7f}", Characters),
            ("/a#\n", Characters),
            ("ftp://x/", Scheme),
            ("tcp://x", Scheme),
            ("http://", Host),
            ("http:///a", Host),
            ("http://?a", Host),
            ("http://a<b/", Host),
            ("http://a:b/", Host),
            ("http://a:123456/", Host),
            ("http://[::1/", Host),
            ("http://[]/", Host),
            ("http://[zz]/", Host),
            ("http://[::1]x/", Host),
            ("http://[1.2.3.4]/", Host),
            ("http://[::1%25]/", Host),
            ("http://[v.a]/", Host),
            ("http://a:80:80/", Host),
            ("http://a%zz/", Host),
            ("http://u:p@h/", UserInfo),
        ] {
            assert_eq!(parse(&Bytes::copy_from_slice(url.as_bytes())), Err(error), "{url:?}");
        }
    }

    #[test]
    fn jms_uris_name_no_path() {
        for (url, query) in [
            ("jms:queue:orders?targetService=a&x=/b", "targetService=a&x=/b"),
            ("JMS:jndi:dynamicQueues/x", ""),
        ] {
            let expected = Parsed::Destination { query: Bytes::copy_from_slice(query.as_bytes()) };
            assert_eq!(parse(&Bytes::copy_from_slice(url.as_bytes())), Ok(expected), "{url}");
        }
    }

    #[test]
    fn queries_are_replaced() {
        for (url, query, whole) in [
            ("/a", "b", "/a?b"),
            ("/a?x", "b", "/a?b"),
            ("/a?x#y", "?b", "/a?b"),
            ("/a?x", "", "/a"),
            ("http://h", "b", "http://h?b"),
        ] {
            assert_eq!(with_query(url.as_bytes(), query.as_bytes()), whole, "{url} {query}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail(url in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(Parsed::Target(target)) = parse(&url.into()) {
                prop_assert!(target.path.first() == Some(&b'/') || target.path == b"*");
                prop_assert!(target.target.ends_with(&target.query));
                prop_assert!(!target.target.iter().any(|&byte| byte <= b' ' || byte == b'#'));
            }
        }

        #[test]
        fn encoding_is_undone_by_decoding(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let text = encoded(&bytes, |byte| byte == b'/');
            prop_assert_eq!(percent_encoding::percent_decode_str(&text).collect::<Vec<_>>(), bytes);
        }
    }
}

//! A call as one whole HTTP request in the body of a message, and the response that comes back so.

use std::mem::MaybeUninit;

use httparse::Status;

use super::{Call, Part};

/// The media type of the request (RFC 9112 section 10.2).
pub(super) const MEDIA_TYPE: &str = "application/http; msgtype=request";

/// The most headers of a response.
const MAX_HEADERS: usize = 1000;

/// Request line, headers and body. `Host` and `Content-Length` are added where the call has none; a `Host`
/// without a value says that there is nothing to put there (RFC 9112 section 3.2).
pub(super) fn request(call: &Call) -> Vec<u8> {
    let has = |name: &str| call.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let mut out = Vec::with_capacity(256 + call.body.len());
    line(&mut out, &[&call.method, " ", &call.target, " HTTP/1.1"]);
    if !has("host") {
        line(&mut out, &["Host:"]);
    }
    for (name, value) in &call.headers {
        line(&mut out, &[name, ": ", value]);
    }
    if !call.body.is_empty() && !has("content-length") && !has("transfer-encoding") {
        line(&mut out, &["Content-Length: ", &call.body.len().to_string()]);
    }
    line(&mut out, &[]);
    out.extend_from_slice(&call.body);
    out
}

/// Control characters become spaces, so that nothing adds lines of its own.
fn line(out: &mut Vec<u8>, pieces: &[&str]) {
    let bytes = pieces.iter().flat_map(|piece| piece.bytes());
    out.extend(bytes.map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

/// Takes the response out of a reply. A reply of another kind, as who does not know this one sends, stays.
pub(super) fn opened(part: Part) -> Part {
    let is_response = |(name, value): &(String, String)| {
        name == "content-type" && value.to_ascii_lowercase().starts_with("application/http")
    };
    if !part.headers.iter().any(is_response) {
        return part;
    }
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let parsed = config.parse_response_with_uninit_headers(&mut response, &part.body, &mut headers);
    let (Ok(Status::Complete(length)), Some(code)) = (parsed, response.code) else {
        tracing::warn!("the response in the reply cannot be parsed: it is shown as it came");
        return Part { is_error: true, ..part };
    };
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Part {
        status: Some((code, response.reason.unwrap_or_default().to_owned())),
        headers: response.headers.iter().map(|header| (header.name.to_owned(), text(header.value))).collect(),
        body: part.body.slice(length..),
        ..part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(headers: &[(&str, &str)], body: &'static str) -> Vec<u8> {
        request(&Call {
            method: "PUT".into(),
            target: "/a?b".into(),
            headers: headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: body.into(),
            ..Call::default()
        })
    }

    #[test]
    fn a_request_is_whole() {
        assert_eq!(call(&[], ""), b"PUT /a?b HTTP/1.1\r\nHost:\r\n\r\n");
        let own = [("host", "h"), ("X-A", "1"), ("X-A", "2")];
        let expected = "PUT /a?b HTTP/1.1\r\nhost: h\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(call(&own, "hi"), expected.as_bytes());
        for framing in [("content-length", "2"), ("Transfer-Encoding", "chunked")] {
            let whole = String::from_utf8(call(&[("Host", ""), framing], "hi")).unwrap();
            assert_eq!(whole.matches(": ").count(), 2, "{whole}");
        }
        let evil = call(&[("X-A", "1\r\nX-B: 2")], "");
        assert_eq!(evil, b"PUT /a?b HTTP/1.1\r\nHost:\r\nX-A: 1  X-B: 2\r\n\r\n");
    }

    fn part(content_type: &str, body: &'static str) -> Part {
        Part {
            sequence: 0,
            more: false,
            is_error: false,
            status: Some((200, "Outside".into())),
            headers: vec![("content-type".into(), content_type.into())],
            body: body.into(),
        }
    }

    #[test]
    fn a_response_is_opened() {
        let whole = "HTTP/1.1 201 Made\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nbody";
        let opened = opened(part("application/http; msgtype=response", whole));
        assert_eq!(opened.status, Some((201, "Made".into())));
        let cookie = |value: &str| ("Set-Cookie".to_owned(), value.to_owned());
        assert_eq!(opened.headers, [cookie("a"), cookie("b")]);
        assert_eq!((&opened.body[..], opened.is_error), (&b"body"[..], false));
    }

    #[test]
    fn another_reply_stays() {
        let plain = part("text/plain", "HTTP/1.1 201 Made\r\n\r\n");
        assert_eq!(opened(plain.clone()), plain);
        let malformed = part("application/http", "HTTP/1.1 201 Made\r\n");
        assert_eq!(opened(malformed.clone()), Part { is_error: true, ..malformed });
    }
}

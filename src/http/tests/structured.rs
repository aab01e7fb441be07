//! Whole requests in, whole responses out.
use super::*;
use httparse::EMPTY_HEADER;

const KIND: Pair<'static> = ("content-type", "application/http; msgtype=request");

/// A message with this body, and a reply-to.
fn wrapped(body: &str) -> Frame {
    call(&[KIND, ("correlation-id", "c"), ("content-length", "1")], body)
}

fn with(headers: &[Pair<'_>], body: &str) -> Frame {
    call(&[&[KIND], headers].concat(), body)
}

/// A response as somebody else reads it.
#[derive(Debug, PartialEq, Eq)]
struct Response {
    code: u16,
    reason: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Response {
    #[track_caller]
    fn of(frame: &Frame) -> Self {
        assert_eq!(frame.headers.text("content-type"), Some("application/http; msgtype=response"));
        let mut headers = [EMPTY_HEADER; 600];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&frame.body).expect("a response");
        assert!(parsed.is_complete(), "{}", frame.body.escape_ascii());
        assert_eq!(response.version, Some(1));
        let code = response.code.unwrap();
        assert_eq!(frame.headers.text("http_statusCode"), Some(code.to_string().as_str()));
        Self {
            code,
            reason: response.reason.unwrap().to_owned(),
            headers: response
                .headers
                .iter()
                .map(|header| (header.name.to_owned(), header.value.to_vec()))
                .collect(),
            body: frame.body[parsed.unwrap()..].to_vec(),
        }
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        let text = |value| std::str::from_utf8(value).expect("UTF-8");
        self.headers.iter().map(|(name, value)| (&name[..], text(value))).collect()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers().into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// The answer to a message that is no request.
#[track_caller]
fn rejection(mapping: &Mapping, frame: &Frame) -> Response {
    let rejected = map(mapping, frame).expect_err("no request");
    let response = Response::of(&one_frame(Version::V1_2, &reject(Version::V1_2, mapping, &rejected, "r")));
    assert_eq!(response.code, rejected.status());
    let length = response.body.len().to_string();
    let expected = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", &length)];
    assert_eq!(response.headers(), expected);
    response
}

#[track_caller]
fn refused(body: &str) -> (u16, InvalidMessage) {
    let frame = wrapped(body);
    let code = rejection(&Mapping::default(), &frame).code;
    match map(&Mapping::default(), &frame).unwrap_err().reason {
        Reason::Message(invalid) => (code, invalid),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_whole_request() {
    let body = "PUT /orders/7%20a?full=1 HTTP/1.1\r\nHost: shop.example:8080\r\nX-Tenant: acme\r\n\
                content-type: text/plain\r\nContent-Length: 5\r\nexpires: never\r\n\r\nhello";
    let frame = with(&[("http_requestMethod", "DELETE"), ("http_requestUrl", "/x"), ("X-Outer", "1")], body);
    let request = request(&frame);
    assert_eq!((&request.method[..], &request.target[..]), ("PUT", &b"/orders/7%20a?full=1"[..]));
    assert_eq!((&request.path[..], &request.query[..]), (&b"/orders/7 a"[..], &b"full=1"[..]));
    assert_eq!(request.host.as_deref(), Some(&b"shop.example:8080"[..]));
    assert_eq!(request.content_type.as_deref(), Some(&b"text/plain"[..]));
    let expected = [("Host", "shop.example:8080"), ("X-Tenant", "acme"), ("expires", "never")];
    let pair = |(name, value): Pair<'_>| (name.to_owned(), value.to_owned());
    assert_eq!(headers(&request), expected.map(pair));
    assert_eq!(request.body, "hello");
    assert!(request.delivery.structured && !request.delivery.one_way && !request.delivery.head_only);
    assert_eq!(request.raw_headers.len(), 5);
    assert_eq!(request.delivery.headers, frame.headers);
}

#[test]
fn a_whole_response() {
    let request = request(&wrapped("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    let app = [
        ("content-type", "text/html"),
        ("x-a", "1"),
        ("Set-Cookie", "a=1"),
        ("X-A", "2"),
        ("SET-COOKIE", "b=2, c"),
        ("expires", "0"),
        ("JMSExpiration", "5"),
    ];
    let sent = reply(&request, head(201, &app), &["Hel", "lo"]);
    let frame = sent.only();
    let response = Response::of(frame);
    assert_eq!((response.code, &response.reason[..], &response.body[..]), (201, "Created", &b"Hello"[..]));
    assert_eq!(response.headers(), [&app[..], &[("Content-Length", "5")]].concat());
    let outer: Vec<_> = frame.headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    let expected = [
        ("destination", "/temp-queue/me"),
        ("correlation-id", "c"),
        ("http_statusCode", "201"),
        ("http_reasonPhrase", "Created"),
        ("http_isError", "false"),
        ("content-type", "application/http; msgtype=response"),
        ("receipt", "r-1"),
        ("content-length", &frame.body.len().to_string()),
    ];
    assert_eq!(outer, expected.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())));
    let Finished { status, broken, body_len, messages, fault, .. } = sent.finished;
    assert_eq!((status, broken, body_len, messages, fault), (201, false, 5, 1, None));
}

#[test]
fn what_is_structured() {
    let whole = "GET /a HTTP/1.1\r\n\r\n";
    for (name, value, structured) in [
        ("content-type", "application/http", true),
        ("content-type", "Application/HTTP;MsgType=\"Request\"", true),
        ("content-type", "application/http; version=1.1 ; msgtype=request", true),
        ("Content-Type", "application/http", true),
        ("contentType", "application/http", true),
        ("Content_HYPHEN_Type", "application/http;msgtype=request", true),
        ("content-type", "application/httpx", false),
        ("content-type", "message/http", false),
        ("X-Type", "application/http", false),
    ] {
        let request = request(&call(&[(name, value)], whole));
        assert_eq!(request.delivery.structured, structured, "{name}: {value}");
        assert_eq!(request.path, if structured { &b"/a"[..] } else { b"/" }, "{name}: {value}");
    }
    let both = [("contentType", "application/http"), ("content-type", "text/plain")];
    assert!(!request(&call(&both, whole)).delivery.structured, "the same wins as in property mode");
    for kind in ["application/http; msgtype=response", "application/http;msgtype=\"\""] {
        let response = rejection(&Mapping::default(), &call(&[("content-type", kind)], whole));
        assert_eq!(response.code, 400, "{kind}");
        assert!(response.body.ends_with(b"has to be request\n"), "{kind}");
    }
}

#[test]
fn repeats_are_joined_and_kept() {
    let whole = "GET / HTTP/1.1\r\nX-A: 1\r\ncookie: a=1\r\nx-a:\r\nCookie: b=2\r\nX-A: 3, 4\r\n\r\n";
    let request = request(&wrapped(whole));
    let pair = |(name, value): Pair<'_>| (name.to_owned(), value.to_owned());
    assert_eq!(headers(&request), [("X-A", "1,,3, 4"), ("cookie", "a=1; b=2")].map(pair));
    let raw = [("X-A", "1"), ("cookie", "a=1"), ("x-a", ""), ("Cookie", "b=2"), ("X-A", "3, 4")];
    assert_eq!(request.raw_headers, raw.into_iter().collect());
}

#[test]
fn names_that_fold_to_one_key() {
    let pair = |(name, value): Pair<'_>| (name.to_owned(), value.to_owned());
    for (lines, expected) in [
        ("X_A: 1\r\nX-A: 2\r\nx_a: 3\r\nx-a: 4\r\n", Some(("X-A", "2,4"))),
        ("X_A: 1\r\nx_a: 2\r\n", Some(("X_A", "1,2"))),
        ("X_A: 1\r\nx_a: 2\r\nX-A: 3\r\n", Some(("X-A", "3"))),
        ("Proxy: x\r\nPROXY: y\r\n", None),
        ("content_length: 5\r\ntransfer_encoding: chunked\r\n", None),
    ] {
        let request = request(&wrapped(&format!("GET / HTTP/1.1\r\n{lines}\r\n")));
        assert_eq!(headers(&request), expected.map(pair).into_iter().collect::<Vec<_>>(), "{lines}");
    }
    let strict = Mapping { strict_headers: true, ..Mapping::default() };
    let ambiguous = wrapped("GET / HTTP/1.1\r\nX_A: 1\r\nX-A: 2\r\n\r\n");
    let response = rejection(&strict, &ambiguous);
    assert_eq!(
        (response.code, &response.body[..]),
        (400, &b"headers 'X_A' and 'X-A' are the same to an application\n"[..])
    );
    assert!(
        map(&strict, &wrapped("GET / HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\n\r\n")).is_ok(),
        "HTTP ignores case"
    );
}

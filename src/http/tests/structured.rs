//! Whole requests in, whole responses out.
mod properties;
mod replies;

use httparse::EMPTY_HEADER;

use super::*;

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
    assert_eq!(request.host(), Some(&b"shop.example:8080"[..]));
    assert_eq!(request.content_type.as_deref(), Some(&b"text/plain"[..]));
    let expected = [("Host", "shop.example:8080"), ("X-Tenant", "acme"), ("expires", "never")];
    let pair = |(name, value): Pair<'_>| (name.to_owned(), value.to_owned());
    assert_eq!(headers(&request), expected.map(pair));
    assert_eq!(request.body, "hello");
    assert!(request.delivery.structured && !request.delivery.one_way && !request.delivery.head_only);
    assert_eq!(request.raw_headers.len(), 5);
    assert_eq!(*request.delivery.headers(), frame.headers);
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
    let whole = "GET / HTTP/1.1\r\nContent-Type: a/b\r\nX-A: 1\r\ncontent-type: c/d\r\nX-A: 2\r\n\r\n";
    let request = super::request(&wrapped(whole));
    assert_eq!(request.content_type.as_deref(), Some(&b"a/b"[..]), "there is one type");
    assert_eq!(headers(&request), [("X-A", "1,2")].map(pair));
}

#[test]
fn names_that_fold_to_one_key() {
    let pair = |(name, value): Pair<'_>| (name.to_owned(), value.to_owned());
    for (lines, expected) in [
        ("X_A: 1\r\nX-A: 2\r\nx_a: 3\r\nx-a: 4\r\n", Some(("X-A", "2,4"))),
        ("X_A: 1\r\nx_a: 2\r\nX_Forwarded_User: admin\r\n", None),
        ("Content_Type: a/b\r\n", None),
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
        (400, &b"headers 'X-A' and 'X_A' are the same to an application\n"[..])
    );
    assert!(
        map(&strict, &wrapped("GET / HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\n\r\n")).is_ok(),
        "HTTP ignores case"
    );
}

#[test]
fn malformed_requests_are_told_why_in_kind() {
    use InvalidMessage as M;
    let long = "x".repeat(33);
    assert_eq!(
        map(&Mapping::default(), &wrapped(&format!("{long} / HTTP/1.1\r\n\r\n"))).unwrap_err().reason,
        Reason::Method
    );
    let many = "A: b\r\n".repeat(501);
    let large = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(1 << 20));
    let post = |headers: &str, body: &str| format!("POST / HTTP/1.1\r\n{headers}\r\n{body}");
    for (whole, code, why) in [
        ("", 400, M::Truncated),
        ("\r\n\r\n", 400, M::Truncated),
        ("GET / HTTP/1.1", 400, M::Truncated),
        ("GET / HTTP/1.1\r\nA: b\r\n", 400, M::Truncated),
        ("{\"order\": 7}", 400, M::RequestLine),
        ("GET /\r\n\r\n", 400, M::RequestLine),
        ("GET  / HTTP/1.1\r\n\r\n", 400, M::RequestLine),
        ("G@T / HTTP/1.1\r\n\r\n", 400, M::RequestLine),
        ("GET /a b HTTP/1.1\r\n\r\n", 400, M::RequestLine),
        ("GET / HTTP/1.12\r\n\r\n", 400, M::RequestLine),
        ("GET / HTTQ/1.1\r\n\r\n", 400, M::RequestLine),
        ("HTTP/1.1 200 OK\r\n\r\n", 400, M::RequestLine),
        ("GET / HTTP/2.0\r\n\r\n", 505, M::Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, M::Version),
        ("GET / HTTP/1.2\r\n\r\n", 505, M::Version),
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400, M::Header),
        ("GET / HTTP/1.1\r\n A: b\r\n\r\n", 400, M::Header),
        ("GET / HTTP/1.1\r\nA : b\r\n\r\n", 400, M::Header),
        ("GET / HTTP/1.1\r\n: b\r\n\r\n", 400, M::Header),
        ("GET / HTTP/1.1\r\nA b\r\n\r\n", 400, M::Header),
        ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", 400, M::Header),
        ("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", 400, M::Header),
        ("GET / HTTP/1.1\r\nA: b\x7fc\r\n\r\n", 400, M::Header),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400, M::Host),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, M::Host),
        (&format!("GET / HTTP/1.1\r\n{many}\r\n"), 431, M::TooLarge),
        (&large, 431, M::TooLarge),
        (&post("Content-Length: 5\r\n", "four"), 400, M::Length { said: 5, there: 4 }),
        (&post("Content-Length: 3\r\n", "four"), 400, M::Length { said: 3, there: 4 }),
        (&post("", "four"), 400, M::Surplus(4)),
        (&post("", "GET /admin HTTP/1.1\r\n\r\n"), 400, M::Surplus(23)),
        (&post("Content-Length: 4\r\nContent-Length: 5\r\n", "four"), 400, M::ContentLength),
        (&post("Content-Length: 4, 5\r\n", "four"), 400, M::ContentLength),
        (&post("Content-Length: +4\r\n", "four"), 400, M::ContentLength),
        (&post("Content-Length: 0x4\r\n", "four"), 400, M::ContentLength),
        (&post("Content-Length:\r\n", ""), 400, M::ContentLength),
        (&post("Content-Length: 99999999999999999999\r\n", "four"), 400, M::ContentLength),
        (&post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400, M::Framing),
        (&post("Transfer-Encoding: gzip\r\n", "x"), 400, M::Framing),
        (&post("Transfer-Encoding: identity\r\n", ""), 400, M::Framing),
        (&post("Transfer-Encoding: chunked, gzip\r\n", "x"), 400, M::Framing),
        (&post("Transfer-Encoding:\r\n", ""), 400, M::Framing),
        (&post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), 400, M::Header),
        (&post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501, M::Coding),
        (&post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 501, M::Coding),
    ] {
        assert_eq!(refused(whole), (code, why), "{:?}", &whole[..whole.len().min(100)]);
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(refused(old), (400, M::Framing));
    let response = rejection(&Mapping::default(), &wrapped(&post("Content-Length: 5\r\n", "four")));
    let text = "the HTTP message is malformed: Content-Length says 5 octets, but 4 follow the headers\n";
    assert_eq!(response.body, text.as_bytes());
}

#[test]
fn what_is_allowed_though_unusual() {
    for (whole, body) in [
        ("GET / HTTP/1.1\r\n\r\n", ""), // no Host
        ("GET / HTTP/1.0\r\n\r\n", ""),
        ("GET / HTTP/1.1\nA: b\n\n", ""),
        ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", ""),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", ""),
        ("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", ""),
        ("GET / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", "body"),
        ("POST / HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody", "body"),
        ("POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4, 04\r\n\r\nbody", "body"),
        ("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody", "body"),
        ("POST / HTTP/1.1\nContent-Length: 4\n\n\r\n\r\n", "\r\n\r\n"),
    ] {
        let request = request(&wrapped(whole));
        assert_eq!((&request.path[..], &request.body[..]), (&b"/"[..], body.as_bytes()), "{whole:?}");
        assert_eq!(request.host(), None);
    }
}

#[test]
fn chunks() {
    let with = |body: &str| wrapped(&format!("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n{body}"));
    for (chunked, body) in [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("2\r\nhe\r\n003;a=\"b\"\r\nllo\r\n000\r\n\r\n", "hello"),
        ("A\r\n0123456789\r\n1\r\n\n\r\n0\r\nTrailer: x\r\nX: y\r\n\r\n", "0123456789\n"),
    ] {
        let request = request(&with(chunked));
        assert_eq!(request.body, body, "{chunked:?}");
        assert_eq!(headers(&request), [], "the coding is undone, and trailers are no headers");
    }
    for chunked in [
        "",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0\r\n",
        "5\r\nhel",
        "6\r\nhello\r\n0\r\n\r\n",
        "4\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "\r\n\r\n",
        ";a\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "10000000000000000\r\nhello\r\n0\r\n\r\n",
        "0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
    ] {
        let reason = map(&Mapping::default(), &with(chunked)).expect_err("malformed").reason;
        assert_eq!(reason, Reason::Message(InvalidMessage::Chunks), "{chunked:?}");
    }
    let trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(101));
    let reason = map(&Mapping::default(), &with(&trailers)).unwrap_err().reason;
    assert_eq!(reason, Reason::Message(InvalidMessage::TooLarge));
}

#[test]
fn targets_are_as_in_property_mode() {
    for (line, path, target, host) in [
        ("GET http://b.example/x?y", "/x", "/x?y", Some("b.example")),
        ("OPTIONS *", "*", "*", Some("a.example")),
        ("GET *", "/*", "/*", Some("a.example")),
        ("CONNECT b.example:443", "/b.example:443", "/b.example:443", Some("a.example")),
        ("GET /caf\u{e9}", "/caf\u{e9}", "/caf\u{e9}", Some("a.example")),
    ] {
        let request = request(&wrapped(&format!("{line} HTTP/1.1\r\nHost: a.example\r\n\r\n")));
        assert_eq!((&request.path[..], &request.target[..]), (path.as_bytes(), target.as_bytes()), "{line}");
        assert_eq!(request.host(), host.map(str::as_bytes), "{line}");
    }
    let response = rejection(&Mapping::default(), &wrapped("GET ftp://x/y HTTP/1.1\r\n\r\n"));
    assert_eq!(response.code, 400);
}

#[test]
fn one_way() {
    let notify = "NOTIFY /e HTTP/1.1\r\n\r\n";
    let get = "GET /e HTTP/1.1\r\n\r\n";
    for (given, whole, one_way) in [
        (&[][..], get, false),
        (&[], notify, true),
        (&[], "\r\nNOTIFY /e HTTP/1.1\r\n\r\n", true),
        (&[("http_requestMethod", "NOTIFY")], get, false),
        (&[("http_requestMethod", "GET")], notify, true),
        (&[("OnewayRequest", "true")], get, true),
        (&[("destination", "/topic/t")], get, true),
    ] {
        let request = request(&with(given, whole));
        assert_eq!(request.delivery.one_way, one_way, "{given:?} {whole:?}");
    }
    assert!(request(&message(&[KIND], get)).delivery.one_way, "nowhere to reply to");
    // Nobody is told, so that it becomes a dead letter.
    for malformed in ["NOTIFY /e HTTP/1.1\r\n", "NOTIFY /a b HTTP/1.1\r\n\r\n", "NOTIFY /e HTTP/3\r\n\r\n"] {
        assert!(!map(&Mapping::default(), &wrapped(malformed)).unwrap_err().can_answer(), "{malformed}");
    }
    assert!(!map(&Mapping::default(), &message(&[KIND], "GET")).unwrap_err().can_answer());
    let sent = reply(&request(&wrapped(notify)), head(404, &[]), &["x"]);
    assert_eq!((sent.finished.bytes, sent.finished.status), (vec![], 404));
}

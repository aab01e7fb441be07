//! Whole requests in, whole responses out.
use std::collections::HashSet;

use httparse::EMPTY_HEADER;
use proptest::collection::vec;
use proptest::prelude::*;

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
    assert_eq!(request.host.as_deref(), Some(&b"shop.example:8080"[..]));
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
        assert_eq!(request.host, None);
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
        assert_eq!(request.host.as_deref(), host.map(str::as_bytes), "{line}");
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

#[test]
fn streams_are_one_response() {
    let request = request(&with(&[("http_acceptStream", "true")], "GET / HTTP/1.1\r\n\r\n"));
    assert!(!request.delivery.accept_stream);
    let sent = reply(&request, head(200, &[]), &["a", "b"]);
    assert!(!has(sent.only(), "http_moreContent") && !has(sent.only(), "http_chunkSeq"));
    assert_eq!(Response::of(sent.only()).body, b"ab");
}

#[test]
fn text_for_text() {
    let get = "GET / HTTP/1.1\n\n";
    for (given, header, block, is_text) in [
        (&[][..], "x", &b"gr\xc3\xbc\xc3\x9fe"[..], true),
        (&[], "x", b"", true),
        (&[], "x", b"a\0b", false),
        (&[], "x", b"\xff", false),
        (&[], "\u{e9}", b"x", true),
        (&[("content-length", "16")], "x", b"x", false),
    ] {
        let request = request(&with(given, get));
        let sent = reply_with(&Mapping::default(), &request, |reply| {
            reply.start(head(200, &[("X-A", header)]));
            let _ = reply.block(block);
            Ok(())
        });
        assert_eq!(!has(sent.only(), "content-length"), is_text, "{given:?} {block:?}");
        assert_eq!(Response::of(sent.only()).body, block);
    }
    let mut latin = Head::new(Status::of(200));
    latin.header(b"X-A", b"caf\xe9").unwrap();
    let sent = reply(&request(&with(&[], get)), latin, &["x"]);
    assert!(has(sent.only(), "content-length"), "latin-1 is no text of STOMP's");
    assert_eq!(Response::of(sent.only()).headers[0].1, b"caf\xe9");
}

#[test]
fn lengths() {
    let length = ("content-LENGTH", "5");
    for (method, code, app, blocks, expected) in [
        ("GET", 200, &[][..], &["Hello"][..], Some("5")),
        ("GET", 200, &[], &[], Some("0")),
        ("GET", 200, &[length], &["Hello"], Some("5")),
        ("GET", 200, &[("Content-Length", " 05 ")], &["Hello"], Some("5")),
        ("GET", 404, &[length, ("Content-Length", "5")], &["Hel", "lo, and more"], Some("5")),
        ("POST", 205, &[], &[], Some("0")),
        ("GET", 204, &[length], &["Hello"], None),
        ("GET", 103, &[length], &["Hello"], None),
        ("GET", 304, &[length], &["Hello"], Some("5")),
        ("GET", 304, &[], &["Hello"], None),
        ("HEAD", 200, &[length], &["Hello"], Some("5")),
        ("HEAD", 200, &[], &["Hello"], None),
        ("HEAD", 204, &[length], &[], None),
    ] {
        let request = request(&wrapped(&format!("{method} / HTTP/1.1\r\n\r\n")));
        let sent = reply(&request, head(code, app), blocks);
        let response = Response::of(sent.only());
        let lengths: Vec<_> =
            response.headers().into_iter().filter(|(name, _)| name.eq_ignore_ascii_case(length.0)).collect();
        let case = format!("{method} {code} {app:?}");
        assert_eq!(
            lengths.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
            Vec::from_iter(expected),
            "{case}"
        );
        if let (Some((name, _)), Some((own, _))) = (lengths.first(), app.first()) {
            assert_eq!(name, own, "its own spelling: {case}");
        }
        let body: &[u8] = if method == "HEAD" || matches!(code, 103 | 204 | 304) || blocks.is_empty() {
            b""
        } else {
            b"Hello"
        };
        assert_eq!(response.body, body, "{case}");
        assert_eq!((sent.finished.broken, &sent.finished.fault), (false, &None), "{case}");
    }
}

#[test]
fn a_short_body_is_short_to_see() {
    let request = request(&wrapped("GET / HTTP/1.1\r\n\r\n"));
    let sent = reply(&request, head(200, &[("Content-Length", "10")]), &["Hello"]);
    let response = Response::of(sent.only());
    assert_eq!((response.header("Content-Length"), &response.body[..]), (Some("10"), &b"Hello"[..]));
    assert_eq!(sent.only().headers.text("http_isError"), Some("true"));
    assert!(sent.finished.broken);
    assert_eq!(sent.finished.fault, Some(Fault::Short { missing: 5 }));
}

#[test]
fn failures_are_answered_in_kind() {
    for method in ["GET", "HEAD"] {
        let request = request(&wrapped(&format!("{method} / HTTP/1.1\r\n\r\n")));
        let text: &[u8] = if method == "HEAD" { b"" } else { b"Internal Server Error\n" };
        let failed = |app: &mut dyn FnMut(&mut dyn Reply) -> Result<(), AppError>| {
            let mapping = Mapping { max_reply: 100, ..Mapping::default() };
            let sent = reply_with(&mapping, &request, app);
            let response = Response::of(sent.only());
            assert_eq!((response.code, &response.body[..]), (500, text), "{method}");
            assert_eq!(response.header("Content-Type"), Some("text/plain; charset=utf-8"));
            assert_eq!(sent.only().headers.text("http_isError"), Some("true"));
            sent.finished.fault
        };
        assert_eq!(failed(&mut |_| Ok(())), Some(Fault::NotStarted));
        assert_eq!(failed(&mut |_| Err(AppError("as asked".into()))), Some(Fault::Failed));
        let half = |reply: &mut dyn Reply| {
            reply.start(head(200, &[]));
            let _ = reply.block(b"half");
            Err(AppError("as asked".into()))
        };
        assert_eq!(failed(&mut { half }), Some(Fault::Failed));
        let busy =
            answer(Version::V1_2, &Mapping::default(), &request.delivery, &Status::of(503), "Busy\n", "");
        let response = Response::of(&one_frame(Version::V1_2, &busy));
        let text: &[u8] = if method == "HEAD" { b"" } else { b"Busy\n" };
        assert_eq!((response.code, &response.body[..]), (503, text));
    }
    let impossible = map(&Mapping::default(), &wrapped("HEAD ftp://x HTTP/1.1\r\n\r\n")).unwrap_err();
    let bytes = reject(Version::V1_2, &Mapping::default(), &impossible, "");
    assert_eq!(Response::of(&one_frame(Version::V1_2, &bytes)).body, b"");
}

#[test]
fn only_the_whole_reply_has_a_limit() {
    let request = request(&wrapped("GET / HTTP/1.1\r\n\r\n"));
    // Long lines, and many: no broker sees them.
    let mut large = Head::new(Status { code: 200, reason: vec![b'x'; 20_000] });
    large.headers = (0..500).map(|n| (format!("x-{n}").into_bytes(), vec![b'v'; 12_000 / (n + 1)])).collect();
    let sent = reply(&request, large.clone(), &["x"]);
    let response = Response::of(sent.only());
    assert_eq!((response.code, response.headers.len()), (200, 501));
    assert!(!has(sent.only(), "http_reasonPhrase"));

    let size = sent.only().body.len();
    for (max_reply, status) in [(size, 200), (size - 1, 500)] {
        let mapping = Mapping { max_reply, ..Mapping::default() };
        let sent = reply_with(&mapping, &request, |reply| {
            reply.start(large.clone());
            let _ = reply.block(b"x");
            Ok(())
        });
        assert_eq!(Response::of(sent.only()).code, status, "{max_reply}");
        let fault = (status == 500).then_some(Fault::TooLarge { limit: max_reply });
        assert_eq!(sent.finished.fault, fault);
    }
}

#[test]
fn unchecked_heads_are_made_harmless() {
    let request = request(&wrapped("GET / HTTP/1.1\r\n\r\n"));
    let mut head = Head::new(Status { code: 200, reason: b"O\r\nX: y".to_vec() });
    let headers: [(&[u8], &[u8]); 7] = [
        (b"X-A", b"a\r\nSet-Cookie: b\0"),
        (b"X\r\nB", b"b"),
        (b"", b"b"),
        (b"Transfer-Encoding", b"chunked"),
        (b"connection", b"close"),
        (b"Content-Length", b"many"),
        (b"X-C", b"caf\xe9"),
    ];
    head.headers = headers.map(|(name, value)| (name.to_vec(), value.to_vec())).to_vec();
    let response = Response::of(reply(&request, head, &["x"]).only());
    assert_eq!(response.reason, "O  X: y");
    let expected: [(&str, &[u8]); 3] =
        [("X-A", b"a  Set-Cookie: b"), ("Content-Length", b"1"), ("X-C", b"caf\xe9")];
    assert_eq!(response.headers, expected.map(|(name, value)| (name.to_owned(), value.to_vec())));
}

/// What a header's value can be on its way: no blanks around it, and any octet but control characters.
fn value() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![3 => b' '..=b'~', 1 => 0x80..=0xff_u8], 0..20)
        .prop_map(|value| value.trim_ascii().to_vec())
}

/// Headers that are nobody's but the application's; some repeat.
fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop_oneof![
        proptest::sample::select(vec![
            "X-A",
            "x-a",
            "X_A",
            "Cookie",
            "Set-Cookie",
            "expires",
            "JMSType",
            "Content-Type",
            "Proxy"
        ])
        .prop_map(str::to_owned),
        "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}",
    ];
    let framing = ["content-length", "transfer-encoding", "host", "connection", "upgrade", "te"];
    let name =
        name.prop_filter("the server's own", move |name| !framing.contains(&&name.to_ascii_lowercase()[..]));
    vec((name, value()), 0..20)
}

/// Equal for names that an application cannot tell apart.
fn key(name: &[u8]) -> Vec<u8> {
    name.iter().map(|&byte| if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() }).collect()
}

/// What looks like a request, and is none, or nearly one.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "GET / HTTP/1.1",
        "POST /a HTTP/1.0",
        "NOTIFY /",
        "HEAD * HTTP/2",
        "\r\n",
        "\n",
        "\r",
        "\0",
        " ",
        ":",
        "Host: a",
        "Content-Length: 5",
        "Content-Length: 0",
        "Transfer-Encoding: chunked",
        "X_A: b",
        "X-A: c",
        "Proxy: x",
        "\r\n\r\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "\u{e9}",
    ];
    let piece = prop_oneof![
        6 => proptest::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..6),
    ];
    vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_request_arrives_as_it_was_sent(
        method in "[A-Z!~]{1,32}",
        target in "/[!-\"$-~]{0,30}",
        fields in fields(),
        body in vec(any::<u8>(), 0..60),
        chunk in 0..20_usize,
        blank in "[ \t]{0,2}",
    ) {
        let mut whole = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        for (name, value) in &fields {
            whole.extend_from_slice(&[name.as_bytes(), b":", blank.as_bytes(), value, blank.as_bytes(), b"\r\n"].concat());
        }
        if chunk == 0 {
            whole.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            whole.extend_from_slice(&body);
        } else {
            whole.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in body.chunks(chunk) {
                whole.extend_from_slice(&[format!("{:X}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
            }
            whole.extend_from_slice(b"0\r\n\r\n");
        }
        let request = request(&Frame { body: whole.into(), ..wrapped("") });
        prop_assert_eq!(&request.method, &method);
        prop_assert_eq!(&request.target[..], target.as_bytes());
        prop_assert_eq!(&request.body[..], &body[..]);
        let sent = fields.iter().map(|(name, value)| (name.as_bytes(), &value[..]));
        let came: Vec<_> = request.raw_headers.iter().collect();
        prop_assert_eq!(&came[..came.len() - 1], &sent.collect::<Vec<_>>()[..]);

        // The application gets each name once, with all the values that were sent under it.
        let mut keys = HashSet::new();
        for (name, value) in request.headers.iter() {
            prop_assert!(keys.insert(key(name)), "twice");
            prop_assert!(!name.contains(&b'_'));
            let separator: &[u8] = if name.eq_ignore_ascii_case(b"cookie") { b"; " } else { b"," };
            let same = fields.iter().filter(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
            let all: Vec<&[u8]> = same.map(|(_, value)| &value[..]).collect();
            prop_assert_eq!(value, &all.join(separator)[..]);
        }
        for (name, _) in fields.iter().filter(|(name, _)| !name.contains('_')) {
            let key = key(name.as_bytes());
            let own: [&[u8]; 4] = [b"proxy", b"content_type", b"content_length", b"transfer_encoding"];
            prop_assert_eq!(keys.contains(&key), !own.contains(&&key[..]), "{}", name);
        }
    }

    #[test]
    fn any_response_arrives_as_it_was_given(
        code in prop_oneof![Just(200_u16), 200..=999_u16],
        reason in "([!-~]([ -~]{0,10}[!-~])?)?",
        fields in fields(),
        blocks in vec(vec(any::<u8>(), 0..20), 0..4),
        names in proptest::sample::select(vec![HeaderNames::Train, HeaderNames::Camel]),
    ) {
        let mut head = Head::new(Status { code, reason: reason.into_bytes() });
        for (name, value) in &fields {
            head.header(name.as_bytes(), value).expect("a header that may be sent");
        }
        let given = head.clone();
        let request = request(&wrapped("GET / HTTP/1.1\r\n\r\n"));
        let mapping = Mapping { reply_header_names: names, ..Mapping::default() };
        let sent = reply_with(&mapping, &request, |reply| {
            reply.start(head);
            for block in &blocks {
                let _ = reply.block(block);
            }
            Ok(())
        });
        let response = Response::of(sent.only());
        prop_assert_eq!((response.code, response.reason.as_bytes()), (code, &given.status.reason[..]));
        let body = if given.status.has_body() { blocks.concat() } else { Vec::new() };
        let mut expected = fields;
        if given.status.has_body() {
            expected.push(("Content-Length".to_owned(), body.len().to_string().into_bytes()));
        }
        prop_assert_eq!(response.headers, expected);
        prop_assert_eq!(response.body, body);
    }

    #[test]
    fn any_body_is_a_request_or_answered_in_kind(
        body in prop_oneof![nearly(), vec(any::<u8>(), 0..60)],
        strict: bool,
        version in proptest::sample::select(Version::ALL.to_vec()),
    ) {
        let mapping = Mapping { strict_headers: strict, ..Mapping::default() };
        match map(&mapping, &Frame { body: body.into(), ..wrapped("") }) {
            Ok(request) => {
                prop_assert!(request.delivery.structured && name::is_token(request.method.as_bytes()));
                prop_assert_eq!(request.delivery.one_way, request.method == "NOTIFY");
                prop_assert_eq!(request.delivery.head_only, request.method == "HEAD");
            }
            Err(rejected) => {
                let bytes = reject(version, &mapping, &rejected, "r");
                prop_assert_eq!(bytes.is_empty(), rejected.delivery.one_way, "told, or a dead letter");
                if rejected.can_answer() {
                    let response = Response::of(&one_frame(version, &bytes));
                    prop_assert!((400..600).contains(&response.code));
                    prop_assert_eq!(response.body.is_empty(), rejected.delivery.head_only);
                }
            }
        }
    }
}

//! Whole responses out.
use super::*;

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
            let mapping = Mapping { max_reply: Some(100), ..Mapping::default() };
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
        let mapping = Mapping { max_reply: Some(max_reply), ..Mapping::default() };
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

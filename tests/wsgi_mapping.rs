//! From a MESSAGE to a WSGI application and back to SEND, with the real mapping at both ends.
#![cfg(feature = "python")]

#[path = "python/harness.rs"]
mod harness;

use std::sync::Arc;

use harness::{app, logged};
use stomp_wsgi::app::Application;
use stomp_wsgi::app::wsgi::Wsgi;
use stomp_wsgi::http::{Finished, Mapping, Responder};
use stomp_wsgi::stomp::{Command, Frame, Limits, Parser, Version};

type Pair<'a> = (&'a str, &'a str);

/// What was sent for a message.
struct Sent {
    parts: Vec<Frame>,
    finished: Finished,
    log: String,
}

impl Sent {
    #[track_caller]
    fn only(&self) -> &Frame {
        assert_eq!(self.parts.len(), 1, "{}", self.log);
        &self.parts[0]
    }

    #[track_caller]
    fn body(&self) -> &str {
        std::str::from_utf8(&self.only().body).unwrap()
    }
}

fn serve(app: &Wsgi, headers: &[Pair<'_>], body: &str) -> Sent {
    let delivered = [("destination", "/queue/in"), ("subscription", "s1"), ("message-id", "m-1")];
    let headers = delivered.iter().chain(headers).copied();
    let frame = Frame {
        command: Command::Message,
        headers: headers.collect(),
        body: body.to_owned().into(),
        cut: None,
    };
    let mapping = Mapping::default();
    let request = mapping.request(&frame, &Arc::from("broker:61613"), 1).expect("a request");
    let mut bytes = Vec::new();
    let mut more = |part: Vec<u8>| bytes.extend_from_slice(&part);
    let mut responder = Responder::new(Version::V1_2, &mapping, &request, "r-1", &mut more);
    let (result, log) = logged(|| app.call(&request, &mut responder));
    let finished = responder.finish(result);
    bytes.extend_from_slice(&finished.bytes);
    let mut parser = Parser::new(Limits::default());
    parser.set_version(Version::V1_2);
    parser.feed(&bytes);
    let parts = std::iter::from_fn(|| parser.next_frame().expect("what we send can be parsed")).collect();
    Sent { parts, finished, log }
}

const CALL: Pair<'static> = ("reply-to", "/temp-queue/me");
const STREAM: Pair<'static> = ("http_acceptStream", "true");

#[test]
fn a_request_and_its_reply() {
    let app = app(r#"
from wsgiref.validate import validator
@validator
def application(environ, sr):
    assert environ["REQUEST_METHOD"] == "PUT", environ
    assert environ["PATH_INFO"] == "/a b/\xe2\x82\xac", environ
    assert environ["QUERY_STRING"] == "q=%20", environ
    assert environ["CONTENT_TYPE"] == "text/plain", environ
    assert environ["HTTP_X_NAME"] == "\xc3\xa9", environ
    assert environ["SERVER_NAME"] == "shop.example" and environ["SERVER_PORT"] == "8080", environ
    assert environ["stomp.reply_to"] == "/temp-queue/me"
    assert ("x-name", "\xc3\xa9") in environ["stomp.headers"]
    sr("201 Created", [("Content-Type", "text/plain"), ("Location", "/x")])
    return iter([environ["wsgi.input"].read(100), b"", b"!"])
"#);
    let headers = [
        CALL,
        ("http_requestMethod", "PUT"),
        ("http_requestUrl", "/a%20b/%E2%82%AC?q=%20"),
        ("content-type", "text/plain"),
        ("x-name", "é"),
        ("Host", "shop.example:8080"),
    ];
    let sent = serve(&app, &headers, "body");
    assert_eq!(sent.finished.fault, None, "{}", sent.log);
    assert_eq!((sent.finished.status, sent.body()), (201, "body!"));
    let reply = sent.only();
    for (name, value) in [
        ("destination", "/temp-queue/me"),
        ("correlation-id", "m-1"),
        ("http_statusCode", "201"),
        ("Location", "/x"),
    ] {
        assert_eq!(reply.headers.text(name), Some(value), "{name}");
    }
}

#[test]
fn failures_are_a_500() {
    for source in [
        "def application(environ, sr):\n    1/0\n",
        "def application(environ, sr):\n    sr('200 OK', [])\n    yield b'lost'\n    1/0\n",
        "def application(environ, sr):\n    raise SystemExit\n",
        "def application(environ, sr):\n    sr('200 OK', [])(b'lost')\n",
        "def application(environ, sr):\n    return [b'never started']\n",
    ] {
        let sent = serve(&app(source), &[CALL], "");
        assert_eq!((sent.finished.status, sent.parts.len()), (500, 1), "{source}");
        assert!(
            sent.log.contains("Traceback")
                || sent.log.contains("AssertionError")
                || sent.log.contains("TypeError"),
            "{}",
            sent.log
        );
        assert!(!sent.body().contains("lost"));
    }
}

#[test]
fn streams_send_each_block_and_say_where_they_break() {
    let source = "def application(environ, sr):\n    sr('200 OK', [])(b'w')\n    yield b'1'\n    yield b''\n    yield b'2'\n";
    let sent = serve(&app(source), &[CALL, STREAM], "");
    let bodies: Vec<_> = sent.parts.iter().map(|part| &*part.body).collect();
    assert_eq!(bodies.concat(), b"w12", "{}", sent.log);
    assert!(sent.parts.len() >= 3);
    let broken = format!("{source}    1/0\n");
    let sent = serve(&app(&broken), &[CALL, STREAM], "");
    assert!(sent.finished.broken);
    let last = sent.parts.last().unwrap();
    assert_eq!(last.headers.text("http_isError"), Some("true"));
    assert_eq!(last.headers.text("http_moreContent"), Some("false"));
}

#[test]
fn head_has_a_length_and_no_body() {
    let source = "def application(environ, sr):\n    sr('200 OK', [])\n    return [b'hello']\n";
    let sent = serve(&app(source), &[CALL, ("http_requestMethod", "HEAD"), ("http_requestUrl", "/")], "");
    assert_eq!((sent.finished.status, sent.body(), &sent.finished.fault), (200, "", &None));
    assert_eq!(sent.only().headers.text("Content-Length"), Some("5"), "{:?}", sent.only().headers);
}

#[test]
fn content_length_that_is_wrong() {
    let source = "def application(environ, sr):\n    sr('200 OK', [('Content-Length', '2')])\n    yield b'abc'\n    1/0\n";
    assert_eq!(serve(&app(source), &[CALL], "").body(), "ab");
    let source =
        "def application(environ, sr):\n    sr('200 OK', [('Content-Length', '9')])\n    yield b'abc'\n";
    let sent = serve(&app(source), &[CALL], "");
    assert_eq!(sent.only().headers.text("http_isError"), Some("true"));
    assert!(sent.finished.broken);
}

#[test]
fn notifications_run_to_their_end() {
    let app = app(r#"
def application(environ, sr):
    assert environ["REQUEST_METHOD"] == "NOTIFY" and environ["stomp.one_way"] is True, environ
    sr("204 No Content", [])
    print("done", file=environ["wsgi.errors"])
    return []
"#);
    let sent = serve(&app, &[], "event");
    assert_eq!((sent.finished.status, sent.parts.len()), (204, 0));
    assert!(sent.log.contains("done"));
}

#[test]
fn a_whole_request_and_its_whole_reply() {
    let app = app(r#"
from wsgiref.validate import validator
@validator
def application(environ, sr):
    assert environ["REQUEST_METHOD"] == "PUT" and environ["SERVER_PROTOCOL"] == "HTTP/1.1", environ
    assert environ["CONTENT_TYPE"] == "text/plain" and environ["CONTENT_LENGTH"] == "5", environ
    assert environ["HTTP_X_A"] == "1,2" and environ["HTTP_COOKIE"] == "a=1; b=2", environ
    assert environ["HTTP_EXPIRES"] == "0" and "HTTP_PROXY" not in environ, environ
    assert "HTTP_TRANSFER_ENCODING" not in environ and "HTTP_CONTENT_LENGTH" not in environ, environ
    assert environ["SERVER_NAME"] == "shop.example" and environ["SERVER_PORT"] == "8080", environ
    names = [name for name, value in environ["stomp.http_headers"]]
    assert names[:3] == ["Host", "X-A", "x-a"], names
    sr("201 Made", [("Content-Type", "text/plain"), ("Set-Cookie", "a"), ("set-cookie", "b")])
    return iter([environ["wsgi.input"].read(100), b"", b"!"])
"#);
    let whole = "PUT /a HTTP/1.1\r\nHost: shop.example:8080\r\nX-A: 1\r\nx-a: 2\r\nCookie: a=1\r\nCookie: b=2\r\n\
                 Content-Type: text/plain\r\nExpires: 0\r\nProxy: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\nhello\r\n0\r\n\r\n";
    let sent = serve(&app, &[CALL, ("content-type", "application/http; msgtype=request")], whole);
    assert_eq!(sent.finished.fault, None, "{}", sent.log);
    let expected = "HTTP/1.1 201 Made\r\nContent-Type: text/plain\r\nSet-Cookie: a\r\nset-cookie: b\r\n\
                    Content-Length: 6\r\n\r\nhello!";
    assert_eq!(sent.body(), expected);
    assert_eq!(sent.only().headers.text("http_statusCode"), Some("201"));
}

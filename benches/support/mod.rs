//! What several benches start from.
#![allow(dead_code)] // each uses a part of it

use std::hint::black_box;
use std::sync::Arc;

use stomp_wsgi::app::{Flow, Reply};
use stomp_wsgi::http::{Head, Mapping, Request, Responder, Status};
use stomp_wsgi::stomp::{Command, Encoder, Frame, Version};

/// A request as a broker delivers it: STOMP's and the broker's headers, and eight of HTTP.
pub(crate) fn message() -> Frame {
    let headers = [
        ("ack", "ID:host-40000-1700000000000-2:1"),
        ("destination", "/queue/requests"),
        ("subscription", "1"),
        ("message-id", "ID:host-40000-1700000000000-3:1:1:1:1"),
        ("reply-to", "/remote-temp-queue/ID:host-40000-1700000000000-3:1:1"),
        ("correlation-id", "0123456789abcdef"),
        ("timestamp", "1700000000000"),
        ("expires", "0"),
        ("priority", "4"),
        ("http_requestMethod", "POST"),
        ("http_requestUrl", "/orders/7?full=1"),
        ("content-type", "application/json"),
        ("content-length", "12"),
        ("Host", "service.example"),
        ("User-Agent", "client/1.0"),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("Accept-Encoding", "gzip, deflate"),
        ("X_Request_Id", "0123456789abcdef"),
    ];
    Frame {
        command: Command::Message,
        headers: headers.into_iter().collect(),
        body: b"hello, world".to_vec().into(),
        cut: None,
    }
}

/// The same request whole, in a message's body.
pub(crate) fn structured() -> Frame {
    let message = message();
    let (outside, within): (Vec<_>, Vec<_>) =
        message.headers.iter().partition(|(name, _)| name[0].is_ascii_lowercase());
    let mut whole = b"POST /orders/7?full=1 HTTP/1.1\r\nContent-Type: application/json\r\n".to_vec();
    for (name, value) in within {
        whole.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
    }
    whole.extend_from_slice(b"Content-Length: 12\r\n\r\nhello, world");
    let outside =
        outside.into_iter().filter(|(name, _)| !name.starts_with(b"http_") && *name != b"content-type");
    let headers = outside.chain([(&b"content-type"[..], &b"application/http"[..])]).collect();
    Frame { headers, body: whole.into(), ..message.clone() }
}

/// [`message`] on the wire, where it has escapes.
pub(crate) fn encoded() -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::frame(&mut bytes, Version::V1_2, &message());
    bytes
}

/// The same without an escape, as most brokers but ActiveMQ send it.
pub(crate) fn unescaped() -> Vec<u8> {
    String::from_utf8(encoded()).expect("a message in ASCII").replace("\\c", "--").into_bytes()
}

pub(crate) fn encode_reply(out: &mut Vec<u8>) {
    Encoder::new(out, Version::V1_2, Command::Send)
        .header("destination", "/remote-temp-queue/some-client-4")
        .header("correlation-id", "0123456789abcdef")
        .number("status", 200)
        .header("http-content-type", "text/plain")
        .body(black_box(b"hello, world"));
}

pub(crate) fn broker() -> Arc<str> {
    Arc::from("broker:61613")
}

pub(crate) fn head() -> Head {
    let mut head = Head::new(Status::of(200));
    for (name, value) in [("Content-Type", "text/plain"), ("Content-Length", "12"), ("X-Request-Id", "0123")]
    {
        head.header(name.as_bytes(), value.as_bytes()).expect("fine headers");
    }
    head
}

/// The bytes of the message that answers.
pub(crate) fn answered(mapping: &Mapping, request: &Request, head: Head, body: &[u8]) -> Vec<u8> {
    let mut more = |_| {};
    let mut responder = Responder::new(Version::V1_2, mapping, request, "1234", &mut more);
    responder.start(head);
    let _ = responder.block(body);
    let finished = responder.finish(Ok(()));
    assert_eq!((finished.status, finished.body_len), (200, body.len() as u64));
    finished.bytes
}

pub(crate) const HELLO: &str = r#"
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Served-By", "hello")])
    return [b"Hello, world!\n"]
"#;

/// For what is not sent anywhere.
pub(crate) struct Discard;

impl Reply for Discard {
    fn start(&mut self, head: Head) {
        black_box(head);
    }

    fn block(&mut self, block: &[u8]) -> Flow {
        black_box(block);
        Flow::Continue
    }
}

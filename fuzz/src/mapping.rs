//! A message to a request, the application's answer to messages, and these read again: nothing gets in between.

use std::collections::HashSet;
use std::sync::Arc;

use stomp_wsgi::Dialect;
use stomp_wsgi::app::{AppError, Reply};
use stomp_wsgi::http::{self, Head, HeaderNames, Mapping, Responder, Status};
use stomp_wsgi::stomp::{Command, Frame, Limits, Parser, Version};

use super::Octets;

/// Headers of STOMP and the brokers, of which an application can set none.
const NEVER: [&str; 22] = [
    "ack",
    "auto-delete",
    "durable",
    "exclusive",
    "expiration",
    "heart-beat",
    "id",
    "message-id",
    "persistent",
    "priority",
    "redelivered",
    "reply-to",
    "selector",
    "subscription",
    "timestamp",
    "transaction",
    "transformation",
    "type",
    "user-id",
    "JMSExpiration",
    "AMQ_SCHEDULED_DELAY",
    "Proxy",
];

/// Two octets of options; a frame; and then the application's headers, a line each, and behind an empty line its body.
pub fn check(data: &[u8]) {
    let mut octets = Octets(data);
    let (options, names) = (octets.byte(), octets.byte());
    let version = Version::ALL[usize::from(options & 3) % 3];
    let stream = octets.rest();
    let mut parser = Parser::new(Limits::default());
    parser.set_version(version);
    parser.lenient_escapes(options & 4 == 0);
    parser.feed(stream);
    let Ok(Some(mut frame)) = parser.next_frame() else { return };
    frame.command = Command::Message;
    let answer = &stream[stream.len() - parser.buffered()..];

    let mut mapping = Mapping::default();
    mapping.strict_headers = options & 8 != 0;
    mapping.consumed.extend(["/queue/in".to_owned()]);
    mapping.max_reply = Some(4096);
    if options & 16 != 0 {
        mapping.default_path = "/{destination}/{type}?a=b".to_owned();
    }
    if options & 32 != 0 {
        mapping.allow_reply_to = vec!["*".to_owned()];
    }
    mapping.reply_header_names =
        [HeaderNames::Train, HeaderNames::Raw, HeaderNames::Camel, HeaderNames::Underscore]
            [usize::from(names & 3)];

    match mapping.request(&frame, &Arc::from("broker:61613"), 1) {
        Ok(request) => {
            assert!(request.path.first() == Some(&b'/') || request.path == b"*", "a path is absolute");
            assert!(!request.target.iter().any(|octet| octet.is_ascii_control() || *octet == b' '));
            let mut keys = HashSet::new();
            for (name, value) in request.headers.iter() {
                let key: Vec<u8> =
                    name.to_ascii_uppercase().iter().map(|&c| if c == b'-' { b'_' } else { c }).collect();
                assert!(
                    !value.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)),
                    "a line within a header"
                );
                assert!(![&b"PROXY"[..], b"CONTENT_LENGTH", b"CONTENT_TYPE"].contains(&&key[..]), "{name:?}");
                assert!(keys.insert(key), "{name:?} twice");
            }
            let mut sent = Vec::new();
            let mut more = |bytes: Vec<u8>| sent.push(bytes);
            let mut responder = Responder::new(version, &mapping, &request, "receipt", &mut more);
            let result = app(answer, options & 64 != 0, &mut responder);
            let finished = responder.finish(result);
            let one_way = request.delivery.one_way;
            assert_eq!(one_way, finished.bytes.is_empty(), "an answer, unless nobody waits");
            sent.extend((!one_way).then_some(finished.bytes));
            assert!(
                request.delivery.accept_stream || sent.len() <= 1,
                "one message, unless a stream is taken"
            );
            let reply_to = request.delivery.reply_to().unwrap_or_default();
            for bytes in &sent {
                reply(version, bytes, reply_to, request.delivery.structured);
            }
        }
        Err(rejected) => {
            let bytes = http::reject(version, &mapping, &rejected, "receipt");
            assert_eq!(rejected.can_answer(), !bytes.is_empty());
            if rejected.can_answer() {
                let reply_to = rejected.delivery.reply_to().unwrap_or_default();
                reply(version, &bytes, reply_to, rejected.delivery.structured);
            }
        }
    }
    let letter = http::dead_letter(
        version,
        Dialect::Artemis,
        &mapping,
        &frame,
        "/queue/DLQ",
        &String::from_utf8_lossy(answer),
        "receipt",
    );
    let letter = only(version, &letter);
    assert_eq!(letter.headers.text("destination"), Some("/queue/DLQ"));
    assert_eq!(letter.body, frame.body);
}

/// Answers with these octets. `checked`: as `start_response` does it; else as if that let everything pass.
fn app(answer: &[u8], checked: bool, reply: &mut dyn Reply) -> Result<(), AppError> {
    let mut lines = answer.split(|octet| *octet == b'\n');
    let mut head = Head::new(Status { code: 200, reason: answer.iter().copied().take(20).collect() });
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_at(line.iter().position(|octet| *octet == b':').unwrap_or(line.len()));
        if checked {
            let _ = head.header(name, value.get(1..).unwrap_or_default());
        } else {
            head.headers.push((name.to_vec(), value.to_vec()));
        }
    }
    reply.start(head);
    for block in lines {
        let _ = reply.block(block);
    }
    Ok(())
}

fn reply(version: Version, bytes: &[u8], reply_to: &[u8], structured: bool) {
    let frame = only(version, bytes);
    let destination = frame.headers.get("destination").expect("a SEND has a destination");
    if version.carries(b"destination", reply_to) {
        assert_eq!(destination, reply_to);
    }
    assert!(
        !destination.starts_with(b"/queue/in?") && destination != b"/queue/in",
        "no reply becomes a request"
    );
    let mut seen = HashSet::new();
    for (name, value) in frame.headers.iter() {
        assert!(seen.insert(name), "{} twice", name.escape_ascii());
        assert!(
            !NEVER.iter().any(|never| never.as_bytes() == name),
            "{} was let through",
            name.escape_ascii()
        );
        let correlation = name == b"correlation-id" || name == b"destination";
        assert!(
            correlation || !value.iter().any(u8::is_ascii_control),
            "a line within {}",
            name.escape_ascii()
        );
    }
    assert!(frame.headers.text("receipt").is_some_and(|receipt| receipt.starts_with("receipt")));
    assert!(!structured || frame.body.starts_with(b"HTTP/1.1 "), "in kind");
}

/// What has to be exactly one SEND.
fn only(version: Version, bytes: &[u8]) -> Frame {
    let mut parser = Parser::new(Limits { header_line: 1 << 20, head: 1 << 24, ..Limits::default() });
    parser.set_version(version);
    parser.feed(bytes);
    let frame = parser.next_frame().expect("what we send is a frame").expect("and a whole one");
    assert_eq!((parser.next_frame(), parser.buffered()), (Ok(None), 0), "and only one");
    assert_eq!(frame.command, Command::Send);
    frame
}

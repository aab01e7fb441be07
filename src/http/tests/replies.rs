//! Responses to messages.
use std::time::{Duration, SystemTime};

use super::*;
use crate::link::Jms;

fn names(frame: &Frame) -> Vec<&str> {
    frame.headers.iter().map(|(name, _)| std::str::from_utf8(name).expect("UTF-8")).collect()
}

fn stream() -> Request {
    request(&call(&[("http_acceptStream", "true"), ("content-length", "0"), ("correlation-id", "c")], ""))
}

#[test]
fn one_message() {
    let request = request(&call(&[("correlation-id", "c:\n1"), ("content-length", "0")], ""));
    let head =
        head(201, &[("content-type", "text/html"), ("x-a", "1"), ("Set-Cookie", "a"), ("set-cookie", "b")]);
    let sent = reply(&request, head, &["Hel", "", "lo"]);
    let frame = sent.only();
    let headers: Vec<_> = frame.headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    let expected = [
        ("destination", "/temp-queue/me"),
        ("correlation-id", "c:\n1"),
        ("http_statusCode", "201"),
        ("http_reasonPhrase", "Created"),
        ("http_isError", "false"),
        ("content-type", "text/html"),
        ("content_type", "text/html"),
        ("X-A", "1"),
        ("Set-Cookie", "a"),
        ("Set-Cookie_2", "b"),
        ("receipt", "r-1"),
        ("content-length", "5"),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())));
    assert_eq!(frame.command, Command::Send);
    assert_eq!(frame.body, "Hello");
    let Finished { status, broken, body_len, messages, fault, .. } = sent.finished;
    assert_eq!((status, broken, body_len, messages, fault), (201, false, 5, 1, None));
}

#[test]
fn text_for_text_and_bytes_for_bytes() {
    for (given, block, length) in [
        (&[][..], "caf\u{e9}", None),
        (&[], "", None),
        (&[], "a\0b", Some("3")),
        (&[("content-length", "0")], "text", Some("4")),
        (&[("content-length", "0")], "", Some("0")),
    ] {
        let sent = reply(&request(&call(given, "")), head(200, &[]), &[block]);
        assert_eq!(sent.only().headers.text("content-length"), length, "{given:?} {block:?}");
        assert_eq!(sent.only().body, block);
    }
    let sent = reply_with(&Mapping::default(), &request(&call(&[], "")), |reply| {
        reply.start(head(200, &[]));
        let _ = reply.block(b"\xff\xfe");
        Ok(())
    });
    assert_eq!(sent.only().headers.text("content-length"), Some("2"), "no UTF-8, no text");
}

#[test]
fn errors_say_so() {
    for (code, error) in
        [(200, "false"), (302, "false"), (399, "false"), (400, "true"), (404, "true"), (503, "true")]
    {
        let sent = reply(&request(&call(&[], "")), head(code, &[]), &[]);
        assert_eq!(sent.only().headers.text("http_isError"), Some(error), "{code}");
        assert!(!sent.finished.broken);
    }
}

#[test]
fn reasons_are_utf8_or_made_so() {
    for (line, reason) in [
        (&b"200 d\xe9j\xe0"[..], Some("d\u{e9}j\u{e0}")),
        (b"200", None),
        (b"200 d\xc3\xa9", Some("d\u{e9}")),
    ] {
        let head = Head::new(Status::parse(line).unwrap());
        let sent = reply(&request(&call(&[], "")), head, &[]);
        assert_eq!(sent.only().headers.text("http_reasonPhrase"), reason);
    }
}

#[test]
fn a_reply_is_as_persistent_as_the_request_where_its_queue_is() {
    let persistent = |reply_to, request_says: &[Pair<'_>]| {
        let frame = message(&[&[("reply-to", reply_to)], request_says].concat(), "");
        let sent = reply(&request(&frame), head(200, &[("persistent", "true")]), &["x"]);
        sent.only().headers.text("persistent").map(str::to_owned)
    };
    let yes = [("persistent", "true")];
    assert_eq!(persistent("/queue/replies", &yes).as_deref(), Some("true"));
    assert_eq!(persistent("/queue/replies", &[("persistent", "false")]), None);
    assert_eq!(persistent("/queue/replies", &[]), None);
    for temporary in ["/temp-queue/me", "/remote-temp-queue/ID:1", "/reply-queue/amq.gen-1"] {
        assert_eq!(persistent(temporary, &yes), None, "{temporary}");
    }
}

#[test]
fn a_correlation_id_adds_no_header_and_no_frame() {
    let evil = "c\nX-Evil:1\r\n\n\0SEND\ndestination:/queue/b\n\n\0";
    for version in Version::ALL {
        let request = request(&call(&[("correlation-id", evil)], ""));
        let mut more = |_: Vec<u8>| panic!("one message was expected");
        let mapping = Mapping::default();
        let mut responder = Responder::new(version, &mapping, &request, "r-1", &mut more);
        responder.start(head(200, &[]));
        let finished = responder.finish(Ok(()));
        // Which also says that it is one.
        let frame = one_frame(version, &finished.bytes);
        assert_eq!(frame.headers.text("destination"), Some("/temp-queue/me"), "{version:?}");
        assert!(!has(&frame, "X-Evil") && !has(&frame, "X-Evil\\c1"), "{version:?}");
        if version == Version::V1_2 {
            assert_eq!(
                frame.headers.text("correlation-id"),
                Some(&*evil.replace('\0', " ")),
                "no header has a NUL"
            );
        }
    }
}

#[test]
fn bodies_that_are_none() {
    for (method, code) in [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 101), ("HEAD", 404)] {
        for accept in ["false", "true"] {
            let headers = [("http_requestMethod", method), ("http_acceptStream", accept)];
            let mut flow = None;
            let sent = reply_with(&Mapping::default(), &request(&call(&headers, "")), |reply| {
                reply.start(head(code, &[("Content-Length", "5"), ("Etag", "x")]));
                flow = Some(reply.block(b"Hello"));
                Ok(())
            });
            assert_eq!(flow, Some(Flow::Enough), "{method} {code}");
            let frame = sent.only();
            assert_eq!(frame.body, "");
            assert_eq!(frame.headers.text("http_statusCode"), Some(code.to_string().as_str()));
            let length = (method == "HEAD").then_some("5");
            assert_eq!(frame.headers.text("Content-Length"), length, "{method} {code}");
            assert_eq!((sent.finished.broken, sent.finished.body_len), (false, 0));
        }
    }
}

#[test]
fn content_length_is_kept_to() {
    let request = request(&call(&[], ""));
    let mut flows = Vec::new();
    let sent = reply_with(&Mapping::default(), &request, |reply| {
        reply.start(head(200, &[("Content-Length", "5")]));
        flows = ["He", "llo, ", "you"].map(|block| reply.block(block.as_bytes())).to_vec();
        Ok(())
    });
    assert_eq!(flows, [Flow::Continue, Flow::Enough, Flow::Enough]);
    assert_eq!(sent.only().body, "Hello");
    assert!(!has(sent.only(), "Content-Length"));
    assert!(!sent.finished.broken);

    let sent = reply(&request, head(200, &[("Content-Length", "7")]), &["Hello"]);
    assert_eq!(sent.only().headers.text("http_isError"), Some("true"));
    assert_eq!(sent.only().headers.text("http_statusCode"), Some("200"));
    assert_eq!(sent.only().body, "Hello");
    assert!(sent.finished.broken);
    assert_eq!(sent.finished.fault, Some(Fault::Short { missing: 2 }));

    let sent = reply(&request, head(200, &[("Content-Length", "0")]), &["Hello"]);
    assert_eq!((sent.only().body.len(), sent.finished.broken), (0, false));
}

#[test]
fn failures_before_anything_left_are_500() {
    let request = request(&call(&[], ""));
    let failed = || Err(AppError("secret reason".into()));
    let mapping = Mapping::default();
    for (sent, fault) in [
        (reply_with(&mapping, &request, |_| failed()), Fault::Failed),
        (reply_with(&mapping, &request, |_| Ok(())), Fault::NotStarted),
        (
            reply_with(&mapping, &request, |reply| {
                reply.start(head(200, &[("X-A", "b"), ("content-type", "a/b")]));
                let _ = reply.block(b"kept, not sent");
                failed()
            }),
            Fault::Failed,
        ),
        (
            reply_with(&mapping, &request, |reply| {
                assert_eq!(reply.block(b"too early"), Flow::Enough);
                reply.start(head(200, &[]));
                Ok(())
            }),
            Fault::NotStarted,
        ),
    ] {
        let frame = sent.only();
        assert_eq!(frame.headers.text("http_statusCode"), Some("500"));
        assert_eq!(frame.headers.text("http_isError"), Some("true"));
        assert_eq!(frame.headers.text("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(frame.headers.text("receipt"), Some("r-1"));
        assert!(!has(frame, "X-A"));
        assert_eq!(frame.body, "Internal Server Error\n");
        assert_eq!((sent.finished.status, sent.finished.broken), (500, false));
        assert_eq!(sent.finished.fault, Some(fault));
    }
}

#[test]
fn a_second_head_replaces_the_first_until_a_block_came() {
    let sent = reply_with(&Mapping::default(), &request(&call(&[], "")), |reply| {
        reply.start(head(200, &[("X-A", "1"), ("Content-Length", "1")]));
        let _ = reply.block(b"");
        reply.start(head(500, &[("X-B", "2")]));
        let _ = reply.block(b"sorry");
        reply.start(head(200, &[]));
        Ok(())
    });
    let frame = sent.only();
    assert_eq!(frame.headers.text("http_statusCode"), Some("500"));
    assert!(!has(frame, "X-A") && has(frame, "X-B"));
    assert_eq!(frame.body, "sorry");
}

#[test]
fn replies_have_limits() {
    let request = request(&call(&[], ""));
    let mapping = Mapping { max_reply: Some(10), ..Mapping::default() };
    let mut flows = Vec::new();
    let sent = reply_with(&mapping, &request, |reply| {
        reply.start(head(200, &[]));
        flows = ["12345", "67890", "!", "?"].map(|block| reply.block(block.as_bytes())).to_vec();
        Ok(())
    });
    assert_eq!(flows, [Flow::Continue, Flow::Continue, Flow::Enough, Flow::Enough]);
    assert_eq!(sent.finished.fault, Some(Fault::TooLarge { limit: 10 }));
    assert_eq!(sent.only().headers.text("http_statusCode"), Some("500"));

    let long = "x".repeat(11_000);
    let sent = reply(&request, head(200, &[("X-Long", &long)]), &["body"]);
    assert_eq!(sent.finished.fault, Some(Fault::HeaderLine { name: "X-Long".into(), octets: 11_008 }));
    assert_eq!(sent.only().headers.text("http_statusCode"), Some("500"));

    let many: Vec<String> = (0..100).map(|n| format!("X-{n}")).collect();
    let many: Vec<Pair<'_>> = many.iter().map(|name| (name.as_str(), "")).collect();
    let sent = reply(&request, head(200, &many), &[]);
    assert_eq!(sent.finished.fault, Some(Fault::TooManyHeaders { headers: 114 }));
    assert_eq!(sent.finished.status, 500);
}

/// The request as it comes from this broker.
fn from(dialect: Dialect, server: &str, frame: &Frame) -> Request {
    let mut request = request(frame);
    let limits = dialect.limits(Some(server));
    request.delivery.came_from(dialect, Jms::Other, limits, || Duration::ZERO);
    request
}

/// A SEND of more than the limit would end the connection, each time that the request is delivered.
#[test]
fn a_reply_fits_into_a_frame_of_rabbitmq() {
    const LIMIT: usize = 4 << 20;
    let large = vec![b'x'; LIMIT];
    let answered = |server: &str, mapping: &Mapping, frame: &Frame, octets: usize| {
        let sent = reply_with(mapping, &from(Dialect::RabbitMq, server, frame), |reply| {
            reply.start(head(200, &[("X-A", "b")]));
            let _ = reply.block(&large[..octets]);
            Ok(())
        });
        (sent.finished.status, sent.finished.bytes.len(), sent.only().clone())
    };
    let http = call(&[("content-type", "application/http")], "GET / HTTP/1.1\r\n\r\n");
    for frame in [call(&[("correlation-id", "c")], ""), http] {
        let by_default = Mapping::default();
        let (status, whole, _) = answered("RabbitMQ/4.0.5", &by_default, &frame, LIMIT - 1000);
        assert_eq!(status, 200);
        // What the message has besides its body is in the limit, and so is what a transaction adds.
        let most = LIMIT - 64 - (whole - (LIMIT - 1000));
        let (status, whole, _) = answered("RabbitMQ/4.0.5", &by_default, &frame, most);
        assert_eq!((status, whole), (200, LIMIT - 64));
        for (octets, server) in [
            (most + 1, "RabbitMQ/4.0.5"),
            (LIMIT, "RabbitMQ/4.0.5"),
            (most + 1, "RabbitMQ/3.12.0"),
            (most + 1, "gateway"),
        ] {
            let (status, whole, told) = answered(server, &by_default, &frame, octets);
            assert_eq!(
                (status, told.headers.text("http_statusCode")),
                (500, Some("500")),
                "{octets} {server}"
            );
            assert!(
                String::from_utf8_lossy(&told.body).contains("takes more than 4194304 bytes"),
                "{told:?}"
            );
            assert!(whole < 1000);
        }
        assert_eq!(answered("RabbitMQ/3.10.8", &by_default, &frame, LIMIT).0, 200);
        // Somebody who raised `stomp.max_frame_size` says so.
        let raised = Mapping { max_reply: Some(8 << 20), ..Mapping::default() };
        assert_eq!(answered("RabbitMQ/4.0.5", &raised, &frame, LIMIT).0, 200);
        let lowered = Mapping { max_reply: Some(1 << 20), ..Mapping::default() };
        assert_eq!(answered("RabbitMQ/4.0.5", &lowered, &frame, (1 << 20) + 1).0, 500);
    }
}

#[test]
fn each_block_of_a_stream_fits_into_a_frame() {
    let blocks = vec![vec![b'x'; 3 << 20], vec![b'y'; 3 << 20], vec![b'z'; 4 << 20], vec![b'x'; 1]];
    let frame = call(&[("http_acceptStream", "true")], "");
    let sent = reply_with(&Mapping::default(), &from(Dialect::RabbitMq, "RabbitMQ/4.0.5", &frame), |reply| {
        reply.start(head(200, &[]));
        for block in &blocks {
            let _ = reply.block(block);
        }
        Ok(())
    });
    assert_eq!(sent.parts.len(), 2, "6 MiB");
    let end = sent.last.as_ref().expect("an end");
    assert_eq!((end.headers.text("http_isError"), end.body.len()), (Some("true"), 0));
    assert_eq!(sent.finished.fault, Some(Fault::TooLarge { limit: 4 << 20 }));
}

#[test]
fn a_reply_has_no_long_names_or_types_on_rabbitmq() {
    let long = "X".repeat(256);
    for (name, value, server, status) in [
        (&long[..255], "v", "RabbitMQ/4.0.5", 200),
        (&long, "v", "RabbitMQ/4.0.5", 500),
        (&long, "v", "RabbitMQ/3.13.7", 200),
        ("Content-Type", &long[..255], "RabbitMQ/4.0.5", 200),
        ("Content-Type", &long, "RabbitMQ/4.0.5", 500),
        ("Content-Type", &long, "RabbitMQ/3.10.8", 200),
        ("X-A", &long, "RabbitMQ/4.0.5", 200),
    ] {
        let mapping = Mapping { reply_header_names: HeaderNames::Raw, ..Mapping::default() };
        for stream in ["false", "true"] {
            let request = from(Dialect::RabbitMq, server, &call(&[("http_acceptStream", stream)], ""));
            let sent = reply_with(&mapping, &request, |reply| {
                reply.start(head(200, &[(name, value)]));
                let _ = reply.block(b"body");
                Ok(())
            });
            assert_eq!(sent.finished.status, status, "{name} {server}");
            let refused = matches!(sent.finished.fault, Some(Fault::LongString { limit: 255, .. }));
            assert_eq!(refused, status == 500);
        }
    }
}

/// One head, encoded for the first of two brokers, is not taken for the other.
#[test]
fn a_head_that_is_kept_is_checked_for_each_broker() {
    let shared = head(200, &[("Content-Type", &"x".repeat(256))]);
    for (server, status) in [("RabbitMQ/3.10.8", 200), ("RabbitMQ/4.0.5", 500)] {
        let sent =
            reply_with(&Mapping::default(), &from(Dialect::RabbitMq, server, &call(&[], "")), |reply| {
                reply.start(shared.clone());
                Ok(())
            });
        assert_eq!(sent.finished.status, status);
    }
}

#[test]
fn promised_lengths_take_no_memory() {
    let sent =
        reply(&request(&call(&[], "")), head(200, &[("Content-Length", "18446744073709551615")]), &["x"]);
    assert_eq!(sent.finished.fault, Some(Fault::Short { missing: u64::MAX - 1 }));
}

#[test]
fn each_block_of_a_stream_is_a_message() {
    let request = stream();
    let sent = reply(&request, head(200, &[("X-A", "1"), ("content-type", "a/b")]), &["one", "", "two"]);
    let last = sent.last.as_ref().expect("an end");
    let all: Vec<&Frame> = sent.parts.iter().chain([last]).collect();
    assert_eq!(all.len(), 3);
    for (at, (frame, (body, more))) in
        all.iter().zip([("one", "true"), ("two", "true"), ("", "false")]).enumerate()
    {
        assert_eq!(frame.headers.text("destination"), Some("/temp-queue/me"));
        assert_eq!(frame.headers.text("correlation-id"), Some("c"));
        assert_eq!(frame.headers.text("http_chunkSeq"), Some(at.to_string().as_str()));
        assert_eq!(frame.headers.text("http_moreContent"), Some(more));
        assert_eq!(frame.body, body);
        let first = at == 0;
        for name in ["http_statusCode", "http_reasonPhrase", "http_isError", "X-A", "content-type"] {
            assert_eq!(has(frame, name), first, "{name} of {at}");
        }
        let receipt = frame.headers.text("receipt").expect("each asks for one");
        assert_eq!(receipt.rsplit_once('/').map(|(_, n)| n), [Some("0"), Some("1"), None][at]);
    }
    assert_eq!((sent.finished.messages, sent.finished.body_len, sent.finished.broken), (3, 6, false));
}

#[test]
fn a_block_leaves_before_the_next_is_asked_for() {
    let request = stream();
    let mapping = Mapping::default();
    let count = std::cell::Cell::new(0);
    let mut more = |_| count.set(count.get() + 1);
    let mut responder = Responder::new(Version::V1_2, &mapping, &request, "", &mut more);
    responder.start(head(200, &[]));
    assert_eq!(count.get(), 0, "a head alone is not sent");
    for block in 1..5 {
        let _ = responder.block(b"");
        assert_eq!(count.get(), block - 1);
        let _ = responder.block(b"x");
        assert_eq!(count.get(), block);
    }
}

#[test]
fn a_stream_without_blocks_is_one_message() {
    let sent = reply(&stream(), head(200, &[("X-A", "1")]), &[""]);
    let frame = sent.only();
    assert_eq!(frame.headers.text("http_chunkSeq"), Some("0"));
    assert_eq!(frame.headers.text("http_moreContent"), Some("false"));
    assert_eq!(frame.headers.text("http_statusCode"), Some("200"));
    assert!(has(frame, "X-A") && has(frame, "receipt"));

    let sent = reply_with(&Mapping::default(), &stream(), |_| Err(AppError("x".into())));
    assert_eq!(sent.only().headers.text("http_statusCode"), Some("500"));
    assert_eq!(sent.only().headers.text("http_moreContent"), Some("false"));
}

#[test]
fn broken_streams_end_with_an_error() {
    let mapping = Mapping { max_reply: Some(4), ..Mapping::default() };
    let start = |reply: &mut dyn Reply, headers: &[Pair<'_>]| {
        reply.start(head(200, headers));
        let _ = reply.block(b"one");
    };
    let failed = reply_with(&mapping, &stream(), |reply| {
        start(reply, &[]);
        Err(AppError("x".into()))
    });
    let short = reply_with(&mapping, &stream(), |reply| {
        start(reply, &[("Content-Length", "5")]);
        Ok(())
    });
    let large = reply_with(&mapping, &stream(), |reply| {
        start(reply, &[]);
        assert_eq!(reply.block(b"large"), Flow::Enough);
        Ok(())
    });
    for (sent, fault) in
        [(failed, Fault::Failed), (short, Fault::Short { missing: 2 }), (large, Fault::TooLarge { limit: 4 })]
    {
        assert_eq!(sent.parts.len(), 1);
        let last = sent.last.expect("an end");
        assert_eq!(last.headers.text("http_isError"), Some("true"));
        assert_eq!(last.headers.text("http_moreContent"), Some("false"));
        assert_eq!(last.headers.text("http_chunkSeq"), Some("1"));
        assert!(!has(&last, "http_statusCode"));
        assert!(sent.finished.broken);
        assert_eq!((sent.finished.status, sent.finished.fault), (200, Some(fault)));
    }
}

#[test]
fn streams_that_do_not_fit_are_500_in_kind() {
    let long = "x".repeat(11_000);
    let sent = reply(&stream(), head(200, &[("X-Long", &long)]), &["one", "two"]);
    assert_eq!(sent.only().headers.text("http_statusCode"), Some("500"));
    assert_eq!(sent.only().headers.text("http_moreContent"), Some("false"));
}

#[test]
fn one_way_replies_are_a_status() {
    let request = request(&message(&[("reply-to", "/queue/r"), ("http_requestMethod", "NOTIFY")], ""));
    let long = "x".repeat(11_000);
    let mut flow = None;
    let sent = reply_with(&Mapping::default(), &request, |reply| {
        reply.start(head(202, &[("X-Long", &long), ("Content-Length", "1")]));
        flow = Some(reply.block(b"a"));
        Ok(())
    });
    assert_eq!(flow, Some(Flow::Continue), "it may work while it is iterated");
    assert!(sent.last.is_none() && sent.parts.is_empty());
    assert_eq!((sent.finished.status, sent.finished.messages, sent.finished.fault), (202, 0, None));

    for (started, result) in [(true, Err(AppError("x".into()))), (false, Ok(()))] {
        let sent = reply_with(&Mapping::default(), &request, |reply| {
            if started {
                reply.start(head(200, &[]));
            }
            result
        });
        assert_eq!(sent.finished.status, 500);
        assert!(sent.finished.bytes.is_empty() && sent.finished.fault.is_some());
    }
}

#[test]
fn replies_expire_with_their_requests() {
    let ttl = Mapping { reply_ttl: Some(Duration::from_secs(60)), ..Mapping::default() };
    let answered = |mapping: &Mapping, given: &[Pair<'_>]| {
        let sent = reply_with(mapping, &request(&call(given, "")), |reply| {
            reply.start(head(200, &[("Expires", "0")]));
            Ok(())
        });
        sent.only().headers.text("expires").map(|ms| ms.parse::<u64>().expect("a number"))
    };
    assert_eq!(answered(&Mapping::default(), &[]), None);
    assert_eq!(answered(&Mapping::default(), &[("expires", "4000000000000")]), Some(4_000_000_000_000));
    assert_eq!(answered(&ttl, &[("expires", "4000000000000")]), Some(4_000_000_000_000));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
    let expires = answered(&ttl, &[]).unwrap();
    assert!((now..now + 120_000).contains(&expires), "{expires}");
    let ever = Mapping { reply_ttl: Some(Duration::MAX), ..Mapping::default() };
    assert_eq!(answered(&ever, &[]), Some(i64::MAX as u64));
}

#[test]
fn no_receipt_unless_asked_for() {
    let (mapping, request) = (Mapping::default(), request(&call(&[], "")));
    let mut more = |_| {};
    let mut responder = Responder::new(Version::V1_1, &mapping, &request, "", &mut more);
    responder.start(head(200, &[]));
    let frame = one_frame(Version::V1_1, &responder.finish(Ok(())).bytes);
    assert!(!names(&frame).contains(&"receipt"));
}

#[test]
fn a_large_body_is_copied_into_place_once() {
    let request = request(&call(&[("content-length", "0")], ""));
    let block = "x".repeat(8 << 20);
    let sent = reply(&request, head(200, &[("Content-Length", "8388608")]), &[&block]);
    let bytes = &sent.finished.bytes;
    // Reserved in one go: growing would have doubled it.
    assert!(bytes.capacity() - bytes.len() < 1024, "{} of {}", bytes.len(), bytes.capacity());
}

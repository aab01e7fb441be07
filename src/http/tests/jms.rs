//! What JMS clients of ActiveMQ send and get.
use std::time::Duration;

use super::*;
use crate::link::{Jms, jms};

const JAVA: Pair<'_> = ("message-id", "ID:host-1-2-1:1:1:1:1");
const STOMP: Pair<'_> = ("message-id", "ID:host-1-2-3:2:-1:1:1");
const EMOJI: &str = "a\u{1F600}b";
const EMOJI_JAVA: &[u8] = b"a\xed\xa0\xbd\xed\xb8\x80b";

/// The request as a link has it from such a broker.
fn came(mapping: &Mapping, frame: &Frame, broker: Jms) -> Result<Request, Rejected> {
    let repaired = jms::repaired_message(frame, broker);
    let mut request = map(mapping, repaired.as_ref().unwrap_or(frame))?;
    request.delivery.came_from(Dialect::ActiveMq, broker, Default::default(), || Duration::ZERO);
    mapping.with_its_body(request, broker)
}

fn raw(headers: &[Pair<'_>], body: &'static [u8]) -> Frame {
    Frame { body: body.into(), ..call(headers, "") }
}

fn sent(mapping: &Mapping, request: &Request, blocks: &[&[u8]]) -> Sent {
    reply_with(mapping, request, |reply| {
        reply.start(head(200, &[]));
        for block in blocks {
            let _: Flow = reply.block(block);
        }
        Ok(())
    })
}

#[test]
fn text_of_a_jms_client_is_repaired_where_the_broker_passes_it_on() {
    let body = |frame: &Frame, broker| came(&Mapping::default(), frame, broker).unwrap().body;
    let text = raw(&[JAVA], b"a\xed\xa0\xbd\xed\xb8\x80b\xc0\x80");
    for broker in [Jms::Modified, Jms::Unknown] {
        assert_eq!(body(&text, broker), "a\u{1F600}b\0", "{broker:?}");
    }
    for broker in [Jms::Utf8, Jms::Other] {
        assert_eq!(body(&text, broker), text.body, "{broker:?}");
    }
    // Bytes, and what was sent by STOMP, are as they were sent.
    for untouched in [raw(&[JAVA, ("content-length", "8")], EMOJI_JAVA), raw(&[STOMP], EMOJI_JAVA)] {
        assert_eq!(body(&untouched, Jms::Modified), untouched.body);
    }
    let lone = raw(&[JAVA], b"\xed\xa0\xbdx");
    assert_eq!(body(&lone, Jms::Modified), lone.body);
}

#[test]
fn a_whole_request_is_counted_in_utf8() {
    let wire = b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\na\xed\xa0\xbd\xed\xb8\x80b";
    let whole = raw(&[JAVA, ("content-type", "application/http")], wire);
    assert_eq!(came(&Mapping::default(), &whole, Jms::Modified).unwrap().body, EMOJI);
    let sent = sent(
        &Mapping::default(),
        &came(&Mapping::default(), &whole, Jms::Modified).unwrap(),
        &[EMOJI.as_bytes()],
    );
    let body = &sent.only().body;
    assert!(
        body.ends_with(EMOJI_JAVA) && body.windows(17).any(|part| part == b"Content-Length: 6"),
        "{body:?}"
    );
    assert!(!has(sent.only(), "content-length"));
}

#[test]
fn text_goes_back_as_its_reader_reads_it() {
    let answered = |given: &[Pair<'_>], broker, blocks: &[&[u8]]| {
        let request = came(&Mapping::default(), &raw(given, b"x"), broker).unwrap();
        let sent = sent(&Mapping::default(), &request, blocks);
        (sent.only().body.to_vec(), sent.only().headers.text("content-length").map(str::to_owned))
    };
    let emoji = &[EMOJI.as_bytes()][..];
    assert_eq!(answered(&[JAVA], Jms::Modified, emoji), (EMOJI_JAVA.to_vec(), None));
    assert_eq!(answered(&[JAVA], Jms::Modified, &[b"a\0b"]), (b"a\xc0\x80b".to_vec(), None));
    assert_eq!(answered(&[JAVA], Jms::Modified, &[b"\xff"]), (b"\xff".to_vec(), Some("1".to_owned())));
    for (given, broker) in
        [(STOMP, Jms::Modified), (JAVA, Jms::Utf8), (JAVA, Jms::Unknown), (JAVA, Jms::Other)]
    {
        assert_eq!(answered(&[given], broker, emoji), (EMOJI.into(), None), "{given:?} {broker:?}");
    }
    let bytes = [JAVA, ("content-length", "1")];
    assert_eq!(answered(&bytes, Jms::Modified, emoji), (EMOJI.into(), Some("6".to_owned())));
}

#[test]
fn text_that_grows_beyond_the_limit_is_too_large() {
    let mapping = Mapping { max_reply: Some(10), ..Mapping::default() };
    let request = came(&mapping, &raw(&[JAVA], b"x"), Jms::Modified).unwrap();
    let emojis = "\u{1F600}\u{1F600}";
    assert_eq!(
        sent(&mapping, &request, &[emojis.as_bytes()]).finished.fault,
        Some(Fault::TooLarge { limit: 10 })
    );
    let request = came(&mapping, &raw(&[STOMP], b"x"), Jms::Modified).unwrap();
    assert_eq!(sent(&mapping, &request, &[emojis.as_bytes()]).finished.fault, None);
}

#[test]
fn no_character_of_a_stream_of_text_is_cut() {
    let stream = |given: &[Pair<'_>]| {
        let given = [&[JAVA, ("http_acceptStream", "true")], given].concat();
        came(&Mapping::default(), &raw(&given, b"x"), Jms::Modified).unwrap()
    };
    let parts = |request: &Request, blocks: &[&[u8]]| -> Vec<(Vec<u8>, bool)> {
        let sent = sent(&Mapping::default(), request, blocks);
        assert_eq!((sent.finished.fault, sent.finished.broken), (None, false));
        let part = |frame: &Frame| (frame.body.to_vec(), has(frame, "content-length"));
        sent.parts.iter().chain(&sent.last).map(part).collect()
    };
    let text = |text: &[u8]| (text.to_vec(), false);
    let [a, b, c] = [&b"x\xf0"[..], b"\x9f\x98", b"\x80y"];
    let expected = [text(b"x"), text(b"\xed\xa0\xbd\xed\xb8\x80y"), text(b"")];
    assert_eq!(parts(&stream(&[]), &[a, b, c]), expected);
    // What is never whole is sent at the end, as bytes.
    assert_eq!(parts(&stream(&[]), &[b"x\xe2\x82"]), [text(b"x"), (b"\xe2\x82".to_vec(), true)]);
    assert_eq!(parts(&stream(&[]), &[b"\xe2\x82"]), [(b"\xe2\x82".to_vec(), true)]);
    // Nor does anything wait that is bytes, or has no characters.
    let bytes = |part: &[u8]| (part.to_vec(), true);
    let length = ("content-length", "1");
    assert_eq!(parts(&stream(&[length]), &[a, b, c]), [bytes(a), bytes(b), bytes(c), bytes(b"")]);
    assert_eq!(parts(&stream(&[]), &[b"\xff\xf0", b"x"]), [bytes(b"\xff\xf0"), text(b"x"), text(b"")]);
}

#[test]
fn replies_are_of_the_form_that_is_asked_for() {
    let length = ("content-length", "1");
    for (form, given, block, expected) in [
        (ReplyBody::Bytes, &[JAVA][..], &b"text"[..], Ok(Some("4"))),
        (ReplyBody::Bytes, &[JAVA, length], b"text", Ok(Some("4"))),
        (ReplyBody::Text, &[JAVA, length], b"text", Ok(None)),
        (ReplyBody::Text, &[JAVA, length], b"a\0b", Ok(None)),
        (ReplyBody::Text, &[JAVA], b"\xff", Err(Fault::NotText)),
        (ReplyBody::Text, &[STOMP], b"a\0b", Err(Fault::NotText)),
    ] {
        let mapping = Mapping { reply_body: form, ..Mapping::default() };
        let request = came(&mapping, &raw(given, b"x"), Jms::Modified).unwrap();
        let sent = sent(&mapping, &request, &[block]);
        match expected {
            Ok(length) => {
                assert_eq!(sent.only().headers.text("content-length"), length, "{form:?} {block:?}")
            }
            Err(fault) => {
                assert_eq!(sent.finished.fault, Some(fault), "{form:?} {block:?}");
                assert_eq!(sent.only().headers.text("http_statusCode"), Some("500"));
                assert!(!has(sent.only(), "content-length"), "an error is text, too");
            }
        }
    }
    // A stream that turns out to be no text, after it has begun.
    let mapping = Mapping { reply_body: ReplyBody::Text, ..Mapping::default() };
    let request = came(&mapping, &raw(&[JAVA, ("http_acceptStream", "true")], b"x"), Jms::Modified).unwrap();
    for blocks in [&[&b"one"[..], b"\xff"], &[&b"one"[..], b"\xe2\x82"]] {
        let sent = sent(&mapping, &request, blocks);
        let last = sent.last.unwrap();
        assert_eq!((sent.finished.fault, sent.finished.body_len), (Some(Fault::NotText), 3));
        assert_eq!((last.headers.text("http_isError"), &last.body[..]), (Some("true"), &b""[..]));
    }
}

#[test]
fn a_body_that_the_broker_keeps_is_asked_for() {
    let post = ("http_requestMethod", "POST");
    let refused = |frame: &Frame, broker| match came(&Mapping::default(), frame, broker) {
        Ok(_) => false,
        Err(rejected) => {
            assert_eq!(
                (rejected.status(), rejected.can_answer(), &rejected.reason),
                (415, true, &Reason::Withheld)
            );
            true
        }
    };
    for broker in [Jms::Modified, Jms::Utf8, Jms::Unknown] {
        for headers in [
            &[JAVA][..],
            &[JAVA, post],
            &[JAVA, ("CamelHttpMethod", "PUT")],
            &[JAVA, ("Content-Length", "1")],
            // A property: an empty BytesMessage has 0.
            &[JAVA, post, ("content-length", "5")],
            &[JAVA, post, ("content-length", "x")],
            &[JAVA, ("http_requestMethod", "post")],
            &[JAVA, ("http_requestMethod", "PROPFIND")],
            &[JAVA, ("http_requestMethod", "QUERY")],
        ] {
            assert!(refused(&call(headers, ""), broker), "{headers:?}");
        }
    }
    for (headers, body, broker) in [
        (&[JAVA, post][..], "", Jms::Other),
        (&[STOMP, post], "", Jms::Modified),
        (&[JAVA, post], "x", Jms::Modified),
        (&[JAVA, post, ("content-length", "0")], "", Jms::Modified),
        (&[JAVA, post, ("Content-Length", "0")], "", Jms::Modified),
        (&[JAVA, post, ("Content_HYPHEN_Length", "0")], "", Jms::Modified),
        (&[JAVA, ("http_requestMethod", "GET")], "", Jms::Modified),
        (&[JAVA, ("http_requestUrl", "/a")], "", Jms::Modified),
        (&[JAVA, ("http_requestMethod", "DELETE")], "", Jms::Modified),
        (&[JAVA, ("http_requestMethod", "OPTIONS")], "", Jms::Modified),
        // One-way.
        (&[JAVA, ("http_requestMethod", "NOTIFY")], "", Jms::Modified),
    ] {
        assert!(!refused(&call(headers, body), broker), "{headers:?}");
    }
    // Artemis' message ids say nothing; what its JMS clients add does.
    for mark in ["__AMQ_CID", "JMS_AMQP_MA_x-opt-jms-msg-type"] {
        let sent = &[post, ("message-id", "23,39"), (mark, "2")];
        assert!(refused(&call(sent, ""), Jms::Artemis), "{mark}");
        assert!(!refused(&call(sent, "x"), Jms::Artemis), "{mark}");
        assert!(!refused(&call(sent, ""), Jms::Other), "{mark}");
        let empty = [&sent[..], &[("Content_HYPHEN_Length", "0")]].concat();
        assert!(!refused(&call(&empty, ""), Jms::Artemis), "{mark}");
    }
    assert!(!refused(&call(&[post, ("message-id", "23,39")], ""), Jms::Artemis));
    let [accept, reject] =
        [EmptyJms::Accept, EmptyJms::Reject].map(|empty_jms| Mapping { empty_jms, ..Mapping::default() });
    assert!(came(&accept, &call(&[JAVA, post], ""), Jms::Modified).is_ok());
    let event = message(&[JAVA], "");
    assert!(reject.is_withheld(&event, Jms::Modified) && !reject.is_withheld(&event, Jms::Other));
    assert!(reject.is_withheld(&message(&[JAVA, ("content-length", "5")], ""), Jms::Modified));
    assert!(!reject.is_withheld(&message(&[JAVA, ("content-length", "0")], ""), Jms::Modified));
    assert!(!reject.is_withheld(&message(&[JAVA], "x"), Jms::Modified));
    assert!(!reject.is_withheld(&call(&[JAVA, post], ""), Jms::Modified), "it is answered");
    assert!(!reject.is_withheld(&message(&[STOMP], ""), Jms::Modified));
    assert!(!came(&reject, &event, Jms::Modified).unwrap_err().can_answer());
}

/// A MESSAGE of Artemis 2.40, as it was captured.
fn of_artemis(kind: &[Pair<'_>], length: Option<(usize, &str)>, body: &'static [u8]) -> Frame {
    let mut headers = vec![
        ("subscription", "0"),
        ("message-id", "23,39"),
        ("destination", "probe"),
        ("persistent", "true"),
        ("destination-type", "ANYCAST"),
        ("http_requestMethod", "POST"),
    ];
    headers.extend_from_slice(kind);
    if let Some((at, length)) = length {
        headers.insert(at.min(headers.len()), ("content-length", length));
    }
    Frame { command: Command::Message, headers: headers.into_iter().collect(), body: body.into(), cut: None }
}

#[test]
fn a_jms_client_of_artemis_is_answered_in_kind_by_the_bare_name() {
    let answered = |frame: &Frame| {
        let mut request = map(&Mapping::default(), frame).unwrap();
        request.delivery.came_from(Dialect::Artemis, Jms::Artemis, Default::default(), || Duration::ZERO);
        let sent = sent(&Mapping::default(), &request, &[b"ok"]);
        let text = |name| sent.only().headers.text(name).map(str::to_owned);
        ["destination", "destination-type", "correlation-id", "persistent", "content-length"].map(text)
    };
    let said = |values: [Option<&str>; 5]| values.map(|value| value.map(str::to_owned));
    let core = [("reply-to", "temp-queue://4f5b3339-a1cd-4661-8218-c10f059ad957"), ("__AMQ_CID", "1")];
    let name = Some("4f5b3339-a1cd-4661-8218-c10f059ad957");
    let text = of_artemis(&core, Some((99, "1")), b"x");
    assert_eq!(answered(&text), said([name, None, Some("23,39"), None, None]));
    let bytes = of_artemis(&core, Some((1, "1")), b"x");
    assert_eq!(answered(&bytes), said([name, None, Some("23,39"), None, Some("2")]));
    // What its sender knows as its message's id comes before what only STOMP does.
    for id in ["__HDR_MESSAGE_ID", "NATIVE_MESSAGE_ID"] {
        let fixed = of_artemis(&[("reply-to", "queue://replies"), (id, "ID:a-1")], Some((99, "1")), b"x");
        assert_eq!(
            answered(&fixed),
            said([Some("replies"), Some("ANYCAST"), Some("ID:a-1"), Some("true"), None])
        );
    }
}

#[test]
fn a_text_of_artemis_stays_text_as_a_dead_letter() {
    let sized = |frame: &Frame| {
        let out = dead_letter(
            Version::V1_2,
            Dialect::Artemis,
            &Mapping::default(),
            frame,
            "/queue/DLQ",
            "late",
            "",
        );
        memchr::memmem::find(&out, b"\ncontent-length:").is_some()
    };
    assert!(!sized(&of_artemis(&[], Some((99, "1")), b"x")));
    assert!(sized(&of_artemis(&[], Some((1, "1")), b"x")));
}

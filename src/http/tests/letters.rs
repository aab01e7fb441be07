//! Answers and dead letters that no application wrote.
use super::*;

#[test]
fn rejected_messages_are_told_why() {
    let mapping = Mapping::default();
    let rejected =
        map(&mapping, &call(&[("http_requestUrl", "/a b"), ("correlation-id", "c")], "")).unwrap_err();
    let frame = one_frame(Version::V1_2, &reject(Version::V1_2, &mapping, &rejected, "r-9"));
    for (name, value) in [
        ("destination", "/temp-queue/me"),
        ("correlation-id", "c"),
        ("http_statusCode", "400"),
        ("http_reasonPhrase", "Bad Request"),
        ("http_isError", "true"),
        ("content-type", "text/plain; charset=utf-8"),
        ("receipt", "r-9"),
    ] {
        assert_eq!(frame.headers.text(name), Some(value), "{name}");
    }
    let text = std::str::from_utf8(&frame.body).unwrap();
    assert!(text.starts_with("the request target is impossible") && !text.contains("/a b"), "{text}");
}

#[test]
fn nobody_is_told_where_nobody_may_be() {
    let mapping = Mapping::default();
    for frame in [
        message(&[("http_requestUrl", "/a b")], ""),
        message(&[("reply-to", "/topic/x")], ""),
        call(&[("http_requestMethod", "NOTIFY"), ("http_requestUrl", "/a b")], ""),
    ] {
        let rejected = map(&mapping, &frame).unwrap_err();
        assert_eq!(reject(Version::V1_2, &mapping, &rejected, "r"), b"");
    }
}

#[test]
fn answers_are_in_kind() {
    let mapping = Mapping::default();
    let request = request(&call(&[("http_acceptStream", "true")], ""));
    let bytes = answer(Version::V1_2, &mapping, &request.delivery, &Status::of(503), "Draining\n", "");
    let frame = one_frame(Version::V1_2, &bytes);
    assert_eq!(frame.headers.text("http_statusCode"), Some("503"));
    assert_eq!(frame.headers.text("http_moreContent"), Some("false"));
    assert!(!has(&frame, "receipt"));
    assert_eq!(frame.body, "Draining\n");
    let one_way = super::request(&message(&[], ""));
    assert_eq!(answer(Version::V1_2, &mapping, &one_way.delivery, &Status::of(503), "x", ""), b"");
}

#[test]
fn dead_letters_keep_the_message_and_lose_the_delivery() {
    let frame = message(
        &[
            ("ack", "a-1"),
            ("reply-to", "/queue/r"),
            ("correlation-id", "c"),
            ("content-type", "a/b"),
            ("http_requestUrl", "/x"),
            ("X-Tenant", "acme"),
            ("X-Tenant", "evil"),
            ("priority", "4"),
            ("expires", "1"),
            ("timestamp", "1"),
            ("redelivered", "true"),
            ("persistent", "false"),
            ("receipt", "leaked"),
            ("transaction", "leaked"),
            ("message-failed", "earlier"),
            ("JMSXDeliveryCount", "2"),
            ("AMQ_SCHEDULED_DELAY", "100000"),
            ("transformation", "jms-xml"),
            ("x-death", "1"),
            ("user-id", "root"),
        ],
        "body",
    );
    let bytes = dead_letter(
        Version::V1_2,
        Dialect::ActiveMq,
        &Mapping::default(),
        &frame,
        "/queue/DLQ.in",
        "status 404\nfrom the app",
        "r-2",
    );
    let letter = one_frame(Version::V1_2, &bytes);
    let headers: Vec<_> = letter
        .headers
        .iter()
        .map(|(name, value)| (std::str::from_utf8(name).unwrap(), std::str::from_utf8(value).unwrap()))
        .collect();
    let expected = [
        ("destination", "/queue/DLQ.in"),
        ("persistent", "true"),
        ("message-failed", "status 404 from the app"),
        ("reply-to", "/queue/r"),
        ("correlation-id", "c"),
        ("content-type", "a/b"),
        ("http_requestUrl", "/x"),
        ("X-Tenant", "acme"),
        ("priority", "4"),
        ("receipt", "r-2"),
    ];
    assert_eq!(headers, expected);
    assert_eq!(letter.body, "body");
}

#[test]
fn dead_letters_keep_their_type() {
    for (given, body, length) in [
        (&[][..], "text", None),
        (&[("content-length", "4")], "text", Some("4")),
        (&[("content-length", "0")], "", Some("0")),
    ] {
        let letter = one_frame(
            Version::V1_2,
            &dead_letter(
                Version::V1_2,
                Dialect::ActiveMq,
                &Mapping::default(),
                &message(given, body),
                "d",
                "r",
                "",
            ),
        );
        assert_eq!(letter.headers.text("content-length"), length);
        assert_eq!(letter.body, body);
        assert!(!has(&letter, "receipt"));
    }
}

#[test]
fn dead_letters_lose_priorities_that_kill() {
    for (priority, kept) in [("9", true), ("u=1", false), ("", false), ("10", false), ("-1", false)] {
        let frame = message(&[("priority", priority)], "");
        let letter = one_frame(
            Version::V1_2,
            &dead_letter(Version::V1_2, Dialect::ActiveMq, &Mapping::default(), &frame, "d", "r", ""),
        );
        assert_eq!(has(&letter, "priority"), kept, "{priority}");
    }
}

/// ActiveMQ refuses a type that it does not know, RabbitMQ a CC that is no array, or a reply-to that it cannot parse; and
/// both make a queue of ours for one kind of it.
#[test]
fn dead_letters_lose_what_brokers_refuse() {
    let letter = |dialect, headers: &[(&str, &str)]| {
        let frame = message(headers, "");
        let bytes = dead_letter(Version::V1_2, dialect, &Mapping::default(), &frame, "d", "r", "");
        one_frame(Version::V1_2, &bytes)
    };
    for dialect in Dialect::ALL {
        let refused =
            [("amq-msg-type", "bogus"), ("CC", "a"), ("BCC", "b"), ("user-id", "x"), ("timestamp", "x")];
        let letter = letter(dialect, &refused);
        assert!(refused.iter().all(|(name, _)| !has(&letter, name)), "{dialect}: {letter:?}");
    }
    for (dialect, reply_to, kept) in [
        (Dialect::ActiveMq, "/queue/r", true),
        (Dialect::ActiveMq, "/remote-temp-queue/ID:1", true),
        (Dialect::ActiveMq, "nonsense/x", true),
        (Dialect::ActiveMq, "/temp-queue/r", false),
        (Dialect::ActiveMq, "/queue/a,/temp-topic/r", false),
        (Dialect::RabbitMq, "/queue/r", true),
        (Dialect::RabbitMq, "/reply-queue/amq.gen-x/y", true),
        (Dialect::RabbitMq, "/amq/queue/r", true),
        (Dialect::RabbitMq, "plain", true),
        (Dialect::RabbitMq, "/temp-queue/r", false),
        (Dialect::RabbitMq, "/remote-temp-queue/ID:1", false),
        (Dialect::RabbitMq, "/queue/a/b", false),
        (Dialect::RabbitMq, "/queue/", false),
        (Dialect::RabbitMq, "nonsense/x", false),
        (Dialect::RabbitMq, "", false),
    ] {
        let letter = letter(dialect, &[("reply-to", reply_to)]);
        let name = if kept { "reply-to" } else { "original-reply-to" };
        assert_eq!(letter.headers.text(name), Some(reply_to), "{dialect} {reply_to}");
        assert_eq!(has(&letter, "reply-to"), kept, "{dialect} {reply_to}");
    }
}

#[test]
fn names_that_a_version_cannot_carry_stay_behind() {
    let frame = message(&[("transaction ", "t"), ("transaction\n", "t"), (" X", "1"), ("X:Y", "1")], "");
    let letter = one_frame(
        Version::V1_0,
        &dead_letter(Version::V1_0, Dialect::ActiveMq, &Mapping::default(), &frame, "d", "r", ""),
    );
    assert_eq!(letter.headers.len(), 3, "{letter:?}");
}

#[test]
fn who_sent_too_large_a_body_is_told_so_in_kind() {
    let mapping = Mapping::default();
    for (kind, structured) in [("text/plain", false), ("application/http", true)] {
        let large = Frame {
            cut: Some(crate::stomp::Cut::Body(300)),
            ..call(&[("content-type", kind), ("correlation-id", "c")], "")
        };
        assert!(mapping.can_answer(&large));
        let rejected = map(&mapping, &large).unwrap_err();
        assert_eq!((rejected.status(), &rejected.reason), (413, &Reason::TooLarge(300)));
        let reply = one_frame(Version::V1_2, &reject(Version::V1_2, &mapping, &rejected, "r"));
        assert_eq!(reply.headers.text("http_statusCode"), Some("413"));
        let body = std::str::from_utf8(&reply.body).unwrap();
        assert!(body.ends_with("a body of 300 octets is more than this server takes\n"), "{body}");
        assert_eq!(body.starts_with("HTTP/1.1 413 Content Too Large\r\n"), structured);
    }
}

/// It is asked before anything else is looked at.
#[test]
fn who_can_be_answered_is_known_of_any_message() {
    let mapping = Mapping::default();
    for frame in [
        message(&[], ""),
        message(&[("reply-to", "/topic/x")], ""),
        call(&[("http_requestMethod", "NOTIFY")], ""),
        call(&[("destination", "/topic/x")], ""),
        call(&[("content-type", "application/http")], "NOTIFY / HTTP/1.1\r\n\r\n"),
    ] {
        assert!(!mapping.can_answer(&frame), "{frame:?}");
    }
    for frame in [call(&[], ""), call(&[("http_requestUrl", "/a b")], "")] {
        assert!(mapping.can_answer(&frame), "{frame:?}");
    }
}

/// RabbitMQ 4 ends the connection over a name of more than 255 octets, and over a property of AMQP that is as long. By AMQP a
/// sender can put those into the table of headers.
#[test]
fn dead_letters_have_no_long_names_and_properties_on_rabbitmq() {
    let (fits, long) = ("v".repeat(255), "v".repeat(256));
    let given = [
        ("correlation-id", &*long),
        ("content-type", &long),
        ("type", &long),
        ("app-id", &long),
        (&long, "x"),
        ("X-A", &long),
        (&fits, &long),
    ];
    let frame = message(&given, "body");
    for (dialect, kept) in [(Dialect::RabbitMq, &given[5..]), (Dialect::ActiveMq, &given[..])] {
        let bytes = dead_letter(Version::V1_2, dialect, &Mapping::default(), &frame, "d", "r", "");
        let letter = one_frame(Version::V1_2, &bytes);
        for (name, value) in given {
            let expected = kept.contains(&(name, value)).then_some(value);
            assert_eq!(letter.headers.text(name), expected, "{dialect} {name}");
        }
    }
}

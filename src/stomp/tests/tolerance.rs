//! A MESSAGE as brokers write it, whatever its sender put into it: no such message may end a connection.
use super::parser;
use crate::stomp::{Command, Cut, Flaws, Frame, Lengths, Limits, ParseError, Parser, Version};

fn tolerant(version: Version, limits: Limits) -> Parser {
    let mut parser = parser(Some(version), limits);
    parser.lenient_escapes(true);
    parser.cut_long_messages(true);
    parser.tolerate_messages(true);
    parser.set_probe("secret");
    parser
}

/// All frames, with what was wrong.
fn frames(parser: &mut Parser) -> (Vec<Frame>, Flaws) {
    let mut frames = Vec::new();
    while let Some(frame) = parser.next_frame().expect("no message ends the connection") {
        frames.push(frame);
    }
    (frames, parser.take_flaws())
}

fn bodies(frames: &[Frame]) -> Vec<&[u8]> {
    frames.iter().map(|frame| &frame.body[..]).collect()
}

/// Two messages, of which the second is a good one, whole and in pieces of every size.
fn both(version: Version, first: &[u8]) -> (Frame, Flaws) {
    let bytes = [first, b"\nMESSAGE\nmessage-id:2\n\ngood\0\n"].concat();
    let mut outcome = None;
    for piece in (1..=bytes.len()).rev() {
        let mut parser = tolerant(version, Limits::default());
        let (mut all, mut flaws) = (Vec::new(), Flaws::default());
        for piece in bytes.chunks(piece) {
            parser.feed(piece);
            let (more, wrong) = frames(&mut parser);
            all.extend(more);
            flaws.lines += wrong.lines;
            flaws.lengths += wrong.lengths;
            flaws.octets += wrong.octets;
        }
        assert_eq!(all.len(), 2, "{:?} in pieces of {piece}: {all:?}", String::from_utf8_lossy(first));
        assert_eq!(&all[1].body[..], b"good");
        let first = (all.remove(0), flaws);
        assert_eq!(*outcome.get_or_insert(first.clone()), first, "in pieces of {piece}");
    }
    outcome.expect("there are pieces")
}

#[test]
fn lines_that_are_no_headers_are_skipped_and_counted() {
    for version in Version::ALL {
        for (lines, count) in [
            (":x\n", 1),
            (":\n", 1),
            ("X\n", 1),
            ("X\nName:value\n", 1),
            ("X\n\\n\n:\n:::\n", 4),
            (": x\n", 1),
            ("\\c\n", 1),
        ] {
            let head = format!("MESSAGE\na:1\n{lines}ack:ID\nb:2\n\nbody\0");
            let (frame, flaws) = both(version, head.as_bytes());
            assert_eq!((&frame.body[..], flaws.lines), (&b"body"[..], count), "{lines:?}");
            assert_eq!(frame.headers.text("a"), Some("1"));
            assert_eq!(frame.headers.text("b"), Some("2"));
            assert_eq!(frame.headers.text("ack"), Some("ID"));
            assert_eq!(frame.cut, None);
        }
    }
    let (frame, flaws) = both(Version::V1_0, b"MESSAGE\n \t:x\na:1\n\nbody\0");
    assert_eq!((frame.headers.len(), flaws.lines), (1, 1), "nothing is left of a name");
}

/// What a property's name says behind a line feed is not the broker's, wherever it stands.
#[test]
fn a_torn_line_never_repeats_a_header_of_the_brokers() {
    for version in [Version::V1_1, Version::V1_2] {
        let head =
            b"MESSAGE\nX\nack:forged\nY\ncontent-length:2\nack:1\nZ\nname:v\ncontent-length:6\n\nbo\0\ndy\0";
        let (frame, flaws) = both(version, head);
        assert_eq!((&frame.body[..], flaws.lines, flaws.lengths), (&b"bo\0\ndy"[..], 3, 0));
        assert_eq!((frame.headers.text("ack"), frame.headers.text("name")), (Some("1"), Some("v")));
        // What would be a second one of a name is dropped.
        assert_eq!(frame.headers.len(), 3);
        let (frame, _) = both(version, b"MESSAGE\nX\nack:1\nY\nack:2\n\n\0");
        assert_eq!((frame.headers.len(), frame.headers.text("ack")), (1, Some("1")), "of two torn ones, too");
    }
}

#[test]
fn a_length_that_is_none_does_not_count() {
    for version in Version::ALL {
        for value in
            ["many", "", "-1", "1e1", "0x4", "4 4", "2147483648", "99999999999999999999", "\u{665}", "3.0"]
        {
            let head = format!("MESSAGE\ncontent-length:{value}\n\nbody\0");
            let (frame, flaws) = both(version, head.as_bytes());
            assert_eq!((&frame.body[..], flaws.lengths), (&b"body"[..], 1), "{value:?}");
        }
        // As ActiveMQ itself reads it.
        for value in ["6", "+6", " 6", "6 ", "\t+06", "0006"] {
            let head = format!("MESSAGE\ncontent-length:{value}\n\nbo\0\ndy\0");
            let (frame, flaws) = both(version, head.as_bytes());
            assert_eq!((&frame.body[..], flaws), (&b"bo\0\ndy"[..], Flaws::default()), "{value:?}");
        }
    }
}

#[test]
fn a_length_that_is_too_short_does_not_count() {
    for length in [0, 1, 3] {
        let head = format!("MESSAGE\ncontent-length:{length}\n\nbody\0");
        let (frame, flaws) = both(Version::V1_2, head.as_bytes());
        assert_eq!((&frame.body[..], flaws.lengths), (&b"body"[..], 1));
    }
    let mut parser = tolerant(Version::V1_2, Limits::default());
    parser.feed(b"MESSAGE\ncontent-length:3\n\nbod\0y\0\nMESSAGE\nmessage-id:2\n\ngood\0\n");
    let (all, flaws) = frames(&mut parser);
    assert_eq!(
        (bodies(&all), flaws.lengths),
        (vec![&b"bod\0y"[..], b"good"], 1),
        "a NUL is there, but no end"
    );
}

#[test]
fn a_length_that_is_too_long_does_not_count() {
    for length in [5, 6, 7, 20, 40] {
        let head = format!("MESSAGE\ncontent-length:{length}\n\nbody\0");
        // The frame behind it shows it, as far as it reaches.
        let bytes = [head.as_bytes(), b"\nMESSAGE\nmessage-id:2\n\n", &b"good".repeat(10), b"\0\n"].concat();
        let mut parser = tolerant(Version::V1_2, Limits::default());
        parser.feed(&bytes);
        let (all, flaws) = frames(&mut parser);
        assert_eq!((bodies(&all), flaws.lengths), (vec![&b"body"[..], &b"good".repeat(10)], 1), "{length}");
    }
}

#[test]
fn where_nothing_follows_a_receipt_tells() {
    for length in [300, 70_000, i32::MAX] {
        for body in ["", "body", "b\0ody", "body\n", "body\0\n"] {
            for limit in [1 << 20, 60_000] {
                let mut parser = tolerant(Version::V1_2, Limits { body: limit, ..Limits::default() });
                parser
                    .feed(format!("MESSAGE\nmessage-id:1\ncontent-length:{length}\n\n{body}\0\n").as_bytes());
                assert_eq!(parser.next_frame(), Ok(None));
                assert!(parser.take_doubt(), "{length} {body:?}");
                assert!(!parser.take_doubt(), "once");
                parser.feed(b"\nRECEIPT\nreceipt-id:other\n\n\0\nRECEIPT\nreceipt-id:sec");
                assert_eq!(parser.next_frame(), Ok(None));
                parser.feed(b"ret\n\n\0\nMESSAGE\n\n\0");
                let (all, flaws) = frames(&mut parser);
                let commands: Vec<_> = all.iter().map(|frame| frame.command).collect();
                let receipt = Command::Receipt;
                assert_eq!(
                    commands,
                    [Command::Message, receipt, receipt, Command::Message],
                    "{length} {body:?}"
                );
                assert_eq!((&all[0].body[..], flaws.lengths), (body.as_bytes(), 1));
            }
        }
    }
}

/// More of them than are kept: what they took in comes again on the next connection.
#[test]
fn frames_that_a_made_up_length_has_dropped_are_told_of() {
    let limits = Limits { body: 1000, ..Limits::default() };
    for piece in [1, 2, 7, 100, 5000] {
        let mut parser = tolerant(Version::V1_2, limits);
        let other = format!("MESSAGE\nmessage-id:2\n\n{}\0\n", "x".repeat(900));
        let bytes = format!(
            "MESSAGE\nmessage-id:1\ncontent-length:100000\n\nbody\0\n{other}{other}RECEIPT\nreceipt-id:secret\n\n\0\n{other}"
        );
        let mut all = Vec::new();
        for piece in bytes.as_bytes().chunks(piece) {
            parser.feed(piece);
            all.extend(frames(&mut parser).0);
            parser.take_doubt();
            assert!(parser.buffered() <= 1000 + 5000 + 100);
        }
        if piece == 5000 {
            // It all came before anybody could ask.
            assert!(all.is_empty());
            parser.feed(b"RECEIPT\nreceipt-id:secret\n\n\0\nMESSAGE\n\n\0");
            all = frames(&mut parser).0;
        }
        assert_eq!((all[0].cut, &all[0].body[..]), (Some(Cut::Unclear), &b""[..]), "in pieces of {piece}");
        assert_eq!((all[1].command, all[2].command, all.len()), (Command::Receipt, Command::Message, 3));
    }
}

/// As a sender of bytes says it, they are his: what looks like a frame in them is none.
#[test]
fn bytes_stay_exact() {
    let command_lines = b"\0MESSAGE\n".repeat(20);
    let log = [&b"\0RECEIPT\nreceipt-id:1\n\n".repeat(20)[..], b"\0the end of a log"].concat();
    let frames = [&b"\0MESSAGE\nmessage-id:1\n\nbody".repeat(20)[..], b"\0\n\nMESSAGE\n"].concat();
    let nested = b"\0MESSAGE\nmessage-id:1\ncontent-length:30\n\n".repeat(20);
    let bodies: [&[u8]; 11] = [
        &command_lines,
        &log,
        &frames,
        &nested,
        b"\0",
        b"\0\0\0\0",
        b"a\0b\0\n\0",
        b"\0\nMESSAGE",
        b"a\0\nMESSAGE\nno frame",
        b"a\0\nMESSAGE\nsubscription:0\n\nnor this\0",
        b"a\0\nRECEIPT\nreceipt-id:other\n\n\0more",
    ];
    for body in bodies {
        let head = format!("MESSAGE\nmessage-id:1\ncontent-length:{}\n\n", body.len());
        let (frame, flaws) = both(Version::V1_2, &[head.as_bytes(), body, b"\0"].concat());
        assert_eq!((&frame.body[..], flaws, frame.cut), (body, Flaws::default(), None));
    }
}

/// Then it may be a body of bytes, or a short one, with a made-up length, and another message that its sender must not
/// be shown. RabbitMQ's lengths are its own.
#[test]
fn a_body_that_may_be_two_messages_is_given_to_nobody() {
    let body = b"body\0\nMESSAGE\nmessage-id:2\nack:2\nauthorization:secret\n\nother";
    let bytes =
        [format!("MESSAGE\nmessage-id:1\ncontent-length:{}\n\n", body.len()).as_bytes(), body, b"\0\n"]
            .concat();
    for (lengths, cut, len) in [(Lengths::Claimed, Some(Cut::Unclear), 0), (Lengths::Last, None, body.len())]
    {
        let mut parser = tolerant(Version::V1_2, Limits::default());
        parser.set_lengths(lengths);
        parser.feed(&bytes);
        let (all, _) = frames(&mut parser);
        assert_eq!((all.len(), all[0].cut, all[0].body.len()), (1, cut, len), "{lengths:?}");
    }
}

/// Each NUL could be the end of a body, and what follows it is read to the end to find out that it is not.
#[test]
fn what_takes_too_long_to_tell_is_given_to_nobody() {
    let body = b"\0MESSAGE\nmessage-id:1\ncontent-length:1000000\n\n".repeat(20_000);
    let head = format!("MESSAGE\nmessage-id:1\ncontent-length:{}\n\n", body.len());
    let mut parser = tolerant(Version::V1_2, Limits::default());
    parser.feed(&[head.as_bytes(), &body, b"\0"].concat());
    let begun = std::time::Instant::now();
    let (all, _) = frames(&mut parser);
    assert_eq!((all.len(), all[0].cut), (1, Some(Cut::Unclear)));
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "in linear time");
}

#[test]
fn where_the_brokers_length_comes_last_a_senders_does_not_count() {
    let parse = |lengths: &str, body: &str| {
        let mut parser = tolerant(Version::V1_2, Limits::default());
        parser.set_lengths(Lengths::Last);
        parser.feed(format!("MESSAGE\n{lengths}\n{body}\0\nMESSAGE\n\ngood\0").as_bytes());
        let (all, _) = frames(&mut parser);
        bodies(&all).iter().map(|body| body.len()).collect::<Vec<_>>()
    };
    assert_eq!(parse("content-length:3\ncontent-length:7\n", "bo\0\0\0dy"), [7, 4]);
    assert_eq!(parse("content-length:many\ncontent-length:4\n", "body"), [4, 4]);
    assert_eq!(parse("content-length:4\ncontent-length:3\n", "body"), [4, 4], "refuted");
    assert_eq!(parse("content-length:3\na:b\n", "body"), [4, 4]);
}

/// RabbitMQ relays the second of two content-lengths in an AMQP message, and adds none where the body is empty.
#[test]
fn a_senders_length_of_an_empty_body_does_not_count() {
    for head in ["content-length:300\na:b\n", "a:b\ncontent-length:300\n", "content-length:1\na:b\n"] {
        let mut parser = tolerant(Version::V1_2, Limits::default());
        parser.set_lengths(Lengths::Last);
        parser.feed(format!("MESSAGE\n{head}\n\0\n").as_bytes());
        if parser.next_frame().unwrap().is_none() {
            assert!(parser.take_doubt(), "{head:?}");
            parser.feed(b"RECEIPT\nreceipt-id:secret\n\n\0\n");
            assert_eq!(bodies(&frames(&mut parser).0), [b"", b""]);
        }
    }
    // A body that begins as an empty one ends, and one that does not.
    for body in ["\0\nMESSAGE\n", "\0\nbody", "b\0\nMESSAGE\nmessage-id:1\n\n"] {
        let mut parser = tolerant(Version::V1_2, Limits::default());
        parser.set_lengths(Lengths::Last);
        for octet in format!("MESSAGE\ncontent-length:{}\n\n{body}\0\n", body.len()).as_bytes() {
            parser.feed(&[*octet]);
            if let Some(frame) = parser.next_frame().unwrap() {
                assert_eq!(&frame.body[..], body.as_bytes());
            }
        }
        assert_eq!(parser.take_doubt(), body.starts_with('\0'), "asked where it may be empty");
    }
}

#[test]
fn texts_may_have_nuls() {
    for (text, whole) in
        [(&b"one\0two"[..], true), (b"\0", true), (b"a\0\0\0b\0", true), (b"one\0\n two", true)]
    {
        let mut parser = tolerant(Version::V1_2, Limits::default());
        parser.feed(&[b"MESSAGE\na:b\n\n", text, b"\0\nMESSAGE\n\ngood\0\n"].concat());
        let (all, flaws) = frames(&mut parser);
        assert_eq!((bodies(&all), flaws, whole), (vec![text, b"good"], Flaws::default(), true));
    }
}

/// A NUL that was the last to arrive is taken for the end: nobody would wait for more each time.
#[test]
fn the_rest_of_a_text_that_was_taken_to_end_is_skipped() {
    let rest = "x".repeat(200);
    for rest in ["two", "SEND\n\n", "x\0yz", "CONNECTED\nversion:1.2\n\n", &rest] {
        let mut parser = tolerant(Version::V1_2, Limits::default());
        parser.feed(b"MESSAGE\na:b\n\none\0");
        assert_eq!(bodies(&frames(&mut parser).0), [&b"one"[..]]);
        parser.feed(format!("{rest}\0\nMESSAGE\n\ngood\0").as_bytes());
        let (all, flaws) = frames(&mut parser);
        assert_eq!((bodies(&all), flaws.octets), (vec![&b"good"[..]], rest.len() + 1), "{rest:?}");
    }
    // Not for ever, and not behind anything else.
    let mut parser = tolerant(Version::V1_2, Limits { body: 1000, ..Limits::default() });
    parser.feed(b"MESSAGE\na:b\n\none\0");
    assert_eq!(frames(&mut parser).0.len(), 1);
    parser.feed(&[b'x'; 1001]);
    assert!(matches!(parser.next_frame(), Err(ParseError::UnknownCommand { .. })));
    for before in [&b"MESSAGE\ncontent-length:1\n\na\0"[..], b"RECEIPT\nreceipt-id:1\n\n\0", b""] {
        let mut parser = tolerant(Version::V1_2, Limits::default());
        parser.set_lengths(Lengths::Last);
        parser.feed(before);
        assert!(parser.next_frame().is_ok());
        parser.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        assert!(matches!(parser.next_frame(), Err(ParseError::UnknownCommand { .. })), "{before:?}");
    }
}

#[test]
fn headers_beyond_the_limits_are_dropped() {
    let limits = Limits { header_line: 50, headers: 4, head: 200, body: 100 };
    let long = format!("long:{}", "x".repeat(46));
    let own = "reply-to:/queue/r\ncontent-length:4\nack:1\n";
    for (lines, dropped) in [
        (format!("{long}\n{own}"), 1),
        (format!("a:1\n{long}{long}{long}\n{own}{long}\n"), 2),
        (format!("a:1\nb:2\nc:3\nd:4\ne:5\nf:6\n{own}g:7\n"), 3),
        (format!("{0}\n{0}\n{0}\n{0}\n{0}\n{own}", "x".repeat(40).replacen('x', "a:", 1)), 1),
        ("y:z\n".repeat(1000) + own, 996),
    ] {
        let bytes = format!("MESSAGE\n{lines}\nbody\0\nMESSAGE\n\ngood\0\n");
        for piece in 1..100 {
            let mut parser = tolerant(Version::V1_2, limits);
            let mut all = Vec::new();
            for piece in bytes.as_bytes().chunks(piece) {
                parser.feed(piece);
                all.extend(frames(&mut parser).0);
                assert!(parser.buffered() <= 500, "{}", parser.buffered());
            }
            assert_eq!((all.len(), &all[1].body[..], all[1].cut), (2, &b"good"[..], None), "{lines:.200}");
            assert_eq!((all[0].cut, &all[0].body[..]), (Some(Cut::Head(dropped)), &b""[..]), "{lines:.200}");
            assert_eq!(
                (all[0].headers.text("ack"), all[0].headers.text("reply-to")),
                (Some("1"), Some("/queue/r"))
            );
        }
    }
}

#[test]
fn a_head_that_never_ends_takes_no_memory() {
    for piece in
        [&b"x".repeat(1000)[..], &b"a:b\n".repeat(250), &b"\xffxx\n".repeat(250), &b"ack:b\n".repeat(200)]
    {
        let mut parser = tolerant(Version::V1_2, Limits::default());
        parser.feed(b"MESSAGE\n");
        for _ in 0..20_000 {
            parser.feed(piece);
            assert_eq!(parser.next_frame(), Ok(None));
            assert!(parser.capacity() < 2 << 20, "{}", parser.capacity());
        }
    }
}

/// Names of properties are not escaped by ActiveMQ: an empty line is no end, if headers that must come have not.
#[test]
fn an_empty_line_before_the_brokers_headers_does_not_end_a_head() {
    let needed = &["message-id", "subscription", "ack"];
    for (head, body, lines) in [
        ("X\n\nName:v\nack:1\nmessage-id:2\nsubscription:0\n\n", "body", 2),
        ("message-id:2\nX:\n\n:v\nsubscription:0\nack:1\n\n", "body", 2),
        ("ack:1\nmessage-id:2\nsubscription:0\nX\n\n:v\nY\n\n\nZ:v\nb:c\n\n", "body\n\n", 6),
        ("ack:1\nmessage-id:2\nsubscription:0\nX\n\n", "no header\n\nis here: none", 1),
        ("\n\n\nack:1\nmessage-id:2\nsubscription:0\n\n", "body", 3),
        ("ack:1\nmessage-id:2\nsubscription:0\n\n", "X\nack:1\n\nbody", 0),
    ] {
        let bytes = format!("MESSAGE\n{head}{body}\0\n");
        for piece in 1..=bytes.len() {
            let mut parser = tolerant(Version::V1_2, Limits::default());
            parser.set_needed(needed);
            let mut all = Vec::new();
            for piece in bytes.as_bytes().chunks(piece) {
                parser.feed(piece);
                while let Some(frame) = parser.next_frame().unwrap() {
                    all.push(frame);
                }
            }
            assert_eq!(
                (bodies(&all), parser.take_flaws().lines),
                (vec![body.as_bytes()], lines),
                "{head:?} {piece}"
            );
            assert_eq!(all[0].headers.text("ack"), Some("1"));
        }
    }
    // They never come.
    let mut parser = tolerant(Version::V1_2, Limits::default());
    parser.set_needed(needed);
    parser.feed(b"MESSAGE\na:b\n\nack:1\nbody\0\n");
    assert_eq!(bodies(&frames(&mut parser).0), [&b"ack:1\nbody"[..]]);
}

#[test]
fn other_frames_are_read_as_strictly_as_ever() {
    for bytes in [
        "RECEIPT\n:x\n\n\0",
        "ERROR\nx\n\n\0",
        "ERROR\ncontent-length:many\n\n\0",
        "ERROR\ncontent-length:1\n\nab\0",
    ] {
        let mut parser = tolerant(Version::V1_2, Limits::default());
        parser.feed(bytes.as_bytes());
        assert!(parser.next_frame().is_err(), "{bytes:?}");
    }
}

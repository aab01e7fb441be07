//! F: frames and their boundaries.
use super::{parse, parse_one, parse_pieces, parser};
use crate::stomp::{Command, Encoder, Frame, Limits, ParseError, Version};

const V1_2: Option<Version> = Some(Version::V1_2);

/// A few frames of every kind, with what may stand between them.
const STREAM: &[u8] = b"\n\n\r\nCONNECTED\nversion:1.2\n\n\0\nMESSAGE\ndestination:/queue/a\\cb\nempty:\n\
    content-length:7\n\nwith\0NU\0\0\n\nERROR\nmessage:no\n\nopen body\nof lines\0RECEIPT\r\nreceipt-id:1\r\n\r\n\0\
    MESSAGE\nid:2\n\n\0DISCONNECT\n\n\0\n\n";

#[test]
fn f1_a_frame_without_headers() {
    let frame = parse_one(Version::V1_2, b"DISCONNECT\n\n\0");
    assert_eq!(frame.command, Command::Disconnect);
    assert!(frame.headers.is_empty() && frame.body.is_empty());
}

#[test]
fn f2_cr_ends_a_line_in_1_2_only() {
    let bytes = b"SEND\nk:v\r\n\n\0";
    assert_eq!(parse_one(Version::V1_2, bytes).headers.text("k"), Some("v"));
    assert_eq!(parse_one(Version::V1_1, bytes).headers.text("k"), Some("v\r"));
    assert_eq!(parse_one(Version::V1_0, bytes).headers.text("k"), Some("v\r"));
    assert_eq!(parse_one(Version::V1_2, b"SEND\r\nk:v\r\r\n\r\n\0").headers.text("k"), Some("v\r"));
    for version in [Version::V1_0, Version::V1_1] {
        let error = parse(Some(version), b"SEND\r\n\r\n\0").unwrap_err();
        assert_eq!(error, ParseError::UnknownCommand { line: "SEND\\r".into() });
    }
}

#[test]
fn f3_cr_is_tolerated_until_the_version_is_known() {
    for command in ["CONNECT", "STOMP", "CONNECTED"] {
        let frames = parse(None, format!("{command}\r\nk:v\r\n\r\n\0").as_bytes()).unwrap();
        assert_eq!(frames[0].headers.text("k"), Some("v"));
    }
}

#[test]
fn f4_line_ends_and_nuls_between_frames_are_no_frames() {
    let mut bytes = b"\n".repeat(5000);
    bytes.extend_from_slice(b"\r\n\0\0\nDISCONNECT\n\n\0\n\r\n\0");
    assert_eq!(parse(V1_2, &bytes).unwrap().len(), 1);
    let mut parser = parser(V1_2, Limits::default());
    for _ in 0..5000 {
        parser.feed(b"\n");
        assert_eq!(parser.next_frame(), Ok(None));
        assert_eq!(parser.buffered(), 0);
    }
}

#[test]
fn f5_commands_and_names_are_case_sensitive() {
    for bytes in [&b"send\n\n\0"[..], b" SEND\n\n\0", b"SEND \n\n\0", b"GET / HTTP/1.1\n"] {
        assert!(matches!(parse(V1_2, bytes), Err(ParseError::UnknownCommand { .. })));
    }
    let frame = parse_one(Version::V1_2, b"SEND\nContent-Length:1\nK:v\n\nbody\0");
    assert_eq!((&frame.body[..], frame.headers.text("k")), (&b"body"[..], None));
}

#[test]
fn f5_another_protocol_is_noticed_before_its_line_ends() {
    let error = parse(V1_2, b"\x16\x03\x01\x02\x00 a hello of TLS, which has no line end").unwrap_err();
    assert!(error.to_string().starts_with("unknown command \"\\x16\\x03"), "{error}");
}

#[test]
fn f6_content_length_counts_octets() {
    let frame = parse_one(Version::V1_2, "SEND\ncontent-length:6\n\n\0ää\n\0".as_bytes());
    assert_eq!(&frame.body[..], "\0ää\n".as_bytes());
    for bytes in [&b"SEND\ncontent-length:2\n\nabc\0"[..], b"SEND\ncontent-length:0\n\na\0"] {
        assert!(matches!(parse(V1_2, bytes), Err(ParseError::NoNul { .. })));
    }
}

#[test]
fn f6_content_length_is_honoured_on_every_frame() {
    for bytes in [&b"RECEIPT\ncontent-length:0\n\n\0"[..], b"ERROR\ncontent-length:2\n\n\0\0\0"] {
        assert_eq!(parse(V1_2, bytes).unwrap().len(), 1);
    }
}

#[test]
fn f6_content_length_is_digits() {
    for value in ["", "-1", "+5", "5x", "0x5", "1e3", " 5", "5 ", "5,5"] {
        let bytes = format!("SEND\ncontent-length:{value}\n\nhello\0");
        for version in [Version::V1_1, Version::V1_2] {
            let error = parse(Some(version), bytes.as_bytes()).unwrap_err();
            assert!(matches!(error, ParseError::ContentLength { .. }), "{value}: {error}");
        }
    }
    let frame = parse_one(Version::V1_0, b"SEND\ncontent-length : 5 \n\nhello\0");
    assert_eq!(&frame.body[..], b"hello");
    let frame = parse_one(Version::V1_2, b"SEND\ncontent-length:005\n\nhello\0");
    assert_eq!(&frame.body[..], b"hello");
}

#[test]
fn f7_without_content_length_a_body_ends_at_nul() {
    let frames = parse(V1_2, b"ERROR\nmessage:x\n\ntrace\n\tat\0MESSAGE\n\n\0").unwrap();
    assert_eq!(&frames[0].body[..], b"trace\n\tat");
    assert!(frames[1].body.is_empty());
}

#[test]
fn f8_a_body_only_where_one_may_be() {
    for command in ["CONNECT", "CONNECTED", "SUBSCRIBE", "ACK", "BEGIN", "DISCONNECT", "RECEIPT"] {
        for head in [format!("{command}\n\nx\0"), format!("{command}\ncontent-length:1\n\nx\0")] {
            let error = parse(V1_2, head.as_bytes()).unwrap_err();
            assert!(matches!(error, ParseError::UnexpectedBody { .. }), "{head}: {error}");
        }
        let error = parse(V1_2, format!("{command}\ncontent-length:0\n\nx\0").as_bytes()).unwrap_err();
        assert!(matches!(error, ParseError::NoNul { length: 0, .. }), "{command}: {error}");
    }
}

#[test]
fn f9_a_body_with_nul_is_sent_with_content_length() {
    let mut out = Vec::new();
    Encoder::new(&mut out, Version::V1_2, Command::Send).body(b"");
    Encoder::new(&mut out, Version::V1_2, Command::Send).text(b"text");
    Encoder::new(&mut out, Version::V1_2, Command::Send).text(b"te\0xt");
    let expected = "SEND\ncontent-length:0\n\n\0SEND\n\ntext\0SEND\ncontent-length:5\n\nte\0xt\0".as_bytes();
    assert_eq!(out, expected);
}

#[test]
fn f9_content_length_of_a_whole_frame_is_the_true_one() {
    let frame = |headers: &[(&str, &str)], body: &'static str| {
        let headers = headers.iter().copied().collect();
        let mut out = Vec::new();
        let frame = Frame { command: Command::Send, headers, body: body.into(), cut: None };
        Encoder::frame(&mut out, Version::V1_2, &frame);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(frame(&[], ""), "SEND\n\n\0");
    assert_eq!(frame(&[], "ab"), "SEND\ncontent-length:2\n\nab\0");
    assert_eq!(frame(&[("content-length", "9"), ("k", "v")], "ab"), "SEND\nk:v\ncontent-length:2\n\nab\0");
    assert_eq!(frame(&[("content-length", "9")], ""), "SEND\ncontent-length:0\n\n\0");
}

#[test]
fn f10_every_split_parses_alike() {
    for version in [None, V1_2] {
        let whole = parse(version, STREAM).unwrap();
        assert_eq!(whole.len(), 6);
        assert_eq!(parse_pieces(version, STREAM.chunks(1)).unwrap(), whole);
        for at in 0..STREAM.len() {
            let (left, right) = STREAM.split_at(at);
            assert_eq!(parse_pieces(version, [left, right]).unwrap(), whole, "cut at {at}");
        }
    }
}

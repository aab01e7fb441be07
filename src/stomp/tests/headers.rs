//! H: names and values.
use super::{parse, parse_one, parser};
use crate::stomp::{Command, Encoder, Frame, Headers, Limits, ParseError, Version};

fn encoded(version: Version, command: Command, name: &str, value: &str) -> String {
    let mut out = Vec::new();
    Encoder::new(&mut out, version, command).header(name, value).finish();
    String::from_utf8(out).expect("the test's headers are UTF-8")
}

fn value_of(frame: &Frame, name: &str) -> String {
    String::from_utf8_lossy(frame.headers.get(name).expect("the header is there")).into_owned()
}

#[test]
fn h1_1_0_has_no_escapes_and_trims() {
    let frame = parse_one(Version::V1_0, b"SEND\n k\t: a\\nb:c \t\nplain:x\n\n\0");
    assert_eq!(value_of(&frame, "k"), "a\\nb:c");
    assert_eq!(value_of(&frame, "plain"), "x");
    assert_eq!(encoded(Version::V1_0, Command::Send, "k", "a\\b:c"), "SEND\nk:a\\b:c\n\n\0");
    assert_eq!(encoded(Version::V1_0, Command::Send, "k:l", "a\nb\r\0"), "SEND\nk l:a b  \n\n\0");
    assert_eq!(
        parse(Some(Version::V1_0), b"SEND\n \t:v\n\n\0"),
        Err(ParseError::NoName { command: Command::Send })
    );
}

#[test]
fn h2_1_1_escapes_all_but_cr() {
    let frame = parse_one(Version::V1_1, b"SEND\nk\\c:\\n\\c\\\\\n\n\0");
    assert_eq!(value_of(&frame, "k:"), "\n:\\");
    let error = parse(Some(Version::V1_1), b"SEND\nk:a\\rb\n\n\0").unwrap_err();
    assert_eq!(error.to_string(), "undefined escape \"\\r\" in header \"k\" of SEND");
    assert_eq!(encoded(Version::V1_1, Command::Send, "k:", "\r\n:\\"), "SEND\nk\\c: \\n\\c\\\\\n\n\0");
}

#[test]
fn h3_1_2_escapes_cr_too() {
    let frame = parse_one(Version::V1_2, b"SEND\nk:\\r\\n\\c\\\\\n\n\0");
    assert_eq!(value_of(&frame, "k"), "\r\n:\\");
    assert_eq!(encoded(Version::V1_2, Command::Send, "k", "\r\n:\\\0"), "SEND\nk:\\r\\n\\c\\\\ \n\n\0");
    for bytes in [&b"SEND\nk:\\t\n\n\0"[..], b"SEND\nk:\\\n\n\0", b"SEND\nk:\\\r\n\n\0", b"SEND\nk\\:v\n\n\0"]
    {
        let error = parse(Some(Version::V1_2), bytes).unwrap_err();
        assert!(matches!(error, ParseError::UndefinedEscape { .. }), "{error}");
    }
}

#[test]
fn h4_connect_and_connected_never_escape() {
    for version in Version::ALL {
        for command in [Command::Connect, Command::Stomp, Command::Connected] {
            let bytes = format!("{command}\nsession:ID:vm\\n-1:2\n\n\0");
            assert_eq!(value_of(&parse_one(version, bytes.as_bytes()), "session"), "ID:vm\\n-1:2");
            assert_eq!(encoded(version, command, "session", "ID:vm\\n-1:2"), bytes);
            assert_eq!(encoded(version, command, "k:", "a\nb"), format!("{command}\nk :a b\n\n\0"));
        }
    }
}

#[test]
fn h4_spaces_in_connect_count_from_1_1_on() {
    let frame = &parse(None, b"CONNECT\nlogin: me\n\n\0").unwrap()[0];
    assert_eq!(value_of(frame, "login"), "me");
    let frame = &parse(None, b"CONNECT\naccept-version:1.2\npasscode: pass\n\n\0").unwrap()[0];
    assert_eq!(value_of(frame, "passcode"), " pass");
    let frame = &parse(None, b"CONNECTED\nsession: 1\n\n\0").unwrap()[0];
    assert_eq!(value_of(frame, "session"), "1");
}

#[test]
fn h5_names_and_values_are_unescaped_in_one_pass() {
    let frame = parse_one(Version::V1_2, b"SEND\na\\\\n:b\\\\n\\\\\\n\n\n\0");
    assert_eq!(value_of(&frame, "a\\n"), "b\\n\\\n");
}

#[test]
fn h6_the_first_colon_splits() {
    for version in Version::ALL {
        assert_eq!(value_of(&parse_one(version, b"SEND\na:b:c::\n\n\0"), "a"), "b:c::");
    }
}

#[test]
fn h7_empty_value_but_no_empty_name() {
    for version in Version::ALL {
        assert_eq!(value_of(&parse_one(version, b"SEND\na:\n\n\0"), "a"), "");
        let command = Command::Send;
        assert_eq!(parse(Some(version), b"SEND\n:a\n\n\0"), Err(ParseError::NoName { command }));
        let no_colon = ParseError::NoColon { command, line: "abc".into() };
        assert_eq!(parse(Some(version), b"SEND\nabc\n\n\0"), Err(no_colon));
        assert_eq!(encoded(version, command, "", "a"), "SEND\n\n\0");
    }
    // What would be nothing once a peer has trimmed it is no name either.
    assert_eq!(encoded(Version::V1_0, Command::Send, "\n ", "a"), "SEND\n\n\0");
}

#[test]
fn h8_spaces_count_and_invalid_utf_8_does_no_harm() {
    for version in [Version::V1_1, Version::V1_2] {
        assert_eq!(value_of(&parse_one(version, b"SEND\n a : b \n\n\0"), " a "), " b ");
    }
    let frame = parse_one(Version::V1_2, b"SEND\na:\xff\xfe\n\n\0");
    assert_eq!((frame.headers.get("a"), frame.headers.text("a")), (Some(&b"\xff\xfe"[..]), None));
}

#[test]
fn h9_the_first_of_repeated_headers_counts() {
    let frame = parse_one(Version::V1_2, b"SEND\na:1\na:2\ncontent-length:1\ncontent-length:9\n\nx\0");
    assert_eq!(value_of(&frame, "a"), "1");
    assert_eq!(frame.headers.iter().filter(|(name, _)| *name == b"a").count(), 2);
    assert_eq!(&frame.body[..], b"x");
}

#[test]
fn h10_undefined_escapes_of_a_message_may_be_let_through() {
    let parse = |version, bytes: &[u8]| {
        let mut parser = parser(Some(version), Limits::default());
        parser.lenient_escapes(true);
        parser.feed(bytes);
        parser.next_frame()
    };
    let frame = parse(Version::V1_2, b"MESSAGE\nk:a\\tb\\nc\\\n\n\0").unwrap().unwrap();
    assert_eq!(value_of(&frame, "k"), "a\\tb\nc\\");
    let frame = parse(Version::V1_1, b"MESSAGE\nk:a\\rb\n\n\0").unwrap().unwrap();
    assert_eq!(value_of(&frame, "k"), "a\\rb");
    assert!(parse(Version::V1_2, b"RECEIPT\nreceipt-id:\\t\n\n\0").is_err());
}

#[test]
fn nul_in_a_header_comes_in_but_never_goes_out() {
    let frame = parse_one(Version::V1_2, b"SEND\na:b\0c\n\n\0");
    assert_eq!(frame.headers.get("a"), Some(&b"b\0c"[..]));
    assert_eq!(encoded(Version::V1_2, Command::Send, "a", "b\0c"), "SEND\na:b c\n\n\0");
    assert!(!Version::V1_2.carries(b"a", b"b\0c"));
}

#[test]
fn content_length_is_the_encoders_alone() {
    assert_eq!(encoded(Version::V1_2, Command::Send, "content-length", "9"), "SEND\n\n\0");
    assert_eq!(encoded(Version::V1_0, Command::Send, " content-length\n", "9"), "SEND\n\n\0");
}

#[test]
fn slices_of_headers_share_their_buffer() {
    let frame = parse_one(Version::V1_2, b"MESSAGE\nack:a\\cb\ndestination:/queue/a\n\n\0");
    let ack = frame.headers.bytes("ack").unwrap();
    drop(frame);
    assert_eq!(&ack[..], b"a:b");
}

#[test]
fn secrets_are_not_shown() {
    let headers: Headers =
        [("login", "me"), ("passcode", "secret"), ("http-Authorization", "Basic x"), ("k", "v\n")]
            .into_iter()
            .collect();
    assert_eq!(
        format!("{headers:?}"),
        "{login: (redacted), passcode: (redacted), http-Authorization: (redacted), k: v\\n}"
    );
    let error = parse(None, b"CONNECT\naccept-version:1.2\npasscode secret\n\n\0").unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    let error = parse(None, b"passcode:secret\n\n\0").unwrap_err();
    assert_eq!(error.to_string(), "unknown command \"passcode...\"");
}

#[test]
fn the_first_of_a_name_can_be_replaced() {
    let headers: Headers = [("a", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
    let expected: Headers = [("a", "new"), ("b", "2"), ("a", "3")].into_iter().collect();
    assert_eq!(headers.with("a", b"new"), expected);
    let expected: Headers = [("c", "new"), ("a", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
    assert_eq!(headers.with("c", b"new"), expected);
    assert_eq!(headers.get("a"), Some(&b"1"[..]));
}

//! F11: what a peer can make the parser hold on to, and how long that takes it.
use super::parser;
use crate::stomp::{Command, Cut, Limits, ParseError, Parser, Version};

/// What a read buffer may keep.
const SPARE: usize = 256 << 10;

const SMALL: Limits = Limits { header_line: 8, headers: 3, head: 40, body: 10 };

/// The error of `bytes` under small limits, which must be the same when they come one by one.
fn error(bytes: &[u8]) -> Option<ParseError> {
    let outcome = |piece: usize| {
        let mut parser = parser(Some(Version::V1_2), SMALL);
        for piece in bytes.chunks(piece) {
            parser.feed(piece);
            loop {
                match parser.next_frame() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => return Some(error),
                }
            }
        }
        None
    };
    let whole = outcome(bytes.len());
    assert_eq!(outcome(1), whole);
    whole
}

/// Feeds pieces that never end a frame until there is an error; answers what had arrived by then.
fn endless(parser: &mut Parser, head: &[u8], piece: &[u8]) -> (ParseError, usize) {
    parser.feed(head);
    let mut arrived = head.len();
    loop {
        match parser.next_frame() {
            Ok(frame) => assert_eq!(frame, None),
            Err(error) => return (error, arrived),
        }
        parser.feed(piece);
        arrived += piece.len();
    }
}

#[test]
fn f11_header_line() {
    assert_eq!(error(b"SEND\n1234:678\n\n\0"), None);
    assert_eq!(error(b"SEND\n1234:6789\n\n\0"), Some(ParseError::LineTooLong { limit: 8 }));
    assert_eq!(error(b"SEND\n123456789"), Some(ParseError::LineTooLong { limit: 8 }));
}

#[test]
fn f11_headers() {
    assert_eq!(error(b"SEND\na:1\nb:2\nc:3\n\n\0"), None);
    assert_eq!(error(b"SEND\na:1\nb:2\nc:3\nd:4\n"), Some(ParseError::TooManyHeaders { limit: 3 }));
}

#[test]
fn f11_head() {
    let parser = |head| parser(Some(Version::V1_2), Limits { head, ..Limits::default() });
    let frame = b"SEND\nab:cd\n\n\0";
    let mut exact = parser(12);
    exact.feed(frame);
    assert!(exact.next_frame().unwrap().is_some());
    let mut short = parser(11);
    short.feed(frame);
    assert_eq!(short.next_frame(), Err(ParseError::HeadTooLong { limit: 11 }));
}

#[test]
fn f11_command() {
    let (error, arrived) = endless(&mut parser(None, Limits::default()), b"", b"S");
    assert!(matches!(error, ParseError::UnknownCommand { .. }));
    assert!(arrived < 40, "{arrived}");
}

#[test]
fn f11_body() {
    let command = Command::Send;
    let too_long = Some(ParseError::BodyTooLong { command, limit: 10 });
    assert_eq!(error(b"SEND\n\n1234567890\0"), None);
    assert_eq!(error(b"SEND\n\n12345678901\0"), too_long);
    assert_eq!(error(b"SEND\n\n12345678901"), too_long);
    let announced = |length: &str| {
        let mut parser = parser(None, Limits::default());
        parser.feed(format!("SEND\ncontent-length:{length}\n\n").as_bytes());
        parser.next_frame()
    };
    assert_eq!(announced("104857600"), Ok(None));
    let too_long = Err(ParseError::BodyTooLong { command, limit: 100 << 20 });
    for length in ["104857601", "18446744073709551616", "99999999999999999999999999999999999999"] {
        assert_eq!(announced(length), too_long, "{length}");
    }
}

#[test]
fn f11_a_frame_that_never_ends_is_given_up_on_at_the_limit() {
    let limits = Limits { head: 1 << 20, header_line: 1 << 20, body: 1 << 20, ..Limits::default() };
    for (head, piece) in [
        (&b"SEND\n"[..], &b"x"[..]),
        (b"SEND\n", b"some-name:and-value\n"),
        (b"SEND\n\n", b"x"),
        (b"SEND\n\n", b"some more of the body"),
    ] {
        let mut parser = parser(Some(Version::V1_2), limits);
        let (error, arrived) = endless(&mut parser, head, piece);
        assert!(arrived <= (1 << 20) + head.len() + piece.len(), "{error}: {arrived}");
    }
}

#[test]
fn f11_an_error_is_for_good_and_frees_what_was_read() {
    let mut parser = parser(Some(Version::V1_2), SMALL);
    parser.feed(b"DISCONNECT\n\n\0SEND\n\n12345678901");
    assert!(parser.next_frame().unwrap().is_some());
    let error = parser.next_frame().unwrap_err();
    parser.feed(b"\0DISCONNECT\n\n\0");
    assert_eq!(parser.next_frame(), Err(error));
    assert_eq!((parser.buffered(), parser.capacity()), (0, 0));
}

#[test]
fn f11_memory_follows_what_arrives_not_what_is_announced() {
    let mut parser = parser(None, Limits::default());
    parser.feed(b"SEND\ncontent-length:100000000\n\nx");
    assert_eq!(parser.next_frame(), Ok(None));
    assert_eq!(parser.buffered(), 1);
    assert!(parser.capacity() <= (1 << 20) + 1024, "{}", parser.capacity());
    let piece = vec![b'x'; 64 << 10];
    for _ in 0..100 {
        parser.feed(&piece);
        assert_eq!(parser.next_frame(), Ok(None));
        assert!(parser.capacity() <= 2 * parser.buffered() + (1 << 20) + (64 << 10));
    }
}

/// Each would take hours if octets were scanned or moved once per read.
#[test]
fn f11_large_bodies_in_small_reads_take_linear_time() {
    for head in ["SEND\ncontent-length:33554432\n\n", "SEND\n\n"] {
        let mut parser = parser(None, Limits::default());
        parser.feed(head.as_bytes());
        for _ in 0..32 << 10 {
            assert_eq!(parser.next_frame(), Ok(None));
            parser.feed(&[b'x'; 1024]);
        }
        parser.feed(b"\0\n\n");
        let frame = parser.next_frame().unwrap().unwrap();
        assert_eq!(frame.body.len(), 32 << 20);
        assert_eq!(parser.next_frame(), Ok(None));
        assert_eq!(parser.buffered(), 0);
    }
}

#[test]
fn f11_many_frames_in_one_read_take_linear_time() {
    let mut parser = parser(None, Limits::default());
    let frames = 100_000;
    parser.feed(&b"SEND\nk:v\n\nbody\0".repeat(frames));
    // Reads go on while frames are taken out one by one.
    for _ in 0..frames {
        assert!(parser.next_frame().unwrap().is_some());
        parser.feed(b"\n");
    }
    assert_eq!(parser.next_frame(), Ok(None));
    assert_eq!(parser.buffered(), 0);
}

#[test]
fn the_read_buffer_is_given_back_after_a_large_read() {
    let mut parser = parser(None, Limits::default());
    parser.feed(&b"\n".repeat(4 << 20));
    assert_eq!(parser.next_frame(), Ok(None));
    parser.feed(b"\n");
    assert!(parser.capacity() <= 1024, "{}", parser.capacity());
}

#[test]
fn a_frame_keeps_no_more_than_itself() {
    let mut parser = parser(None, Limits::default());
    parser.feed(&b"SEND\nk:v\n\nbody\0".repeat(1000));
    let frame = parser.next_frame().unwrap().unwrap();
    // The only owners of memory that was cut to size: a shared read buffer could not be taken back.
    assert_eq!(frame.body.try_into_mut().expect("the only owner").capacity(), 4);
    // Known to be of that length beforehand, or grown while it arrived.
    for head in ["SEND\ncontent-length:1500000\n\n", "SEND\n\n"] {
        let mut parser = super::parser(None, Limits::default());
        parser.feed(head.as_bytes());
        for _ in 0..1500 {
            assert_eq!(parser.next_frame(), Ok(None));
            parser.feed(&[b'x'; 1000]);
        }
        parser.feed(b"\0");
        let body = parser.next_frame().unwrap().unwrap().body;
        assert_eq!(body.try_into_mut().expect("the only owner").capacity(), 1_500_000);
    }
}

/// What comes of `bytes` where bodies beyond 10 octets are cut: how long each body is, and was. It must be the same
/// however they come.
fn cut(bytes: &str) -> Result<Vec<(usize, Option<Cut>)>, ParseError> {
    let outcome = |piece: usize| {
        let mut parser = parser(Some(Version::V1_2), Limits { header_line: 20, ..SMALL });
        parser.cut_long_messages(true);
        let mut frames = Vec::new();
        for piece in bytes.as_bytes().chunks(piece) {
            parser.feed(piece);
            while let Some(frame) = parser.next_frame()? {
                frames.push((frame.body.len(), frame.cut));
            }
            assert!(parser.buffered() <= SMALL.head, "{}", parser.buffered());
        }
        Ok(frames)
    };
    let whole = outcome(bytes.len());
    for piece in 1..bytes.len() {
        assert_eq!(outcome(piece), whole, "in pieces of {piece}");
    }
    whole
}

#[test]
fn f11_a_long_message_is_cut_where_that_is_asked_for() {
    let (whole, long) = (|length| (length, None), |length| (0, Some(Cut::Body(length))));
    for (bytes, frames) in [
        ("MESSAGE\n\n1234567890\0", &[whole(10)][..]),
        ("MESSAGE\n\n12345678901\0", &[long(11)]),
        // Heart-beats, and the next frame, begin behind the NUL.
        ("MESSAGE\n\n123456789012\0\n\r\nMESSAGE\n\nx\0", &[long(12), whole(1)]),
        ("MESSAGE\na:b\n\n12345678901\0\0MESSAGE\n\n12345678901\0", &[long(11), long(11)]),
        ("MESSAGE\ncontent-length:10\n\n1234567890\0", &[whole(10)]),
        ("MESSAGE\ncontent-length:12\n\n12345\0x78901\0", &[long(12)]),
        // Its length is what counts, not a beat, nor a NUL, nor what looks like a frame.
        ("MESSAGE\ncontent-length:12\n\n\n\0SEND\n\n\0 99\0\nMESSAGE\n\n\0", &[long(12), whole(0)]),
        ("MESSAGE\ncontent-length:11\n\n1234567890", &[]),
        ("MESSAGE\ncontent-length:11\n\n12345678901", &[]),
    ] {
        assert_eq!(cut(bytes).as_deref(), Ok(frames), "{bytes:?}");
    }
    let no_nul = ParseError::NoNul { command: Command::Message, length: 11 };
    assert_eq!(cut("MESSAGE\ncontent-length:11\n\n123456789012\0"), Err(no_nul));
}

#[test]
fn f11_nothing_but_a_message_is_cut() {
    for command in [Command::Send, Command::Error] {
        let bytes = format!("{command}\n\n12345678901\0");
        assert_eq!(cut(&bytes), Err(ParseError::BodyTooLong { command, limit: 10 }));
    }
    let uncountable = "MESSAGE\ncontent-length:99999999999999999999\n\n";
    let mut parser = parser(None, Limits::default());
    parser.cut_long_messages(true);
    parser.feed(uncountable.as_bytes());
    let limit = 100 << 20;
    assert_eq!(parser.next_frame(), Err(ParseError::BodyTooLong { command: Command::Message, limit }));
    assert_eq!(
        error(b"MESSAGE\n\n12345678901\0"),
        Some(ParseError::BodyTooLong { command: Command::Message, limit: 10 })
    );
}

#[test]
fn f11_what_is_cut_takes_no_memory() {
    let limits = Limits { body: 1 << 20, ..Limits::default() };
    for head in ["MESSAGE\ncontent-length:67108864\n\n", "MESSAGE\n\n"] {
        let mut parser = parser(None, limits);
        parser.cut_long_messages(true);
        parser.feed(head.as_bytes());
        assert_eq!(parser.next_frame(), Ok(None));
        let (mut most, piece) = (0, [b'x'; 64 << 10]);
        for _ in 0..1024 {
            parser.feed(&piece);
            assert_eq!(parser.next_frame(), Ok(None));
            most = most.max(parser.capacity());
        }
        // One without a length is kept until it turns out to be too long, in a buffer that doubles.
        let grown = if head.contains("length") { 0 } else { 2 << 20 };
        assert!(most <= grown + SPARE, "{most}");
        assert!(parser.capacity() <= SPARE && parser.buffered() == 0, "{}", parser.capacity());
        parser.feed(b"\0");
        assert_eq!(parser.next_frame().unwrap().unwrap().cut, Some(Cut::Body(64 << 20)));
    }
}

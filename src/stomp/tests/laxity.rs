//! What brokers read although the protocol forbids it, however the octets are cut.
use super::super::{Command, Laxity, NoColon, NoNul};
use super::*;

/// The frames of `bytes`, each with the command that does not exist, fed in two pieces that are cut at each place in turn.
fn parse_laxly(laxity: Laxity, bytes: &[u8]) -> Vec<(Option<String>, Frame)> {
    let read = |pieces: [&[u8]; 2]| {
        let mut parser = parser(Some(Version::V1_2), Limits::default());
        parser.set_laxity(laxity);
        let mut frames = Vec::new();
        for piece in pieces {
            parser.feed(piece);
            while let Some(frame) = parser.next_frame().expect("a frame") {
                frames.push((parser.take_unknown(), frame));
            }
        }
        frames
    };
    let whole = read([bytes, b""]);
    for at in 0..bytes.len() {
        let (first, second) = bytes.split_at(at);
        let cut = read([first, second]);
        // What is skipped ends where a read ends, too.
        if laxity.no_nul != NoNul::Skipped {
            assert_eq!(cut, whole, "cut at {at}");
        }
    }
    whole
}

#[test]
fn a_command_that_does_not_exist() {
    let laxity = Laxity { any_command: true, ..Laxity::default() };
    let frames = parse_laxly(laxity, b"WRONG\nx:1\n\nbody\0ACK\nid:1\n\n\0");
    let [(Some(line), wrong), (None, ack)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((line.as_str(), wrong.headers.text("x"), &wrong.body[..]), ("WRONG", Some("1"), &b"body"[..]));
    assert_eq!(ack.command, Command::Ack);
}

#[test]
fn a_header_line_without_a_colon() {
    let bytes = b"SEND\na:1\nnothing\nb:2\nno\n\nbody\0SEND\n\n\0";
    let headers = |no_colon| {
        let frames = parse_laxly(Laxity { no_colon, ..Laxity::default() }, bytes);
        assert_eq!((frames.len(), &frames[0].1.body[..]), (2, &b"body"[..]));
        frames[0].1.headers.clone()
    };
    assert_eq!(headers(NoColon::Skipped), [("a", "1"), ("b", "2")].into_iter().collect());
    let named = [("a", "1"), ("nothing", ""), ("b", "2"), ("no", "")];
    assert_eq!(headers(NoColon::Name), named.into_iter().collect());
}

#[test]
fn a_body_that_goes_on_behind_its_length() {
    let bytes = b"SEND\ncontent-length:2\n\nbodySEND\n\nx\0SEND\n\ny\0";
    let bodies = |no_nul, bytes| {
        let laxity = Laxity { no_nul, any_command: true, ..Laxity::default() };
        let frames = parse_laxly(laxity, bytes);
        frames.iter().map(|(_, frame)| frame.body.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(bodies(NoNul::Replaced, bytes), [b"bo".to_vec(), b"x".to_vec(), b"y".to_vec()]);
    assert_eq!(bodies(NoNul::Skipped, bytes), [b"bo".to_vec(), b"y".to_vec()]);
    let empty = b"SEND\ncontent-length:0\n\nxx\0SEND\n\ny\0";
    assert_eq!(bodies(NoNul::Skipped, empty), [b"".to_vec(), b"y".to_vec()]);
}

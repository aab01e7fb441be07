//! However the octets are cut, the frames are the same; what waits is bounded; and each frame survives being sent.

use stomp_wsgi::stomp::{Cut, Encoder, Frame, Lengths, Limits, ParseError, Parser, Version};

use super::Octets;

/// One octet of options, one of how to cut, and then what a peer sends.
pub fn check(data: &[u8]) {
    let mut octets = Octets(data);
    let (options, cut) = (octets.byte(), octets.byte());
    let stream = octets.rest();
    let version =
        [None, Some(Version::V1_0), Some(Version::V1_1), Some(Version::V1_2)][usize::from(options & 3)];
    let limits = if options & 4 == 0 {
        Limits { header_line: 512, headers: 16, head: 2048, body: 4096 }
    } else {
        Limits { header_line: 24, headers: 3, head: 64, body: 20 }
    };
    let tolerant = options & 32 != 0;
    let parser = || {
        let mut parser = Parser::new(limits);
        parser.lenient_escapes(options & 8 != 0);
        parser.cut_long_messages(options & 16 != 0);
        parser.tolerate_messages(tolerant);
        parser.set_lengths(if options & 64 == 0 { Lengths::Claimed } else { Lengths::Last });
        parser.set_needed(if options & 128 == 0 { &[] } else { &["ack", "message-id"] });
        parser.set_probe("p");
        version.into_iter().for_each(|version| parser.set_version(version));
        parser
    };

    let (whole, end) = read(parser(), [stream].into_iter(), None);
    let pieces = pieces(stream, cut);
    let bound = limits.head.max(limits.body).max(32);
    // Headers that are kept beyond the limits, a line that is not complete, and what an empty line waits for.
    let more = if tolerant { 17 * (limits.header_line + 1) + limits.body + (64 << 10) } else { 0 };
    let (in_pieces, same_end) = read(parser(), pieces.into_iter(), Some(bound + more));
    // Where it is tolerated that a body has NULs in it, it ends by what follows, or has arrived.
    if !tolerant {
        assert_eq!(whole, in_pieces);
        assert_eq!(end, same_end);
    }
    for frame in &in_pieces {
        survives(frame, version.unwrap_or(Version::V1_2));
    }
    for frame in &whole {
        assert!(frame.cut.is_none_or(
            |cut| frame.body.is_empty() && !matches!(cut, Cut::Body(length) if length <= limits.body)
        ));
        survives(frame, version.unwrap_or(Version::V1_2));
    }
}

/// All frames, and the error behind them, if any. `bound`: what may wait for more.
fn read<'a>(
    mut parser: Parser,
    pieces: impl Iterator<Item = &'a [u8]>,
    bound: Option<usize>,
) -> (Vec<Frame>, Option<ParseError>) {
    let mut frames = Vec::new();
    for piece in pieces {
        parser.feed(piece);
        loop {
            match parser.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => {
                    parser.take_doubt();
                    break;
                }
                Err(error) => {
                    assert_eq!(
                        parser.next_frame(),
                        Err(error.clone()),
                        "after an error there is only that error"
                    );
                    assert_eq!(parser.buffered(), 0, "a dead parser keeps nothing");
                    return (frames, Some(error));
                }
            }
        }
        assert!(bound.is_none_or(|bound| parser.buffered() <= bound), "{} octets wait", parser.buffered());
    }
    (frames, None)
}

/// Cuts octet by octet, or at random.
fn pieces(mut stream: &[u8], cut: u8) -> Vec<&[u8]> {
    let mut random = fastrand::Rng::with_seed(cut.into());
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        let len = if cut == 0 { 1 } else { random.usize(1..=usize::from(cut)) };
        let (piece, rest) = stream.split_at(len.min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}

/// A frame that is sent again is one frame, and the same as far as the version can carry it.
fn survives(frame: &Frame, version: Version) {
    let mut bytes = Vec::new();
    Encoder::frame(&mut bytes, version, frame);
    let mut parser =
        Parser::new(Limits { header_line: 1 << 20, headers: 1000, head: 1 << 20, body: 1 << 20 });
    parser.set_version(version);
    parser.feed(&bytes);
    let again = parser.next_frame().expect("what we send is a frame").expect("and a whole one");
    assert_eq!(parser.next_frame(), Ok(None), "and only one");
    assert_eq!((again.command, &again.body), (frame.command, &frame.body));
    // The length is counted anew.
    let headers = |frame: &Frame| -> Vec<(Vec<u8>, Vec<u8>)> {
        let all = frame.headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec()));
        all.filter(|(name, _)| name != b"content-length").collect()
    };
    // CONNECT and CONNECTED have no escapes in any version.
    let carrier = if frame.command.escapes_headers() { version } else { Version::V1_0 };
    if headers(frame).iter().all(|(name, value)| carrier.carries(name, value)) {
        assert_eq!(headers(&again), headers(frame));
    }
}

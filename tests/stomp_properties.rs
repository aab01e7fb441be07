//! What must hold for whatever a peer sends, and however it is cut.
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use stomp_wsgi::stomp::{Command, Cut, Encoder, Frame, Headers, Limits, ParseError, Parser, Version};

/// Small, so that generated frames run into them too.
const LIMITS: Limits = Limits { header_line: 40, headers: 6, head: 120, body: 200 };

const COMMANDS: [Command; 15] = [
    Command::Connect,
    Command::Stomp,
    Command::Connected,
    Command::Send,
    Command::Subscribe,
    Command::Unsubscribe,
    Command::Ack,
    Command::Nack,
    Command::Begin,
    Command::Commit,
    Command::Abort,
    Command::Disconnect,
    Command::Message,
    Command::Receipt,
    Command::Error,
];

/// What a stream of frames is made of, right and wrong.
const WORDS: [&[u8]; 20] = [
    b"SEND\n",
    b"MESSAGE\r\n",
    b"CONNECT\n",
    b"CONNECTED\n",
    b"DISCONNECT\n\n\0",
    b"content-length:3\n",
    b"content-length: 2 \n",
    b"content-length:201\n",
    b"accept-version:1.2\n",
    b"a:b\n",
    b" a : b\n",
    b"k:\\c\\r\\\\\n",
    b"k:\\t\n",
    b"\n",
    b"\r\n",
    b"\0",
    b":",
    b"body",
    b"xyz\0",
    b"0123456789012345678901234567890123456789",
];

fn parser(version: Option<Version>, limits: Limits) -> Parser {
    let mut parser = Parser::new(limits);
    if let Some(version) = version {
        parser.set_version(version);
    }
    parser
}

/// The frames of `pieces`, and the error that ended them, if one did.
fn parse<'a>(
    version: Option<Version>,
    limits: Limits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Frame>, Option<ParseError>) {
    parse_with(parser(version, limits), limits, pieces)
}

fn parse_with<'a>(
    mut parser: Parser,
    limits: Limits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Frame>, Option<ParseError>) {
    let mut frames = Vec::new();
    for piece in pieces {
        parser.feed(piece);
        loop {
            match parser.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        // What is left over belongs to one frame, which is within the limits or would be an error.
        let most = limits.head.max(limits.body);
        assert!(parser.buffered() <= most, "{} octets are kept", parser.buffered());
    }
    (frames, None)
}

/// Cuts `bytes` into pieces of the given lengths, over and over.
fn cut<'a>(mut bytes: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    lengths.iter().cycle().map_while(move |&length| {
        let (piece, rest) = bytes.split_at(length.min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn encode(version: Version, frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        Encoder::frame(&mut bytes, version, frame);
    }
    bytes
}

/// Where to cut.
fn lengths() -> impl Strategy<Value = Vec<usize>> {
    vec(1usize..40, 1..6)
}

fn version() -> impl Strategy<Value = Version> {
    select(&Version::ALL[..])
}

fn command() -> impl Strategy<Value = Command> {
    select(&COMMANDS[..])
}

/// Text with much in it that means something.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![
        4 => select(&b"abcn"[..]),
        2 => select(&b":\\\n\r\0 \t"[..]),
        1 => any::<u8>(),
    ];
    vec(octet, 0..12)
}

/// Any frame that a version carries unchanged.
fn frame(version: Version) -> impl Strategy<Value = Frame> {
    let body = prop_oneof![vec(any::<u8>(), 0..40), vec(select(&b"\0\nx"[..]), 0..9)];
    (command(), vec((text(), text()), 0..8), body).prop_map(move |(command, headers, body)| {
        // CONNECT has no escapes in any version.
        let version = if command.escapes_headers() { version } else { Version::V1_0 };
        let carried = |name: &[u8], value: &[u8]| version.carries(name, value);
        let headers = headers.into_iter().filter(|(name, value)| carried(name, value)).collect();
        let body = if command.allows_body() { Bytes::from(body) } else { Bytes::new() };
        Frame { command, headers, body, cut: None }
    })
}

fn frames() -> impl Strategy<Value = (Version, Vec<Frame>)> {
    version().prop_flat_map(|version| (Just(version), vec(frame(version), 1..5)))
}

/// Octets that look like frames, more or less.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![8 => select(&WORDS[..]).prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..5)];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    /// Frames, and the error too where there is one.
    #[test]
    fn any_split_parses_alike(
        version in proptest::option::of(version()),
        bytes in stream(),
        lengths in lengths(),
    ) {
        for limits in [LIMITS, Limits::default()] {
            let whole = parse(version, limits, [&bytes[..]]);
            prop_assert_eq!(&parse(version, limits, cut(&bytes, &lengths)), &whole);
            prop_assert_eq!(&parse(version, limits, bytes.chunks(1)), &whole);
        }
    }

    /// What is cut is a message that would be whole under wider limits; and nothing else changes.
    #[test]
    fn long_messages_are_cut_alike(
        version in proptest::option::of(version()),
        bytes in stream(),
        lengths in lengths(),
    ) {
        let limits = Limits { body: 20, ..LIMITS };
        let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut parser = parser(version, limits);
            parser.cut_long_messages(true);
            parse_with(parser, limits, pieces)
        };
        let (frames, error) = read(&mut [&bytes[..]].into_iter());
        prop_assert_eq!(&read(&mut cut(&bytes, &lengths)), &(frames.clone(), error.clone()));
        prop_assert_eq!(&read(&mut bytes.chunks(1)), &(frames.clone(), error.clone()));

        let (mut wide, wide_error) = parse(version, Limits { body: 1 << 20, ..LIMITS }, [&bytes[..]]);
        for frame in &mut wide {
            if frame.command == Command::Message && frame.body.len() > limits.body {
                (frame.cut, frame.body) = (Some(Cut::Body(frame.body.len())), Bytes::new());
            }
        }
        if let Some(ParseError::BodyTooLong { command, .. }) = error {
            prop_assert_ne!(command, Command::Message);
            prop_assert_eq!(&frames[..], &wide[..frames.len()]);
        } else {
            prop_assert_eq!((frames, error), (wide, wide_error));
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_itself((version, frames) in frames(), lengths in lengths()) {
        let bytes = encode(version, &frames);
        let (decoded, error) = parse(Some(version), Limits::default(), cut(&bytes, &lengths));
        prop_assert_eq!(error, None);
        prop_assert_eq!(decoded.len(), frames.len());
        for (decoded, frame) in decoded.into_iter().zip(frames) {
            prop_assert_eq!(decoded.command, frame.command);
            let headers = decoded.headers.iter().filter(|(name, _)| *name != b"content-length");
            prop_assert_eq!(headers.collect::<Headers>(), frame.headers);
            prop_assert_eq!(decoded.body, frame.body);
        }
    }

    /// Whatever is in its headers, a frame is one frame, also as a peer would read it that has got the
    /// version wrong.
    #[test]
    fn nothing_can_be_injected_through_headers(
        version in version(),
        command in command(),
        headers in vec((text(), text()), 0..8),
    ) {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, version, command);
        for (name, value) in &headers {
            encoder = encoder.header(name, value);
        }
        encoder.finish();
        prop_assert_eq!(memchr::memchr(0, &bytes), Some(bytes.len() - 1));
        for other in Version::ALL.into_iter().map(Some).chain([None]) {
            let (frames, error) = parse(other, Limits::default(), [&bytes[..]]);
            prop_assert_eq!(frames.len() + usize::from(error.is_some()), 1);
            if other == Some(version) {
                prop_assert_eq!(error, None);
                prop_assert!(frames[0].headers.len() <= headers.len());
                prop_assert_eq!(frames[0].headers.get("content-length"), None);
            }
        }
    }

    #[test]
    fn arbitrary_octets_do_no_harm(
        version in proptest::option::of(version()),
        lenient in any::<bool>(),
        cuts in any::<bool>(),
        pieces in vec(vec(any::<u8>(), 0..100), 0..20),
    ) {
        parse(version, LIMITS, pieces.iter().map(Vec::as_slice));
        let mut parser = parser(version, LIMITS);
        parser.lenient_escapes(lenient);
        parser.cut_long_messages(cuts);
        pieces.iter().for_each(|piece| parser.feed(piece));
        while let Ok(Some(_)) = parser.next_frame() {}
    }

    /// Valid frames with a few octets changed are frames again, or an error whose message is fit to be shown.
    #[test]
    fn damaged_frames_do_no_harm(
        (version, frames) in frames(),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
        lengths in lengths(),
    ) {
        let mut bytes = encode(version, &frames);
        for (at, octet) in damage {
            let at = at.index(bytes.len());
            bytes[at] = octet;
        }
        let whole = parse(Some(version), Limits::default(), [&bytes[..]]);
        prop_assert_eq!(&parse(Some(version), Limits::default(), cut(&bytes, &lengths)), &whole);
        if let Some(error) = whole.1 {
            let message = error.to_string();
            prop_assert!(message.len() < 250, "{message}");
            prop_assert!(message.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{message:?}");
        }
    }
}

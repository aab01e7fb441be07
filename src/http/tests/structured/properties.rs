//! Whatever is sent arrives, and whatever is wrong is answered.
use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What a header's value can be on its way: no blanks around it, and any octet but control characters.
fn value() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![3 => b' '..=b'~', 1 => 0x80..=0xff_u8], 0..20)
        .prop_map(|value| value.trim_ascii().to_vec())
}

/// Headers that are nobody's but the application's; some repeat.
fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop_oneof![
        proptest::sample::select(vec![
            "X-A",
            "x-a",
            "X_A",
            "Cookie",
            "Set-Cookie",
            "expires",
            "JMSType",
            "Content-Type",
            "Proxy"
        ])
        .prop_map(str::to_owned),
        "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}",
    ];
    let framing = ["content-length", "transfer-encoding", "host", "connection", "upgrade", "te"];
    let name =
        name.prop_filter("the server's own", move |name| !framing.contains(&&name.to_ascii_lowercase()[..]));
    vec((name, value()), 0..20)
}

/// Equal for names that an application cannot tell apart.
fn key(name: &[u8]) -> Vec<u8> {
    name.iter().map(|&byte| if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() }).collect()
}

/// What looks like a request, and is none, or nearly one.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "GET / HTTP/1.1",
        "POST /a HTTP/1.0",
        "NOTIFY /",
        "HEAD * HTTP/2",
        "\r\n",
        "\n",
        "\r",
        "\0",
        " ",
        ":",
        "Host: a",
        "Content-Length: 5",
        "Content-Length: 0",
        "Transfer-Encoding: chunked",
        "X_A: b",
        "X-A: c",
        "Proxy: x",
        "\r\n\r\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "\u{e9}",
    ];
    let piece = prop_oneof![
        6 => proptest::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..6),
    ];
    vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_request_arrives_as_it_was_sent(
        method in "[A-Z!~]{1,32}",
        target in "/[!-\"$-~]{0,30}",
        fields in fields(),
        body in vec(any::<u8>(), 0..60),
        chunk in 0..20_usize,
        blank in "[ \t]{0,2}",
    ) {
        let mut whole = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        for (name, value) in &fields {
            whole.extend_from_slice(&[name.as_bytes(), b":", blank.as_bytes(), value, blank.as_bytes(), b"\r\n"].concat());
        }
        if chunk == 0 {
            whole.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            whole.extend_from_slice(&body);
        } else {
            whole.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in body.chunks(chunk) {
                whole.extend_from_slice(&[format!("{:X}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
            }
            whole.extend_from_slice(b"0\r\n\r\n");
        }
        let request = request(&Frame { body: whole.into(), ..wrapped("") });
        prop_assert_eq!(&request.method, &method);
        prop_assert_eq!(&request.target[..], target.as_bytes());
        prop_assert_eq!(&request.body[..], &body[..]);
        let sent = fields.iter().map(|(name, value)| (name.as_bytes(), &value[..]));
        let came: Vec<_> = request.raw_headers.iter().collect();
        prop_assert_eq!(&came[..came.len() - 1], &sent.collect::<Vec<_>>()[..]);

        // The application gets each name once, with all the values that were sent under it.
        let mut keys = HashSet::new();
        for (name, value) in request.headers.iter() {
            prop_assert!(keys.insert(key(name)), "twice");
            prop_assert!(!name.contains(&b'_'));
            let separator: &[u8] = if name.eq_ignore_ascii_case(b"cookie") { b"; " } else { b"," };
            let same = fields.iter().filter(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
            let all: Vec<&[u8]> = same.map(|(_, value)| &value[..]).collect();
            prop_assert_eq!(value, &all.join(separator)[..]);
        }
        for (name, _) in fields.iter().filter(|(name, _)| !name.contains('_')) {
            let key = key(name.as_bytes());
            let own: [&[u8]; 4] = [b"proxy", b"content_type", b"content_length", b"transfer_encoding"];
            prop_assert_eq!(keys.contains(&key), !own.contains(&&key[..]), "{}", name);
        }
    }

    #[test]
    fn any_response_arrives_as_it_was_given(
        code in prop_oneof![Just(200_u16), 200..=999_u16],
        reason in "([!-~]([ -~]{0,10}[!-~])?)?",
        fields in fields(),
        blocks in vec(vec(any::<u8>(), 0..20), 0..4),
        names in proptest::sample::select(vec![HeaderNames::Train, HeaderNames::Camel]),
    ) {
        let mut head = Head::new(Status { code, reason: reason.into_bytes() });
        for (name, value) in &fields {
            head.header(name.as_bytes(), value).expect("a header that may be sent");
        }
        let given = head.clone();
        let request = request(&wrapped("GET / HTTP/1.1\r\n\r\n"));
        let mapping = Mapping { reply_header_names: names, ..Mapping::default() };
        let sent = reply_with(&mapping, &request, |reply| {
            reply.start(head);
            for block in &blocks {
                let _ = reply.block(block);
            }
            Ok(())
        });
        let response = Response::of(sent.only());
        prop_assert_eq!((response.code, response.reason.as_bytes()), (code, &given.status.reason[..]));
        let body = if given.status.has_body() { blocks.concat() } else { Vec::new() };
        let mut expected = fields;
        if given.status.has_body() {
            expected.push(("Content-Length".to_owned(), body.len().to_string().into_bytes()));
        }
        prop_assert_eq!(response.headers, expected);
        prop_assert_eq!(response.body, body);
    }

    #[test]
    fn any_body_is_a_request_or_answered_in_kind(
        body in prop_oneof![nearly(), vec(any::<u8>(), 0..60)],
        strict: bool,
        version in proptest::sample::select(Version::ALL.to_vec()),
    ) {
        let mapping = Mapping { strict_headers: strict, ..Mapping::default() };
        match map(&mapping, &Frame { body: body.into(), ..wrapped("") }) {
            Ok(request) => {
                prop_assert!(request.delivery.structured && name::is_token(request.method.as_bytes()));
                prop_assert_eq!(request.delivery.one_way, request.method == "NOTIFY");
                prop_assert_eq!(request.delivery.head_only, request.method == "HEAD");
            }
            Err(rejected) => {
                let bytes = reject(version, &mapping, &rejected, "r");
                prop_assert_eq!(bytes.is_empty(), rejected.delivery.one_way, "told, or a dead letter");
                if rejected.can_answer() {
                    let response = Response::of(&one_frame(version, &bytes));
                    prop_assert!((400..600).contains(&response.code));
                    prop_assert_eq!(response.body.is_empty(), rejected.delivery.head_only);
                }
            }
        }
    }
}

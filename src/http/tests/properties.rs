//! What holds for any message and any response.
use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Names that mean something, names that nearly do, and bytes.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "destination",
        "reply-to",
        "correlation-id",
        "content-type",
        "Content-Type",
        "contentType",
        "content-length",
        "expires",
        "Expires",
        "persistent",
        "receipt",
        "http_requestMethod",
        "http_requestUrl",
        "http_statusCode",
        "http_acceptStream",
        "CamelHttpUri",
        "CamelHttpQuery",
        "OnewayRequest",
        "X-Tenant",
        "X_Tenant",
        "x_HYPHEN_tenant",
        "JMSExpiration",
        "jmsx",
        "AMQ_X",
        "_amq_x",
        "amqp-x",
        "Proxy",
        "Set-Cookie",
        "set-cookie",
        "Set-Cookie_2",
        "Set_Cookie",
        "Host",
        "x-death",
        "priority",
        "a b",
        "a:b",
        "a\nb",
        "",
    ];
    prop_oneof![
        3 => proptest::sample::select(known.to_vec()).prop_map(|name| name.as_bytes().to_vec()),
        1 => "[A-Za-z_.-]{1,12}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..12),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        "[ -~]{0,40}".prop_map(String::into_bytes),
        Just(b"true".to_vec()),
        Just(b"application/http".to_vec()),
        Just(b"/queue/r".to_vec()),
        Just(b"evil\r\nreceipt:x\n\nbody\0SEND\ndestination:/queue/x\n\n\0".to_vec()),
    ]
}

fn pairs() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    vec((name(), value()), 0..24)
}

fn key(name: &[u8]) -> Vec<u8> {
    name.iter().map(|&byte| if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }).collect()
}

fn names() -> impl Strategy<Value = HeaderNames> {
    use HeaderNames::{Camel, Raw, Train, Underscore};
    proptest::sample::select(vec![Train, Raw, Camel, Underscore])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_message_is_a_request_or_rejected(headers in pairs(), body in vec(any::<u8>(), 0..20), strict: bool) {
        let frame = Frame {
            command: Command::Message,
            headers: headers.into_iter().collect(),
            body: body.into(),
            cut: None,
        };
        let mapping = Mapping { strict_headers: strict, default_path: "/{destination}/{type}".into(), ..Mapping::default() };
        match map(&mapping, &frame) {
            Ok(request) => {
                prop_assert!(name::is_token(request.method.as_bytes()));
                prop_assert!(request.path.first() == Some(&b'/') || request.path == b"*");
                prop_assert!(!request.target.iter().any(|byte| byte.is_ascii_control() || *byte == b' '));
                let mut keys = HashSet::new();
                for (name, value) in request.headers.iter() {
                    prop_assert!(name::is_token(name));
                    prop_assert!(!reserved::is_reserved(name));
                    prop_assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
                    let key = key(name);
                    prop_assert!(key != b"CONTENT_TYPE" && key != b"CONTENT_LENGTH" && key != b"PROXY");
                    prop_assert!(keys.insert(key), "twice: {:?}", name);
                }
                let host = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"host"));
                prop_assert_eq!(host.map(|(_, value)| value), request.host());
                prop_assert!(request.delivery.one_way || request.delivery.reply_to().is_some());
            }
            Err(rejected) => {
                let bytes = reject(Version::V1_2, &mapping, &rejected, "r");
                prop_assert_eq!(rejected.can_answer(), !bytes.is_empty());
                if rejected.can_answer() {
                    one_frame(Version::V1_2, &bytes);
                }
            }
        }
    }

    #[test]
    fn nothing_is_smuggled_into_a_reply(
        headers in pairs(),
        reason in value(),
        blocks in vec(vec(any::<u8>(), 0..20), 0..4),
        names in names(),
        stream: bool,
        version in proptest::sample::select(Version::ALL.to_vec()),
    ) {
        let accept = if stream { "true" } else { "false" };
        let request = request(&call(&[("http_acceptStream", accept), ("correlation-id", "c")], ""));
        let mapping = Mapping { reply_header_names: names, ..Mapping::default() };
        // Unchecked on purpose: as if start_response let everything pass.
        let mut head = Head::new(Status { code: 200, reason });
        head.headers = headers;
        let cut = head.content_length().is_some();
        let mut sent = Vec::new();
        let mut more = |bytes: Vec<u8>| sent.push(bytes);
        let mut responder = Responder::new(version, &mapping, &request, "r-1", &mut more);
        responder.start(head);
        for block in &blocks {
            let _ = responder.block(block);
        }
        let finished = responder.finish(Ok(()));
        sent.push(finished.bytes);
        prop_assert_eq!(sent.len() as u64, finished.messages);
        let mut body = Vec::new();
        for (at, bytes) in sent.iter().enumerate() {
            let frame = one_frame(version, bytes);
            prop_assert_eq!(frame.command, Command::Send);
            body.extend_from_slice(&frame.body);
            let mut seen = HashSet::new();
            for (name, value) in frame.headers.iter() {
                prop_assert!(seen.insert(name.to_vec()), "twice: {}", name.escape_ascii());
                prop_assert!(std::str::from_utf8(value).is_ok());
                let receipt = if at + 1 == sent.len() { "r-1".to_owned() } else { format!("r-1/{at}") };
                let ours: Option<Option<&[u8]>> = match name {
                    b"destination" => Some(Some(b"/temp-queue/me")),
                    b"correlation-id" => Some(Some(b"c")),
                    b"http_isError" => Some(Some(if finished.status == 500 { b"true" } else { value })),
                    b"receipt" => Some(Some(receipt.as_bytes())),
                    b"http_statusCode" | b"http_reasonPhrase" | b"http_chunkSeq" | b"http_moreContent"
                    | b"content-type" | b"content-length" => Some(Some(value)),
                    _ => None,
                };
                match ours {
                    Some(expected) => prop_assert_eq!(Some(value), expected),
                    None => prop_assert!(!reserved::is_reserved_outwards(name), "{}", name.escape_ascii()),
                }
            }
        }
        if finished.fault.is_none() && !cut {
            prop_assert_eq!(body, blocks.concat());
        }
    }

    #[test]
    fn a_checked_header_arrives_unchanged(name in "[A-Z][a-z]{0,8}(-[A-Z][a-z]{0,5})?", value in "[ -~\u{e0}-\u{ff}]{0,30}") {
        prop_assume!(!reserved::is_reserved_outwards(name.as_bytes()));
        prop_assume!(!["Content-Type", "Content-Length", "Te", "Upgrade", "Connection", "Trailers"].contains(&&name[..]));
        let request = request(&call(&[], ""));
        let mut checked = Head::new(Status::of(200));
        checked.header(name.as_bytes(), value.as_bytes()).expect("a token and no control characters");
        let sent = reply(&request, checked, &[]);
        prop_assert_eq!(sent.only().headers.text(&name), Some(value.trim_matches(' ')));
    }

    #[test]
    fn dead_letters_are_one_frame(
        headers in pairs(),
        body in vec(any::<u8>(), 0..20),
        reason in ".{0,40}",
        version in proptest::sample::select(Version::ALL.to_vec()),
    ) {
        let frame = Frame { command: Command::Message, headers: headers.into_iter().collect(), body: body.clone().into(), cut: None };
        let letter = one_frame(version, &dead_letter(version, Dialect::ActiveMq, &Mapping::default(), &frame, "/queue/DLQ", &reason, "r"));
        prop_assert_eq!(letter.headers.text("destination"), Some("/queue/DLQ"));
        prop_assert_eq!(letter.headers.text("receipt"), Some("r"));
        prop_assert_eq!(letter.headers.text("persistent"), Some("true"));
        prop_assert_eq!(&letter.body[..], &body[..]);
        for name in ["destination", "receipt", "persistent", "message-failed"] {
            let count = letter.headers.iter().filter(|(known, _)| *known == name.as_bytes()).count();
            prop_assert_eq!(count, 1, "{}", name);
        }
        prop_assert!(!has(&letter, "expires"));
    }
}

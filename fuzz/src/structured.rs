//! Structured mode: any octets as a whole request, and its own headers as those of the response.

use std::sync::Arc;

use bytes::Bytes;
use httparse::{EMPTY_HEADER, Status as Parsed};
use stomp_wsgi::app::Reply;
use stomp_wsgi::http::{Head, Mapping, Responder, Status};
use stomp_wsgi::stomp::{Command, Frame, Limits, Parser, Version};

use super::Octets;

/// One octet of options; then the body of a message.
pub fn check(data: &[u8]) {
    let mut octets = Octets(data);
    let options = octets.byte();
    let media_type = [
        "application/http; msgtype=request",
        "application/http",
        "Application/HTTP;msgtype=\"request\"; version=1.1",
        "application/http; msgtype=response",
    ][usize::from(options & 3)];
    let headers =
        [("content-type", media_type), ("destination", "/queue/in"), ("reply-to", "/temp-queue/me")];
    let body = Bytes::copy_from_slice(octets.rest());
    let frame = Frame { command: Command::Message, headers: headers.into_iter().collect(), body, cut: None };
    let mut mapping = Mapping::default();
    mapping.strict_headers = options & 4 != 0;
    let request = match mapping.request(&frame, &Arc::from("broker:61613"), 1) {
        Ok(request) => request,
        Err(rejected) => {
            assert!(matches!(rejected.status(), 400 | 431 | 501 | 505), "{rejected}");
            return;
        }
    };
    assert_ne!(options & 3, 3, "a response is no request");
    assert!(request.delivery.structured && request.body.len() <= frame.body.len());
    let all = |name: &str| -> Vec<Vec<u8>> {
        let named =
            request.raw_headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| value.to_vec()).collect()
    };
    // Two opinions of where a request ends are how another one is smuggled in.
    assert!(all("content-length").is_empty() || all("transfer-encoding").is_empty());
    assert!(
        !all("content-length").is_empty() || !all("transfer-encoding").is_empty() || request.body.is_empty()
    );

    let mut head = Head::new(Status {
        code: [200, 404, 204, 304][usize::from(options >> 3 & 3)],
        reason: b"as it is".to_vec(),
    });
    let mut given = 0;
    for (name, value) in request.raw_headers.iter() {
        if options & 32 != 0 {
            given += usize::from(head.header(name, value).is_ok());
        } else {
            head.headers.push((name.to_vec(), value.to_vec()));
            given += 1;
        }
    }
    let is_head = request.method == "HEAD";
    let code = head.status.code;
    let mut more = |_| panic!("a structured reply is one message");
    let mut responder = Responder::new(Version::V1_2, &mapping, &request, "", &mut more);
    responder.start(head);
    let _ = responder.block(&request.body);
    let finished = responder.finish(Ok(()));
    if request.delivery.one_way {
        return assert!(finished.bytes.is_empty());
    }
    let mut parser = Parser::new(Limits::default());
    parser.set_version(Version::V1_2);
    parser.feed(&finished.bytes);
    let sent = parser.next_frame().expect("what we send is a frame").expect("and a whole one");
    let mut headers = [EMPTY_HEADER; 600];
    let mut response = httparse::Response::new(&mut headers);
    let Ok(Parsed::Complete(length)) = response.parse(&sent.body) else {
        panic!("no response: {:?}", sent.body)
    };
    assert_eq!((response.code, finished.status), (Some(code), code));
    assert!(response.headers.len() <= given + 1, "no header but the application's and Content-Length");
    let has_body = !is_head && !matches!(code, 204 | 304);
    let rest = &sent.body[length..];
    assert!(has_body && request.body.starts_with(rest) || rest.is_empty(), "no octet but the application's");
    assert_eq!(rest.len() as u64, finished.body_len);
    let lengths =
        response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("content-length")).count();
    assert!(lengths <= 1 && (lengths == 1 || !has_body), "one Content-Length");
    assert!(!response.headers.iter().any(|header| header.name.eq_ignore_ascii_case("transfer-encoding")));
}

//! What several benches start from.

use stomp_wsgi::stomp::{Command, Frame};

/// A request as a broker delivers it: STOMP's and the broker's headers, and eight of HTTP.
pub(crate) fn message() -> Frame {
    let headers = [
        ("ack", "ID:host-40000-1700000000000-2:1"),
        ("destination", "/queue/requests"),
        ("subscription", "1"),
        ("message-id", "ID:host-40000-1700000000000-3:1:1:1:1"),
        ("reply-to", "/remote-temp-queue/ID:host-40000-1700000000000-3:1:1"),
        ("correlation-id", "0123456789abcdef"),
        ("timestamp", "1700000000000"),
        ("expires", "0"),
        ("priority", "4"),
        ("http_requestMethod", "POST"),
        ("http_requestUrl", "/orders/7?full=1"),
        ("content-type", "application/json"),
        ("content-length", "12"),
        ("Host", "service.example"),
        ("User-Agent", "client/1.0"),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("Accept-Encoding", "gzip, deflate"),
        ("X_Request_Id", "0123456789abcdef"),
    ];
    Frame {
        command: Command::Message,
        headers: headers.into_iter().collect(),
        body: b"hello, world".to_vec().into(),
        cut: None,
    }
}

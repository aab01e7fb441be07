//! A measurement, not a test:
//! `cargo test --release --no-default-features --test http_throughput -- --ignored --nocapture --test-threads 1`.
//! Of several rounds the fastest counts: others may be busy on the machine.
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stomp_wsgi::app::Reply as _;
use stomp_wsgi::http::{Head, Mapping, Request, Responder, Status};
use stomp_wsgi::stomp::{Command, Frame, Version};

/// Short rounds, of which some run undisturbed.
const CALLS: u32 = 500;
const ROUNDS: u32 = 400;

/// A request as a broker delivers it: STOMP's and the broker's headers, and eight of HTTP.
fn message() -> Frame {
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
    }
}

fn head() -> Head {
    let mut head = Head::new(Status::of(200));
    for (name, value) in [("Content-Type", "text/plain"), ("Content-Length", "12"), ("X-Request-Id", "0123")]
    {
        head.header(name.as_bytes(), value.as_bytes()).expect("fine headers");
    }
    head
}

fn fastest(rounds: u32, calls: u32, mut call: impl FnMut()) -> Duration {
    let mut time = || {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        start.elapsed() / calls
    };
    (0..rounds).map(|_| time()).min().expect("rounds")
}

fn answered(mapping: &Mapping, request: &Request, head: Head, body: &[u8]) -> usize {
    let mut more = |_| {};
    let mut responder = Responder::new(Version::V1_2, mapping, request, "1234", &mut more);
    responder.start(head);
    let _ = responder.block(body);
    responder.finish(Ok(())).bytes.len()
}

#[test]
#[ignore = "a measurement"]
fn requests_and_replies() {
    let (mapping, frame, broker) = (Mapping::default(), message(), Arc::from("broker:61613"));
    let request = mapping.request(&frame, &broker, 1).expect("a request");
    let mapped = fastest(ROUNDS, CALLS, || {
        black_box(mapping.request(black_box(&frame), &broker, 1).expect("a request"));
    });
    let built = fastest(ROUNDS, CALLS, || {
        black_box(head());
    });
    let replied = fastest(ROUNDS, CALLS, || {
        black_box(answered(&mapping, &request, head(), black_box(b"hello, world")));
    });
    println!("a message of {} headers to a request: {mapped:?}", frame.headers.len());
    println!("head, block and finish: {replied:?}, of which the head {built:?}");

    let body = vec![b'x'; 64 << 20];
    let mut large = Head::new(Status::of(200));
    large.header(b"Content-Length", body.len().to_string().as_bytes()).expect("a number");
    let time = fastest(10, 1, || {
        black_box(answered(&mapping, &request, large.clone(), &body));
    });
    println!("a body of 64 MiB: {time:?}, {:.1} GB/s", body.len() as f64 / time.as_secs_f64() / 1e9);
}

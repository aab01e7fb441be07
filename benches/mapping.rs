//! Messages to requests, responses to messages.

#![allow(missing_docs)] // the function that criterion_group! makes

mod support;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stomp_wsgi::app::Reply as _;
use stomp_wsgi::http::{Head, Mapping, Request, Responder, Status};
use stomp_wsgi::stomp::{Frame, Version};

const LARGE: usize = 64 << 20;

criterion_group!(benches, requests, replies, large_reply);
criterion_main!(benches);

fn requests(c: &mut Criterion) {
    let (mapping, frame, broker) = (Mapping::default(), support::message(), Arc::from("broker:61613"));
    c.bench_function("request/18 headers", |b| {
        b.iter(|| mapping.request(black_box(&frame), &broker, 1).expect("a request"));
    });
    let frame = structured();
    c.bench_function("request/structured", |b| {
        b.iter(|| mapping.request(black_box(&frame), &broker, 1).expect("a request"));
    });
}

fn replies(c: &mut Criterion) {
    let (mapping, request) = mapped();
    let mut group = c.benchmark_group("reply");
    group.bench_function("head", |b| b.iter(head));
    group.bench_function("head, block and finish", |b| {
        b.iter(|| answered(&mapping, &request, head(), black_box(b"hello, world")));
    });
    let broker = Arc::from("broker:61613");
    let request = mapping.request(&structured(), &broker, 1).expect("a request");
    group.bench_function("structured", |b| {
        b.iter(|| answered(&mapping, &request, head(), black_box(b"hello, world")));
    });
    group.finish();
}

fn large_reply(c: &mut Criterion) {
    let (mapping, request) = mapped();
    let body = vec![b'x'; LARGE];
    let mut head = Head::new(Status::of(200));
    head.header(b"Content-Length", LARGE.to_string().as_bytes()).expect("a number");

    let mut group = c.benchmark_group("large reply");
    group.sample_size(10).throughput(Throughput::Bytes(LARGE as u64));
    group.bench_function("64 MiB in one block", |b| {
        b.iter(|| answered(&mapping, &request, head.clone(), black_box(&body)));
    });
    group.finish();
}

/// The same request whole, in a message's body.
fn structured() -> Frame {
    let message = support::message();
    let (outside, within): (Vec<_>, Vec<_>) =
        message.headers.iter().partition(|(name, _)| name[0].is_ascii_lowercase());
    let mut whole = b"POST /orders/7?full=1 HTTP/1.1\r\nContent-Type: application/json\r\n".to_vec();
    for (name, value) in within {
        whole.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
    }
    whole.extend_from_slice(b"Content-Length: 12\r\n\r\nhello, world");
    let outside =
        outside.into_iter().filter(|(name, _)| !name.starts_with(b"http_") && *name != b"content-type");
    let headers = outside.chain([(&b"content-type"[..], &b"application/http"[..])]).collect();
    Frame { headers, body: whole.into(), ..message.clone() }
}

fn mapped() -> (Mapping, Request) {
    let mapping = Mapping::default();
    let request = mapping.request(&support::message(), &Arc::from("broker:61613"), 1).expect("a request");
    (mapping, request)
}

fn head() -> Head {
    let mut head = Head::new(Status::of(200));
    for (name, value) in [("Content-Type", "text/plain"), ("Content-Length", "12"), ("X-Request-Id", "0123")]
    {
        head.header(name.as_bytes(), value.as_bytes()).expect("fine headers");
    }
    head
}

/// The bytes of the message that answers.
fn answered(mapping: &Mapping, request: &Request, head: Head, body: &[u8]) -> Vec<u8> {
    let mut more = |_| {};
    let mut responder = Responder::new(Version::V1_2, mapping, request, "1234", &mut more);
    responder.start(head);
    let _ = responder.block(body);
    let finished = responder.finish(Ok(()));
    assert_eq!((finished.status, finished.body_len), (200, body.len() as u64));
    finished.bytes
}

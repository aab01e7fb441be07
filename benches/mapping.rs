//! Messages to requests, responses to messages.

#![allow(missing_docs)] // the function that criterion_group! makes

mod support;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stomp_wsgi::app::Reply as _;
use stomp_wsgi::http::{Head, Mapping, Request, Responder, Status};
use stomp_wsgi::stomp::Version;

const LARGE: usize = 64 << 20;

criterion_group!(benches, requests, replies, large_reply);
criterion_main!(benches);

fn requests(c: &mut Criterion) {
    let (mapping, frame, broker) = (Mapping::default(), support::message(), Arc::from("broker:61613"));
    c.bench_function("request/18 headers", |b| {
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

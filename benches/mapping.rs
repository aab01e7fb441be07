//! Messages to requests, responses to messages.

#![allow(missing_docs)] // the function that criterion_group! makes

mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stomp_wsgi::http::{Head, Mapping, Request, Status};

const LARGE: usize = 64 << 20;

criterion_group!(benches, requests, replies, large_reply);
criterion_main!(benches);

fn requests(c: &mut Criterion) {
    let (mapping, frame, broker) = (Mapping::default(), support::message(), support::broker());
    c.bench_function("request/18 headers", |b| {
        b.iter(|| mapping.request(black_box(&frame), &broker, 1).expect("a request"));
    });
    let frame = support::structured();
    c.bench_function("request/structured", |b| {
        b.iter(|| mapping.request(black_box(&frame), &broker, 1).expect("a request"));
    });
}

fn replies(c: &mut Criterion) {
    let (mapping, request) = mapped();
    let mut group = c.benchmark_group("reply");
    group.bench_function("head", |b| b.iter(support::head));
    group.bench_function("head, block and finish", |b| {
        b.iter(|| support::answered(&mapping, &request, support::head(), black_box(b"hello, world")));
    });
    let broker = support::broker();
    let request = mapping.request(&support::structured(), &broker, 1).expect("a request");
    group.bench_function("structured", |b| {
        b.iter(|| support::answered(&mapping, &request, support::head(), black_box(b"hello, world")));
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
        b.iter(|| support::answered(&mapping, &request, head.clone(), black_box(&body)));
    });
    group.finish();
}

fn mapped() -> (Mapping, Request) {
    let mapping = Mapping::default();
    let request = mapping.request(&support::message(), &support::broker(), 1).expect("a request");
    (mapping, request)
}

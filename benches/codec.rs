//! Frames to bytes and back.

#![allow(missing_docs)] // the function that criterion_group! makes

mod support;

use std::collections::VecDeque;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stomp_wsgi::stomp::{Encoder, Limits, Parser, Version};

/// What a reactor reads at once.
const READ: usize = 64 << 10;
const LARGE: usize = 64 << 20;

/// As [`support::message`], with so many frames in a stream: more than is ever kept.
const FRAMES: usize = 4000;

criterion_group!(benches, parse, encode, large_body);
criterion_main!(benches);

fn parse(c: &mut Criterion) {
    let (escaped, plain) = (support::encoded().repeat(FRAMES), support::unescaped().repeat(FRAMES));

    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("MESSAGE", |b| b.iter(|| parse_all(&plain, 0)));
    group.bench_function("MESSAGE with escapes", |b| b.iter(|| parse_all(&escaped, 0)));
    group.bench_function("MESSAGE with escapes, 1000 kept", |b| b.iter(|| parse_all(&escaped, 1000)));
    group.finish();
}

/// Parses a stream in reads, and keeps so many of the latest frames, as a ledger does.
fn parse_all(stream: &[u8], keep: usize) {
    let mut parser = Parser::new(Limits::default());
    parser.set_version(Version::V1_2);
    let mut kept = VecDeque::with_capacity(keep + 1);
    for read in stream.chunks(READ) {
        parser.feed(black_box(read));
        while let Some(frame) = parser.next_frame().expect("valid frames") {
            kept.push_back(frame);
            if kept.len() > keep {
                black_box(kept.pop_front());
            }
        }
    }
}

fn encode(c: &mut Criterion) {
    let mut out = Vec::new();
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let message = support::message();
    group.bench_function("MESSAGE with escapes", |b| {
        b.iter(|| {
            out.clear();
            Encoder::frame(black_box(&mut out), Version::V1_2, black_box(&message));
        });
    });
    group.bench_function("reply of 4 headers", |b| {
        b.iter(|| {
            out.clear();
            support::encode_reply(black_box(&mut out));
        });
    });
    group.finish();
}

fn large_body(c: &mut Criterion) {
    let mut stream = format!("SEND\ncontent-length:{LARGE}\n\n").into_bytes();
    stream.resize(stream.len() + LARGE, b'x');
    stream.push(0);

    let mut group = c.benchmark_group("large body");
    group.sample_size(10).throughput(Throughput::Bytes(LARGE as u64));
    group.bench_function("parse 64 MiB", |b| b.iter(|| parse_all(&stream, 0)));
    group.finish();
}

//! A measurement, not a test:
//! `cargo test --release --no-default-features --test stomp_throughput -- --ignored --nocapture --test-threads 1`.
//! Of several rounds the fastest counts: others may be busy on the machine.
use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use stomp_wsgi::stomp::{Command, Encoder, Limits, Parser, Version};

const READ: usize = 64 << 10;

/// A request as a broker delivers it, with a small body.
fn message(out: &mut Vec<u8>) {
    Encoder::new(out, Version::V1_2, Command::Message)
        .header("ack", "ID:host-40000-1700000000000-2:1")
        .header("destination", "/queue/requests")
        .header("subscription", "1")
        .header("message-id", "ID-host-40000-1700000000000-3-1-1-1-1")
        .header("reply-to", "/remote-temp-queue/some-client-4")
        .header("correlation-id", "0123456789abcdef")
        .number("timestamp", 1_700_000_000_000)
        .number("expires", 0)
        .number("priority", 4)
        .header("http-host", "service.example")
        .header("http-user-agent", "client/1.0")
        .header("http-accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
        .header("http-accept-encoding", "gzip, deflate")
        .header("http-content-type", "text/plain")
        .body(b"hello, world");
}

/// The same without an escape, as most brokers but ActiveMQ send it.
fn message_without_escapes(out: &mut Vec<u8>) {
    let start = out.len();
    message(out);
    let escape = out[start..].iter().position(|octet| *octet == b'\\').expect("the colons of the ack id");
    out[start + escape..][..2].copy_from_slice(b"--");
    let escape = out[start..].iter().position(|octet| *octet == b'\\').expect("the colons of the ack id");
    out[start + escape..][..2].copy_from_slice(b"--");
}

fn fastest(mut round: impl FnMut()) -> Duration {
    let mut time = || {
        let start = Instant::now();
        round();
        start.elapsed()
    };
    (0..20).map(|_| time()).min().expect("twenty rounds")
}

fn report(what: &str, frames: usize, octets: usize, time: Duration) {
    let (per_frame, seconds) = (time.as_nanos() / frames as u128, time.as_secs_f64());
    let (millions, gigabytes) = (frames as f64 / seconds / 1e6, octets as f64 / seconds / 1e9);
    println!("{what}: {per_frame} ns a frame, {millions:.2} million frames/s, {gigabytes:.2} GB/s");
}

/// Parses a stream in reads, and keeps so many of the latest frames, as a ledger does.
fn parse(stream: &[u8], keep: usize) {
    let mut parser = Parser::new(Limits::default());
    parser.set_version(Version::V1_2);
    let mut kept = VecDeque::with_capacity(keep + 1);
    for read in stream.chunks(READ) {
        parser.feed(read);
        while let Some(frame) = parser.next_frame().expect("valid frames") {
            kept.push_back(frame);
            if kept.len() > keep {
                black_box(kept.pop_front());
            }
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn parse_small_frames() {
    let frames = 20_000;
    let stream = |message: fn(&mut Vec<u8>)| {
        let mut stream = Vec::new();
        (0..frames).for_each(|_| message(&mut stream));
        stream
    };
    for (what, stream) in
        [("MESSAGE", stream(message_without_escapes)), ("MESSAGE with escapes", stream(message))]
    {
        println!("{what}: {} octets", stream.len() / frames);
        report("  parse", frames, stream.len(), fastest(|| parse(&stream, 0)));
        report("  parse, 1000 frames kept", frames, stream.len(), fastest(|| parse(&stream, 1000)));
    }
}

#[test]
#[ignore = "a measurement"]
fn encode_small_frames() {
    let frames = 20_000;
    let mut out = Vec::new();
    let mut encode = |what, message: fn(&mut Vec<u8>)| {
        let time = fastest(|| {
            out.clear();
            (0..frames).for_each(|_| message(black_box(&mut out)));
        });
        report(what, frames, out.len(), time);
    };
    encode("encode a MESSAGE", message);
    encode("encode a reply of 4 headers", |out| {
        Encoder::new(out, Version::V1_2, Command::Send)
            .header("destination", "/remote-temp-queue/some-client-4")
            .header("correlation-id", "0123456789abcdef")
            .number("status", 200)
            .header("http-content-type", "text/plain")
            .body(b"hello, world");
    });
}

#[test]
#[ignore = "a measurement"]
fn parse_a_large_body() {
    let length = 200 << 20;
    let mut large = format!("SEND\ncontent-length:{length}\n\n").into_bytes();
    large.resize(large.len() + length, b'x');
    large.push(0);
    let limits = Limits { body: length, ..Limits::default() };
    let time = fastest(|| {
        let mut parser = Parser::new(limits);
        for read in large.chunks(READ) {
            parser.feed(read);
            black_box(parser.next_frame().expect("a valid frame"));
        }
    });
    report("parse 200 MiB in reads of 64 KiB", 1, large.len(), time);
}

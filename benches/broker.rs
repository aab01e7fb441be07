//! The development broker without sockets: requests and their replies, as a worker and a requester have them.

#![allow(missing_docs)] // the function that criterion_group! makes

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stomp_wsgi::broker::{Broker, BrokerConfig, ConnId, Now};
use stomp_wsgi::stomp::{Command, Limits, Parser, Version};

const IN_FLIGHT: usize = 32;

/// In: request, reply with a receipt, ACK. Out: request, reply, RECEIPT.
const FRAMES: usize = 6 * IN_FLIGHT;

criterion_group!(benches, request_and_reply);
criterion_main!(benches);

fn request_and_reply(c: &mut Criterion) {
    let mut bed = Bed::new();
    let mut group = c.benchmark_group("broker");
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("request, reply, receipt, ack; 32 in flight", |b| {
        b.iter_custom(|cycles| (0..cycles).map(|_| bed.cycle()).sum());
    });
    group.finish();
}

/// A broker and two clients, of whose time nothing is measured.
struct Bed {
    broker: Broker,
    requester: Client,
    worker: Client,
    requests: String,
}

struct Client {
    id: ConnId,
    parser: Parser,
    /// What the broker wrote to it.
    came: Vec<u8>,
}

impl Bed {
    fn new() -> Self {
        let mut broker = Broker::new(BrokerConfig::default(), Now::system());
        let mut client = || Client {
            id: broker.accept(Now::system()),
            parser: Parser::new(Limits::default()),
            came: Vec::new(),
        };
        let (requester, worker) = (client(), client());
        let requests = (0..IN_FLIGHT).map(|n| {
            format!(
                "SEND\ndestination:/queue/work\nreply-to:/temp-queue/r\ncorrelation-id:{n}\n\
                 http_requestMethod:GET\nhttp_requestUrl:/orders/{n}\ncontent-length:0\n\n\0"
            )
        });
        let mut bed = Self { broker, requester, worker, requests: requests.collect() };
        let connect = "CONNECT\naccept-version:1.2\nhost:/\n\n\0";
        bed.turn(bed.requester.id, &format!("{connect}SUBSCRIBE\nid:r\ndestination:/temp-queue/r\n\n\0"));
        let subscribe = "SUBSCRIBE\nid:w\ndestination:/queue/work\nack:client-individual\n\n\0";
        bed.turn(bed.worker.id, &format!("{connect}{subscribe}"));
        for client in [&mut bed.requester, &mut bed.worker] {
            client.took(Command::Connected, 1, |_| ());
            client.parser.set_version(Version::V1_2);
        }
        bed
    }

    /// All requests, then all replies: what it took the broker.
    fn cycle(&mut self) -> Duration {
        let requests = std::mem::take(&mut self.requests);
        let mut took = self.turn(self.requester.id, &requests);
        self.requests = requests;

        let mut answers = String::new();
        self.worker.took(Command::Message, IN_FLIGHT, |header| {
            let (to, id, ack) = (header("reply-to"), header("correlation-id"), header("ack"));
            let reply =
                format!("SEND\ndestination:{to}\ncorrelation-id:{id}\nreceipt:{id}\n\nhello, world\0");
            answers.extend([reply, format!("ACK\nid:{ack}\n\n\0")]);
        });
        took += self.turn(self.worker.id, &answers);
        self.requester.took(Command::Message, IN_FLIGHT, |_| ());
        self.worker.took(Command::Receipt, IN_FLIGHT, |_| ());
        took
    }

    /// One client's bytes, and all that follows from them, written out by copying.
    fn turn(&mut self, from: ConnId, bytes: &str) -> Duration {
        let start = Instant::now();
        let now = Now::system();
        self.broker.received(from, now, bytes.as_bytes());
        while let Some(id) = self.broker.next_changed() {
            let client = if id == self.worker.id { &mut self.worker } else { &mut self.requester };
            let outbox = self.broker.outbox(id);
            client.came.extend_from_slice(outbox);
            let written = outbox.len();
            self.broker.sent(id, now, written);
        }
        start.elapsed()
    }
}

impl Client {
    /// Exactly these frames came. `each` is given the headers, escaped.
    fn took(&mut self, command: Command, count: usize, mut each: impl FnMut(&dyn Fn(&str) -> String)) {
        self.parser.feed(&self.came);
        self.came.clear();
        for _ in 0..count {
            let frame = self.parser.next_frame().expect("valid frames").expect("a frame");
            assert_eq!(frame.command, command, "{frame:?}");
            each(&|name| {
                let value = frame.headers.text(name).expect("a header that the broker sends");
                value.replace('\\', "\\\\").replace(':', "\\c")
            });
        }
        assert!(self.parser.next_frame().expect("valid frames").is_none());
    }
}

//! What a request costs between Request and Reply, without a broker; run with
//! `cargo test --release --test wsgi_cost -- --ignored --nocapture`.
//!
//! Absolute figures drift with the machine; the ratios to the first line of the same run say more.
#![cfg(feature = "python")]

#[path = "python/harness.rs"]
mod harness;

use std::hint::black_box;
use std::time::Instant;

use harness::{app, get, post, with_headers};
use pyo3::prelude::*;
use stomp_wsgi::app::{Application, Flow, Reply};
use stomp_wsgi::http::{Delivery, Head, Request};

const HELLO: &str = r#"
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Served-By", "hello")])
    return [b"Hello, world!\n"]
"#;

struct Discard;

impl Reply for Discard {
    fn start(&mut self, head: Head) {
        black_box(head);
    }
    fn block(&mut self, block: &[u8]) -> Flow {
        black_box(block);
        Flow::Continue
    }
}

/// A request as a JMS client would send it through a broker.
fn delivered(request: Request) -> Request {
    let headers = [
        ("destination", "/queue/shop"),
        ("subscription", "s-0"),
        ("message-id", "ID:broker-41613-1763836209000-3:1:1:1:17"),
        ("correlation-id", "5b7c9d1e-17"),
        ("reply-to", "/remote-temp-queue/ID:client-1:1:1"),
        ("expires", "0"),
        ("priority", "4"),
        ("timestamp", "1763836209123"),
        ("persistent", "true"),
        ("http_requestMethod", "GET"),
        ("http_requestUrl", "/cart?item=7"),
        ("X-Tenant", "acme"),
    ];
    let delivery = Delivery {
        destination: headers[0].1.into(),
        subscription: headers[1].1.into(),
        message_id: headers[2].1.into(),
        correlation_id: Some(headers[3].1.into()),
        reply_to: Some(headers[4].1.into()),
        attempt: 1,
        broker: "broker.example:61613".into(),
        headers: headers.into_iter().collect(),
        ..Delivery::default()
    };
    Request { delivery, ..request }
}

/// Nanoseconds for one round of `work`: the best of many runs so short that the scheduler spares some.
fn measure(name: &str, mut work: impl FnMut()) {
    const ROUNDS: u32 = 1000;
    let mut best = f64::MAX;
    for _ in 0..300 {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            work();
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS));
    }
    println!("{name:<58} {best:>7.0} ns");
}

#[test]
#[ignore = "a measurement"]
fn cost() {
    harness::python();
    Python::attach(|py| {
        let code = c"
from time import perf_counter
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain'), ('X-Served-By', 'hello')])
    return [b'Hello, world!\\n']
def start_response(status, headers, exc_info=None):
    pass
template = {str(i): str(i) for i in range(30)}
def run(rounds=1000):
    best = 9e9
    for _ in range(300):
        start = perf_counter()
        for _ in range(rounds):
            for block in application(template.copy(), start_response):
                pass
        best = min(best, perf_counter() - start)
    return best * 1e9 / rounds
";
        let module = PyModule::from_code(py, code, c"loop.py", c"loop").unwrap();
        let best: f64 = module.getattr("run").unwrap().call0().unwrap().extract().unwrap();
        println!("{:<58} {best:>7.0} ns", "the same application called from a Python loop");
    });

    let app = app(HELLO);
    let bare = get("/");
    let usual = delivered(get("/cart?item=7"));
    let usual = with_headers(usual, [("Host", b"shop.example"), ("X-Tenant", b"acme"), ("Accept", b"*/*")]);
    let many: [(&str, &[u8]); 8] = [
        ("Host", b"shop.example"),
        ("Accept", b"text/html"),
        ("Accept-Encoding", b"gzip, br"),
        ("Accept-Language", b"en"),
        ("User-Agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
        ("Cookie", b"session=0123456789abcdef"),
        ("X-Forwarded-For", b"192.0.2.1"),
        ("X-Tenant", b"acme"),
    ];
    let many = with_headers(delivered(post("/cart?item=7", "{\"item\": 7}")), many);
    for (name, request) in
        [("no headers", &bare), ("3 headers, delivery", &usual), ("POST, 8 headers, delivery", &many)]
    {
        measure(&format!("{name}: attached for each request"), || app.call(request, &mut Discard).unwrap());
        app.batch(&mut || {
            measure(&format!("{name}: attached once for all"), || app.call(request, &mut Discard).unwrap());
        });
    }
    let bare = harness::app(
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return ()\n",
    );
    measure("an application that does nothing, 3 headers, delivery", || {
        bare.call(&usual, &mut Discard).unwrap();
    });
    let generator = harness::app(
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    yield b'x'\n",
    );
    measure("a generator, 3 headers, delivery", || generator.call(&usual, &mut Discard).unwrap());
}

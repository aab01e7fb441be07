//! What a request costs between `Request` and `Reply`. Absolute figures drift with the machine; the ratios to
//! the first of the same run, where Python calls the same application itself, say more.

#![allow(missing_docs)] // the function that criterion_group! makes

#[path = "../tests/python/harness.rs"]
mod harness;
mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use harness::{app, get};
use pyo3::prelude::*;
use stomp_wsgi::app::Application;
use stomp_wsgi::http::Mapping;
use support::{Discard, HELLO};

const NOTHING: &str = r#"
def application(environ, start_response):
    start_response("200 OK", [])
    return ()
"#;

const GENERATOR: &str = r#"
def application(environ, start_response):
    start_response("200 OK", [])
    yield b"x"
"#;

criterion_group!(benches, python_alone, environ, hello, post, others);
criterion_main!(benches);

fn python_alone(c: &mut Criterion) {
    harness::python();
    let code = c"
from time import perf_counter
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain'), ('X-Served-By', 'hello')])
    return [b'Hello, world!\\n']
def start_response(status, headers, exc_info=None):
    pass
template = {str(i): str(i) for i in range(30)}
def run(rounds):
    start = perf_counter()
    for _ in range(rounds):
        for block in application(template.copy(), start_response):
            pass
    return perf_counter() - start
";
    Python::attach(|py| {
        let module = PyModule::from_code(py, code, c"loop.py", c"loop").expect("the source is right");
        let run = module.getattr("run").expect("it is there");
        c.bench_function("wsgi/hello, called by Python", |b| {
            b.iter_custom(|rounds| {
                let seconds = run.call1((rounds,)).and_then(|seconds| seconds.extract());
                Duration::from_secs_f64(seconds.expect("it measures itself"))
            });
        });
    });
}

/// Of a message with a body and the headers that a broker adds: made and thrown away.
fn environ(c: &mut Criterion) {
    let app = app(HELLO);
    let request = Mapping::default().request(&support::message(), &support::broker(), 1);
    let request = request.expect("a request");
    Python::attach(|py| {
        c.bench_function("wsgi/environ", |b| {
            b.iter(|| app.environ_dict(py, black_box(&request)).expect("an environ"));
        });
    });
}

fn hello(c: &mut Criterion) {
    let (app, request) = (app(HELLO), get("/"));
    let mut call = || app.call(black_box(&request), &mut Discard).expect("it answers");
    c.bench_function("wsgi/hello, attached each time", |b| b.iter(&mut call));
    c.bench_function("wsgi/hello, attached already", |b| Python::attach(|_| b.iter(&mut call)));
}

/// With a body, and the headers that a broker adds.
fn post(c: &mut Criterion) {
    let app = app(HELLO);
    let request = Mapping::default().request(&support::message(), &support::broker(), 1);
    let request = request.expect("a request");
    let mut call = || app.call(black_box(&request), &mut Discard).expect("it answers");
    c.bench_function("wsgi/POST with headers, attached each time", |b| b.iter(&mut call));
    c.bench_function("wsgi/POST with headers, attached already", |b| Python::attach(|_| b.iter(&mut call)));
}

fn others(c: &mut Criterion) {
    let request = get("/");
    for (name, source) in [("wsgi/an empty body", NOTHING), ("wsgi/a generator", GENERATOR)] {
        let app = app(source);
        c.bench_function(name, |b| {
            b.iter(|| app.call(black_box(&request), &mut Discard).expect("it answers"));
        });
    }
}

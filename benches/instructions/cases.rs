//! `instructions CASE ROUNDS` does one thing so many times; `count.py` counts what it costs. Without arguments
//! it names the cases.

#[path = "../support/mod.rs"]
mod support;

use std::env;
use std::hint::black_box;
use std::process::ExitCode;

use pyo3::prelude::*;
use stomp_wsgi::app::Application;
use stomp_wsgi::app::wsgi::{Config, Setup, Wsgi};
use stomp_wsgi::http::{Mapping, Responder};
use stomp_wsgi::stomp::{Encoder, Frame, Limits, Parser, Version};

type Case = (&'static str, fn(usize));

/// Those of `wsgi/` have Python in them.
const CASES: [Case; 13] = [
    ("parse/message", |rounds| parse(&support::unescaped(), 64 << 10, rounds)),
    ("parse/escapes", |rounds| parse(&support::encoded(), 64 << 10, rounds)),
    ("parse/small-reads", |rounds| parse(&support::encoded(), 100, rounds)),
    ("encode/message", encode_message),
    ("encode/reply", encode_reply),
    ("map/request", |rounds| map_request(&support::message(), 1, rounds)),
    ("map/request-among-1000", |rounds| map_request(&support::message(), 1000, rounds)),
    ("map/structured-request", |rounds| map_request(&support::structured(), 1, rounds)),
    ("map/reply", |rounds| map_reply(&support::message(), rounds)),
    ("map/structured-reply", |rounds| map_reply(&support::structured(), rounds)),
    ("wsgi/environ", environ),
    ("wsgi/hello", hello),
    ("wsgi/message-to-reply", message_to_reply),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments[..] {
        [] => CASES.iter().for_each(|(name, _)| println!("{name}")),
        [case, rounds] => {
            let found = CASES.iter().find(|(name, _)| name == case);
            let (Some((_, run)), Ok(rounds)) = (found, rounds.parse()) else {
                eprintln!("no such case, or not a number: {case} {rounds}");
                return ExitCode::from(2);
            };
            run(rounds);
        }
        _ => {
            eprintln!("usage: instructions [CASE ROUNDS]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// So many messages, a hundred in a stream.
fn parse(message: &[u8], read: usize, rounds: usize) {
    const MESSAGES: usize = 100;
    let stream = message.repeat(MESSAGES);
    let mut parser = parser();
    for _ in 0..rounds / MESSAGES {
        let mut frames = 0;
        for read in stream.chunks(read) {
            parser.feed(black_box(read));
            while let Some(frame) = parser.next_frame().expect("valid frames") {
                black_box(frame);
                frames += 1;
            }
        }
        assert_eq!(frames, MESSAGES);
    }
}

fn encode_message(rounds: usize) {
    let (message, mut out) = (support::message(), Vec::new());
    for _ in 0..rounds {
        out.clear();
        Encoder::frame(black_box(&mut out), Version::V1_2, black_box(&message));
    }
}

fn encode_reply(rounds: usize) {
    let mut out = Vec::new();
    for _ in 0..rounds {
        out.clear();
        support::encode_reply(black_box(&mut out));
    }
}

/// Where so many destinations are served.
fn map_request(message: &Frame, destinations: usize, rounds: usize) {
    let (mut mapping, broker) = (Mapping::default(), support::broker());
    mapping.consumed.extend((0..destinations).map(|nth| format!("/queue/requests.{nth}")));
    for _ in 0..rounds {
        black_box(mapping.request(black_box(message), &broker, 1).expect("a request"));
    }
}

fn map_reply(message: &Frame, rounds: usize) {
    let mapping = Mapping::default();
    let request = mapping.request(message, &support::broker(), 1).expect("a request");
    for _ in 0..rounds {
        black_box(support::answered(
            &mapping,
            black_box(&request),
            support::head(),
            black_box(b"hello, world"),
        ));
    }
}

fn environ(rounds: usize) {
    let app = app();
    let request = Mapping::default().request(&support::message(), &support::broker(), 1).expect("a request");
    Python::attach(|py| {
        for _ in 0..rounds {
            black_box(app.environ_dict(py, black_box(&request)).expect("an environ"));
        }
    });
}

fn hello(rounds: usize) {
    let app = app();
    let request = Mapping::default().request(&support::message(), &support::broker(), 1).expect("a request");
    for _ in 0..rounds {
        app.call(black_box(&request), &mut support::Discard).expect("it answers");
    }
}

/// All that a worker does for a message, and what the connection does before.
fn message_to_reply(rounds: usize) {
    let (app, mapping, broker) = (app(), Mapping::default(), support::broker());
    let (message, mut parser) = (support::encoded(), parser());
    for _ in 0..rounds {
        parser.feed(black_box(&message));
        let frame = parser.next_frame().expect("a valid frame").expect("a whole frame");
        let request = mapping.request(&frame, &broker, 1).expect("a request");
        let mut more = |_| {};
        let mut responder = Responder::new(Version::V1_2, &mapping, &request, "1234", &mut more);
        let outcome = app.call(&request, &mut responder);
        let finished = responder.finish(outcome);
        assert_eq!(finished.status, 200);
        black_box(finished.bytes);
    }
}

fn parser() -> Parser {
    let mut parser = Parser::new(Limits::default());
    parser.set_version(Version::V1_2);
    parser
}

/// Starts Python, without looking for the virtual environment of whoever counts.
fn app() -> Wsgi {
    std::mem::forget(Setup::new().directory("/").start().expect("Python starts"));
    Wsgi::from_source("hello", support::HELLO, "application", &Config::default()).expect("an application")
}

//! Runs WSGI applications, given as source text, against a reply that records what it gets.
#![allow(dead_code)] // each test binary uses a part of it

use std::ffi::CString;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};

use bytes::Bytes;
use pyo3::prelude::*;
use stomp_wsgi::app::wsgi::{Config, Setup, Wsgi};
use stomp_wsgi::app::{Application, Flow, Reply};
use stomp_wsgi::http::{Delivery, Head, Request};
use stomp_wsgi::stomp::Headers;
use tracing::field::{Field, Visit};
use tracing::span;

/// Starts Python, once in a process, without looking for the virtual environment of whoever runs the tests.
pub(crate) fn python() {
    static START: Once = Once::new();
    START.call_once(|| {
        // Nothing is above the root directory, so no `.venv` is found.
        let interpreter = Setup::new().directory("/").start().expect("Python starts");
        std::mem::forget(interpreter);
    });
}

/// What became of one request.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) head: Option<Head>,
    pub(crate) blocks: Vec<Vec<u8>>,
    /// What `call` answered, if it was an error.
    pub(crate) error: Option<String>,
    /// Everything that was logged meanwhile on this thread.
    pub(crate) log: String,
    starts: usize,
    enough_after: Option<usize>,
}

impl Outcome {
    pub(crate) fn body(&self) -> String {
        String::from_utf8(self.blocks.concat()).expect("the body is UTF-8")
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.as_ref().unwrap_or_else(|| panic!("no response: {self:?}")).status.code
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = self.head.as_ref()?;
        let found = head.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| value.iter().copied().map(char::from).collect())
    }

    /// It failed before anything was sent: a 500 for whoever waits.
    #[track_caller]
    pub(crate) fn refused(&self, because: &str) {
        let error = self.error.as_ref().unwrap_or_else(|| panic!("there was no error: {self:?}"));
        assert!(error.contains(because), "{error}");
        assert!(self.head.is_none() && self.blocks.is_empty(), "something was sent: {self:?}");
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!(self.error.is_none(), "{}\n{}", self.error.as_ref().unwrap(), self.log);
        assert_eq!(self.starts, 1);
        self
    }
}

impl Reply for Outcome {
    fn start(&mut self, head: Head) {
        self.starts += 1;
        assert!(self.blocks.is_empty(), "a block came before the head");
        self.head = Some(head);
    }

    fn block(&mut self, block: &[u8]) -> Flow {
        assert_eq!(self.starts, 1, "a block came before the head");
        assert!(!block.is_empty());
        self.blocks.push(block.to_vec());
        if self.enough_after.is_some_and(|after| self.blocks.len() >= after) {
            Flow::Enough
        } else {
            Flow::Continue
        }
    }
}

/// The `application` of a module with this source.
pub(crate) fn app(source: &str) -> Wsgi {
    app_with(source, &Config::default())
}

pub(crate) fn app_with(source: &str, config: &Config) -> Wsgi {
    /// A name of its own for each: modules of one name are one module, which parallel tests would share.
    static MODULES: AtomicUsize = AtomicUsize::new(0);
    python();
    Python::attach(|py| {
        let source = CString::new(source).unwrap();
        let name = CString::new(format!("app_{}", MODULES.fetch_add(1, Ordering::Relaxed))).unwrap();
        let module = PyModule::from_code(py, &source, c"app.py", &name).expect("the source is right");
        Wsgi::new(module.getattr("application").unwrap(), config).unwrap()
    })
}

pub(crate) fn serve(app: &Wsgi, request: &Request) -> Outcome {
    serve_until(app, request, None)
}

/// As [`serve`], for a requester who has enough after some blocks.
pub(crate) fn serve_until(app: &Wsgi, request: &Request, enough_after: Option<usize>) -> Outcome {
    let mut outcome = Outcome { enough_after, ..Outcome::default() };
    let (error, log) = logged(|| app.call(request, &mut outcome).err().map(|error| error.to_string()));
    (outcome.error, outcome.log) = (error, log);
    outcome
}

/// Serves `GET /` with the application of this source.
pub(crate) fn run(source: &str) -> Outcome {
    serve(&app(source), &get("/"))
}

pub(crate) fn get(target: &str) -> Request {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Request {
        method: "GET".into(),
        target: Bytes::copy_from_slice(target.as_bytes()),
        path: path.as_bytes().to_vec(),
        query: Bytes::copy_from_slice(query.as_bytes()),
        content_type: None,
        headers: Headers::default(),
        raw_headers: Headers::default(),
        body: Bytes::new(),
        delivery: Delivery::new(Headers::default(), Arc::from("")),
    }
}

pub(crate) fn head(target: &str) -> Request {
    Request { method: "HEAD".into(), ..get(target) }
}

pub(crate) fn post(target: &str, body: impl Into<Bytes>) -> Request {
    Request { method: "POST".into(), body: body.into(), ..get(target) }
}

pub(crate) fn with_headers<const N: usize>(mut request: Request, headers: [(&str, &[u8]); N]) -> Request {
    let further = headers.iter().map(|(name, value)| (name.as_bytes(), *value));
    request.headers = request.headers.iter().chain(further).collect();
    request
}

pub(crate) fn streamed(mut request: Request) -> Request {
    request.delivery.accept_stream = true;
    request
}

/// Runs `work`, and answers also what it logged on this thread.
pub(crate) fn logged<R>(work: impl FnOnce() -> R) -> (R, String) {
    let log = Log::default();
    let result = tracing::subscriber::with_default(log.clone(), work);
    let text = log.0.lock().unwrap().clone();
    (result, text)
}

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Text<'a>(&'a mut String);
        impl Visit for Text<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                if field.name() == "message" {
                    write!(self.0, "{value:?}").unwrap();
                } else {
                    write!(self.0, " {}={value:?}", field.name()).unwrap();
                }
            }
        }
        let mut log = self.0.lock().unwrap();
        write!(log, "[{} {}] ", event.metadata().level(), event.metadata().target()).unwrap();
        event.record(&mut Text(&mut log));
        log.push('\n');
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

//! Threads: one Python thread state for each, however often it attaches; and applications that run on
//! several at once.
#![cfg(feature = "python")]

#[path = "python/harness.rs"]
mod harness;

use std::thread;

use harness::{app, get, serve};
use stomp_wsgi::app::Application;

const COUNT: &str = r#"
import threading
local = threading.local()
class Canary:
    def __del__(self):
        gone.append(threading.current_thread().name)
gone = []
def application(environ, sr):
    if environ["PATH_INFO"] == "/gone":
        sr("200 OK", [])
        return [repr(gone).encode()]
    if not hasattr(local, "count"):
        local.count, local.canary = 0, Canary()
    local.count += 1
    sr("200 OK", [])
    return [f"{threading.current_thread().name} {local.count}".encode()]
"#;

#[test]
fn thread_locals_live_as_long_as_their_thread() {
    let app = app(COUNT);
    thread::scope(|scope| {
        for name in ["worker-1", "worker-2"] {
            let app = &app;
            let work = move || {
                for count in 1..=3 {
                    assert_eq!(serve(app, &get("/")).ok().body(), format!("{name} {count}"));
                }
            };
            thread::Builder::new().name(name.into()).spawn_scoped(scope, work).unwrap().join().unwrap();
        }
    });
    // scope() waits for the closures; the joins above waited for the threads' own ends.
    assert_eq!(serve(&app, &get("/gone")).ok().body(), "['worker-1', 'worker-2']");
}

#[test]
fn context_variables_end_with_the_request() {
    let app = app(r#"
import contextvars
var = contextvars.ContextVar("var")
class Result(list):
    def __init__(self, seen):
        super().__init__([repr(seen).encode()])
    def close(self):
        token = var.set("close")
        assert token.old_value == "call", token.old_value
def application(environ, sr):
    seen = var.get(None)
    var.set("call")
    if environ["PATH_INFO"] == "/fail":
        raise LookupError
    sr("200 OK", [])
    return Result(seen)
"#);
    for path in ["/", "/", "/fail", "/"] {
        let outcome = serve(&app, &get(path));
        assert!(!outcome.log.contains("close()"), "{}", outcome.log);
        assert!(path == "/fail" || outcome.ok().body() == "None");
    }
    pyo3::Python::attach(|_| (0..2).for_each(|_| assert_eq!(serve(&app, &get("/")).ok().body(), "None")));
}

#[test]
fn a_thread_may_be_attached_before() {
    let app = app(COUNT);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut bodies = Vec::new();
            pyo3::Python::attach(|_| {
                for _ in 0..3 {
                    bodies
                        .push(serve(&app, &get("/")).ok().body().split(' ').next_back().unwrap().to_owned());
                }
            });
            bodies.push(serve(&app, &get("/")).ok().body().split(' ').next_back().unwrap().to_owned());
            assert_eq!(bodies, ["1", "2", "3", "4"]);
        });
    });
}

#[test]
fn many_threads_and_requests() {
    let app = app(r#"
import time
def application(environ, sr):
    sr("200 OK", [("X-Path", environ["PATH_INFO"])])
    def blocks():
        for part in environ["PATH_INFO"].split("/"):
            time.sleep(0)  # lets the others run
            yield part.encode()
    return blocks()
"#);
    thread::scope(|scope| {
        for worker in 0..8 {
            let app = &app;
            scope.spawn(move || {
                for number in 0..200 {
                    let path = format!("/{worker}/{number}");
                    let outcome = serve(app, &get(&path)).ok();
                    assert_eq!(outcome.header("X-Path"), Some(path));
                    assert_eq!(outcome.body(), format!("{worker}{number}"));
                }
            });
        }
    });
}

#[test]
fn an_application_may_serve_another() {
    // The inner reply and the outer one are told apart, though they share a thread.
    struct Inner<'a>(&'a stomp_wsgi::app::wsgi::Wsgi, Vec<u8>);
    impl stomp_wsgi::app::Reply for Inner<'_> {
        fn start(&mut self, _: stomp_wsgi::http::Head) {}
        fn block(&mut self, block: &[u8]) -> stomp_wsgi::app::Flow {
            self.1.extend_from_slice(block);
            self.1.extend_from_slice(serve(self.0, &get("/")).ok().body().as_bytes());
            stomp_wsgi::app::Flow::Continue
        }
    }
    let inner = app("def application(environ, sr):\n    sr('200 OK', [])(b'in')\n    return [b'ner']\n");
    let outer = app("def application(environ, sr):\n    sr('200 OK', [])(b'a-')\n    return [b'-b-']\n");
    let mut reply = Inner(&inner, Vec::new());
    outer.call(&get("/"), &mut reply).unwrap();
    assert_eq!(reply.1, b"a-inner-b-inner");
}

#[test]
fn applications_die_detached_without_harm() {
    drop(app(COUNT));
    thread::spawn(|| drop(app(COUNT))).join().unwrap();
}

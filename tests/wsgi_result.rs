//! What an application returns: one test for each statement of the checklist (R2 ..., F1).
#![cfg(feature = "python")]

#[path = "python/harness.rs"]
mod harness;

use std::panic::{AssertUnwindSafe, catch_unwind};

use harness::{Outcome, app, get, head, run, serve, serve_until, streamed};
use stomp_wsgi::app::{Application, Flow, Reply};
use stomp_wsgi::http::{Head, Request};

/// An application that returns this expression.
fn returning(expression: &str) -> Outcome {
    run(&format!("def application(environ, sr):\n    sr('200 OK', [])\n    return {expression}\n"))
}

/// An application that returns an object which counts how often it was closed, and does `body` in its
/// iterator. The second answer is that count.
fn closed_after(body: &str, request: &Request, enough_after: Option<usize>) -> (Outcome, i32) {
    let source = format!(
        r#"
class Result:
    closed = 0
    def __init__(self, environ, sr):
        self.environ, self.sr = environ, sr
    def __iter__(self):
        environ, sr = self.environ, self.sr
{}
    def close(self):
        Result.closed += 1
def application(environ, sr):
    if environ["PATH_INFO"] == "/closed":
        sr("200 OK", [])
        return [str(Result.closed).encode()]
    return Result(environ, sr)
"#,
        body.lines().map(|line| format!("        {line}\n")).collect::<String>()
    );
    let app = app(&source);
    let outcome = serve_until(&app, request, enough_after);
    let closed = serve(&app, &get("/closed")).ok().body().parse().unwrap();
    (outcome, closed)
}

#[test]
fn r2_any_iterable() {
    for expression in [
        "[b'a', b'b']",
        "(b'a', b'b')",
        "iter([b'a', b'b'])",
        "(chr(c).encode() for c in (97, 98))",
        "dict.fromkeys([b'a', b'b'])",
        "map(bytes, [[97], [98]])",
        "type('L', (list,), {})([b'a', b'b'])",
        "type('I', (), {'__iter__': lambda self: iter([b'a', b'b'])})()",
        "type('G', (), {'__getitem__': lambda self, i: [b'a', b'b'][i]})()",
        "[type('B', (bytes,), {})(b'a'), b'b']",
    ] {
        let outcome = returning(expression).ok();
        assert_eq!(outcome.blocks, [b"a", b"b"], "{expression}");
    }
    assert_eq!(returning("{b'a'}").ok().body(), "a");
}

#[test]
fn r2_no_iterable_is_an_error() {
    returning("None").refused("TypeError: the application returned None");
    returning("7").refused("TypeError: the application returned int");
    let source = "async def application(environ, sr):\n    pass\n";
    run(source).refused("wrap an ASGI application");
    // An iterator's own error is not hidden behind ours.
    returning("type('I', (), {'__iter__': lambda self: None + 1})()").refused("unsupported operand");
}

#[test]
fn r3_blocks_are_bytes() {
    for (expression, error) in [
        ("['text']", "yielded str, not bytes: encode it"),
        ("'text'", "yielded str"),
        ("b'text'", "yielded int, not bytes; return [body], not body"),
        ("[bytearray(b'x')]", "yielded bytearray"),
        ("[memoryview(b'x')]", "yielded memoryview"),
        ("[None]", "yielded NoneType"),
        ("['']", "yielded str"),
        ("(b for b in ['x'])", "yielded str"),
    ] {
        returning(expression).refused(error);
    }
    let outcome = returning("[b'fine', 'text']");
    assert_eq!(outcome.body(), "fine");
    assert!(outcome.error.unwrap().contains("yielded str"));
}

#[test]
fn r4_close_is_called_once_on_every_path() {
    const START: &str = "sr('200 OK', [])\n";
    for (what, body, method, enough) in [
        ("normal end", "yield b'x'", "GET", None),
        ("nothing yielded", "yield from ()", "GET", None),
        ("error before data", "1/0; yield b''", "GET", None),
        ("error after data", "yield b'x'; 1/0", "GET", None),
        ("wrong block", "yield 'x'", "GET", None),
        ("wrong iterator", "return None", "GET", None),
        ("requester is gone", "yield b'x'; yield b'y'; 1/0", "GET", Some(1)),
        ("HEAD", "yield b'x'; yield b'y'; 1/0", "HEAD", Some(1)),
        ("SystemExit", "raise SystemExit(3); yield b''", "GET", None),
        ("KeyboardInterrupt", "yield b'x'; raise KeyboardInterrupt", "GET", None),
        ("start_response twice", "sr('200 OK', []); yield b'x'", "GET", None),
    ] {
        let request = Request { method: method.into(), ..get("/") };
        let (_, closed) = closed_after(&format!("{START}{body}"), &request, enough);
        assert_eq!(closed, 1, "{what}");
    }
    let (outcome, closed) = closed_after("yield b'x'", &get("/"), None);
    assert_eq!(closed, 1, "start_response was never called");
    outcome.refused("start_response was not called");
    let (outcome, closed) =
        closed_after("sr('200 OK', [('Content-Length', '1')])\nyield b'x'\n1/0", &get("/"), None);
    assert_eq!((closed, outcome.ok().body().as_str()), (1, "x"), "Content-Length is reached");
}

#[test]
fn r4_subclasses_of_list_are_closed_too() {
    let source = r#"
class Result(list):
    def close(self):
        print("closed", file=environs[0]["wsgi.errors"])
environs = []
def application(environ, sr):
    environs.append(environ)
    sr("200 OK", [])
    return Result([b"x"])
"#;
    let outcome = run(source).ok();
    assert_eq!(outcome.log.matches("closed").count(), 1);
}

#[test]
fn r4_an_error_in_close_is_logged_only() {
    let source = r#"
class Result:
    def __iter__(self):
        return iter([b"fine"])
    def close(self):
        raise SystemExit("in close")
def application(environ, sr):
    sr("200 OK", [])
    return Result()
"#;
    let outcome = run(source).ok();
    assert_eq!(outcome.body(), "fine");
    assert!(outcome.log.contains("SystemExit: in close"), "{}", outcome.log);
}

#[test]
fn r4_closed_though_the_server_panics() {
    /// A bug of ours: nothing is sent.
    struct Panics;
    impl Reply for Panics {
        fn start(&mut self, _: Head) {}
        fn block(&mut self, _: &[u8]) -> Flow {
            panic!("as a bug would")
        }
    }
    let app = app(r#"
closed = []
class Result:
    def __init__(self, path, write):
        self.path, self.write = path, write
    def __iter__(self):
        if self.path == "/write":
            self.write(b"x")
        yield b"y"
    def close(self):
        closed.append(self.path)
def application(environ, sr):
    path, write = environ["PATH_INFO"], sr("200 OK", [])
    return [repr(closed).encode()] if path == "/closed" else Result(path, write)
"#);
    for (path, streams) in [("/block", false), ("/write", false), ("/block", true), ("/write", true)] {
        let request = if streams { streamed(get(path)) } else { get(path) };
        let panicked = catch_unwind(AssertUnwindSafe(|| app.call(&request, &mut Panics)));
        assert!(panicked.is_err(), "{path}");
    }
    assert_eq!(serve(&app, &get("/closed")).ok().body(), "['/block', '/write', '/block', '/write']");
}

#[test]
fn r5_a_single_block_has_a_length_for_head() {
    let source = "def application(environ, sr):\n    sr('200 OK', [])\n    return [b'hello']\n";
    let outcome = serve_until(&app(source), &head("/"), Some(1)).ok();
    assert_eq!(outcome.header("Content-Length").as_deref(), Some("5"));
    let source =
        "def application(environ, sr):\n    sr('200 OK', [('Content-Length', '7')])\n    return [b'hello']\n";
    let outcome = serve_until(&app(source), &head("/"), Some(1)).ok();
    assert_eq!(outcome.header("Content-Length").as_deref(), Some("7"));
    let source = "def application(environ, sr):\n    sr('200 OK', [])\n    return [b'hello', b'you']\n";
    let outcome = serve_until(&app(source), &head("/"), Some(1)).ok();
    assert_eq!(outcome.header("Content-Length"), None);
    let source = "def application(environ, sr):\n    sr('304 Not Modified', [])\n    return [b'']\n";
    let outcome = serve_until(&app(source), &head("/"), Some(1)).ok();
    assert_eq!(outcome.header("Content-Length"), None);
}

#[test]
fn r6_never_more_than_content_length() {
    let source = r#"
def application(environ, sr):
    sr("200 OK", [("Content-Length", "5")])
    yield b"abc"
    yield b"defg"
    raise AssertionError("asked for more than it needs")
"#;
    let outcome = run(source).ok();
    assert_eq!(outcome.body(), "abcde");
    assert!(outcome.log.contains("goes on beyond Content-Length"), "{}", outcome.log);
    let zero = run(
        "def application(environ, sr):\n    sr('200 OK', [('Content-Length', '0')])\n    return [b'x']\n",
    );
    assert_eq!(zero.ok().body(), "");
}

#[test]
fn r6_what_comes_after_the_whole_body_is_run() {
    // As a2wsgi does, which has background tasks there.
    let source = r#"
def application(environ, sr):
    sr("200 OK", [("Content-Length", "3")])
    yield b"ab"
    yield b"c"
    print("tidied up", file=environ["wsgi.errors"])
    yield b""
    print("and left", file=environ["wsgi.errors"])
"#;
    let app = app(source);
    for request in [get("/"), streamed(get("/"))] {
        let outcome = serve(&app, &request).ok();
        assert_eq!(outcome.body(), "abc");
        assert!(outcome.log.contains("tidied up") && outcome.log.contains("and left"), "{}", outcome.log);
    }
    // Who has enough before that leaves the rest unmade, as HEAD does.
    let outcome = serve_until(&app, &head("/"), Some(1)).ok();
    assert_eq!((outcome.body().as_str(), &*outcome.log), ("ab", ""));
    let sole = source.replace("yield b\"ab\"", "yield b\"abc\"").replace("    yield b\"c\"\n", "");
    let outcome = serve_until(&harness::app(&sole), &head("/"), Some(1)).ok();
    assert!(outcome.log.contains("and left"), "{}", outcome.log);
}

#[test]
fn r6_r10_an_error_after_the_whole_body_is_logged_only() {
    let source = "def application(environ, sr):\n    sr('200 OK', [('Content-Length', '1')])\n    yield b'x'\n    1/0\n";
    for request in [get("/"), streamed(get("/"))] {
        let outcome = serve(&app(source), &request).ok();
        assert_eq!(outcome.body(), "x");
        assert!(outcome.log.contains("ZeroDivisionError"), "{}", outcome.log);
    }
    // A message that nobody answers is there for what is done about it.
    let mut notified = get("/");
    notified.delivery.one_way = true;
    assert!(serve(&app(source), &notified).error.unwrap().starts_with("ZeroDivisionError"));
}

#[test]
fn r6_less_than_content_length_is_logged() {
    let source =
        "def application(environ, sr):\n    sr('200 OK', [('Content-Length', '5')])\n    return [b'abc']\n";
    let outcome = run(source).ok();
    assert_eq!(outcome.body(), "abc");
    assert!(outcome.log.contains("shorter than its Content-Length short=2"), "{}", outcome.log);
}

#[test]
fn r6_r9_without_a_body_content_length_is_no_promise() {
    for (method, status) in [("HEAD", "200 OK"), ("GET", "304 Not Modified")] {
        let source = format!(
            "def application(environ, sr):\n    sr('{status}', [('Content-Length', '5')])\n    return []\n"
        );
        let request = Request { method: method.into(), ..get("/") };
        let outcome = serve(&app(&source), &request).ok();
        assert_eq!((outcome.header("Content-Length").as_deref(), &*outcome.log), (Some("5"), ""), "{method}");
    }
}

#[test]
fn r7_r8_each_block_is_sent_before_the_next_is_asked_for() {
    // The reply is out of the application's reach; but what it has before an error shows the order.
    for request in [get("/"), streamed(get("/"))] {
        let source = "def application(environ, sr):\n    sr('200 OK', [])\n    yield b'a\\r\\n'\n    yield b''\n    yield bytes(range(256))\n    1/0\n";
        let outcome = serve(&app(source), &request);
        assert_eq!(outcome.blocks, [b"a\r\n".to_vec(), (0..=255).collect()]);
        assert!(outcome.error.unwrap().starts_with("ZeroDivisionError"));
    }
}

#[test]
fn r7_other_threads_run_while_a_streamed_block_is_sent() {
    use stomp_wsgi::app::{Application, Flow, Reply};
    struct Waits;
    impl Reply for Waits {
        fn start(&mut self, _: stomp_wsgi::http::Head) {}
        fn block(&mut self, _: &[u8]) -> Flow {
            // Takes the GIL on another thread: never ends if this thread still had it.
            std::thread::spawn(|| pyo3::Python::attach(|_| ())).join().unwrap();
            Flow::Continue
        }
    }
    let app = app("def application(environ, sr):\n    sr('200 OK', [])(b'w')\n    return [b'x', b'y']\n");
    app.call(&streamed(get("/")), &mut Waits).unwrap();
    // Nor if it was attached before.
    pyo3::Python::attach(|_| app.call(&streamed(get("/")), &mut Waits)).unwrap();
}

#[test]
fn r9_head_runs_the_application() {
    let source = "def application(environ, sr):\n    sr('200 OK', [])\n    print('ran', file=environ['wsgi.errors'])\n    return [b'x']\n";
    assert!(serve_until(&app(source), &head("/"), Some(1)).ok().log.contains("ran"));
}

#[test]
fn r10_exceptions_are_logged_with_their_traceback() {
    let outcome = run(
        "def application(environ, sr):\n    def inner():\n        raise ValueError('why\\nhow') from KeyError('cause')\n    inner()\n",
    );
    outcome.refused("ValueError: why");
    for part in [
        "Traceback (most recent call last)",
        "in inner",
        "KeyError: 'cause'",
        "direct cause",
        "ValueError: why",
    ] {
        assert!(outcome.log.contains(part), "{part}: {}", outcome.log);
    }
    assert_eq!(outcome.log.matches("[ERROR").count(), 1, "once: {}", outcome.log);
}

#[test]
fn r10_nothing_kills_the_server() {
    for raise in [
        "SystemExit(1)",
        "SystemExit",
        "KeyboardInterrupt",
        "GeneratorExit",
        "type('GreenletExit', (BaseException,), {})",
        "MemoryError",
        "RecursionError",
    ] {
        let source = format!("def application(environ, sr):\n    raise {raise}\n");
        let name = if raise.starts_with("type") { "GreenletExit" } else { raise.split('(').next().unwrap() };
        run(&source).refused(name);
        let source = format!(
            "def application(environ, sr):\n    sr('200 OK', [])\n    yield b'x'\n    raise {raise}\n"
        );
        let outcome = run(&source);
        assert!(outcome.error.is_some() && outcome.blocks.len() == 1, "{raise}");
    }
    let source = "def application(environ, sr):\n    return application(environ, sr)\n";
    run(source).refused("RecursionError");
    let unprintable = "class E(Exception):\n    def __str__(self):\n        raise E\ndef application(environ, sr):\n    raise E\n";
    run(unprintable).refused("E: ");
}

#[test]
fn f1_file_wrapper() {
    let source = r#"
import io
class File(io.BytesIO):
    closes = 0
    def close(self):
        File.closes += 1
        super().close()
class Reader:
    def __init__(self):
        self.file = io.BytesIO(b"bare")
    def read(self, size):
        return self.file.read(size)
def application(environ, sr):
    wrap = environ["wsgi.file_wrapper"]
    sr("200 OK", [])
    if environ["PATH_INFO"] == "/closes":
        return [str(File.closes).encode()]
    if environ["PATH_INFO"] == "/bare":
        assert not hasattr(wrap(Reader()), "close")
        return wrap(Reader())
    file = File(b"0123456789")
    file.read(2)
    return wrap(file, 3)
"#;
    let app = app(source);
    assert_eq!(serve(&app, &get("/")).ok().blocks, [&b"234"[..], b"567", b"89"]);
    assert_eq!(serve(&app, &get("/closes")).ok().body(), "1");
    assert_eq!(serve(&app, &get("/bare")).ok().body(), "bare");
}

#[test]
fn wsgiref_validate_finds_nothing() {
    let source = r#"
from wsgiref.validate import validator
import warnings
warnings.simplefilter("error")
@validator
def application(environ, sr):
    environ["wsgi.errors"].write("validated\n")
    data = environ["wsgi.input"].read(3) + environ["wsgi.input"].readline() + b"".join(environ["wsgi.input"])
    write = sr("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/write":
        write(b"written ")
    def blocks():
        yield data
    return blocks()
"#;
    let app = app(source);
    assert_eq!(serve(&app, &harness::post("/a?b=c", "body\nof\nlines")).ok().body(), "body\nof\nlines");
    assert_eq!(serve(&app, &get("/write")).ok().body(), "written ");
    assert_eq!(serve(&app, &streamed(harness::post("/", "x"))).ok().body(), "x");
    let delivered = harness::with_headers(get("/"), [("Host", b"example.org"), ("X-A", "é".as_bytes())]);
    serve(&app, &delivered).ok();
}

#[test]
fn wsgiref_validate_over_head() {
    let source = r#"
from wsgiref.validate import validator
@validator
def application(environ, sr):
    sr("200 OK", [("Content-Type", "text/plain")])
    return [b""]
"#;
    serve(&app(source), &head("/")).ok();
}

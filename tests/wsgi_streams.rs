//! PEP 3333, "Input and Error Streams": one test for each statement of the checklist (I1 ..., W1).
#![cfg(feature = "python")]

#[path = "python/harness.rs"]
mod harness;

use harness::{app, get, post, run, serve};

/// Reads a body with a Python expression over `i`, the input stream.
#[track_caller]
fn read(body: &str, expression: &str) -> String {
    let source = format!(
        r#"
def application(environ, start_response):
    i = environ["wsgi.input"]
    start_response("200 OK", [])
    return [repr({expression}).encode()]
"#
    );
    serve(&app(&source), &post("/", body.to_owned())).ok().body()
}

#[test]
fn i1_all_methods_return_bytes() {
    let body = "one\ntwo\nthree";
    for (expression, expected) in [
        ("i.read()", r"b'one\ntwo\nthree'"),
        ("i.read(-1)", r"b'one\ntwo\nthree'"),
        ("i.read(None)", r"b'one\ntwo\nthree'"),
        ("(i.read(0), i.read(2), i.read())", r"(b'', b'on', b'e\ntwo\nthree')"),
        ("i.readline()", r"b'one\n'"),
        ("i.readlines()", r"[b'one\n', b'two\n', b'three']"),
        ("i.readlines(1)", r"[b'one\n']"),
        ("list(i)", r"[b'one\n', b'two\n', b'three']"),
        ("iter(i) is not None and next(iter(i))", r"b'one\n'"),
    ] {
        assert_eq!(read(body, expression), expected, "{expression}");
    }
}

#[test]
fn i2_readline_honours_its_size_and_line_ends() {
    assert_eq!(
        read("abcdef\nx", "(i.readline(3), i.readline(), i.readline(9))"),
        r"(b'abc', b'def\n', b'x')"
    );
    assert_eq!(read("a\r\nb\r", "(i.readline(), i.readline())"), r"(b'a\r\n', b'b\r')");
    assert_eq!(read("ab", "(i.readline(0), i.readline(-1))"), "(b'', b'ab')");
}

#[test]
fn i3_iteration_is_readline() {
    assert_eq!(read("a\n\nb", "list(i) == [b'a\\n', b'\\n', b'b']"), "True");
}

#[test]
fn i4_the_end_is_the_end() {
    assert_eq!(
        read("ab", "(i.read(9), i.read(9), i.readline(), i.readlines(), i.read())"),
        "(b'ab', b'', b'', [], b'')"
    );
    assert_eq!(read("", "(i.read(), i.readline(), list(i))"), "(b'', b'', [])");
}

#[test]
fn i5_content_length_is_the_body_s() {
    let source = r#"
def application(environ, start_response):
    start_response("200 OK", [])
    return [repr((environ.get("CONTENT_LENGTH"), environ["wsgi.input_terminated"])).encode()]
"#;
    assert_eq!(serve(&app(source), &post("/", "12345")).ok().body(), "('5', True)");
    assert_eq!(serve(&app(source), &get("/")).ok().body(), "(None, True)");
}

#[test]
fn i6_more_than_pep_3333_asks_for() {
    assert_eq!(read("abc", "(i.seek(1), i.tell(), i.read(), i.readinto(bytearray(1)))"), "(1, 1, b'bc', 0)");
}

#[test]
fn i7_an_application_may_close_its_input() {
    let source = r#"
def application(environ, start_response):
    environ["wsgi.input"].close()
    start_response("200 OK", [])
    return [b"fine"]
"#;
    let app = app(source);
    for _ in 0..2 {
        assert_eq!(serve(&app, &post("/", "x")).ok().body(), "fine");
    }
}

#[test]
fn bodies_are_binary() {
    let app = app(r#"
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"same" if environ["wsgi.input"].read() == bytes(range(256)) * 4096 else b"other"]
"#);
    let body: Vec<u8> = (0..=255).cycle().take(256 * 4096).collect();
    assert_eq!(serve(&app, &post("/", body)).ok().body(), "same");
}

const OK: &str = r#"    start_response("200 OK", [])
    return [b"ok"]
"#;

fn write(statements: &str) -> harness::Outcome {
    run(&format!(
        "def application(environ, start_response):\n    e = environ['wsgi.errors']\n    {statements}\n{OK}"
    ))
}

#[test]
fn w1_errors_take_any_text() {
    assert!(write("e.write('plain\\n')").ok().log.contains("[ERROR wsgi.errors] plain\n"));
    assert!(write("e.writelines(['a', 'b\\n', 'c'])").ok().log.contains("ab\n[ERROR wsgi.errors] c\n"));
    assert!(write("print('x', 'é€', file=e, flush=True)").ok().log.contains("x é€"));
    assert!(write(r"e.write('lone \udc80 \ud800')").ok().log.contains(r"lone \udc80 \ud800"));
    assert!(write("e.flush()").ok().log.is_empty());
    let log = write("e.write('one'); e.flush(); e.write('two')").ok().log;
    assert!(log.contains("one\n") && log.contains("two\n"), "{log}");
}

#[test]
fn w1_a_traceback_is_one_event() {
    let log = write("e.write('first\\nsecond\\n')").ok().log;
    assert_eq!(log, "[ERROR wsgi.errors] first\nsecond\n");
}

#[test]
fn w1_errors_take_no_bytes() {
    write("e.write(b'bytes')").refused("TypeError");
    write("e.writelines([b'bytes'])").refused("TypeError");
}

#[test]
fn w1_logging_and_warnings_can_use_it() {
    let log =
        write("import logging; h = logging.StreamHandler(e); h.emit(logging.makeLogRecord({'msg': 'hi'}))");
    assert!(log.ok().log.contains("] hi\n"));
}

//! PEP 3333, "The start_response() Callable" and "The write() Callable": one test for each statement of
//! the checklist (S1 ..., R1).
#![cfg(feature = "python")]

#[path = "python/harness.rs"]
mod harness;

use harness::{Outcome, app, get, run, serve, streamed};

/// Runs these statements as an application, which knows start_response as `sr`.
fn body(statements: &str) -> Outcome {
    let mut source = "import sys\ndef application(environ, sr):\n".to_owned();
    for line in statements.lines() {
        source.push_str(&format!("    {line}\n"));
    }
    run(&source)
}

/// The exception that a call raises, as the application sees it.
#[track_caller]
fn raised(call: &str) -> String {
    let outcome = body(&format!(
        r#"
try:
    {call}
except BaseException as error:
    text = f"{{type(error).__name__}}: {{error}}"
else:
    text = "nothing"
try:
    raise LookupError
except LookupError:
    sr("200 OK", [], sys.exc_info())
return [text.encode()]"#
    ));
    outcome.ok().body()
}

#[test]
fn s1_positional_arguments_and_write() {
    let outcome =
        body("write = sr('201 Created', [('X-A', 'b')], None)\nassert write(b'x') is None\nreturn []").ok();
    assert_eq!((outcome.status(), outcome.header("x-a").as_deref(), &*outcome.body()), (201, Some("b"), "x"));
    assert!(raised("sr()").starts_with("TypeError"));
    assert!(raised("sr('200 OK')").starts_with("TypeError"));
    assert!(raised("sr('200 OK', [], None, 1)").starts_with("TypeError"));
}

#[test]
fn s2_status_is_checked_at_the_call() {
    for status in ["200", "None", "b'200 OK'", "['200 OK']"] {
        let error = raised(&format!("sr({status}, [])"));
        assert!(error.starts_with("TypeError: the status must be a str, not"), "{status}: {error}");
    }
    for status in [
        "'OK'",
        "''",
        "'20 OK'",
        "'2000 OK'",
        "'200  OK'",
        "'200 O\\nK'",
        "'200\\r\\nX: y'",
        "'200 \\x00'",
        "'200 €'",
        "'200 \\udc80'",
    ] {
        let error = raised(&format!("sr({status}, [])"));
        assert!(error.starts_with("ValueError"), "{status}: {error}");
    }
    assert_eq!(
        body("sr('404 Gibt es nicht', [])\nreturn []").ok().head.unwrap().status.reason,
        b"Gibt es nicht"
    );
    assert_eq!(body("sr('299 caf\\xe9', [])\nreturn []").ok().head.unwrap().status.reason, b"caf\xe9");
}

#[test]
fn s3_headers_are_a_list_of_tuples_of_two_str() {
    for headers in ["()", "{}", "iter([])", "None", "'ab'", "type('L', (list,), {})()"] {
        let error = raised(&format!("sr('200 OK', {headers})"));
        assert!(error.starts_with("TypeError: the headers must be a list, not"), "{headers}: {error}");
    }
    for header in [
        "['a', 'b']",
        "('a',)",
        "('a', 'b', 'c')",
        "'ab'",
        "None",
        "('a', 1)",
        "(b'a', 'b')",
        "('a', b'b')",
        "('a', None)",
    ] {
        let error = raised(&format!("sr('200 OK', [('x', 'y'), {header}])"));
        assert!(error.starts_with("TypeError: header 1 must be a tuple"), "{header}: {error}");
    }
    for header in [
        "('', 'x')",
        "('a b', 'x')",
        "('a:', 'x')",
        "('a\\n', 'x')",
        "('ä', 'x')",
        "('€', 'x')",
        "('a', 'x\\ny')",
        "('a', 'x\\r')",
        "('a', '\\x00')",
        "('a', '\\x7f')",
        "('a', '€')",
        "('a', '\\ud800')",
    ] {
        let error = raised(&format!("sr('200 OK', [{header}])"));
        assert!(error.starts_with("ValueError"), "{header}: {error}");
    }
    let outcome =
        body("sr('200 OK', [('X-A', 'caf\\xe9'), ('X-A', ''), ('Set-Cookie', 'a=b')])\nreturn []").ok();
    let expected = [("X-A", &b"caf\xe9"[..]), ("X-A", b""), ("Set-Cookie", b"a=b")];
    let expected: Vec<_> =
        expected.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect();
    assert_eq!(outcome.head.unwrap().headers, expected);
}

#[test]
fn s3_subclasses_of_str_are_str() {
    let outcome = body(
        r#"
import enum
class Safe(str):  # as Django's SafeString
    def __str__(self):
        return "something else"
class Name(str, enum.Enum):
    TOKEN = "X-Token"
sr(Safe("201 Created"), [(Name.TOKEN, Safe("caf\xe9")), ("X-A", Name.TOKEN)])
return []"#,
    )
    .ok();
    let head = outcome.head.unwrap();
    assert_eq!((head.status.code, &*head.status.reason), (201, &b"Created"[..]));
    assert_eq!(
        head.headers,
        [(b"X-Token".to_vec(), b"caf\xe9".to_vec()), (b"X-A".to_vec(), b"X-Token".to_vec())]
    );
    let error = raised("sr('200 OK', [('x', type('S', (str,), {})('a\\nb'))])");
    assert!(error.starts_with("ValueError"), "{error}");
}

#[test]
fn s4_errors_reach_the_application_while_it_runs() {
    let outcome = body(
        r#"
try:
    sr("200 OK", [("a b", "c")])
except ValueError:
    sr("500 Oops", [], sys.exc_info())
return [b"told"]"#,
    );
    assert_eq!((outcome.status(), &*outcome.body()), (500, "told"));
}

#[test]
fn s5_hop_by_hop_headers_are_refused() {
    for name in [
        "Connection",
        "keep-alive",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "TE",
        "Trailers",
        "Transfer-Encoding",
        "UPGRADE",
    ] {
        let error = raised(&format!("sr('200 OK', [('{name}', 'x')])"));
        assert!(error.starts_with("ValueError") && error.contains(name), "{name}: {error}");
    }
}

#[test]
fn s6_nothing_is_sent_before_there_is_something() {
    // The status can still be replaced after an empty block, so nothing was sent by it.
    let outcome = run(r#"
import sys
def application(environ, sr):
    sr("200 OK", [])
    yield b""
    yield b""
    try:
        raise ValueError
    except ValueError:
        sr("500 Oops", [], sys.exc_info())
    yield b"late"
"#);
    assert_eq!((outcome.status(), outcome.blocks), (500, vec![b"late".to_vec()]));
    let outcome = body("sr('200 OK', [])\nreturn []").ok();
    assert!(outcome.head.is_some() && outcome.blocks.is_empty());
    let outcome = body("sr('200 OK', [])\nreturn [b'', b'', b'']").ok();
    assert!(outcome.head.is_some() && outcome.blocks.is_empty());
}

#[test]
fn s6_the_first_write_sends_headers_even_if_empty() {
    let outcome = body(
        r#"
sr("200 OK", [])(b"")
try:
    raise KeyError("mine")
except KeyError:
    sr("500 Oops", [], sys.exc_info())"#,
    );
    assert_eq!(outcome.status(), 200);
    assert!(outcome.error.unwrap().starts_with("KeyError: 'mine'"));
}

#[test]
fn s7_twice_without_exc_info_is_an_error() {
    body("sr('200 OK', [])\nsr('200 OK', [])\nreturn []")
        .refused("AssertionError: start_response was called before");
    body("sr('200 OK', [])\nsr('200 OK', [], None)\nreturn []").refused("AssertionError");
    body("try:\n    sr(None, [])\nexcept TypeError:\n    pass\nsr('200 OK', [])\nreturn []")
        .refused("AssertionError");
    let outcome = body("sr('200 OK', [])(b'x')\nsr('200 OK', [])\nreturn []");
    assert!(outcome.error.unwrap().starts_with("AssertionError"));
}

#[test]
fn s8_exc_info_replaces_what_was_not_sent() {
    let outcome = body(
        r#"
sr("200 OK", [("X-First", "1")])
try:
    raise ValueError
except ValueError:
    sr("500 Oops", [("X-Second", "2")], sys.exc_info())
return [b"sorry"]"#,
    )
    .ok();
    let head = outcome.head.unwrap();
    assert_eq!(head.headers, [(b"X-Second".to_vec(), b"2".to_vec())]);
}

#[test]
fn s8_exc_info_is_raised_where_headers_were_sent() {
    let outcome = body(
        r#"
sr("200 OK", [])(b"begun")
try:
    raise LookupError("original")
except LookupError as error:
    info = sys.exc_info()
try:
    sr("500 Oops", [], info)
except LookupError as error:
    assert error is info[1]
    depth, tb = 0, error.__traceback__
    while tb:
        depth, tb = depth + 1, tb.tb_next
    assert depth >= 2, depth
    raise"#,
    );
    assert_eq!((outcome.status(), &*outcome.body()), (200, "begun"));
    assert!(outcome.error.as_ref().unwrap().contains("LookupError: original"), "{outcome:?}");
    assert!(outcome.log.contains("Traceback") && outcome.log.contains("LookupError: original"));
}

#[test]
fn s9_exc_info_is_an_exception_s() {
    for info in ["(None, None, None)", "()", "[1, 2, 3]", "1", "(ValueError, ValueError, None)", "(1, 2)"] {
        let error = raised(&format!("sr('200 OK', [], {info})"));
        assert!(error.starts_with("TypeError: exc_info must be"), "{info}: {error}");
    }
}

#[test]
fn s9_exc_info_is_not_kept() {
    let source = r#"
import sys, weakref
class Error(Exception):
    pass
refs = []
def application(environ, sr):
    sr("200 OK", [])
    def fail():
        try:
            raise Error
        except Error as error:
            refs.append(weakref.ref(error))
            sr("500 Oops", [], sys.exc_info())
    fail()
    return [str(refs[0]() is None).encode()]
"#;
    assert_eq!(run(source).ok().body(), "True");
}

#[test]
fn s10_the_list_may_change_until_it_is_sent() {
    let outcome = run(r#"
def application(environ, sr):
    headers = [("X-A", "1")]
    sr("200 OK", headers)
    yield b""
    headers[0] = ("X-A", "2")
    headers.append(("X-B", "3"))
    yield b"x"
    headers.append(("X-C", "4"))
"#)
    .ok();
    assert_eq!(outcome.header("X-A").as_deref(), Some("2"));
    assert_eq!(outcome.header("X-B").as_deref(), Some("3"));
    assert_eq!(outcome.header("X-C"), None);
    let outcome = run(
        "def application(environ, sr):\n    h = []\n    sr('200 OK', h)\n    h.append(('a b', ''))\n    return [b'x']\n",
    );
    outcome.refused("ValueError");
}

#[test]
fn s11_a_generator_may_call_it_first_thing() {
    let outcome = run("def application(environ, sr):\n    sr('202 Accepted', [])\n    yield b'x'\n").ok();
    assert_eq!(outcome.status(), 202);
    run("def application(environ, sr):\n    yield b'x'\n    sr('200 OK', [])\n")
        .refused("start_response was not called");
    run("def application(environ, sr):\n    return []\n").refused("start_response was not called");
    let late = run("def application(environ, sr):\n    yield b''\n    sr('200 OK', [])\n    yield b'x'\n");
    assert_eq!(late.ok().body(), "x");
    let refused = "try:\n    sr('x', [])\nexcept ValueError:\n    pass\nreturn [b'x']";
    body(refused).refused("start_response raised, and was not called again");
}

#[test]
fn start_response_and_write_end_with_the_request() {
    let source = r#"
kept = []
def application(environ, sr):
    out = []
    for old_sr, old_write in kept:
        for call in (lambda: old_write(b"stale"), lambda: old_sr("200 OK", [])):
            try:
                call()
            except Exception as error:
                out.append(type(error).__name__)
    kept.append((sr, sr("200 OK", [])))
    return [" ".join(out).encode()]
"#;
    let app = app(source);
    assert_eq!(serve(&app, &get("/")).ok().body(), "");
    assert_eq!(serve(&app, &get("/")).ok().body(), "RuntimeError AssertionError");
}

#[test]
fn what_the_application_keeps_is_not_the_next_request_s() {
    // Each keeps one of the two, strongly or weakly, or neither.
    let app = app(r#"
import weakref
kept = []
def application(environ, sr):
    for name, old in kept:
        old = old() if name.startswith("weak") else old
        assert old is not sr, name
        if old:
            try:
                old(b"x") if name.endswith("write") else old("200 OK", [])
            except (AssertionError, RuntimeError) as error:
                assert "after the request" in str(error), error
            else:
                assert False, name
    write = sr("200 OK", [])
    assert all(old is not write for name, old in kept)
    how = environ["QUERY_STRING"]
    if how:
        one = write if how.endswith("write") else sr
        kept.append((how, weakref.ref(one) if how.startswith("weak") else one))
    return [b"done"]
"#);
    for how in ["", "sr", "", "write", "", "weak sr", "", "weak write", "", ""] {
        assert_eq!(serve(&app, &get(&format!("/?{how}"))).ok().body(), "done", "{how}");
    }
}

#[test]
fn a_head_is_as_given_whatever_the_one_before_was() {
    let app = app(r#"
A, B = ("X-A", "b"), ("X-B", "c")
def application(environ, sr):
    try:
        sr(*eval(environ["QUERY_STRING"]))
    except (TypeError, ValueError):
        pass
    return []
"#);
    let shown = |given: &str| {
        let outcome = serve(&app, &get(&format!("/?{given}")));
        outcome.head.map(|head| {
            let headers = head.headers.iter().map(|(name, value)| [name, &b"="[..], value].concat());
            let line = [head.status.code.to_string().as_bytes(), b" ", &head.status.reason].concat();
            let lines = std::iter::once(line).chain(headers);
            lines
                .map(|line| line.iter().copied().map(char::from).collect::<String>())
                .collect::<Vec<_>>()
                .join("|")
        })
    };
    let heads = [
        ("'200 OK', []", Some("200 OK")),
        ("'200 OK', [A]", Some("200 OK|X-A=b")),
        ("'200 OK', [A, B]", Some("200 OK|X-A=b|X-B=c")),
        ("'200 OK', [B, A]", Some("200 OK|X-B=c|X-A=b")),
        ("'200 OK', [A, A]", Some("200 OK|X-A=b|X-A=b")),
        ("'200 OK', [('X-A', 'b')]", Some("200 OK|X-A=b")),
        ("'200 OK', [('X-A', 'c')]", Some("200 OK|X-A=c")),
        ("'200 OK', [('x-A', 'b')]", Some("200 OK|x-A=b")),
        ("'200 OK', [('X-A', ' b ')]", Some("200 OK|X-A=b")),
        ("'200 OK', [('X-A', 'b\\t')]", None),
        ("'200 OK', [('X-A', 'b\\n')]", None),
        ("'200 OK', [('X-A ', 'b')]", None),
        ("'200 OK', [('X-A', 'b', '')]", None),
        ("'200 OK', [['X-A', 'b']]", None),
        ("'200 OK', [('X-A', b'b')]", None),
        ("'200 OK', (('X-A', 'b'),)", None),
        ("'200 OK', [('X-A', 'b'), ('X-A', 'b')]", Some("200 OK|X-A=b|X-A=b")),
        ("'200 OK', [('X-A', '\\xe9')]", Some("200 OK|X-A=\u{e9}")),
        ("'200 OK', [('X-A', '\\u20ac')]", None),
        ("'200 Fine', [('X-A', 'b')]", Some("200 Fine|X-A=b")),
        ("'201 OK', [('X-A', 'b')]", Some("201 OK|X-A=b")),
        ("'200', [('X-A', 'b')]", Some("200 |X-A=b")),
        ("b'200 OK', [('X-A', 'b')]", None),
    ];
    for (before, _) in heads {
        for (given, head) in heads {
            shown(before);
            assert_eq!(shown(given).as_deref(), head, "{given} after {before}");
        }
    }
}

#[test]
fn r1_write_comes_before_the_iterable() {
    for request in [get("/"), streamed(get("/"))] {
        let app = app(r#"
def application(environ, sr):
    write = sr("200 OK", [])
    write(b"one ")
    write(b"two ")
    yield_from = [b"three ", b"four"]
    return yield_from
"#);
        let outcome = serve(&app, &request).ok();
        let expected: [&[u8]; 4] = [b"one ", b"two ", b"three ", b"four"];
        assert_eq!(outcome.blocks, expected);
    }
    let mixed = run(
        "def application(environ, sr):\n    w = sr('200 OK', [])\n    yield b'1'\n    w(b'2')\n    yield b'3'\n",
    );
    assert_eq!(mixed.ok().body(), "123");
}

#[test]
fn r1_write_takes_one_bytes() {
    for (argument, error) in [
        ("'text'", "TypeError: write() takes bytes, not str"),
        ("bytearray(b'x')", "TypeError: write() takes bytes, not bytearray"),
        ("None", "TypeError"),
        ("", "TypeError"),
        ("b'a', b'b'", "TypeError"),
    ] {
        body(&format!("sr('200 OK', [])({argument})\nreturn []")).refused(error);
    }
}

#[test]
fn r1_write_beyond_content_length_is_an_error() {
    let outcome = body("w = sr('200 OK', [('Content-Length', '3')])\nw(b'ab')\nw(b'cd')\nreturn []");
    assert_eq!(outcome.body(), "ab");
    assert!(
        outcome.error.unwrap().starts_with("ValueError: write() of 2 bytes where Content-Length leaves 1")
    );
    let outcome = body("w = sr('200 OK', [('Content-Length', '3')])\nw(b'ab')\nw(b'c')\nreturn [b'd']").ok();
    assert_eq!(outcome.body(), "abc");
}

#[test]
fn r1_write_belongs_to_the_thread_of_the_request() {
    let outcome = body(
        r#"
import threading
write, errors = sr("200 OK", []), []
def other():
    try:
        write(b"from elsewhere")
    except RuntimeError as error:
        errors.append(str(error))
thread = threading.Thread(target=other)
thread.start()
thread.join()
return [errors[0].encode()]"#,
    );
    assert!(outcome.body().starts_with("write() works only on the thread"), "{outcome:?}");
}

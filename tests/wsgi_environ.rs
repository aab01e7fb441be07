//! PEP 3333, "environ Variables": one test for each statement of the checklist (E1 ...).
#![cfg(feature = "python")]

#[path = "python/harness.rs"]
mod harness;

use std::sync::Arc;

use bytes::Bytes;
use harness::{app, app_with, get, post, serve, with_headers};
use stomp_wsgi::app::wsgi::{Config, Wsgi};
use stomp_wsgi::http::{Delivery, Request};

/// An application that evaluates the query string as an expression over `environ`, and answers its repr.
const EVAL: &str = r#"
def application(environ, start_response):
    start_response("200 OK", [])
    return [repr(eval(environ["HTTP_X_EVAL"], {"environ": environ})).encode("ascii", "backslashreplace")]
"#;

#[track_caller]
fn eval_with(config: &Config, request: Request, expression: &str) -> String {
    let request = with_headers(request, [("X-Eval", expression.as_bytes())]);
    serve(&app_with(EVAL, config), &request).ok().body()
}

#[track_caller]
fn eval(request: Request, expression: &str) -> String {
    eval_with(&Config::default(), request, expression)
}

fn delivered(headers: &[(&str, &str)], change: impl FnOnce(&mut Delivery)) -> Request {
    let mut delivery = Delivery::new(headers.iter().copied().collect(), Arc::from("broker:61613"));
    change(&mut delivery);
    Request { delivery, ..get("/") }
}

#[test]
fn e1_environ_is_a_plain_dict_of_its_own_for_each_request() {
    assert_eq!(eval(get("/"), "type(environ) is dict"), "True");
    let app = app(r#"
def application(environ, start_response):
    seen = sorted(key for key in environ if key.startswith("mine"))
    complete = "PATH_INFO" in environ and environ["wsgi.version"] == (1, 0)
    environ.clear()
    environ["mine"] = 1
    start_response("200 OK", [])
    return [repr((seen, complete)).encode()]
"#);
    for _ in 0..3 {
        assert_eq!(serve(&app, &get("/")).ok().body(), "([], True)");
    }
}

#[test]
fn e2_any_callable_is_called_with_two_positional_arguments() {
    for callable in [
        "respond",
        "lambda *args: respond(*args)",
        "Class",
        "Instance()",
        "Instance().method",
        "functools.partial(partial, 1)",
    ] {
        let source = format!(
            r#"
import functools
def respond(one, two, /):
    two("200 OK", [])
    return [b"hello"]
def partial(number, one, two, /):
    assert number == 1
    return respond(one, two)
class Class:
    def __init__(self, one, two, /):
        self.result = respond(one, two)
    def __iter__(self):
        return iter(self.result)
class Instance:
    def __call__(self, one, two, /):
        return respond(one, two)
    method = __call__
application = {callable}
"#
        );
        assert_eq!(harness::run(&source).ok().body(), "hello", "{callable}");
    }
}

#[test]
fn e3_required_variables_are_there() {
    for key in [
        "REQUEST_METHOD",
        "SCRIPT_NAME",
        "PATH_INFO",
        "QUERY_STRING",
        "SERVER_NAME",
        "SERVER_PORT",
        "SERVER_PROTOCOL",
        "wsgi.version",
        "wsgi.url_scheme",
        "wsgi.input",
        "wsgi.errors",
        "wsgi.multithread",
        "wsgi.multiprocess",
        "wsgi.run_once",
    ] {
        assert_eq!(eval(get("/"), &format!("'{key}' in environ")), "True", "{key}");
    }
    for key in ["REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"] {
        assert_eq!(eval(get("/"), &format!("environ['{key}'] != ''")), "True", "{key}");
    }
    assert_eq!(eval(get("/"), "environ['QUERY_STRING']"), "''");
    assert_eq!(
        eval(Request { method: "NOTIFY".into(), ..get("/") }, "environ['REQUEST_METHOD']"),
        "'NOTIFY'"
    );
}

#[test]
fn e4_cgi_variables_are_exactly_str() {
    let request = Request { content_type: Some("text/plain".into()), ..post("/a?b", "body") };
    let request = with_headers(request, [("Host", b"example.org:81"), ("X-A", b"1")]);
    let wrong = "[key for key, value in environ.items() if '.' not in key and type(value) is not str]";
    assert_eq!(eval(request.clone(), wrong), "[]");
    assert_eq!(eval(request.clone(), "[key for key in environ if type(key) is not str]"), "[]");
    assert_eq!(eval(request, "[key for key, value in environ.items() if value is None]"), "[]");
}

#[test]
fn e5_bytes_arrive_as_latin1() {
    let request = with_headers(get("/"), [("X-Name", "é€".as_bytes()), ("X-Raw", b"\xff\x80")]);
    assert_eq!(eval(request.clone(), "environ['HTTP_X_NAME']"), r"'\xc3\xa9\xe2\x82\xac'");
    assert_eq!(eval(request, "environ['HTTP_X_RAW']"), r"'\xff\x80'");
    let request = delivered(&[("destination", "/queue/é")], |_| {});
    let beyond = "[k for k, v in environ.items() if isinstance(v, str) and any(ord(c) > 255 for c in v)]";
    assert_eq!(eval(request.clone(), beyond), "[]");
    assert_eq!(eval(request, "environ['stomp.destination']"), r"'/queue/\xc3\xa9'");
}

#[test]
fn e6_version_is_a_tuple() {
    let expression = "environ['wsgi.version'] == (1, 0) and type(environ['wsgi.version']) is tuple";
    assert_eq!(eval(get("/"), expression), "True");
}

#[test]
fn e7_content_type_and_length_have_their_own_keys() {
    let none = "[k for k in environ if 'CONTENT' in k]";
    assert_eq!(eval(get("/"), none), "[]");
    let request = Request { content_type: Some("text/plain".into()), ..post("/", "body") };
    // The mapping keeps these apart; were one to slip through, it must not be taken for the real one.
    let request = with_headers(request, [("content_length", b"9"), ("Content-Type", b"x"), ("X-b-C", b"d")]);
    assert_eq!(
        eval(request.clone(), "sorted(k for k in environ if 'CONTENT' in k)"),
        "['CONTENT_LENGTH', 'CONTENT_TYPE']"
    );
    assert_eq!(
        eval(request.clone(), "environ['CONTENT_TYPE'], environ['CONTENT_LENGTH']"),
        "('text/plain', '4')"
    );
    assert_eq!(eval(request, "environ['HTTP_X_B_C']"), "'d'");
    assert_eq!(eval(with_headers(get("/"), [("X-Empty", b"")]), "environ['HTTP_X_EMPTY']"), "''");
}

#[test]
fn e9_no_header_sets_the_proxy() {
    assert_eq!(eval(with_headers(get("/"), [("Proxy", b"evil")]), "'HTTP_PROXY' in environ"), "False");
}

#[test]
fn e10_path_info_is_decoded() {
    let request = |path: &[u8]| Request { path: path.to_vec(), ..get("/raw") };
    assert_eq!(eval(request("/€/".as_bytes()), "environ['PATH_INFO']"), r"'/\xe2\x82\xac/'");
    assert_eq!(eval(get("/"), "environ['SCRIPT_NAME'], environ['PATH_INFO']"), "('', '/')");
    // OPTIONS *: PATH_INFO cannot be a star.
    assert_eq!(eval(request(b"*"), "environ['SCRIPT_NAME'], environ['PATH_INFO']"), "('', '/')");
}

#[test]
fn e10_script_name_ends_at_a_segment() {
    for (script, path, expected) in [
        ("/shop", "/shop/cart", "('/shop', '/cart')"),
        ("/shop/", "/shop/cart", "('/shop', '/cart')"),
        ("shop", "/shop", "('/shop', '')"),
        ("/shop", "/shop/", "('/shop', '/')"),
        ("/shop", "/shopping", "('/shop', '/shopping')"),
        ("/shop", "/", "('/shop', '/')"),
        ("/", "/cart", "('', '/cart')"),
        ("/a/b", "/a/b/c", "('/a/b', '/c')"),
    ] {
        let config = Config::default().script_name(script);
        let got = eval_with(&config, get(path), "(environ['SCRIPT_NAME'], environ['PATH_INFO'])");
        assert_eq!(got, expected, "{script} {path}");
    }
}

#[test]
fn e11_query_and_target_are_raw() {
    let request = Request { path: b"/a b".to_vec(), ..get("/a%20b?x=%26&y=%C3%A9") };
    assert_eq!(eval(request.clone(), "environ['QUERY_STRING']"), "'x=%26&y=%C3%A9'");
    assert_eq!(eval(request.clone(), "environ['REQUEST_URI']"), "'/a%20b?x=%26&y=%C3%A9'");
    assert_eq!(eval(request, "environ['RAW_URI']"), "'/a%20b?x=%26&y=%C3%A9'");
}

#[test]
fn e12_scheme_and_server() {
    let server = "environ['wsgi.url_scheme'], environ['SERVER_NAME'], environ['SERVER_PORT']";
    assert_eq!(eval(get("/"), server), "('http', 'localhost', '80')");
    assert_eq!(eval(get("/"), "environ['SERVER_PROTOCOL']"), "'HTTP/1.1'");
    assert_eq!(eval(get("/"), "environ['REMOTE_ADDR']"), "''");
    let config = Config::default().url_scheme("https").server_name("shop.example");
    assert_eq!(eval_with(&config, get("/"), server), "('https', 'shop.example', '443')");
    let config = config.server_port(8443);
    assert_eq!(eval_with(&config, get("/"), server), "('https', 'shop.example', '8443')");
    for (host, expected) in [
        ("example.org", "('https', 'example.org', '443')"),
        ("example.org:8080", "('https', 'example.org', '8080')"),
        ("[::1]:8080", "('https', '[::1]', '8080')"),
        ("", "('https', 'shop.example', '8443')"),
    ] {
        let request = with_headers(get("/"), [("Host", host.as_bytes())]);
        assert_eq!(eval_with(&config, request.clone(), server), expected, "{host}");
        assert_eq!(eval_with(&config, request, "environ['HTTP_HOST']"), format!("'{host}'"));
    }
}

#[test]
fn no_header_is_the_remote_user() {
    let claims: [(&str, &[u8]); 3] =
        [("REMOTE_USER", b"root"), ("Remote-User", b"root"), ("REMOTE-USER", b"root")];
    for claim in claims {
        let request = with_headers(get("/"), [claim]);
        assert_eq!(eval(request, "[k for k, v in environ.items() if v == 'root']"), "['HTTP_REMOTE_USER']");
    }
    let known = delivered(&[], |delivery| delivery.user = Some("é".into()));
    assert_eq!(eval(known, "environ['REMOTE_USER']"), r"'\xc3\xa9'");
}

#[test]
fn e13_what_the_broker_knows() {
    let headers = [
        ("message-id", "m-1"),
        ("note", "ä"),
        ("note", "again"),
        ("destination", "/queue/shop"),
        ("subscription", "s-0"),
        ("correlation-id", "c-1"),
        ("reply-to", "/temp-queue/r"),
        ("redelivered", "true"),
        ("expires", "1700000000000"),
    ];
    let request = delivered(&headers, |delivery| {
        delivery.user = Some("ann".into());
        delivery.one_way = true;
        delivery.attempt = 3;
    });
    for (key, expected) in [
        ("destination", "'/queue/shop'"),
        ("subscription", "'s-0'"),
        ("message_id", "'m-1'"),
        ("correlation_id", "'c-1'"),
        ("reply_to", "'/temp-queue/r'"),
        ("redelivered", "True"),
        ("expires", "1700000000000"),
        ("one_way", "True"),
        ("attempt", "3"),
        ("broker", "'broker:61613'"),
    ] {
        assert_eq!(eval(request.clone(), &format!("environ['stomp.{key}']")), expected, "{key}");
    }
    let request = delivered(&headers[..3], |_| {});
    for (expression, expected) in [
        (
            "list(environ['stomp.headers'])",
            r"[('message-id', 'm-1'), ('note', '\xc3\xa4'), ('note', 'again')]",
        ),
        ("len(environ['stomp.headers'])", "3"),
        ("environ['stomp.headers'][-1]", "('note', 'again')"),
        ("environ['stomp.headers'][:1]", "[('message-id', 'm-1')]"),
        ("('note', 'again') in environ['stomp.headers']", "True"),
        ("environ['stomp.headers'] == [('message-id', 'm-1')]", "False"),
        ("environ['stomp.headers'] == environ['stomp.headers']", "True"),
        ("dict(environ['stomp.headers'])['note']", "'again'"),
        ("environ['stomp.headers'].get('message-id')", "'m-1'"),
        ("environ['stomp.headers'].get('none', 7)", "7"),
        ("environ['stomp.headers']", "<stomp.headers message-id note note>"),
    ] {
        assert_eq!(eval(request.clone(), expression), expected, "{expression}");
    }
    let absent = "[k for k in ('correlation_id', 'reply_to', 'expires') if 'stomp.' + k in environ]";
    assert_eq!(eval(get("/"), absent), "[]");
    let usual = "[environ['stomp.' + k] for k in ('redelivered', 'one_way', 'attempt')]";
    assert_eq!(eval(get("/"), usual), "[False, False, 1]");
    assert_eq!(eval(get("/"), "[k for k in environ if '.' in k and k != k.lower()]"), "[]");
}

#[test]
fn headers_of_a_whole_request_are_there_as_they_came() {
    let mut request = delivered(&[], |delivery| delivery.structured = true);
    request.raw_headers = [("X-A", "1"), ("x-a", "2")].into_iter().collect();
    assert_eq!(eval(request, "list(environ['stomp.http_headers'])"), "[('X-A', '1'), ('x-a', '2')]");
    assert_eq!(eval(get("/"), "'stomp.http_headers' in environ"), "False");
}

#[test]
fn e14_the_deployer_adds_variables_and_the_process_none() {
    let config = Config::default().environ("SHOP_REGION", "eu").environ("REMOTE_ADDR", "é");
    let values = "environ['SHOP_REGION'], environ['REMOTE_ADDR']";
    assert_eq!(eval_with(&config, get("/"), values), r"('eu', '\xc3\xa9')");
    assert_eq!(eval(get("/"), "'PATH' in environ or 'HOME' in environ"), "False");
}

#[test]
fn e15_flags_say_what_is_configured() {
    let flags = "[environ['wsgi.' + k] for k in ('multithread', 'multiprocess', 'run_once')]";
    assert_eq!(eval(get("/"), flags), "[False, False, False]");
    let config = Config::default().multithread(true).multiprocess(true);
    assert_eq!(eval_with(&config, get("/"), flags), "[True, True, False]");
    let types = "{type(environ['wsgi.' + k]) for k in ('multithread', 'multiprocess', 'run_once')}";
    assert_eq!(eval(get("/"), types), "{<class 'bool'>}");
}

#[test]
fn header_names_are_remembered_up_to_a_bound() {
    let app = app(r#"
def application(environ, start_response):
    start_response("200 OK", [])
    return [" ".join(sorted(key for key in environ if key.startswith("HTTP_"))).encode("latin-1")]
"#);
    for round in 0..2 {
        for number in 0..2000 {
            let mut request = get("/");
            request.headers = [(format!("x-{number}"), "")].into_iter().collect();
            assert_eq!(serve(&app, &request).ok().body(), format!("HTTP_X_{number}"), "{round}");
        }
    }
}

#[test]
fn no_request_leaves_anything_for_another() {
    let config = Config::default().environ("REMOTE_USER", "nobody").environ("HTTP_X_A", "default");
    let text = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let mut requests = vec![
        get("/"),
        get("/a?b=c"),
        post("/a", "body"),
        post("/a", "a longer body"),
        Request { content_type: text("text/plain"), ..post("/", "x") },
        with_headers(get("/"), [("Host", b"a.example")]),
        with_headers(get("/"), [("Host", b"b.example:8080")]),
        with_headers(get("/"), [("Host", b"")]),
        with_headers(get("/"), [("X-A", b"1"), ("X-B", b"2")]),
        with_headers(get("/"), [("X-B", b"2"), ("X-A", b"1")]),
        with_headers(get("/"), [("X-A", b""), ("x-c", b"\xff")]),
        with_headers(get("/"), [("X-A", &[b'x'; 20_000])]),
        with_headers(get("/"), [("Proxy", b"x")]),
        delivered(&[("redelivered", "true")], |delivery| {
            delivery.user = text("alice");
            delivery.attempt = 2;
        }),
        delivered(&[("expires", "1")], |delivery| {
            delivery.user = text("");
            delivery.one_way = true;
        }),
        delivered(&[("reply-to", "/queue/a"), ("correlation-id", "1")], |_| {}),
        delivered(&[("destination", "/queue/b")], |delivery| delivery.structured = true),
    ];
    requests.extend((0..20).map(|n| {
        let mut request = get("/");
        request.headers = [(format!("x-{n}"), "")].into_iter().collect();
        request
    }));
    let app = || app_with("application = None", &config);
    let listed = |app: &Wsgi, request: &Request| {
        let mut environ = app.environ(request).unwrap();
        environ.retain(|(_, value)| !value.contains(" at 0x"));
        environ.sort();
        environ
    };
    let (one, alone) = (app(), requests.iter().map(|request| listed(&app(), request)).collect::<Vec<_>>());
    for before in &requests {
        for (request, expected) in requests.iter().zip(&alone) {
            listed(&one, before);
            assert_eq!(listed(&one, request), *expected, "{request:?} after {before:?}");
        }
    }
}

#[test]
fn extras_software_input_terminated_and_file_wrapper() {
    assert_eq!(eval(get("/"), "environ['SERVER_SOFTWARE'].startswith('stomp-wsgi/')"), "True");
    assert_eq!(eval(get("/"), "environ['wsgi.input_terminated']"), "True");
    assert_eq!(eval(get("/"), "callable(environ['wsgi.file_wrapper'])"), "True");
    let config = Config::default().file_wrapper(false);
    assert_eq!(eval_with(&config, get("/"), "'wsgi.file_wrapper' in environ"), "False");
}

#[test]
fn configurations_that_pep_3333_forbids() {
    harness::python();
    pyo3::Python::attach(|py| {
        let app = py.eval(c"print", None, None).unwrap();
        let error = stomp_wsgi::app::wsgi::Wsgi::new(app, &Config::default().server_name("")).unwrap_err();
        assert!(error.to_string().contains("SERVER_NAME is empty"), "{error}");
        let app = py.eval(c"print", None, None).unwrap();
        let error =
            stomp_wsgi::app::wsgi::Wsgi::new(app, &Config::default().url_scheme("stomp")).unwrap_err();
        assert!(error.to_string().contains("not http or https"), "{error}");
    });
}

"""environ (PEP 3333, "environ Variables")."""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from wsgiref.validate import validator

import pytest
from application import answer, notebook

REQUIRED = (
    "REQUEST_METHOD",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "QUERY_STRING",
    "SCRIPT_NAME",
    "PATH_INFO",
)
REQUIRED_WSGI = ("version", "url_scheme", "input", "errors", "multithread", "multiprocess", "run_once")
EURO = "é€"
#: What its UTF-8 is as latin-1.
EURO_NATIVE = EURO.encode().decode("latin-1")


def variables(environ, start_response):
    """All that JSON can say."""
    return answer(start_response, {k: v for k, v in environ.items() if isinstance(v, (str, int, bool))})


_before: list[dict] = []


def wrecks(environ, start_response):
    """What it was given, before it leaves nothing of it."""
    was_given = sorted(environ), environ["wsgi.version"], type(environ) is dict
    fresh = all(environ is not other for other in _before)
    _before.append(environ)
    environ["wsgi.version"] = [2, 0]
    environ["X"] = environ
    environ.clear()
    environ["left.behind"] = "by another request"
    return answer(start_response, [fresh, *was_given])


def test_e1_fresh_for_each_request(ask):
    first = ask(wrecks).json
    for _ in range(6):  # more than there are threads
        assert ask(wrecks).json == first
    fresh, names, version, plain = first
    assert fresh and plain
    assert version == [1, 0]
    assert "left.behind" not in names and "X" not in names


def changes_late(environ, start_response):
    start_response("200 OK", [])
    yield environ["REQUEST_METHOD"].encode()
    environ["REQUEST_METHOD"] = "CHANGED"
    environ["wsgi.input"] = environ["wsgi.errors"] = None
    environ.pop("PATH_INFO")
    yield environ["REQUEST_METHOD"].encode()


def test_e1_it_may_change_while_the_response_is_sent(ask):
    for _ in range(2):
        assert ask(changes_late).body == b"GETCHANGED"
        assert ask(changes_late, stream=True).blocks == [b"GET", b"CHANGED"]


def arguments(*args, **kwargs):
    environ, start_response = args
    return answer(start_response, [len(args), kwargs])


class Class:
    """Its instances are the results."""

    def __init__(self, environ, start_response, /) -> None:
        self.start_response = start_response

    def __iter__(self):
        return iter(answer(self.start_response, [2, {}]))


class Instance:
    def __call__(self, environ, start_response, /):
        return answer(start_response, [2, {}])

    method = __call__

    @staticmethod
    def static(environ, start_response, /):
        return answer(start_response, [2, {}])


instance = Instance()


def with_more(greeting, environ, start_response, /):
    return answer(start_response, [2, {}])


partial = functools.partial(with_more, "hello")


@pytest.mark.parametrize("form", ["arguments", "Class", "instance", "instance.method", "Instance.static", "partial"])
def test_e2_any_callable(serve, form):
    assert serve(app=f"{__name__}:{form}")(arguments).json == [2, {}]


def test_e3_all_that_is_required(ask):
    environ = ask(kinds).json
    for name in REQUIRED:
        assert name in environ
    for name in REQUIRED_WSGI:
        assert f"wsgi.{name}" in environ
    environ = ask(variables, method="OPTIONS").json
    for name in ("REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"):
        assert environ[name]
    assert environ["REQUEST_METHOD"] == "OPTIONS"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["QUERY_STRING"] == ""


@pytest.mark.parametrize("method", ["GET", "PROPFIND", "patch", "M-SEARCH"])
def test_e3_the_method_is_as_it_was_sent(ask, method):
    assert ask(variables, method=method).json["REQUEST_METHOD"] == method


def valid(environ, start_response):
    environ["wsgi.errors"].write("valid\n")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["wsgi.input"].read(9), b"."]


def validated(environ, start_response):
    return validator(valid)(environ, start_response)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_e3_wsgiref_finds_nothing(ask, method):
    """It raises where a server does not keep to the PEP, here and in all that follows."""
    for stream in (False, True):
        reply = ask(validated, "/a?b", method, b"123" if method == "POST" else b"", stream=stream)
        assert reply.status == 200, reply.log
        assert reply.body == {"POST": b"123.", "HEAD": b""}.get(method, b".")
        assert not any(word in reply.log for word in ("Assertion", "Warning", "without being closed"))


def kinds(environ, start_response):
    return answer(start_response, {name: type(value).__name__ for name, value in environ.items()})


@pytest.mark.parametrize("body", [b"", b"12345"])
def test_e4_cgi_variables_are_str(ask, body):
    headers = {"content-type": "text/plain", "Host": "a.example:8080", "X-Number": "5", "expires": "99999999999999"}
    environ = ask(kinds, body=body, headers=headers).json
    assert {kind for name, kind in environ.items() if "." not in name} == {"str"}
    assert ("CONTENT_LENGTH" in environ) == bool(body)
    assert "NoneType" not in environ.values()


def strings(environ, start_response):
    """Every str in it, keys, values and raw headers."""
    found = [text for pair in environ.items() for text in pair if isinstance(text, str)]
    found += [text for pair in environ["stomp.headers"] for text in pair]
    named = {name: environ[name] for name in ("HTTP_X_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE")}
    above = [text for text in found if any(char > "\xff" for char in text)]
    return answer(start_response, [named, above, environ["stomp.headers"].get("X-Name")])


def test_e5_utf8_is_seen_as_latin1(ask):
    headers = {"X-Name": EURO, "content-type": f"text/{EURO}", f"x-{EURO}": EURO, "x-raw": "\U0001f600"}
    named, above, raw = ask(strings, f"/{EURO}?{EURO}", headers=headers).json
    assert named["HTTP_X_NAME"] == raw == EURO_NATIVE
    assert named["PATH_INFO"] == f"/{EURO_NATIVE}"
    assert named["QUERY_STRING"] == EURO_NATIVE
    assert named["CONTENT_TYPE"] == f"text/{EURO_NATIVE}"
    assert above == []


def test_e5_any_bytes(by_hand):
    """No UTF-8, which STOMP wants headers to be."""
    raw = b"X-App:test_environ:strings\nX-Name:a\xff\xe9z\ncontent-type:t/\xfe\n"
    reply = by_hand.deliver(b"http_requestMethod:GET\nhttp_requestUrl:/\xe9?\xff\n" + raw)
    named, above, value = json.loads(reply.body)
    assert named == {
        "HTTP_X_NAME": "a\xff\xe9z",
        "PATH_INFO": "/\xe9",
        "QUERY_STRING": "\xff",
        "CONTENT_TYPE": "t/\xfe",
    }
    assert (above, value) == ([], "a\xff\xe9z")


def version(environ, start_response):
    it = environ["wsgi.version"]
    return answer(start_response, [type(it).__name__, it, [type(part).__name__ for part in it]])


def test_e6_version(ask):
    assert ask(version).json == ["tuple", [1, 0], ["int", "int"]]


def http(environ) -> dict[str, str]:
    return {k: v for k, v in environ.items() if k.startswith(("HTTP_", "CONTENT_")) and not k.startswith("HTTP_X_")}


def test_e7_names(ask):
    headers = {
        "content-type": "a/b",
        "Accept-Language": "de",
        "user-agent": "me",
        "IF-MATCH": "*",
        "Authorization": "x",
    }
    assert http(ask(variables, body=b"123", headers=headers).json) == {
        "CONTENT_TYPE": "a/b",
        "CONTENT_LENGTH": "3",
        "HTTP_ACCEPT_LANGUAGE": "de",
        "HTTP_USER_AGENT": "me",
        "HTTP_IF_MATCH": "*",
        "HTTP_AUTHORIZATION": "x",
    }


def test_e7_absent_where_not_sent(ask):
    assert http(ask(variables).json) == {}


@pytest.mark.parametrize("name", ["content-type", "Content-Type", "content_type", "Content_HYPHEN_Type"])
def test_e7_the_type_in_any_spelling(ask, name):
    assert http(ask(variables, headers={name: "a/b"}).json) == {"CONTENT_TYPE": "a/b"}


def test_e7_nothing_of_the_message_is_a_header(ask):
    headers = {"http_custom": "1", "JMSType": "1", "priority": "5", "persistent": "true", "expires": "99999999999999"}
    assert http(ask(variables, headers=headers).json) == {}


def test_e8_the_first_of_repeated_headers_counts(by_hand):
    """Brokers drop the others, or pass them on."""
    raw = b"X-App:test_environ:repeated\nAccept:first\nAccept:second\nCookie:a=1; b=2\nCookie:c=3\nX-App:no:such\n"
    reply = by_hand.deliver(b"http_requestMethod:GET\nhttp_requestUrl:/\n" + raw)
    environ, raw = json.loads(reply.body)
    assert http(environ) == {"HTTP_ACCEPT": "first", "HTTP_COOKIE": "a=1; b=2"}
    assert raw == ["first", "second"]


def repeated(environ, start_response):
    """The variables, and all that came of one header."""
    headers = {k: v for k, v in environ.items() if k.startswith("HTTP_")}
    return answer(start_response, [headers, [value for name, value in environ["stomp.headers"] if name == "Accept"]])


def test_e8_joined_values_stay_joined(ask):
    headers = {"Accept": "a/b, c/d;q=0.5,e/f", "Cookie": "a=1; b=2"}
    expected = {"HTTP_ACCEPT": headers["Accept"], "HTTP_COOKIE": headers["Cookie"]}
    assert http(ask(variables, headers=headers).json) == expected


def test_e9_the_name_with_hyphens_wins(ask):
    for raw in (b"X-Real-User:right\nX_Real_User:wrong\n", b"X_Real_User:wrong\nX-Real-User:right\n"):
        assert ask(variables, raw=raw).json["HTTP_X_REAL_USER"] == "right"
    # On its own it is all that a JMS client can send, whose names have no hyphens.
    assert ask(variables, raw=b"X_Real_User:alone\n").json["HTTP_X_REAL_USER"] == "alone"


def test_e9_strict(serve):
    strict = serve("--strict-headers")
    assert strict(variables, raw=b"X-Real-User:right\nX_Real_User:wrong\n").status == 400
    assert strict(variables, raw=b"X_Real_User:alone\n").json["HTTP_X_REAL_USER"] == "alone"


@pytest.mark.parametrize("name", ["Proxy", "proxy", "PROXY", "pRoXy"])
def test_e9_no_proxy(ask, name):
    assert "HTTP_PROXY" not in ask(variables, headers={name: "evil.example"}).json


def test_e9_no_second_length(ask):
    """The length is that of the frame, whoever says what."""
    headers = {"Content-Length": "99", "Content_Length": "98", "CONTENT-LENGTH": "97", "contentLength": "96"}
    environ = ask(variables, body=b"123", headers=headers).json
    assert environ["CONTENT_LENGTH"] == "3"
    assert "HTTP_CONTENT_LENGTH" not in environ


def test_e9_what_is_no_header_name_is_left_out(ask):
    raw = b"X Blank:1\nX\\cColon:1\nX(Paren):1\nX\\nLine:1\nX-Good:1\n"
    names = {name for name in ask(variables, raw=raw).json if name.startswith("HTTP_")}
    assert names == {"HTTP_X_GOOD", "HTTP_X_APP", "HTTP_X_TOKEN"}


PATHS = {
    "/": "/",
    "": "/",
    "/a/b": "/a/b",
    "a": "/a",
    "/%E2%82%AC": "/\xe2\x82\xac",
    "/a%2Fb%2fc": "/a/b/c",
    "/%41%20%3F%23%25": "/A ?#%",
    "/%00%ff": "/\x00\xff",
    "/+": "/+",
    "/%zz%4": "/%zz%4",
    "//host/a": "//host/a",
    "/a/../b/./c//": "/a/../b/./c//",
    "/a;b=c?d": "/a;b=c",
    "http://h.example/a": "/a",
    "http://h.example": "/",
    "*": "/*",
}


@pytest.mark.parametrize("url", PATHS)
def test_e10_the_path_is_decoded(ask, url):
    environ = ask(variables, url).json
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", PATHS[url])


def test_e10_the_server_as_a_whole_is_the_root(ask):
    """`OPTIONS *` cannot be said in PATH_INFO."""
    environ = ask(variables, "*", "OPTIONS").json
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["REQUEST_URI"]) == ("", "/", "*")


def test_e10_mounted(serve):
    ask = serve("--script-name", "/caf\u00e9/app/")
    for url, path in {
        "/caf%C3%A9/app/x": "/x",
        "/caf\u00e9/app/x": "/x",
        "/caf%C3%A9/app": "",
        "/caf%C3%A9/app/": "/",
        "/caf%c3%a9%2fapp%2fx": "/x",
        "/caf%C3%A9/app?x": "",
        "/caf%C3%A9/apple": "/caf\xc3\xa9/apple",
        "/caf%C3%A9": "/caf\xc3\xa9",
        "/elsewhere": "/elsewhere",
        "/": "/",
    }.items():
        environ = ask(variables, url).json
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/caf\xc3\xa9/app", path), url


def test_e10_mounted_at_the_root(serve):
    environ = serve("--script-name", "/")(variables, "/a").json
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/a")


QUERIES = {
    "/a": "",
    "/a?": "",
    "/a?b=%20+%41&c=d": "b=%20+%41&c=d",
    "/a??b?c": "?b?c",
    "?a": "a",
    f"/{EURO}?{EURO}": EURO_NATIVE,
    "/a?b#c": "b",
    "/a?%": "%",
}


@pytest.mark.parametrize("url", QUERIES)
def test_e11_the_query_is_raw(ask, url):
    environ = ask(variables, url).json
    assert environ["QUERY_STRING"] == QUERIES[url]
    target = url.encode().decode("latin-1").partition("#")[0]
    target = target if target.startswith("/") else f"/{target}"
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == target


HOSTS = {
    None: ("localhost", "80"),
    "a.example": ("a.example", "80"),
    "a.example:8080": ("a.example", "8080"),
    "a.example:": ("a.example", "80"),
    "[::1]": ("[::1]", "80"),
    "[::1]:81": ("[::1]", "81"),
    "": ("localhost", "80"),
    # Which can be no hosts.
    ":81": None,
    "bad host": None,
}


@pytest.mark.parametrize("host", HOSTS)
def test_e12_host(ask, host):
    reply = ask(variables, headers={} if host is None else {"Host": host})
    if HOSTS[host] is None:
        assert reply.status == 400
        return
    environ = reply.json
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == HOSTS[host]
    assert environ["wsgi.url_scheme"] == "http"


def test_e12_an_absolute_target_names_the_host(ask):
    environ = ask(variables, "https://b.example:444/x", headers={"Host": "a.example"}).json
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("b.example", "444")
    assert environ["HTTP_HOST"] == "b.example:444"
    assert (environ["REQUEST_URI"], environ["PATH_INFO"]) == ("/x", "/x")


def test_e12_as_configured(serve):
    ask = serve("--server-name", "shop.example", "--server-port", "8443", "--url-scheme", "https")
    environ = ask(variables).json
    names = ("SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme")
    assert [environ[name] for name in names] == ["shop.example", "8443", "https"]
    environ = ask(variables, headers={"Host": "a.example"}).json
    assert [environ[name] for name in names] == ["a.example", "443", "https"]


def test_e13_names_of_our_own(ask):
    environ = ask(kinds, headers={"expires": "99999999999999"}, body=b"x").json
    dotted = {name for name in environ if "." in name}
    assert all(name == name.lower() and name.startswith(("wsgi.", "stomp.")) for name in dotted)
    assert all(name == name.upper() for name in environ.keys() - dotted)
    assert dotted >= {"stomp.destination", "stomp.message_id", "stomp.headers", "stomp.redelivered", "stomp.attempt"}


def delivery(environ, start_response):
    headers = environ["stomp.headers"]
    mine = {k: v for k, v in environ.items() if k.startswith("stomp.") and k != "stomp.headers"}
    return answer(start_response, [mine, [list(pair) for pair in headers]])


def test_e13_what_the_broker_knows(ask):
    mine, headers = ask(delivery, headers={"X-Name": EURO}).json
    assert mine["stomp.destination"] == ask.server.destination
    assert mine["stomp.message_id"] and mine["stomp.correlation_id"] and mine["stomp.reply_to"]
    assert (mine["stomp.redelivered"], mine["stomp.one_way"], mine["stomp.attempt"]) == (False, False, 1)
    assert ["X-Name", EURO_NATIVE] in headers
    assert ["http_requestMethod", "GET"] in headers


def test_e14_the_deployer_s_variables(serve):
    ask = serve(
        "--environ", "shop.region=eu=west", "--environ", f"SHOP_NAME={EURO}", "--environ", "REMOTE_ADDR=10.0.0.1"
    )
    for _ in range(2):
        environ = ask(variables).json
        assert environ["shop.region"] == "eu=west"
        assert environ["SHOP_NAME"] == EURO_NATIVE
        assert environ["REMOTE_ADDR"] == "10.0.0.1"


def test_e14_from_a_variable_of_the_server(serve):
    environ = serve(variables=("STOMP_WSGI_ENVIRON=shop.region=eu,us\nSHOP_NAME=a b",))(variables).json
    assert (environ["shop.region"], environ["SHOP_NAME"]) == ("eu,us", "a b")


def leaks(environ, start_response):
    """Variables of the process that are variables of the request, by name or by value."""
    values = [value for value in environ.values() if isinstance(value, str)]
    found = [name for name, value in os.environ.items() if name in environ or (len(value) > 3 and value in values)]
    return answer(start_response, [len(os.environ), found])


def test_e14_not_the_environment_of_the_process(ask):
    count, found = ask(leaks).json
    assert count > 3
    assert found == []


def test_e15_flags(ask, serve, reactor):
    names = ("wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once")
    # Other processes may take from the same queue at any time, and nobody tells us.
    assert [ask(variables).json[name] for name in names] == [reactor != "mio", True, False]
    assert [serve("--threads", "1")(variables).json[name] for name in names] == [False, True, False]


_both = threading.Barrier(2)


def meets(environ, start_response):
    """Needs another request to be in the application at the same time."""
    try:
        _both.wait(0.3 if environ["QUERY_STRING"] == "alone" else 10)
        return answer(start_response, True)
    except threading.BrokenBarrierError:
        _both.reset()
        return answer(start_response, False)


def test_e15_multithread_is_the_truth(ask, reactor):
    expected = ask(variables).json["wsgi.multithread"]
    both = [ask.begin(meets, "/" if expected else "/?alone") for _ in range(2)]
    assert [one.end().json for one in both] == [expected, expected]


_inside: list[str] = []


def alone(environ, start_response):
    """How many are in the application, in the call or in the iteration."""
    note = notebook(environ)
    start_response("200 OK", [])

    def blocks():
        for _ in range(3):
            _inside.append(environ["HTTP_X_TOKEN"])
            time.sleep(0.002)
            note(len(_inside))
            _inside.remove(environ["HTTP_X_TOKEN"])
            yield b"."

    return blocks()


def test_e16_one_thread(serve):
    ask = serve("--threads", "1")
    many = [ask.begin(alone, stream=n % 2 == 0) for n in range(6)]
    for one in many:
        assert one.end().notes == [1, 1, 1]


def test_e16_mio_is_one_thread_whatever_is_asked_for(serve, reactor):
    ask = serve("--threads", "3")
    assert ask(variables).json["wsgi.multithread"] == (reactor != "mio")

"""start_response (PEP 3333, "The start_response() Callable"): what it takes, and what it refuses."""

from __future__ import annotations

import gc
import sys
import weakref
from enum import Enum
from urllib.parse import quote, unquote

import pytest
from application import notebook


class Text(str):
    """As Django's SafeString is one."""


class Status(str, Enum):
    """As enum.StrEnum makes them."""

    TEAPOT = "418 I'm a teapot"


class List(list):
    pass


def tries(environ, start_response):
    """Calls start_response as the query says, and tells what it raises while the application runs."""
    try:
        eval("start_response" + unquote(environ["QUERY_STRING"]), globals(), {"start_response": start_response})
    except Exception as error:
        said = [
            ("X-Raised", type(error).__name__),
            ("X-Message", str(error).encode("ascii", "backslashreplace").decode()),
        ]
        start_response("200 OK", said, sys.exc_info())
    return [b"the application went on"]


def tried(ask, call: str):
    reply = ask(tries, "/?" + quote(call))
    assert reply.body == b"the application went on", reply.log
    return reply


def raised(ask, call: str) -> str:
    """What the call raised; nothing of it has gone out."""
    reply = tried(ask, call)
    assert reply.status == 200
    assert "X-Bad" not in reply.headers
    return reply.headers.get("X-Raised", "nothing")


def positional(environ, start_response):
    write = start_response("201 Created", [("X-A", "b")], None)
    told = [write(b"from write, "), callable(write)]
    return [repr(told).encode()]


def test_s1_positional_arguments_and_write(ask):
    for stream in (False, True):
        reply = ask(positional, stream=stream)
        assert (reply.status, reply.reason, reply.headers["X-A"]) == (201, "Created", "b")
        assert reply.body == b"from write, [None, True]"


@pytest.mark.parametrize("call", ["()", "('200 OK')", "('200 OK', [], None, 1)"])
def test_s1_nothing_else(ask, call):
    assert raised(ask, call) == "TypeError"


GOOD_STATUSES = {
    "'200 OK'": (200, "OK"),
    "'404 Gibt es nicht'": (404, "Gibt es nicht"),
    "'599 x'": (599, "x"),
    "'299 caf\\xe9'": (299, "café"),
    "'299 caf\\xc3\\xa9'": (299, "café"),
    "'200'": (200, ""),
    "'200 '": (200, ""),
    "Text('202 Accepted')": (202, "Accepted"),
    "Status.TEAPOT": (418, "I'm a teapot"),
}


@pytest.mark.parametrize("status", GOOD_STATUSES)
def test_s2_good(ask, status):
    reply = tried(ask, f"({status}, [])")
    assert (reply.status, reply.reason) == GOOD_STATUSES[status]


@pytest.mark.parametrize("status", ["200", "None", "b'200 OK'", "['200 OK']", "200.0", "('200', 'OK')", "object()"])
def test_s2_no_str(ask, status):
    assert raised(ask, f"({status}, [('X-Bad', 'x')])") == "TypeError"


BAD_STATUSES = [
    *("''", "'OK'", "'20 OK'", "'2000 OK'", "'20x OK'", "'-20 OK'", "'099 OK'", "' 200 OK'", "'200OK'", "'200\\tOK'"),
    *(
        "'200  OK'",
        "'200 OK '",
        "'200 O\\nK'",
        "'200 OK\\r\\nX-Bad: y'",
        "'200 O\\x00K'",
        "'200 O\\x7fK'",
        "'200 O\\x1bK'",
    ),
    *("'200 \\u20ac'", "'200 \\ud800'", "'\\u0662\\u0660\\u0660 OK'", "'\\uff12\\uff10\\uff10 OK'", "Text('2 OK')"),
]


@pytest.mark.parametrize("status", BAD_STATUSES)
def test_s2_bad(ask, status):
    assert raised(ask, f"({status}, [('X-Bad', 'x')])") == "ValueError"


@pytest.mark.parametrize("headers", ["()", "{}", "{'X-Bad': 'x'}", "iter([])", "None", "'ab'", "List()", "0"])
def test_s3_no_list(ask, headers):
    assert raised(ask, f"('200 OK', {headers})") == "TypeError"


NO_PAIRS = [
    *("['X-Bad', 'b']", "('X-Bad',)", "('X-Bad', 'b', 'c')", "()", "'ab'", "None", "('X-Bad', 1)", "('X-Bad', None)"),
    *("(b'X-Bad', 'b')", "('X-Bad', b'b')", "('X-Bad', ['b'])", "(None, 'b')"),
]


@pytest.mark.parametrize("header", NO_PAIRS)
def test_s3_no_pair_of_str(ask, header):
    reply = tried(ask, f"('200 OK', [('X-Good', 'y'), {header}])")
    assert reply.headers["X-Raised"] == "TypeError"
    assert "header 1 " in reply.headers["X-Message"], "it says which one"


BAD_HEADERS = [
    *(
        "('', 'x')",
        "('X Bad', 'x')",
        "('X-Bad:', 'x')",
        "('X-Bad ', 'x')",
        "('X-B\\n', 'x')",
        "('X-B\\x00', 'x')",
        "('X(', 'x')",
    ),
    *("('X-B\\xe4', 'x')", "('X-\\u20ac', 'x')", "('X-\\ud800', 'x')", "('X-Bad', 'x\\ny')", "('X-Bad', 'x\\r')"),
    *(
        "('X-Bad', 'x\\r\\nX-Worse: y')",
        "('X-Bad', '\\x00')",
        "('X-Bad', '\\x7f')",
        "('X-Bad', 'a\\x1bb')",
        "('X-Bad', '\\u20ac')",
    ),
    *("('X-Bad', '\\ud800')", "(Text('X Bad'), 'x')", "('X-Bad', Text('\\n'))", "('Content-Length', 'many')"),
    *("('Content-Length', '-1')", "('Content-Length', '1.5')", "('Content-Length', '')"),
]


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_s3_unfit_for_http(ask, header):
    assert raised(ask, f"('200 OK', [('X-Good', 'y'), {header}])") == "ValueError"


def test_s3_two_lengths(ask):
    assert raised(ask, "('200 OK', [('Content-Length', '1'), ('content-length', '2')])") == "ValueError"


GOOD_HEADERS = {
    "('x-a', 'b c; d=\"e\"')": ("X-A", 'b c; d="e"'),
    "('X-A', '')": ("X-A", ""),
    "('X-A', 'caf\\xe9')": ("X-A", "café"),
    "('X-A', 'caf\\xc3\\xa9')": ("X-A", "café"),
    "('X-A', 'a:b\\\\c')": ("X-A", "a:b\\c"),
    "(Text('X-A'), Text('safe'))": ("X-A", "safe"),
    "('X-A', Status.TEAPOT)": ("X-A", "418 I'm a teapot"),
    "('X!#$%&*+.^_`|~9', 'a')": ("X!#$%&*+.^_`|~9", "a"),
    "('Content-Type', 'a/b')": ("content-type", "a/b"),
    "('Expires', '0')": ("Expires", "0"),
}


@pytest.mark.parametrize("header", GOOD_HEADERS)
def test_s3_fit_for_http(ask, header):
    name, value = GOOD_HEADERS[header]
    assert tried(ask, f"('200 OK', [{header}])").headers[name] == value


def test_s3_repeats(ask):
    call = "('200 OK', [('Set-Cookie', 'a=1'), ('Vary', 'a'), ('set-cookie', 'b=2, 3'), ('vary', 'b')])"
    headers = tried(ask, call).headers
    assert (headers["Set-Cookie"], headers["Set-Cookie_2"]) == ("a=1", "b=2, 3")
    assert headers["Vary"] == "a, b"


def recovers(environ, start_response):
    """A wrong call is the application's to mend, in the call or in the iteration."""
    if environ["QUERY_STRING"] == "call":
        try:
            start_response("200 OK", [("X Bad", "x")])
        except ValueError:
            start_response("500 Mended", [], sys.exc_info())
    yield b""
    if environ["QUERY_STRING"] == "iteration":
        try:
            start_response(200, [])
        except TypeError:
            start_response("500 Mended", [], sys.exc_info())
    yield b"mended"


@pytest.mark.parametrize("where", ["call", "iteration"])
def test_s4_mended(ask, where):
    for stream in (False, True):
        reply = ask(recovers, f"/?{where}", stream=stream)
        assert (reply.status, reply.reason, reply.body, reply.broken) == (500, "Mended", b"mended", False)


def wrong(environ, start_response):
    start_response("200 OK", {"X-Bad": "x"})
    return [b"never"]


def test_s4_not_mended(ask):
    reply = ask(wrong)
    assert reply.failed
    assert "Traceback" in reply.log and "TypeError: the headers must be a list, not dict" in reply.log
    assert "in wrong" in reply.log, "it names the line of the application"


HOP_BY_HOP = [
    "Connection",
    "keep-alive",
    "PROXY-AUTHENTICATE",
    "Proxy-Authorization",
    "TE",
    "Trailers",
    "Transfer-Encoding",
    "Upgrade",
]


@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_s5_refused(ask, name):
    reply = tried(ask, f"('200 OK', [('{name}', 'close')])")
    assert reply.headers["X-Raised"] == "ValueError" and name in reply.headers["X-Message"]
    assert not {name.lower(), "te"} & {header.lower() for header in reply.headers}


@pytest.mark.parametrize(
    "info",
    [
        "()",
        "(None, None, None)",
        "[1, 2, 3]",
        "1",
        "True",
        "(ValueError, ValueError, None)",
        "(ValueError, ValueError())",
    ],
)
def test_s9_no_exception_s(ask, info):
    assert raised(ask, f"('200 OK', [('X-Bad', 'x')], {info})") == "TypeError"


def keeps_no_exc_info(environ, start_response):
    class Error(Exception):
        pass

    references = []

    def fails(raises: bool) -> None:
        try:
            raise Error
        except Error as error:
            references.append(weakref.ref(error))
            try:
                start_response("500 Oops" if not raises else "bad", [], sys.exc_info())
            except ValueError:
                pass

    gc.disable()
    try:
        start_response("200 OK", [])
        for raises in (False, True, False):
            fails(raises)
        note = notebook(environ)
        note([reference() is None for reference in references])
    finally:
        gc.enable()
    return [b""]


def test_s9_not_kept(ask):
    assert ask(keeps_no_exc_info).notes == [[True, True, True]]

"""start_response (PEP 3333, "The start_response() Callable")."""

from __future__ import annotations

import gc
import sys
import weakref
from enum import Enum
from urllib.parse import quote, unquote

import pytest
from application import gate, notebook


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


def step_by_step(environ, start_response):
    """Stops at three gates: after start_response, after an empty block, after the first block."""
    note = notebook(environ)
    start_response("200 OK", [("X-A", "held")])
    note("called")
    gate(environ, "1")()
    yield b""
    note("empty")
    gate(environ, "2")()
    yield b"first"
    note("first")
    gate(environ, "3")()
    yield b"second"


def test_s6_headers_wait_for_the_first_block(ask):
    asked = ask.begin(step_by_step, stream=True)
    asked.until("called")
    assert asked.nothing()
    asked.open("1")
    asked.until("empty")
    assert asked.nothing()
    asked.open("2")
    first = asked.next()
    assert (first.body, first.headers["http_statusCode"], first.headers["X-A"]) == (b"first", "200", "held")
    asked.open("3")
    assert asked.end().blocks == [b"first", b"second"]


def replaced_after_empty_blocks(environ, start_response):
    start_response("200 OK", [("X-First", "1")])
    yield b""
    yield b""
    try:
        raise ValueError
    except ValueError:
        start_response("500 Oops", [("X-Second", "2")], sys.exc_info())
    yield b""
    yield b"late"


def test_s6_empty_blocks_do_not_count(ask):
    for stream in (False, True):
        reply = ask(replaced_after_empty_blocks, stream=stream)
        assert (reply.status, reply.body) == (500, b"late")
        assert "X-First" not in reply.headers and reply.headers["X-Second"] == "2"


def writes_step_by_step(environ, start_response):
    note = notebook(environ)
    write = start_response("200 OK", [])
    note("called")
    gate(environ, "1")()
    write(b"written")
    note("written")
    gate(environ, "2")()
    return [b"returned"]


def test_s6_a_write_sends_at_once(ask):
    asked = ask.begin(writes_step_by_step, stream=True)
    asked.until("called")
    assert asked.nothing()
    asked.open("1")
    assert asked.next().body == b"written"
    asked.until("written")
    asked.open("2")
    assert asked.end().blocks == [b"written", b"returned"]


def writes_nothing(environ, start_response):
    start_response("200 OK", [("X-First", "1")])(b"")
    try:
        raise ValueError("too late")
    except ValueError:
        try:
            start_response("500 Oops", [], sys.exc_info())
        except ValueError as error:
            return [str(error).encode()]


def test_s6_an_empty_write_commits(ask):
    for stream in (False, True):
        reply = ask(writes_nothing, stream=stream)
        assert (reply.status, reply.headers["X-First"], reply.body) == (200, "1", b"too late")


def nothing_at_all(environ, start_response):
    start_response("202 Accepted", [("X-A", "b")])
    return {"list": [], "empty": [b"", b""], "generator": iter([]), "empties": iter([b"", b""])}[
        environ["QUERY_STRING"]
    ]


@pytest.mark.parametrize("kind", ["list", "empty", "generator", "empties"])
def test_s6_at_the_end_at_the_latest(ask, kind):
    for stream in (False, True):
        reply = ask(nothing_at_all, f"/?{kind}", stream=stream)
        assert (reply.status, reply.headers["X-A"], reply.body, len(reply.frames)) == (202, "b", b"", 1)
        assert reply.headers["http_isError"] == "false"


def twice(environ, start_response):
    note = notebook(environ)
    first, second = environ["QUERY_STRING"].split(",")
    arguments = {"good": ("200 OK", []), "none": ("200 OK", [], None), "bad": (None, [])}
    try:
        write = start_response(*arguments[first])
        if second == "sent":
            write(b"x")
            second = "good"
    except TypeError:
        pass
    try:
        start_response(*arguments[second])
    except BaseException as error:
        note([type(error).__name__, str(error)])
        raise
    return [b"never"]


@pytest.mark.parametrize("calls", ["good,good", "good,none", "bad,good", "good,bad", "good,sent"])
def test_s7_twice(ask, calls):
    reply = ask(twice, f"/?{calls}")
    assert reply.failed
    assert [kind for kind, _ in reply.notes] == ["AssertionError"]
    assert "exc_info" in reply.notes[0][1] and reply.notes[0][1] in reply.log


def test_s7_twice_in_the_middle_of_a_stream(ask):
    reply = ask(twice, "/?good,sent", stream=True)
    assert (reply.status, reply.body, reply.broken) == (200, b"x", True)


def replaces(environ, start_response):
    start_response("200 OK", [("X-First", "1"), ("X-Both", "first"), ("Content-Length", "999"), ("Set-Cookie", "a=1")])
    for n in range(2):
        try:
            raise ValueError
        except ValueError:
            start_response("503 Later", [("X-Both", f"second {n}"), ("Set-Cookie", "b=2")], sys.exc_info())
    return [b"sorry"]


def test_s8_replaced_where_nothing_was_sent(ask):
    for stream in (False, True):
        reply = ask(replaces, stream=stream)
        assert (reply.status, reply.reason, reply.body, reply.broken) == (503, "Later", b"sorry", False)
        assert "X-First" not in reply.headers and "Set-Cookie_2" not in reply.headers
        assert (reply.headers["X-Both"], reply.headers["Set-Cookie"]) == ("second 1", "b=2")


def too_late(environ, start_response):
    """With headers sent, by a write or a block, exc_info is raised: the very exception, with its traceback."""
    note = notebook(environ)
    how = environ["QUERY_STRING"]
    write = start_response("200 OK", [("X-First", "1")])
    if "write" in how:
        write(b"begun")
    else:
        yield b"begun"
    try:
        raise LookupError("the original")
    except LookupError as error:
        original, info = error, sys.exc_info()
    try:
        start_response("500 Oops", [("X-Second", "2")], info)
    except BaseException as error:
        names, traceback = [], error.__traceback__
        while traceback:
            names.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        note([error is original, len(names) >= 2, names[-1]])
        if "caught" not in how:
            raise
    yield b", ended"


@pytest.mark.parametrize("how", ["write", "block"])
def test_s8_raised_where_something_was_sent(ask, how):
    reply = ask(too_late, f"/?{how}", stream=True)
    assert (reply.status, reply.headers["X-First"], reply.body, reply.broken) == (200, "1", b"begun", True)
    assert reply.notes == [[True, True, "too_late"]]
    assert "LookupError: the original" in reply.log
    # A whole reply has not left by then, but is the application's word.
    whole = ask(too_late, f"/?{how}")
    assert whole.failed and whole.notes == reply.notes


@pytest.mark.parametrize("how", ["write,caught", "block,caught"])
def test_s8_caught(ask, how):
    for stream in (False, True):
        reply = ask(too_late, f"/?{how}", stream=stream)
        assert (reply.status, reply.body, reply.broken) == (200, b"begun, ended", False)
        assert "X-Second" not in reply.headers


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


def changes_the_list(environ, start_response):
    note = notebook(environ)
    headers = [("X-A", "1"), ("X-B", "1")]
    start_response("200 OK", headers)
    headers[0] = ("X-A", "2")
    yield b""
    del headers[1]
    headers.append(("X-C", "3"))
    yield b"first"
    note(headers)
    headers.append(("X-D", "4"))
    headers.append("no header at all")
    yield b"second"
    headers.clear()


def test_s10_it_counts_when_it_is_sent(ask):
    for stream in (False, True):
        reply = ask(changes_the_list, stream=stream)
        assert (reply.status, reply.body, reply.broken) == (200, b"firstsecond", False)
        mine = {name: value for name, value in reply.headers.items() if name.startswith("X-")}
        assert mine == {"X-A": "2", "X-C": "3"}
        assert reply.notes == [[["X-A", "2"], ["X-C", "3"]]]


def spoils_the_list(environ, start_response):
    headers = []
    start_response("200 OK", headers)
    headers.append(eval(unquote(environ["QUERY_STRING"])))
    return [b"never"]


@pytest.mark.parametrize("header", ["('X Bad', 'x')", "('X-Bad', '\\n')", "'no pair'", "('Upgrade', 'x')"])
def test_s10_what_is_put_there_later_is_checked_too(ask, header):
    for stream in (False, True):
        assert ask(spoils_the_list, "/?" + quote(header), stream=stream).failed


def starts_late(environ, start_response):
    """A generator that calls it at some point, or never."""
    when = environ["HTTP_X_WHEN"]
    if when == "first":
        start_response("202 Accepted", [])
    yield b""
    if when == "after an empty block":
        start_response("202 Accepted", [])
    if when != "at the end":
        yield b"x"
    if when in ("after a block", "at the end"):
        start_response("202 Accepted", [])


@pytest.mark.parametrize("when", ["first", "after an empty block", "at the end"])
def test_s11_while_it_is_iterated(ask, when):
    for stream in (False, True):
        reply = ask(starts_late, headers={"X-When": when}, stream=stream)
        assert (reply.status, reply.broken) == (202, False)
        assert reply.body == (b"" if when == "at the end" else b"x")


@pytest.mark.parametrize("when", ["after a block", "never"])
def test_s11_too_late_or_never(ask, when):
    for stream in (False, True):
        reply = ask(starts_late, headers={"X-When": when}, stream=stream)
        assert reply.failed
        assert "start_response was not called" in reply.log


def never_calls(environ, start_response):
    return {"list": [b"x"], "empty": [], "tuple": (), "generator": iter([b"x"])}[environ["QUERY_STRING"]]


@pytest.mark.parametrize("kind", ["list", "empty", "tuple", "generator"])
def test_s11_never(ask, kind):
    for stream in (False, True):
        reply = ask(never_calls, f"/?{kind}", stream=stream)
        assert reply.failed
        assert "start_response was not called" in reply.log


def swallows(environ, start_response):
    try:
        start_response("bad", [])
    except ValueError:
        pass
    return [b"x"]


def test_s11_refused_and_never_again(ask):
    reply = ask(swallows)
    assert reply.failed
    assert "start_response raised, and was not called again" in reply.log


_kept: list = []


def keeps_the_callables(environ, start_response):
    """Uses those of earlier requests, which must not reach this one's reply."""
    raised = []
    for old_start, old_write in _kept:
        for call in (lambda: old_write(b"stale"), lambda: old_start("500 Stale", [])):
            try:
                call()
                raised.append("nothing")
            except Exception as error:
                raised.append(type(error).__name__)
    _kept[:] = [(start_response, start_response("200 OK", []))]
    return [" ".join(raised).encode()]


def test_s11_not_after_the_request(serve):
    ask = serve("--threads", "1")  # so that the old ones are the same thread's
    assert ask(keeps_the_callables).body == b""
    for stream in (False, True):
        reply = ask(keeps_the_callables, stream=stream)
        assert (reply.status, reply.body) == (200, b"RuntimeError AssertionError")

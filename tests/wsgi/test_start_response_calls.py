"""start_response (PEP 3333, "The start_response() Callable"): when it is called, and when that counts."""

from __future__ import annotations

import sys
from urllib.parse import quote, unquote

import pytest
from application import gate, notebook


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

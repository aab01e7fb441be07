"""The end of what an application returned (PEP 3333, "Specification Details")."""

from __future__ import annotations

import signal

import pytest
from application import Blocks, Iter, endless, gate, notebook, ok
from booms import BOOMS


def ends(environ, start_response):
    """Ends in the way that the request asks for, and notes each close()."""
    how = environ["HTTP_X_HOW"]
    if how == "never starts":
        return Blocks(environ, b"x")
    if how == "refused":
        start_response("200 OK", headers := [])
        headers.append("wrong")
        return Blocks(environ, b"x")
    if how == "length":
        ok(start_response, ("Content-Length", "3"))
        return Blocks(environ, b"ab", b"cd", b"ef")
    if how == "204":
        start_response("204 No Content", [])
        return Blocks(environ, b"x", b"y")
    ok(start_response)
    if how == "raises":
        return Blocks(environ, b"x", None, error=LookupError("in the middle"))
    if how == "raises first":
        return Blocks(environ, None, error=LookupError("at once"))
    if how == "exits":
        return Blocks(environ, b"x", None, error=SystemExit(3))
    if how == "no bytes":
        return Blocks(environ, b"x", "text")
    if how == "empty":
        return Blocks(environ)
    if how == "no iterable":
        result = Blocks(environ)
        return type("NoIterable", (), {"close": result.close})()
    if how == "list subclass":
        result = type("List", (list,), {"close": lambda self, note=notebook(environ): note("closed")})
        return result([b"x"])
    if how == "close on the instance":
        result = Iter()
        result.close = lambda note=notebook(environ): note("closed")
        return result
    return Blocks(environ, b"x", b"y")


ENDS = {
    "plain": ["end", "closed"],
    "empty": ["end", "closed"],
    "raises": ["raised", "closed"],
    "raises first": ["raised", "closed"],
    "exits": ["raised", "closed"],
    "length": ["closed"],
    "204": ["closed"],
    "never starts": ["closed"],
    "refused": ["closed"],
    "no bytes": ["closed"],
    "no iterable": ["closed"],
    "list subclass": ["closed"],
    "close on the instance": ["closed"],
}


@pytest.mark.parametrize("how", ENDS)
def test_r4_closed_once(ask, how):
    for stream in (False, True):
        assert ask(ends, headers={"X-How": how}, stream=stream).notes == ENDS[how]


def test_r4_closed_once_after_head(ask):
    for stream in (False, True):
        assert ask(ends, method="HEAD", headers={"X-How": "plain"}, stream=stream).notes == ["closed"]


def generates(environ, start_response):
    note = notebook(environ)
    ok(start_response, ("Content-Length", "1"))
    try:
        yield b"a"
        yield b"b"
        note("went on")
    except GeneratorExit:
        note("GeneratorExit")
        raise
    finally:
        note("finally")


def test_r4_a_generator_that_is_not_exhausted(ask):
    for stream in (False, True):
        reply = ask(generates, stream=stream)
        assert (reply.body, reply.notes) == (b"a", ["GeneratorExit", "finally"])


class CloseRaises(Blocks):
    def close(self) -> None:
        super().close()
        raise BOOMS[self.boom]("in close()")


def close_raises(environ, start_response):
    ok(start_response, ("X-A", "b"))
    result = CloseRaises(environ, b"whole", b" response")
    result.boom = environ["HTTP_X_BOOM"]
    return result


@pytest.mark.parametrize("boom", ["RuntimeError", "SystemExit", "KeyboardInterrupt", "GreenletExit"])
def test_r4_what_close_raises_alters_nothing(ask, boom):
    for stream in (False, True):
        reply = ask(close_raises, headers={"X-Boom": boom}, stream=stream)
        assert (reply.status, reply.body, reply.broken) == (200, b"whole response", False)
        assert reply.headers["X-A"] == "b"
        assert reply.notes == ["end", "closed"]
        assert "Traceback" in reply.log and "in close()" in reply.log


class CloseIsNoMethod(Iter):
    close = None


class CloseCannotBeHad(Iter):
    @property
    def close(self):
        raise LookupError("no close today")


def odd_close(environ, start_response):
    ok(start_response)
    return {"none": CloseIsNoMethod, "raises": CloseCannotBeHad}[environ["QUERY_STRING"]]()


@pytest.mark.parametrize("kind", ["none", "raises"])
def test_r4_a_close_that_is_none(ask, kind):
    for stream in (False, True):
        reply = ask(odd_close, f"/?{kind}", stream=stream)
        assert (reply.status, reply.body, reply.broken) == (200, b"ab", False)


def test_r4_closed_when_the_requester_has_left(ask):
    asked = ask.begin(endless, stream=True)
    assert asked.next().body and asked.next().body
    asked.requester.close()
    asked.until("closed")
    assert asked.notes == ["closed"]


def test_r4_closed_when_the_server_stops(serve):
    """What runs may come to its end."""
    ask = serve()
    asked = ask.begin(waits, stream=True)
    asked.next()
    ask.server.process.send_signal(signal.SIGTERM)
    asked.open()
    reply = asked.end()
    assert (reply.body, reply.notes, reply.broken) == (b"xy", ["closed"], False)
    assert ask.server.process.wait(10) == 0


def test_r4_closed_when_the_time_to_stop_is_up(serve):
    """What has no end is cut."""
    ask = serve("--drain-timeout", "0.1")
    asked = ask.begin(endless, stream=True)
    asked.next()
    assert ask.server.stop() == 0
    assert asked.notes == ["closed"]


def waits(environ, start_response):
    note = notebook(environ)
    ok(start_response)
    try:
        yield b"x"
        gate(environ)()
        yield b"y"
    finally:
        note("closed")

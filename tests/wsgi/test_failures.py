"""Applications that raise (PEP 3333, "Error Handling")."""

from __future__ import annotations

import pytest
from application import notebook, plain
from booms import BOOMS


class RaisesAt:
    """Raises where the request says."""

    def __init__(self, environ) -> None:
        self.where, self.blocks = environ["HTTP_X_WHERE"], [b"data", b"more"]
        self.note, self.boom = notebook(environ), BOOMS[environ["HTTP_X_BOOM"]]

    def boom_at(self, where: str) -> None:
        if self.where == where:
            raise self.boom("the message")

    def __len__(self) -> int:
        self.boom_at("len")
        return len(self.blocks)

    def __iter__(self):
        self.boom_at("iter")
        return self

    def __next__(self) -> bytes:
        self.boom_at("first" if len(self.blocks) == 2 else "later")
        if not self.blocks:
            raise StopIteration
        return self.blocks.pop(0)

    def close(self) -> None:
        self.note("closed")
        self.boom_at("close")


def raises(environ, start_response):
    result = RaisesAt(environ)
    result.boom_at("call")
    write = start_response("200 OK", [("X-A", "b")])
    result.boom_at("started")
    if result.where == "written":
        write(b"data")
        result.boom_at("written")
    return result


#: Where, whether data went before, and whether there is something to close.
PLACES = {"call": (False, False), "started": (False, False), "iter": (False, True), "first": (False, True)}
PLACES |= {"later": (True, True), "written": (True, False)}
ENDS_NORMALLY = {("StopIteration", "first"), ("StopIteration", "later")}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("boom", BOOMS)
def test_r10_whatever_is_raised(ask, boom, where):
    sent, closes = PLACES[where]
    headers = {"X-Boom": boom, "X-Where": where}
    for stream in (False, True):
        reply = ask(raises, headers=headers, stream=stream)
        assert reply.notes == (["closed"] if closes else [])
        if (boom, where) in ENDS_NORMALLY:
            assert (reply.status, reply.body, reply.broken) == (200, b"data" if sent else b"", False)
            continue
        if stream and sent:
            assert (reply.status, reply.body, reply.headers["X-A"], reply.broken) == (200, b"data", "b", True)
            assert reply.frames[-1].headers["http_moreContent"] == "false"
        else:
            assert reply.failed and len(reply.frames) == 1
            assert "X-A" not in reply.headers
        assert "Traceback (most recent call last):" in reply.log
        assert boom.partition(" ")[0] in reply.log
        assert "in raises" in reply.log or "in boom_at" in reply.log


@pytest.mark.parametrize("boom", BOOMS)
def test_r10_in_close_and_len(ask, boom):
    for where in ("close", "len"):
        for method in ("GET", "HEAD"):
            for stream in (False, True):
                reply = ask(raises, method=method, headers={"X-Boom": boom, "X-Where": where}, stream=stream)
                assert (reply.status, reply.notes, reply.broken) == (200, ["closed"], False)
                assert reply.body == (b"datamore" if method == "GET" else b"")


def not_found(environ, start_response):
    start_response("404 Not Found", [])
    yield b"not "
    yield b"here"


def test_r10_an_error_of_the_application_s_own_breaks_nothing(ask):
    for stream in (False, True):
        reply = ask(not_found, stream=stream)
        assert (reply.status, reply.body, reply.broken) == (404, b"not here", False)
        assert reply.headers["http_isError"] == "true"


def test_r10_the_server_goes_on_and_stops_as_ever(serve):
    ask = serve("--threads", "2")
    for boom in BOOMS:
        for where in PLACES:
            for _ in range(2):
                ask(raises, headers={"X-Boom": boom, "X-Where": where})
    assert ask(plain).body == b"plain"
    assert ask.server.stop() == 0

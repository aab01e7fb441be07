"""How long a body is, and replies without one (PEP 3333, "Handling the Content-Length Header")."""

from __future__ import annotations

import itertools
import json

import pytest
from application import Blocks, endless, notebook, ok


def sole(environ, start_response):
    write = start_response("200 OK", [])
    if environ["HTTP_X_KIND"] == "written":
        write(b"123")
        return [b"45"]
    blocks = {
        "list": [b"12345"],
        "tuple": (b"12345",),
        "set": {b"12345"},
        "generator": iter([b"12345"]),
        "two": [b"123", b"45"],
        "empty": [b""],
        "none": [],
    }
    return blocks[environ["HTTP_X_KIND"]]


#: Content-Length of a reply to HEAD, where it is known without the body.
SOLE = {
    "list": "5",
    "tuple": "5",
    "set": "5",
    "empty": "0",
    "generator": None,
    "two": None,
    "none": None,
    "written": None,
}


@pytest.mark.parametrize("kind", SOLE)
def test_r5_the_length_of_a_sole_block(ask, kind):
    for stream in (False, True):
        head = ask(sole, method="HEAD", headers={"X-Kind": kind}, stream=stream)
        assert (head.body, head.headers.get("Content-Length")) == (b"", SOLE[kind])


@pytest.mark.parametrize("kind", ["list", "set", "generator", "two", "written"])
def test_r5_every_message_has_its_length(ask, kind):
    """The body of a GET is counted by STOMP's own content-length."""
    reply = ask(sole, headers={"X-Kind": kind})
    assert (reply.body, reply.headers["content-length"]) == (b"12345", "5")
    for frame in ask(sole, headers={"X-Kind": kind}, stream=True).frames:
        assert frame.headers["content-length"] == str(len(frame.body))


class Liar(Blocks):
    """Its length is a lie, or cannot be had."""

    def __len__(self) -> int:
        if self.length is None:
            raise LookupError("no length today")
        return self.length


def lies(environ, start_response):
    ok(start_response)
    liar = Liar(environ, b"ab", b"cd")
    liar.length = json.loads(environ["QUERY_STRING"])
    return liar


@pytest.mark.parametrize("length", ["0", "2", "3", "null", "-1"])
def test_r5_a_length_that_is_no_help(ask, length):
    for stream in (False, True):
        reply = ask(lies, f"/?{length}", stream=stream)
        assert (reply.status, reply.body, reply.broken, reply.notes) == (200, b"abcd", False, ["end", "closed"])


def sized(environ, start_response):
    ok(start_response, ("Content-Length", "4"))
    blocks = [block.encode() for block in environ["QUERY_STRING"].split(",")]
    return Blocks(environ, *blocks) if environ["HTTP_X_AS"] == "iterator" else blocks


@pytest.mark.parametrize("as_", ["list", "iterator"])
@pytest.mark.parametrize(
    ("blocks", "sent"),
    [
        ("abcd", ["abcd"]),
        ("ab,cd", ["ab", "cd"]),
        ("abcdef", ["abcd"]),
        ("ab,cdef,gh", ["ab", "cd"]),
        ("ab,cd,ef", ["ab", "cd"]),
        ("ab,,cd,,", ["ab", "cd"]),
    ],
)
def test_r6_no_more_than_content_length(ask, blocks, sent, as_):
    for stream in (False, True):
        reply = ask(sized, f"/?{blocks}", headers={"X-As": as_}, stream=stream)
        assert (reply.status, reply.body.decode(), reply.broken) == (200, "".join(sent), False)
        if stream:
            assert reply.blocks == [block.encode() for block in sent]
        # It may have more to do after its last block, as a2wsgi has, but is not asked again after one too many.
        surplus = len(blocks.replace(",", "")) > 4
        assert reply.notes == ([] if as_ == "list" else ["closed"] if surplus else ["end", "closed"])


def never_ends(environ, start_response):
    ok(start_response, ("Content-Length", "3"))
    return itertools.repeat(b"ab")


def test_r6_it_stops_asking(ask):
    for stream in (False, True):
        assert ask(never_ends, stream=stream).body == b"aba"


def nothing_promised(environ, start_response):
    ok(start_response, ("Content-Length", "0"))
    return Blocks(environ, b"", b"x")


def test_r6_a_length_of_nothing(ask):
    for stream in (False, True):
        reply = ask(nothing_promised, stream=stream)
        assert (reply.status, reply.body, reply.broken, reply.notes) == (200, b"", False, ["closed"])


@pytest.mark.parametrize("blocks", ["abc", "a,b", ""])
def test_r6_less_says_so(ask, blocks):
    for as_ in ("list", "iterator"):
        for stream in (False, True):
            reply = ask(sized, f"/?{blocks}", headers={"X-As": as_}, stream=stream)
            assert (reply.status, reply.body.decode(), reply.headers["http_isError"]) == (
                200,
                blocks.replace(",", ""),
                str(not stream or not blocks).lower(),
            )
            assert reply.broken or reply.frames[-1].headers["http_isError"] == "true"
            assert "shorter than its Content-Length" in reply.log


def bodiless(environ, start_response):
    """Gives a body whoever asks, with a length and without."""
    note = notebook(environ)
    headers = [("X-A", "b")]
    if environ["HTTP_X_LENGTH"]:
        headers.append(("Content-Length", "5"))
    start_response(environ["HTTP_X_STATUS"], headers)
    note("called")
    return Blocks(environ, b"12", b"345") if environ["HTTP_X_AS"] == "iterator" else [b"12", b"345"]


@pytest.mark.parametrize("as_", ["list", "iterator"])
@pytest.mark.parametrize("length", ["", "yes"])
@pytest.mark.parametrize(
    "case", ["HEAD 200 OK", "HEAD 404 Not Found", "GET 204 No Content", "GET 304 Not Modified", "GET 101 x"]
)
def test_r9_no_body(ask, case, length, as_):
    method, _, status = case.partition(" ")
    for stream in (False, True):
        headers = {"X-Status": status, "X-Length": length, "X-As": as_}
        reply = ask(bodiless, "/", method, headers=headers, stream=stream)
        assert (f"{reply.status} {reply.reason}", reply.headers["X-A"], reply.body) == (status, "b", b"")
        assert len(reply.frames) == 1
        assert reply.headers["http_isError"] == ("true" if reply.status >= 400 else "false")
        assert reply.notes == (["called", "closed"] if as_ == "iterator" else ["called"])
        # What a GET would have had.
        assert reply.headers.get("Content-Length") == ("5" if length and method == "HEAD" else None)


def writes_a_body(environ, start_response):
    note = notebook(environ)
    write = start_response(environ["HTTP_X_STATUS"], [("Content-Length", "2")])
    write(b"a")
    write(b"b")
    note("written")
    return []


@pytest.mark.parametrize("case", ["HEAD 200 OK", "GET 204 No Content", "GET 304 Not Modified"])
def test_r9_write(ask, case):
    method, _, status = case.partition(" ")
    for stream in (False, True):
        reply = ask(writes_a_body, "/", method, headers={"X-Status": status}, stream=stream)
        assert (reply.body, len(reply.frames), reply.notes) == (b"", 1, ["written"])
        assert reply.headers["http_isError"] == "false"


def test_r9_head_does_not_wait_for_an_endless_body(ask):
    for stream in (False, True):
        reply = ask(endless, method="HEAD", stream=stream)
        assert (reply.status, reply.body, reply.notes) == (200, b"", ["closed"])


def head_fails(environ, start_response):
    raise LookupError("before anything")


def test_r9_head_of_what_fails(ask):
    for stream in (False, True):
        reply = ask(head_fails, method="HEAD", stream=stream)
        assert (reply.status, reply.body, len(reply.frames)) == (500, b"", 1)

"""write() (PEP 3333, "The write() Callable")."""

from __future__ import annotations

import sys
import threading

import pytest
from application import gate, notebook


def writes_and_returns(environ, start_response):
    write = start_response("200 OK", [])
    write(b"one ")
    write(b"")
    write(b"two ")
    return [b"three ", b"four"]


def test_r1_before_what_is_returned(ask):
    reply = ask(writes_and_returns, stream=True)
    assert reply.blocks == [b"one ", b"two ", b"three ", b"four"]
    assert ask(writes_and_returns).body == b"one two three four"


def writes_while_iterated(environ, start_response):
    write = start_response("200 OK", [])
    yield b"1"
    write(b"2")
    yield b""
    write(b"3")
    yield b"4"
    write(b"5")


def test_r1_in_the_order_of_the_calls(ask):
    assert ask(writes_while_iterated, stream=True).blocks == [b"1", b"2", b"3", b"4", b"5"]
    assert ask(writes_while_iterated).body == b"12345"


def writes_before_a_gate(environ, start_response):
    note = notebook(environ)
    write = start_response("200 OK", [])
    for n in range(3):
        note(n)
        write(b"block %d" % n)
        gate(environ, str(n))()
    return []


def test_r1_it_has_left_when_write_returns(ask):
    asked = ask.begin(writes_before_a_gate, stream=True)
    for n in range(3):
        assert asked.next().body == b"block %d" % n
        assert asked.notes == list(range(n + 1))
        asked.open(str(n))
    assert asked.end().broken is False


ARGUMENTS = {
    "str": ("text",),
    "None": (None,),
    "bytearray": (bytearray(b"x"),),
    "memoryview": (memoryview(b"x"),),
    "list": ([b"x"],),
    "none at all": (),
    "two": (b"a", b"b"),
}


def writes_no_bytes(environ, start_response):
    note = notebook(environ)
    write = start_response("200 OK", [])
    write(b"begun")
    try:
        write(*ARGUMENTS[environ["HTTP_X_ARGUMENT"]])
    except TypeError as error:
        note(str(error))
        if environ["QUERY_STRING"] == "caught":
            return [b", ended"]
        raise


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_r1_bytes_only(ask, argument):
    reply = ask(writes_no_bytes, "/?caught", headers={"X-Argument": argument})
    assert (reply.status, reply.body, len(reply.notes)) == (200, b"begun, ended", 1)
    assert ask(writes_no_bytes, headers={"X-Argument": argument}).failed
    stream = ask(writes_no_bytes, headers={"X-Argument": argument}, stream=True)
    assert (stream.body, stream.broken) == (b"begun", True)


def writes_keyword(environ, start_response):
    start_response("200 OK", [])(block=b"x")


def test_r1_one_positional_argument(ask):
    assert ask(writes_keyword).failed


class Bytes(bytes):
    pass


def writes_a_subclass(environ, start_response):
    start_response("200 OK", [])(Bytes(b"a"))
    return [Bytes(b"b")]


def test_r1_a_subclass_of_bytes_is_bytes(ask):
    assert ask(writes_a_subclass).body == b"ab"


def writes_too_much(environ, start_response):
    """Content-Length is 3."""
    note = notebook(environ)
    write = start_response("200 OK", [("Content-Length", "3")])
    write(b"ab")
    try:
        write(b"cd")
    except ValueError as error:
        note(str(error))
        if environ["QUERY_STRING"] == "raised":
            raise
    write(b"c")
    return [b"surplus"]


def test_r1_no_more_than_content_length(ask):
    for stream in (False, True):
        reply = ask(writes_too_much, stream=stream)
        assert (reply.status, reply.body, reply.broken) == (200, b"abc", False)
        assert "Content-Length" in reply.notes[0]
    assert ask(writes_too_much, "/?raised").failed
    broken = ask(writes_too_much, "/?raised", stream=True)
    assert (broken.body, broken.broken) == (b"ab", True)


def writes_elsewhere(environ, start_response):
    note = notebook(environ)
    write = start_response("200 OK", [])
    write(b"here")

    def other() -> None:
        try:
            write(b"there")
            note("nothing")
        except RuntimeError as error:
            note(str(error))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    return []


def test_r1_on_the_thread_of_the_request(ask):
    for stream in (False, True):
        reply = ask(writes_elsewhere, stream=stream)
        assert (reply.status, reply.body, reply.broken) == (200, b"here", False)
        assert "thread" in reply.notes[0]


def writes_then_exits(environ, start_response):
    start_response("200 OK", [])(b"x")
    sys.exit("after a write")


def test_r1_what_was_written_counts_as_sent(ask):
    reply = ask(writes_then_exits, stream=True)
    assert (reply.status, reply.body, reply.broken) == (200, b"x", True)
    assert "SystemExit: after a write" in reply.log
    assert ask(writes_then_exits).failed

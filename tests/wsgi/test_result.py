"""What an application returns, and what becomes of it (PEP 3333, "Specification Details")."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import time

import pytest
from application import Blocks, gate, notebook

EVERY_BYTE = bytes(range(256))


def ok(start_response, *headers: tuple[str, str]) -> None:
    start_response("200 OK", list(headers))


class Iter:
    def __iter__(self):
        return iter([b"a", b"b"])


class GetItem:
    """Iterable as things were before iterators."""

    def __getitem__(self, index: int) -> bytes:
        return [b"a", b"b"][index]


class ListOfOther(list):
    """Its iterator has another idea of it than its items."""

    def __iter__(self):
        return iter([b"a", b"b"])


ITERABLES = {
    "list": lambda: [b"a", b"b"],
    "tuple": lambda: (b"a", b"b"),
    "generator": lambda: (block for block in (b"a", b"b")),
    "iterator": lambda: iter([b"a", b"b"]),
    "set": lambda: {b"ab"},
    "dict": lambda: {b"a": 1, b"b": 2},
    "view": lambda: {1: b"a", 2: b"b"}.values(),
    "map": lambda: map(bytes, ([97], [98])),
    "chain": lambda: itertools.chain([b"a"], (b"b",)),
    "__iter__": Iter,
    "__getitem__": GetItem,
    "list subclass": lambda: ListOfOther([b"wrong"]),
}


def iterable(environ, start_response):
    ok(start_response)
    return ITERABLES[environ["HTTP_X_KIND"]]()


@pytest.mark.parametrize("kind", ITERABLES)
def test_r2_any_iterable(ask, kind):
    for stream in (False, True):
        reply = ask(iterable, headers={"X-Kind": kind}, stream=stream)
        assert (reply.status, reply.body, reply.broken) == (200, b"ab", False)


async def coroutine():
    return [b"never"]


class RaisesAtIter:
    def __iter__(self):
        raise LookupError("no iterator today")


NO_ITERABLES = {
    "None": (lambda: None, "returned None"),
    "int": (lambda: 5, "returned int"),
    "object": (object, "returned object"),
    "class": (lambda: Iter, "'type' object is not iterable"),
    "coroutine": (coroutine, "awaitable"),
    "str": (lambda: "text", "str"),
    "bytes": (lambda: b"text", "int"),
    "raises": (RaisesAtIter, "LookupError: no iterator today"),
}


def no_iterable(environ, start_response):
    ok(start_response)
    return NO_ITERABLES[environ["HTTP_X_KIND"]][0]()


@pytest.mark.parametrize("kind", NO_ITERABLES)
def test_r2_no_iterable(ask, kind):
    for stream in (False, True):
        reply = ask(no_iterable, headers={"X-Kind": kind}, stream=stream)
        assert reply.failed
        assert NO_ITERABLES[kind][1] in reply.log


NO_BYTES = {"str": "text", "None": None, "int": 7, "bytearray": bytearray(b"x"), "memoryview": memoryview(b"x"), "list": [b"x"]}


def yields_no_bytes(environ, start_response):
    ok(start_response)
    blocks = [b"good", NO_BYTES[environ["HTTP_X_KIND"]], b"never"][environ["QUERY_STRING"] == "first" :]
    result = {"list": blocks, "tuple": tuple(blocks)}.get(environ["HTTP_X_AS"])
    return Blocks(environ, *blocks) if result is None else result


@pytest.mark.parametrize("as_", ["list", "tuple", "iterator"])
@pytest.mark.parametrize("kind", [kind for kind in NO_BYTES if kind != "None"])
def test_r3_blocks_are_bytes(ask, kind, as_):
    headers = {"X-Kind": kind, "X-As": as_}
    for stream in (False, True):
        reply = ask(yields_no_bytes, "/?first", headers=headers, stream=stream)
        assert reply.failed
        assert f"{kind}, not bytes" in reply.log
        assert reply.notes == (["closed"] if as_ == "iterator" else [])
    assert ask(yields_no_bytes, headers=headers).failed
    broken = ask(yields_no_bytes, headers=headers, stream=True)
    assert (broken.status, broken.body, broken.broken) == (200, b"good", True)


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


def endless(environ, start_response):
    """Until nobody listens any more."""
    note = notebook(environ)
    ok(start_response)
    try:
        while True:
            time.sleep(0.001)
            yield b"x" * 100
    finally:
        note("closed")


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
SOLE = {"list": "5", "tuple": "5", "set": "5", "empty": "0", "generator": None, "two": None, "none": None, "written": None}


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
        # It was not asked for another block once there was enough.
        assert reply.notes == (["closed"] if as_ == "iterator" else [])


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


def gated(environ, start_response):
    """Notes what it is asked for, and waits before it gives it."""
    note = notebook(environ)
    ok(start_response)
    for n in range(4):
        note(f"asked for {n}")
        gate(environ, str(n))()
        yield b"" if n == 2 else b"block %d" % n
    note("end")


def test_r7_each_block_leaves_before_the_next_is_asked_for(ask):
    asked = ask.begin(gated, stream=True)
    asked.until("asked for 0")
    for n in (0, 1, 3):
        assert "end" not in asked.notes
        asked.open(str(n))
        if n == 3:
            asked.open("2")
        assert asked.next().body == b"block %d" % n
    reply = asked.end()
    assert reply.notes == ["asked for 0", "asked for 1", "asked for 2", "asked for 3", "end"]
    # All that follows the last block is the word that it was the last.
    assert [frame.body for frame in reply.frames] == [b"block 0", b"block 1", b"block 3", b""]


def test_r7_a_whole_reply_is_one_message(ask):
    """Which is what a requester gets that has not asked for a stream: nothing leaves before the end."""
    asked = ask.begin(gated)
    for n in range(3):
        asked.open(str(n))
    asked.until("asked for 3")
    assert asked.nothing()
    asked.open("3")
    assert asked.end().body == b"block 0block 1block 3"


def gated_list(environ, start_response):
    """A list may grow while it is sent."""
    note = notebook(environ)
    ok(start_response)

    class Growing(Blocks):
        def __next__(self):
            note("asked")
            return super().__next__()

    return Growing(environ, b"a", b"b")


def test_r7_nothing_is_asked_for_ahead(ask):
    reply = ask(gated_list, stream=True)
    assert reply.blocks == [b"a", b"b"]
    assert reply.notes == ["asked", "asked", "asked", "end", "closed"]


def many(environ, start_response):
    """Numbered blocks of every byte."""
    ok(start_response, ("Content-Type", "application/octet-stream"))
    return (b"%d:" % n + EVERY_BYTE[n % 256 :] + EVERY_BYTE for n in range(300))


def test_r8_order_and_every_byte(ask):
    expected = [b"%d:" % n + EVERY_BYTE[n % 256 :] + EVERY_BYTE for n in range(300)]
    assert ask(many, stream=True).blocks == expected
    assert ask(many).body == b"".join(expected)


def interleaved(environ, start_response):
    """Lets the others run between its blocks."""
    ok(start_response, ("X-Mine", environ["HTTP_X_TOKEN"]))
    for n in range(5):
        time.sleep(0.001)
        yield f"{environ['HTTP_X_TOKEN']} {n}\n".encode()


def test_r8_replies_do_not_mix(ask):
    several = [ask.begin(interleaved, stream=n % 2 == 0) for n in range(20)]
    for one in several:
        reply = one.end()
        mine = reply.headers["X-Mine"]
        assert reply.body.decode().splitlines() == [f"{mine} {n}" for n in range(5)]
    assert len({one.frames[0].headers["X-Mine"] for one in several}) == 20


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 2_500_000])
def test_r8_large_blocks(ask, size):
    for stream in (False, True):
        reply = ask(large, f"/?{size}", stream=stream)
        assert reply.body == (EVERY_BYTE * (size // 256 + 1))[:size] * 2
        if stream:
            assert len(reply.blocks) == 2


def large(environ, start_response):
    ok(start_response)
    size = int(environ["QUERY_STRING"])
    yield (EVERY_BYTE * (size // 256 + 1))[:size]
    yield (EVERY_BYTE * (size // 256 + 1))[:size]


def line_ends(environ, start_response):
    ok(start_response, ("Content-Type", "text/plain"))
    return [b"a\n", b"b\r\n", b"\r", b"\n\n", b"\x00", b"\\n"]


def test_r8_line_ends(ask):
    assert ask(line_ends).body == b"a\nb\r\n\r\n\n\x00\\n"
    assert ask(line_ends, stream=True).blocks == [b"a\n", b"b\r\n", b"\r", b"\n\n", b"\x00", b"\\n"]


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
@pytest.mark.parametrize("case", ["HEAD 200 OK", "HEAD 404 Not Found", "GET 204 No Content", "GET 304 Not Modified", "GET 101 x"])
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


class GreenletExit(BaseException):
    """As greenlet's, which is no Exception."""


class CannotBeSaid(Exception):
    def __str__(self) -> str:
        raise ValueError("not even this")

    __repr__ = __str__


def recursion(message: str) -> BaseException:
    """A real one, through Python."""

    def deeper():
        return deeper()

    deeper()
    raise AssertionError


def recursion_in_c(message: str) -> BaseException:
    """A real one, through frames of C."""

    class Deeper:
        def __eq__(self, other) -> bool:
            return [self] == [other, 1][:1] and max([self], key=lambda it: it == it)

    return Deeper() == Deeper()


def recursion_in_a_sort(message: str) -> BaseException:
    """A real one, through the frames of C that are largest: as CPython's own threads do, ours have room for a thousand."""

    def deeper(item: int):
        return sorted([1, 2], key=deeper)

    return deeper(0)


BOOMS = {
    "RuntimeError": RuntimeError,
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "StopIteration": StopIteration,
    "CancelledError": asyncio.CancelledError,
    "GreenletExit": GreenletExit,
    "MemoryError": MemoryError,
    "CannotBeSaid": CannotBeSaid,
    "ExceptionGroup": lambda message: ExceptionGroup(message, [ValueError(1), OSError(2)]),
    "UnicodeError": lambda message: UnicodeError(f"{message} \udcff"),
    "RecursionError": recursion,
    "RecursionError in C": recursion_in_c,
    "RecursionError in a sort": recursion_in_a_sort,
}


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
            for _ in range(3):  # each thread gets some
                ask(raises, headers={"X-Boom": boom, "X-Where": where})
    assert ask(plain).body == b"plain"
    assert ask.server.stop() == 0


def plain(environ, start_response):
    ok(start_response, ("X-A", "b"))
    return [b"plain"]


def dated(environ, start_response):
    start_response("200 OK", [("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Server", "mine/1"), ("Content-Type", "a/b")])
    return [b"x"]


def test_r11_the_application_s_own(ask):
    headers = ask(dated).headers
    named = {name: headers[name] for name in ("Date", "Server", "content-type")}
    assert named == {"Date": "Thu, 01 Jan 1970 00:00:00 GMT", "Server": "mine/1", "content-type": "a/b"}


def test_r11_nothing_is_added(ask):
    """A message has its own time and sender; a type that the application did not give is not made up."""
    headers = ask(plain).headers
    assert {name for name in headers if name[0].isupper()} == {"X-A"}
    assert not {"content-type", "server", "date"} & headers.keys()

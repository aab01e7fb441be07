"""What an application returns (PEP 3333, "Specification Details")."""

from __future__ import annotations

import itertools

import pytest
from application import Blocks, Iter, ok, plain


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


NO_BYTES = {
    "str": "text",
    "None": None,
    "int": 7,
    "bytearray": bytearray(b"x"),
    "memoryview": memoryview(b"x"),
    "list": [b"x"],
}


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

"""wsgi.input (PEP 3333, "Input and Error Streams")."""

from __future__ import annotations

import hashlib
import io
import json
import random
from urllib.parse import quote, unquote

import pytest
from application import answer

EVERY_BYTE = bytes(range(256))
LINES = b"one\ntwo\r\n\n\rthree\x00\xff"


def calls(environ, start_response):
    """Calls methods of the input, by name, and tells what they give; bytes as latin-1, and nothing else as str."""
    stream, results = environ["wsgi.input"], []

    def said(result: object) -> object:
        if isinstance(result, list):
            return [said(item) for item in result]
        assert not isinstance(result, str)
        return result.decode("latin-1") if type(result) is bytes else result

    for name, *arguments in json.loads(unquote(environ["QUERY_STRING"])):
        results.append(said(list(stream) if name == "iter" else getattr(stream, name)(*arguments)))
    return answer(start_response, results)


def called(ask, body: bytes, *given: list) -> list:
    return ask(calls, "/?" + quote(json.dumps(given)), "POST", body).json


def test_i1_read(ask):
    assert called(ask, b"abcdef", ["read"]) == ["abcdef"]
    assert called(ask, b"abcdef", ["read", -1]) == ["abcdef"]
    assert called(ask, b"abcdef", ["read", None]) == ["abcdef"]
    assert called(ask, b"abcdef", ["read", 0], ["read", 2], ["read", 0], ["read", 99]) == ["", "ab", "", "cdef"]
    assert called(ask, b"abcdef", ["read", 1], ["read"], ["read"]) == ["a", "bcdef", ""]


def test_i1_four_ways_through_one_body(ask):
    got = called(ask, b"1\n2\n3\n4\n5\n6", ["read", 2], ["readline"], ["readlines", 1], ["iter"])
    assert got[:2] == ["1\n", "2\n"]
    assert got[2] + got[3] == ["3\n", "4\n", "5\n", "6"]


def digest(environ, start_response):
    """The body, read in pieces of a size that does not divide it."""
    stream, hashed, length = environ["wsgi.input"], hashlib.sha256(), 0
    while piece := stream.read(8191):
        assert type(piece) is bytes and len(piece) <= 8191
        hashed.update(piece)
        length += len(piece)
    return answer(start_response, [length, environ["CONTENT_LENGTH"], hashed.hexdigest()])


def test_i1_large_bodies_of_any_bytes(ask):
    for size in (1, 8191, 8192, 65_536, 3_000_001):
        body = random.Random(size).randbytes(size)
        assert ask(digest, method="PUT", body=body).json == [size, str(size), hashlib.sha256(body).hexdigest()]


def reads_late(environ, start_response):
    """In the iteration, and after the headers have gone."""
    start_response("200 OK", [])
    yield b"["
    while piece := environ["wsgi.input"].read(2):
        yield piece
    yield b"]"


def returns_it(environ, start_response):
    """It is an iterable of bytes, and has a close()."""
    start_response("200 OK", [])
    environ["wsgi.input"].readline()
    return environ["wsgi.input"]


def test_i1_while_the_response_is_sent(ask):
    for stream in (False, True):
        assert ask(reads_late, method="POST", body=b"abcde", stream=stream).body == b"[abcde]"
        assert ask(returns_it, method="POST", body=b"a\nb\nc", stream=stream).body == b"b\nc"


def test_i1_every_byte(ask):
    assert called(ask, EVERY_BYTE * 2, ["read"]) == [(EVERY_BYTE * 2).decode("latin-1")]


def test_i2_readline(ask):
    ways = ["readline"], ["readline", -1], ["readline", None]
    for way in ways:
        assert called(ask, LINES, *[list(way)] * 5) == ["one\n", "two\r\n", "\n", "\rthree\x00\xff", ""]


def test_i2_readline_with_a_size(ask):
    sizes = [["readline", size] for size in (2, 99, 0, 4, 1, 1, 3, 99, 99)]
    assert called(ask, LINES, *sizes) == ["on", "e\n", "", "two\r", "\n", "\n", "\rth", "ree\x00\xff", ""]


def test_i3_lines_are_the_same_any_way(ask):
    lines = ["one\n", "two\r\n", "\n", "\rthree\x00\xff"]
    assert called(ask, LINES, ["readlines"], ["readlines"]) == [lines, []]
    assert called(ask, LINES, ["iter"], ["iter"]) == [lines, []]
    assert called(ask, LINES, *[["readline"]] * 4) == lines
    assert called(ask, b"a\n", ["iter"]) == [["a\n"]]
    first, rest = called(ask, LINES, ["readlines", 1], ["readlines"])
    assert first + rest == lines and first


@pytest.mark.parametrize("body", [b"", b"x"])
def test_i4_it_ends(ask, body):
    ways = [["read"], ["read", 9], ["readline"], ["readline", 9], ["readlines"], ["iter"], ["read"]]
    assert called(ask, body, ["read"], *ways) == [body.decode(), "", "", "", "", [], [], ""]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("way", ["read", "readline", "readlines", "iter"])
def test_i4_without_a_body_it_is_at_its_end(ask, method, way):
    reply = ask(calls, "/?" + quote(json.dumps([[way]])), method)
    if method == "HEAD":
        assert (reply.status, reply.body) == (200, b"")
    else:
        assert reply.json == [[] if way in ("readlines", "iter") else ""]


def lengths(environ, start_response):
    names = ("CONTENT_LENGTH", "wsgi.input_terminated")
    return answer(start_response, [environ.get(name) for name in names] + [len(environ["wsgi.input"].read())])


@pytest.mark.parametrize("claimed", ["0", "3", "99", "-1", "many", ""])
def test_i5_the_frame_says_how_long(ask, claimed):
    assert ask(lengths, body=b"12345", headers={"Content-Length": claimed}).json == ["5", True, 5]
    assert ask(lengths, headers={"Content-Length": claimed}).json == [None, True, 0]


def test_i5_a_text_message_has_a_length_too(by_hand):
    """The broker need not say how long a frame is that ends with its NUL."""
    head = b"http_requestMethod:POST\nhttp_requestUrl:/\nX-App:test_input:lengths\n"
    assert json.loads(by_hand.deliver(head, "grüße".encode()).body) == ["7", True, 7]
    assert json.loads(by_hand.deliver(head, "grüße".encode(), length=False).body) == ["7", True, 7]


def test_i6_seek_and_tell(ask):
    steps = [
        ["tell"],
        ["read", 2],
        ["tell"],
        ["seek", 0],
        ["read"],
        ["seek", -2, 2],
        ["read"],
        ["seekable"],
        ["readable"],
    ]
    assert called(ask, b"abcd", *steps) == [0, "ab", 2, 0, "abcd", 2, "cd", True, True]


def wrapped(environ, start_response):
    """As email, json and csv read: through a buffer, as text; and into a buffer of one's own."""
    stream, buffer = environ["wsgi.input"], bytearray(3)
    count = stream.readinto(buffer)
    text = io.TextIOWrapper(io.BufferedReader(stream), "utf-8", newline="").read()
    return answer(start_response, [count, buffer.decode(), text])


def test_i6_readinto_and_wrappers(ask):
    assert ask(wrapped, method="POST", body="abcgrüße\r\n".encode()).json == [3, "abc", "grüße\r\n"]


def closes(environ, start_response):
    when = environ["QUERY_STRING"]
    stream = environ["wsgi.input"]
    if when == "first":
        stream.close()
    got = "" if stream.closed else stream.read().decode()
    stream.close()
    stream.close()
    start_response("200 OK", [])
    yield got.encode()
    environ["wsgi.input"] = None
    yield b"."


def test_i7_closing_it(ask):
    for _ in range(3):
        assert ask(closes, "/?first", "POST", b"abc").body == b"."
        assert ask(closes, "/?last", "POST", b"abc", stream=True).body == b"abc."
        assert called(ask, b"abc", ["read"]) == ["abc"]

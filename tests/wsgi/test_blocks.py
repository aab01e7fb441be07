"""The blocks of a body, and when they leave (PEP 3333, "Buffering and Streaming")."""

from __future__ import annotations

import time

import pytest
from application import Blocks, gate, notebook, ok

EVERY_BYTE = bytes(range(256))


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

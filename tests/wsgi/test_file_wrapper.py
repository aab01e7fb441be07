"""wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling")."""

from __future__ import annotations

import io
import os
import tempfile

import pytest
from application import notebook

CONTENT = bytes(range(256)) * 100


class NotedFile(io.BytesIO):
    """A file that notes how it is used."""

    def __init__(self, note) -> None:
        super().__init__(CONTENT)
        self.note = note

    def read(self, size: int = -1) -> bytes:
        block = super().read(size)
        self.note([size, len(block)])
        return block

    def close(self) -> None:
        if not self.closed:
            self.note("closed")
        super().close()


def wraps(environ, start_response):
    note = notebook(environ)
    file = NotedFile(note)
    file.seek(600)
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    size = environ["QUERY_STRING"]
    wrapper = environ["wsgi.file_wrapper"](file, int(size)) if size else environ["wsgi.file_wrapper"](file)
    note("wrapped")
    return wrapper


@pytest.mark.parametrize("size", [None, 1000, 99_999])
def test_f1_from_where_the_file_is(ask, size):
    for stream in (False, True):
        reply = ask(wraps, f"/?{size or ''}", stream=stream)
        assert reply.body == CONTENT[600:]
        assert reply.notes[0] == "wrapped", "nothing is read before it is returned"
        assert reply.notes[-1] == "closed" and reply.notes.count("closed") == 1
        reads = reply.notes[1:-1]
        assert all(asked == (size or 8192) for asked, _ in reads)
        if stream:
            assert [len(block) for block in reply.blocks] == [got for _, got in reads if got]


def wraps_a_real_file(environ, start_response):
    note = notebook(environ)
    file = tempfile.TemporaryFile()
    file.write(CONTENT)
    file.seek(-5, os.SEEK_END)
    start_response("200 OK", [])
    wrapper = environ["wsgi.file_wrapper"](file, 2)
    wrapper.file = file

    class Middleware:
        """What wraps a result has to pass on close()."""

        def __iter__(self):
            return (block.upper() for block in wrapper)

        def close(self) -> None:
            wrapper.close()
            note(file.closed)

    return Middleware() if environ["QUERY_STRING"] else wrapper


def test_f1_a_real_file(ask):
    for stream in (False, True):
        assert ask(wraps_a_real_file, stream=stream).body == CONTENT[-5:]


def test_f1_wrapped_again(ask):
    for stream in (False, True):
        reply = ask(wraps_a_real_file, "/?again", stream=stream)
        assert (reply.body, reply.notes) == (CONTENT[-5:].upper(), [True])


class OnlyRead:
    """The least that is a file: no close, no fileno."""

    def __init__(self) -> None:
        self.left = [b"a", b"b", b""]

    def read(self, size: int) -> bytes:
        return self.left.pop(0)


def wraps_the_least(environ, start_response):
    start_response("200 OK", [])
    wrapper = environ["wsgi.file_wrapper"](OnlyRead(), 1)
    if environ["QUERY_STRING"]:
        return [str(hasattr(wrapper, "close")).encode()]
    return wrapper


def test_f1_a_file_without_close(ask):
    for stream in (False, True):
        assert ask(wraps_the_least, stream=stream).body == b"ab"
    assert ask(wraps_the_least, "/?close").body == b"False", "close() exactly where the file has one"


class Fails(OnlyRead):
    def __init__(self, note) -> None:
        super().__init__()
        self.note = note

    def read(self, size: int) -> bytes:
        if len(self.left) == 1:
            raise OSError("the disk is gone")
        return super().read(size)

    def close(self) -> None:
        self.note("closed")


def wraps_what_fails(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")] if environ["QUERY_STRING"] else [])
    return environ["wsgi.file_wrapper"](Fails(notebook(environ)), 1)


def test_f1_a_file_that_fails(ask):
    reply = ask(wraps_what_fails, stream=True)
    assert (reply.body, reply.broken, reply.notes) == (b"ab", True, ["closed"])
    assert "the disk is gone" in reply.log
    reply = ask(wraps_what_fails)
    assert reply.failed and reply.notes == ["closed"]


def test_f1_no_more_than_content_length(ask):
    for stream in (False, True):
        reply = ask(wraps_what_fails, "/?length", stream=stream)
        assert (reply.body, reply.broken, reply.notes) == (b"ab", False, ["closed"])

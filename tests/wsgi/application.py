"""What the server serves in these tests: whichever application a request names in X-App, a function of a test module.

So an application stands beside the test that asks for it. This is what both sides need.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from pathlib import Path
from typing import Callable, Iterable

#: Where notes are left and gates are looked for; the tests look from the other side.
DIRECTORY = Path(os.environ.get("PROBE_DIR", "."))


def app(environ, start_response):
    module, _, name = environ["HTTP_X_APP"].partition(":")
    return getattr(importlib.import_module(module), name)(environ, start_response)


def ok(start_response, *headers: tuple[str, str]) -> None:
    start_response("200 OK", list(headers))


def answer(start_response, value: object, status: str = "200 OK") -> Iterable[bytes]:
    """A response that tests read as `reply.json`."""
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(value).encode()]


def notebook(environ) -> Callable[[object], None]:
    """Takes notes of what happens on the server, which tests read as `reply.notes`. Whole lines, at once."""
    path = DIRECTORY / environ["HTTP_X_TOKEN"]

    def note(value: object) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(fd, json.dumps(value).encode() + b"\n")
        finally:
            os.close(fd)

    return note


def gate(environ, name: str = "gate", timeout: float = 20.0) -> Callable[[], None]:
    """Waits until the test opens it."""
    path = DIRECTORY / f"{environ['HTTP_X_TOKEN']}-{name}"

    def wait() -> None:
        deadline = time.monotonic() + timeout
        while not path.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody opened {path.name}")
            time.sleep(0.002)

    return wait


class Blocks:
    """An iterable that notes what is done to it. `None` among its blocks raises `error`."""

    def __init__(self, environ, *blocks: object, error: BaseException | None = None) -> None:
        self.note, self.blocks, self.error = notebook(environ), iter(blocks), error

    def __iter__(self):
        return self

    def __next__(self):
        try:
            block = next(self.blocks)
        except StopIteration:
            self.note("end")
            raise
        if block is None:
            self.note("raised")
            raise self.error
        return block

    def close(self) -> None:
        self.note("closed")


class Iter:
    """The least that is iterable."""

    def __iter__(self):
        return iter([b"a", b"b"])


def plain(environ, start_response):
    ok(start_response, ("X-A", "b"))
    return [b"plain"]


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

"""Handlers that kill the process, or that wait for the test; whatever else is asked for is `probe`'s."""

from __future__ import annotations

import ctypes
import os
import time
from urllib.parse import parse_qs

import probe


def app(environ, start_response):
    head, _, rest = environ["PATH_INFO"].lstrip("/").partition("/")
    query = {name: values[-1] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    view = {"die": die, "second": second}.get(head)
    return view(environ, start_response, rest, query) if view else probe.app(environ, start_response)


def die(environ, start_response, rest, query):
    """Ends the process, in C (`how=crash`) or not; `times=N`: no more than so often."""
    probe.record("died", f"{rest} {environ['stomp.attempt']}")
    path = probe.DIRECTORY / "died"
    if sum(line.split()[0] == rest for line in path.read_text().splitlines()) <= int(query.get("times", 1_000_000)):
        if query.get("how") == "crash":
            ctypes.string_at(0)
        os._exit(9)
    return probe.text(start_response, "survived")


def second(environ, start_response, rest, query):
    """From the second attempt on it takes until there is a gate."""
    probe.record("begun", f"{rest} {environ['stomp.attempt']}")
    deadline = time.monotonic() + 30
    while environ["stomp.attempt"] > 1 and not (probe.DIRECTORY / f"gate-{rest}").exists():
        assert time.monotonic() < deadline, "nobody opened the gate"
        time.sleep(0.01)
    return probe.text(start_response, "at last")

"""The applications of `stomp-wsgi bench`: each is one kind of work that servers are asked to do."""

from __future__ import annotations

import itertools
import time

__all__ = ["blocking", "cpu", "hello", "json", "mixed", "stream", "upload"]

TEXT = [("Content-Type", "text/plain"), ("Content-Length", "13")]
BODY = [b"Hello, world!"]


def hello(environ, start_response):
    """Next to nothing: what the server itself costs."""
    start_response("200 OK", TEXT)
    return BODY


def blocking(environ, start_response):
    """Waits for something else, 5 ms, as for a database. Others may run meanwhile."""
    time.sleep(0.005)
    return hello(environ, start_response)


def cpu(environ, start_response):
    """Computes for 2 ms and holds the GIL."""
    end = time.thread_time() + 0.002
    while time.thread_time() < end:
        sum(range(200))
    return hello(environ, start_response)


_turns = itertools.cycle([hello] * 8 + [blocking, cpu])


def mixed(environ, start_response):
    """Of ten requests eight are quick, one waits and one computes."""
    return next(_turns)(environ, start_response)


def stream(environ, start_response):
    """Eight blocks of 1 KiB, one after the other."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (b"x" * 1024 for _ in range(8))


def upload(environ, start_response):
    """Reads the whole body, 1 MiB of it."""
    body, size = environ["wsgi.input"], 0
    while block := body.read(64 * 1024):
        size += len(block)
    if size != int(environ.get("CONTENT_LENGTH", 0)):
        raise ValueError(f"{size} octets came")
    return hello(environ, start_response)


def json():
    """Makes an application of Flask's, which answers a small object."""
    import flask

    app = flask.Flask("stomp_wsgi.bench")

    @app.get("/")
    def greeting():
        return {"hello": "world", "numbers": [1, 2, 3]}

    return app

"""Writes wherever an application can write."""

from __future__ import annotations

import logging
import sys
import threading
import warnings

from flask import Flask


def app(environ, start_response):
    said = VIEWS[environ["PATH_INFO"].lstrip("/")](environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(said).encode()]


def ping(environ):
    return "pong"


def prints(environ):
    """From four threads at once, so that lines may come to stand in lines."""

    def work(name):
        for n in range(500):
            # One write for each line: with several, Python itself mixes those of threads now and then.
            print(f"printed {name} {n}\n", end="")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def logs(environ):
    logging.getLogger("shop").warning("a warning of %s", "mine")
    logging.getLogger("shop").info("not shown by default")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("shop").error('an "error"\nof two lines', exc_info=True)


def stderr(environ):
    print("to standard error", "\u20ac", file=sys.stderr)
    print("without an end", end="", file=sys.stderr)
    sys.stderr.buffer.write(b"octets \xff\n")
    sys.stderr.writelines(["one\n", "two\n"])
    warnings.warn("be warned", stacklevel=1)
    thread = threading.Thread(target=lambda: [][1], name="fails")
    thread.start()
    thread.join()
    return [sys.stderr.fileno(), sys.stderr.isatty(), sys.stderr.encoding, sys.stderr.writable()]


def errors(environ):
    environ["wsgi.errors"].write("plain\nof two lines\n")


def long(environ):
    environ["wsgi.errors"].write("w" * 1_000_000 + " end of it\n")
    print("e" * 1_000_000, file=sys.stderr)
    raise RuntimeError(environ["PATH_INFO"] + "x" * 1_000_000 + " end of it")


VIEWS = {view.__name__: view for view in (ping, prints, logs, stderr, errors, long)}

flask_app = Flask(__name__)


@flask_app.get("/ping")
def flask_ping():
    return "pong"


@flask_app.get("/fails")
def fails():
    flask_app.logger.warning("it is about to fail")
    raise RuntimeError("it failed")

"""What the tests ask for: echoes, records, waits, streams and holds. Plain WSGI, standard library only."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs

#: Where records are written and where gates are looked for; the tests look from the other side.
DIRECTORY = Path(os.environ.get("PROBE_DIR", "."))


def app(environ, start_response):
    head, _, rest = environ["PATH_INFO"].lstrip("/").partition("/")
    view = VIEWS.get(head, not_found)
    query = {name: values[-1] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    return view(environ, start_response, rest, query)


def text(start_response, body: bytes | str, status: str = "200 OK"):
    body = body.encode() if isinstance(body, str) else body
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]


def record(name: str, line: str) -> None:
    """One line, whole, whatever else writes to the file."""
    fd = os.open(DIRECTORY / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


def not_found(environ, start_response, rest, query):
    return text(start_response, "nothing here", "404 Not Found")


def ping(environ, start_response, rest, query):
    return text(start_response, "pong")


def echo(environ, start_response, rest, query):
    """The rest of the path, a colon, the body."""
    return text(start_response, f"{rest}:".encode() + environ["wsgi.input"].read())


def plain(environ, start_response, rest, query):
    """The body and nothing else, in its own type."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", environ.get("CONTENT_TYPE") or "application/octet-stream")])
    return [body]


def octets(environ, start_response, rest, query):
    """The body, an octet in each block."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return (body[at : at + 1] for at in range(len(body)))


def large(environ, start_response, rest, query):
    """So many octets, in blocks of `block` octets or in one."""
    record("large", rest)
    octets = int(rest)
    block = int(query.get("block", octets))
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (b"x" * min(block, octets - at) for at in range(0, octets, block))


def named(environ, start_response, rest, query):
    """A header with a name of so many octets."""
    record("named", rest)
    start_response("200 OK", [("X" * int(rest), "v"), ("Content-Type", "text/plain")])
    return [b"named"]


def headers(environ, start_response, rest, query):
    """So many headers with values of `octets` octets."""
    record("headers", rest)
    many = [(f"X-{n}", "v" * int(query["octets"])) for n in range(int(rest))]
    start_response("200 OK", [("Content-Type", "text/plain"), *many])
    return [b"headers"]


def binary(environ, start_response, rest, query):
    """What is no text."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [b"\xff\xfe\0"]


def task(environ, start_response, rest, query):
    """Takes `ms` milliseconds, and leaves a record when it begins and when it is done."""
    record("begun", rest)
    time.sleep(float(query.get("ms", 0)) / 1000)
    record("done", rest)
    return text(start_response, f"worked on {rest}")


def gated(environ, start_response, rest, query):
    """`blocks` blocks; each but the first waits until the test has made its gate."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Key", rest)])

    def blocks():
        for n in range(int(query["blocks"])):
            gate, deadline = DIRECTORY / f"gate-{rest}-{n}", time.monotonic() + 20
            while n > 0 and not gate.exists():
                if time.monotonic() > deadline:
                    raise RuntimeError(f"nobody opened {gate}")
                time.sleep(0.005)
            yield b""  # means nothing, and must not travel
            yield f"block {n} of {rest}\n".encode()
        record("finished", rest)

    return blocks()


def hang(environ, start_response, rest, query):
    """Does not return before the test has made its gate."""
    record("hanging", rest)
    while not (DIRECTORY / f"gate-{rest}").exists():
        time.sleep(0.01)
    return text(start_response, f"{rest} hung")


def hold(environ, start_response, rest, query):
    """Sleeps in C without letting go of the GIL: no other Python runs meanwhile."""
    record("held", rest)
    ctypes.PyDLL(None).sleep(int(query["seconds"]))
    return text(start_response, f"held for {query['seconds']} s")


def note(environ, start_response, rest, query):
    """For messages that nobody answers: writes down what came."""
    record("notes", f"{environ['REQUEST_METHOD']} {rest} {environ['wsgi.input'].read().decode()}")
    return text(start_response, "noted")


def status(environ, start_response, rest, query):
    return text(start_response, f"as you say: {rest}", f"{rest} Said So")


def boom(environ, start_response, rest, query):
    raise RuntimeError("boom")


def show(environ, start_response, rest, query):
    """The environ, as far as it is text, flags or numbers."""
    simple = {k: v for k, v in environ.items() if isinstance(v, (str, int, bool))}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(simple).encode()]


def child(environ, start_response, rest, query):
    """What the system tells of a process that the application starts."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        # It answers when it is there; before, the system has nothing to tell.
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        told = {name: Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")}
        process.kill()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({name: value.decode("latin-1") for name, value in told.items()}).encode()]


def cookies(environ, start_response, rest, query):
    start_response("200 OK", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")])
    return [b"two cookies"]


VIEWS = {
    "ping": ping,
    "echo": echo,
    "plain": plain,
    "octets": octets,
    "large": large,
    "named": named,
    "headers": headers,
    "binary": binary,
    "task": task,
    "gated": gated,
    "hang": hang,
    "hold": hold,
    "note": note,
    "status": status,
    "boom": boom,
    "show": show,
    "child": child,
    "cookies": cookies,
}

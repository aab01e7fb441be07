"""The application of the fault suite: it works for a while, writes down what it did, and can die in the middle."""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path
from urllib.parse import parse_qs

DIRECTORY = Path(os.environ.get("PROBE_DIR", "."))
_records = {name: os.open(DIRECTORY / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644) for name in ("begun", "done")}


def app(environ, start_response):
    """`/work/N?ms=M`: M milliseconds of work; `&die` ends the server, the first time. `/fail`: never works. `/kill/N?times=T`:
    ends the server, T times at most."""
    _, view, number = (environ["PATH_INFO"] + "//").split("/")[:3]
    query = parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
    if view == "fail":
        raise RuntimeError("as asked")
    if view == "work":
        os.write(_records["begun"], f"{number}\n".encode())
        time.sleep(float(query.get("ms", ["0"])[0]) / 1000)
        if "die" in query:
            die_once(number)
        os.write(_records["done"], f"{number}\n".encode())
    if view == "kill":
        die(number, int(query["times"][0]))
        (DIRECTORY / f"survived-{number}").touch()
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]


def die_once(number: str) -> None:
    die(number, 1)


def die(name: str, times: int) -> None:
    for time_ in itertools.count():
        if time_ == times:
            return
        try:
            (DIRECTORY / f"died-{name}-{time_}").touch(exist_ok=False)
        except FileExistsError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)

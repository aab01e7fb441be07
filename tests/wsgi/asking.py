"""Asks a server for an application, and reads its reply frame by frame."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from server import Server
from stomp_client import Frame, Request, Requester

_tokens = itertools.count(1)

#: How long to watch for a frame that must not come.
A_WHILE = 0.05


@dataclass
class Reply:
    """A reply, whole."""

    frames: list[Frame]
    #: What the application noted.
    notes: list[object]
    #: What the server logged meanwhile.
    log: str

    @property
    def headers(self) -> dict[str, str]:
        return self.frames[0].headers

    @property
    def status(self) -> int:
        return int(self.headers["http_statusCode"])

    @property
    def reason(self) -> str:
        return self.headers.get("http_reasonPhrase", "")

    @property
    def body(self) -> bytes:
        return b"".join(frame.body for frame in self.frames)

    @property
    def blocks(self) -> list[bytes]:
        """Those of a stream, without the empty end."""
        return [frame.body for frame in self.frames if frame.body]

    @property
    def json(self):
        assert self.status == 200, f"{self.headers}\n{self.log}"
        return json.loads(self.body)

    @property
    def broken(self) -> bool:
        """Less than a response, and marked so."""
        is_error = self.frames[-1].headers.get("http_isError") == "true"
        return is_error and (len(self.frames) > 1 or self.status < 400)

    @property
    def failed(self) -> bool:
        """The server's own answer for an application that failed before anything was sent."""
        mine = "text/plain; charset=utf-8", b"Internal Server Error\n"
        return self.status == 500 and (self.headers.get("content-type"), self.body) == mine


class Asked:
    """A request under way."""

    def __init__(self, server: Server, idle: list[Requester], request: Request, raw: bytes, stream: bool) -> None:
        self._server, self._idle = server, idle
        self._path = server.directory / request.headers["X-Token"]
        self._log, self._log_from = server.log, server.log.stat().st_size
        self._stream = stream
        self.frames: list[Frame] = []
        self.requester: Requester = idle.pop() if idle else server.requester()
        self._id = self.requester.next_id()
        frame = self.requester.frame(request, self._id).encode()
        self.requester.socket.sendall(frame.replace(b"\n\n", b"\n" + raw + b"\n", 1) if raw else frame)

    def next(self, timeout: float = 20.0) -> Frame:
        """The next frame of the reply, checked for what all have to say."""
        frame = self._receive(timeout)
        assert frame.command == "MESSAGE", f"{frame.command} {frame.headers} {frame.body!r}"
        assert frame.headers["correlation-id"] == self._id
        assert ("http_statusCode" in frame.headers) == (not self.frames), "status on the first frame only"
        if self._stream:
            assert frame.headers["http_chunkSeq"] == str(len(self.frames))
            assert frame.headers["http_moreContent"] in ("true", "false")
        else:
            assert "http_chunkSeq" not in frame.headers
        self.frames.append(frame)
        return frame

    def _receive(self, timeout: float) -> Frame:
        """Waits only as long as there is a server to wait for."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            try:
                return self.requester.receive(min(left, 0.5))
            except TimeoutError:
                assert self._server.running, f"the server ended with {self._server.process.poll()}"
                if left <= 0.5:
                    raise

    def nothing(self) -> bool:
        """Nothing comes, for a while."""
        try:
            self.next(A_WHILE)
        except TimeoutError:
            return True
        return False

    def until(self, note: object) -> None:
        """Waits for a note of the application's."""
        deadline = time.monotonic() + 20
        while note not in self.notes:
            assert time.monotonic() < deadline, f"no {note!r} among {self.notes}"
            time.sleep(0.002)

    def open(self, name: str = "gate") -> None:
        """Opens a gate that the application waits at."""
        Path(f"{self._path}-{name}").touch()

    @property
    def notes(self) -> list[object]:
        """So far."""
        return [json.loads(line) for line in self._path.read_text().splitlines()] if self._path.exists() else []

    def end(self) -> Reply:
        """The rest of the reply, up to its end."""
        if not self.frames:
            self.next()
        while self._stream and self.frames[-1].headers["http_moreContent"] == "true":
            self.next()
        # The next to use it would notice what comes after the end.
        self._idle.append(self.requester)
        with self._log.open(errors="replace") as log:
            log.seek(self._log_from)
            return Reply(self.frames, self.notes, log.read())


class Ask:
    """`ask(application)` is its reply."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._idle: list[Requester] = []
        self.mark()

    def mark(self) -> None:
        """What is logged from here on is of interest."""
        self._log_from = self.server.log.stat().st_size

    def log(self) -> str:
        """What the server has logged since the mark."""
        with self.server.log.open(errors="replace") as log:
            log.seek(self._log_from)
            return log.read()

    def begin(
        self,
        application: Callable,
        url: str = "/",
        method: str = "GET",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        raw: bytes = b"",
        stream: bool = False,
    ) -> Asked:
        """Sends a request. `raw` is more lines of headers, for what a dict cannot say."""
        more = {"X-App": f"{application.__module__}:{application.__name__}", "X-Token": f"token-{next(_tokens)}"}
        if stream:
            more["http_acceptStream"] = "true"
        return Asked(self.server, self._idle, Request(method, url, body, more | (headers or {})), raw, stream)

    def __call__(self, application: Callable, *args: object, **options: object) -> Reply:
        return self.begin(application, *args, **options).end()

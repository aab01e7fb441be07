"""A small STOMP 1.2 requester on a raw socket, standard library only.

It is the load driver of these tests and shares no code with the server under test: what it sends and
what it checks is written down a second time, here. One connection, one thread, many requests in flight.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Callable, Iterable, Iterator

_ESCAPES = {"\\": "\\\\", "\r": "\\r", "\n": "\\n", ":": "\\c"}
_ESCAPE_TABLE = str.maketrans(_ESCAPES)
_UNESCAPES = {"\\": "\\", "r": "\r", "n": "\n", "c": ":"}


def escape(text: str) -> str:
    return text.translate(_ESCAPE_TABLE)


def unescape(text: str) -> str:
    if "\\" not in text:
        return text
    out, chars = [], iter(text)
    for char in chars:
        out.append(_UNESCAPES[next(chars)] if char == "\\" else char)
    return "".join(out)


@dataclass
class Frame:
    command: str
    headers: dict[str, str]
    body: bytes = b""

    def encode(self) -> bytes:
        code = (lambda text: text) if self.command in ("CONNECT", "STOMP") else escape
        head = "".join(f"{code(name)}:{code(value)}\n" for name, value in self.headers.items())
        return f"{self.command}\n{head}\n".encode() + self.body + b"\0"


class Decoder:
    """Bytes in, frames out; a body of any size arrives in linear time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = 0

    def feed(self, data: bytes) -> list[Frame]:
        self._buffer += data
        if len(self._buffer) < self._wanted:
            return []
        frames, start = [], 0
        buffer = self._buffer
        while True:
            while start < len(buffer) and buffer[start] in b"\n\r":
                start += 1
            blank = buffer.find(b"\n\n", start)
            if blank < 0:
                break
            lines = buffer[start:blank].decode().split("\n")
            raw = lines[0] in ("CONNECTED",)
            headers: dict[str, str] = {}
            for line in lines[1:]:
                name, _, value = line.rstrip("\r").partition(":")
                if not raw:
                    name, value = unescape(name), unescape(value)
                headers.setdefault(name, value)
            body = blank + 2
            if "content-length" in headers:
                end = body + int(headers["content-length"])
                if end >= len(buffer):
                    self._wanted = end + 1 - start
                    break
                if buffer[end] != 0:
                    raise ProtocolError(f"no NUL after {headers['content-length']} bytes of body: {headers}")
            else:
                end = buffer.find(b"\0", body)
                if end < 0:
                    break
            frames.append(Frame(lines[0].rstrip("\r"), headers, bytes(buffer[body:end])))
            start = end + 1
            self._wanted = 0
        del buffer[:start]
        return frames


class ProtocolError(Exception):
    """The peer sent what STOMP does not allow, or an ERROR."""


class ConnectionLost(Exception):
    """The peer closed the connection."""


class Connection:
    """A connected STOMP session. Receiving is explicit: `receive` hands over one frame."""

    def __init__(
        self,
        host: str,
        port: int,
        login: str = "guest",
        passcode: str = "guest",
        timeout: float = 10.0,
        version: str = "1.2",
    ) -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = Decoder()
        self._frames: list[Frame] = []
        self._receipts = itertools.count(1)
        connect = {"accept-version": version, "host": "/", "heart-beat": "0,0"}
        # Real brokers unescape CONNECT, against the specification.
        connect |= {"login": login.replace("\\", r"\\"), "passcode": passcode.replace("\\", r"\\")}
        try:
            self.send(Frame("CONNECT", connect))
            self.connected = self.receive(timeout)
            if self.connected.command != "CONNECTED":
                raise ProtocolError(f"{self.connected.headers} {self.connected.body!r}")
        except BaseException:
            self.socket.close()
            raise
        server = self.connected.headers.get("server", "")
        self.is_rabbitmq = server.lower().startswith("rabbitmq")
        self.is_artemis = server.startswith("ActiveMQ-Artemis")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, frame: Frame) -> None:
        self.socket.settimeout(60)
        self.socket.sendall(frame.encode())

    def poll(self, timeout: float) -> list[Frame]:
        """The frames that have arrived, waiting at most `timeout` for the first bytes."""
        if self._frames:
            frames, self._frames = self._frames, []
            return frames
        if not select.select([self.socket], [], [], max(0.0, timeout))[0]:
            return []
        try:
            data = self.socket.recv(256 * 1024)
        except ConnectionResetError:
            data = b""
        if not data:
            raise ConnectionLost("the broker closed the connection")
        return self._decoder.feed(data)

    def receive(self, timeout: float = 10.0) -> Frame:
        """The next frame.

        Raises TimeoutError when none is complete in time.
        """
        deadline = time.monotonic() + timeout
        while not self._frames:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no frame within {timeout} s")
            self._frames = self.poll(left)
        return self._frames.pop(0)

    def confirmed(self, frame: Frame, timeout: float = 10.0) -> None:
        """Sends `frame` and waits for its RECEIPT; other frames stay in line."""
        receipt = f"r{next(self._receipts)}"
        frame.headers["receipt"] = receipt
        self.send(frame)
        deadline, others = time.monotonic() + timeout, []
        while True:
            got = self.receive(deadline - time.monotonic())
            if got.command == "RECEIPT" and got.headers.get("receipt-id") == receipt:
                break
            if got.command == "ERROR":
                raise ProtocolError(f"{got.headers} {got.body[:500]!r}")
            others.append(got)
        self._frames = others + self._frames

    def disconnect(self) -> None:
        """Leaves politely: everything sent so far has been taken."""
        try:
            self.confirmed(Frame("DISCONNECT", {}))
        finally:
            self.close()


@dataclass
class Request:
    method: str
    url: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    #: What the reply's body must be; None accepts any.
    expect: bytes | None = None


@dataclass
class Load:
    """What came of a run of requests."""

    sent: int = 0
    seconds: float = 0.0
    replies: Counter[str] = field(default_factory=Counter)
    #: Correlation id and what was wrong about its reply.
    wrong: list[tuple[str, str]] = field(default_factory=list)
    #: Correlation ids without a reply.
    missing: list[str] = field(default_factory=list)
    #: Seconds from sending to the reply, in the order of replies.
    latencies: list[float] = field(default_factory=list)

    @property
    def doubled(self) -> dict[str, int]:
        return {cid: count for cid, count in self.replies.items() if count > 1}

    def check(self, *, once: bool = True) -> None:
        """Every request answered rightly; with `once`, exactly once."""
        assert not self.missing, f"{len(self.missing)} of {self.sent} not answered: {self.missing[:5]}"
        assert not self.wrong, f"{len(self.wrong)} wrong replies: {self.wrong[:5]}"
        if once:
            assert not self.doubled, f"answered more than once: {list(self.doubled.items())[:5]}"

    def __str__(self) -> str:
        rate = self.sent / self.seconds if self.seconds else 0
        lat = sorted(self.latencies) or [0.0]
        p50, p99 = lat[len(lat) // 2], lat[len(lat) * 99 // 100]
        return (
            f"{self.sent} requests in {self.seconds:.2f} s, {rate:.0f}/s, "
            f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms"
        )


class Requester(Connection):
    """Requests and replies over a temporary queue, in the way of the broker at hand."""

    _names = itertools.count(1)

    def __init__(self, host: str, port: int, destination: str, **options: object) -> None:
        super().__init__(host, port, **options)
        self.destination = destination
        self._prefix = f"{os.getpid()}-{next(self._names)}"
        self._serial = itertools.count(1)
        # Artemis has no temporary queues for STOMP, but removes a queue that has neither messages nor consumers.
        self.reply_to = f"/{'queue' if self.is_artemis else 'temp-queue'}/replies-{self._prefix}"
        if not self.is_rabbitmq:
            # RabbitMQ makes the queue when it sees the reply-to, and refuses a SUBSCRIBE.
            subscribe = {"id": "replies", "destination": self.reply_to, "ack": "auto"}
            if self.is_artemis:
                # Without it, and without prefixes on the acceptor, this would be a topic to Artemis.
                subscribe["subscription-type"] = "ANYCAST"
            self.confirmed(Frame("SUBSCRIBE", subscribe))

    def frame(self, request: Request, cid: str) -> Frame:
        headers = {
            "destination": self.destination,
            "reply-to": self.reply_to,
            "correlation-id": cid,
            "http_requestMethod": request.method,
            "http_requestUrl": request.url,
            "content-length": str(len(request.body)),
        }
        if self.is_artemis:
            # What is sent to a queue that is not there yet would be dropped, as a topic's without a subscriber.
            headers["destination-type"] = "MULTICAST" if self.destination.startswith("/topic/") else "ANYCAST"
        return Frame("SEND", headers | request.headers, request.body)

    def next_id(self) -> str:
        # A colon and a backslash: correlation ids are opaque, and have to come back as they went.
        return f"{self._prefix}:{next(self._serial)}\\x"

    def request(
        self, method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None, timeout: float = 20.0
    ) -> Frame:
        """One request, one reply."""
        return next(self.stream(method, url, body, headers, timeout))

    def stream(
        self, method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None, timeout: float = 20.0
    ) -> Iterator[Frame]:
        """One request and its replies, as they come; each has to come within `timeout`."""
        cid = self.next_id()
        self.send(self.frame(Request(method, url, body, headers or {}), cid))
        while True:
            reply = self.receive(timeout)
            assert reply.command == "MESSAGE", f"{reply.command} {reply.headers} {reply.body[:500]!r}"
            assert reply.headers.get("correlation-id") == cid, (reply.headers, cid)
            yield reply

    def load(
        self,
        requests: Iterable[Request],
        in_flight: int = 32,
        idle_timeout: float = 30.0,
        linger: float = 0.3,
        on_reply: Callable[[int], None] | None = None,
    ) -> Load:
        """Keeps `in_flight` requests under way until all are answered, or none was for `idle_timeout`.

        Replies that come up to `linger` after the last one are counted as well. `on_reply` is called
        with the number of requests answered so far.
        """
        load, waiting, pending = Load(), iter(requests), {}
        expected: dict[str, bytes | None] = {}
        started = last = time.monotonic()

        def fill() -> bool:
            out = bytearray()
            for request in itertools.islice(waiting, in_flight - len(pending)):
                cid = self.next_id()
                pending[cid] = time.monotonic()
                expected[cid] = request.expect
                out += self.frame(request, cid).encode()
                load.sent += 1
            self.socket.settimeout(60)
            self.socket.sendall(out)
            return bool(pending)

        while fill():
            frames = self.poll(1.0)
            now = time.monotonic()
            if frames:
                last = now
            elif now - last > idle_timeout:
                break
            for frame in frames:
                self._count(frame, load, expected)
                begun = pending.pop(frame.headers.get("correlation-id", ""), None)
                if begun is not None:
                    load.latencies.append(now - begun)
                    if on_reply:
                        on_reply(len(load.latencies))
        load.seconds = last - started
        deadline = time.monotonic() + linger
        while (left := deadline - time.monotonic()) > 0:
            for frame in self.poll(left):
                self._count(frame, load, expected)
        load.missing = list(pending)
        return load

    @staticmethod
    def _count(frame: Frame, load: Load, expected: dict[str, bytes | None]) -> None:
        if frame.command != "MESSAGE":
            raise ProtocolError(f"{frame.command} {frame.headers} {frame.body[:500]!r}")
        cid = frame.headers.get("correlation-id", "")
        load.replies[cid] += 1
        if cid not in expected:
            load.wrong.append((cid, "a correlation id that was never sent"))
        elif frame.headers.get("http_statusCode") != "200":
            load.wrong.append((cid, f"{frame.headers} {frame.body[:200]!r}"))
        elif (want := expected[cid]) is not None and want != frame.body:
            load.wrong.append((cid, f"{frame.body[:100]!r}, not {want[:100]!r}"))

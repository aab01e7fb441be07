"""The load of the fault suite: persistent requests, and replies to a queue that outlives its reader.

What the broker confirmed is sent once. What it had not confirmed when its connection broke is sent
again, so that it may come twice: `again` counts it, and nothing else is excused by it.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections import Counter
from collections.abc import Callable

from stomp_client import Connection, ConnectionLost, Frame, ProtocolError


#: Seconds between heart-beats: Artemis ends a connection on which it has read nothing for a minute.
BEAT = 10.0


class Peer:
    """One broker, seen from the requester: a connection that sends, another that collects."""

    def __init__(self, port: int, replies: str) -> None:
        self.port, self.replies = port, replies
        self.sender: Connection | None = None
        self.collector: Connection | None = None
        self._next_attempt = self._next_beat = 0.0

    def connect(self) -> bool:
        """Sees to it that both are there. Whether the sender is a new one."""
        if self.sender and self.collector or time.monotonic() < self._next_attempt:
            return False
        self._next_attempt = time.monotonic() + 0.2
        fresh = not self.sender
        try:
            self.sender = self.sender or Connection("127.0.0.1", self.port, timeout=5)
            if not self.collector:
                collector = Connection("127.0.0.1", self.port, timeout=5)
                headers = {"id": "replies", "destination": self.replies, "ack": "client-individual"}
                headers |= {"activemq.prefetchSize": "500", "prefetch-count": "500"}
                collector.confirmed(Frame("SUBSCRIBE", headers))
                self.collector = collector
        except (OSError, ConnectionLost, ProtocolError, TimeoutError):
            return fresh and self.sender is not None
        return fresh

    def beat(self) -> None:
        """Says that both connections live."""
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + BEAT
            for connection in (self.sender, self.collector):
                # What does not go out is noticed where something is read.
                with contextlib.suppress(OSError):
                    if connection:
                        connection.socket.sendall(b"\n")

    def close(self) -> None:
        for connection in (self.sender, self.collector):
            if connection:
                connection.close()
        self.sender = self.collector = None


class Load:
    def __init__(
        self,
        ports: list[int],
        destination: str,
        replies: str,
        total: int,
        url: Callable[[int], str],
        body: bytes = b"",
        window: int = 64,
    ) -> None:
        self.destination, self.replies, self.total, self.url = destination, replies, total, url
        self.body, self.window = body, window
        self.peers = [Peer(port, replies) for port in ports]
        #: Where new requests go, and how many may have been sent by now.
        self.current, self.limit = 0, total
        #: While it is true nobody reads the replies.
        self.asleep = False
        self.sent_at: dict[int, float] = {}
        #: What waits for its RECEIPT, and at which broker.
        self.unconfirmed: dict[int, int] = {}
        self.again: set[int] = set()
        self.answers: Counter[int] = Counter()
        self.wrong: list[str] = []
        #: (when it was sent, when it was answered), in the order of first replies.
        self.answered: list[tuple[float, float]] = []

    def run(self, tick: Callable[[], None], patience: float) -> None:
        """Until all are answered and confirmed, or for `patience` nothing has come."""
        last, seen = time.monotonic(), 0
        while len(self.answers) < self.total or self.unconfirmed:
            tick()
            self._send()
            self._poll(0.02)
            progress = len(self.answers) - len(self.unconfirmed)
            if progress != seen:
                last, seen = time.monotonic(), progress
            elif time.monotonic() - last > patience:
                return

    def linger(self, seconds: float) -> None:
        """What comes late is counted, too."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._poll(0.05)

    def close(self) -> None:
        for peer in self.peers:
            peer.close()

    def recovered_after(self, moment: float) -> float:
        """Seconds until the first reply to a request that was sent after `moment`."""
        return min((done for sent, done in self.answered if sent >= moment), default=float("inf")) - moment

    def waiting(self) -> int:
        return len(self.sent_at) - len(self.answers)

    def missing(self) -> list[int]:
        return [n for n in range(len(self.sent_at)) if n not in self.answers]

    def _frame(self, n: int) -> bytes:
        headers = {
            "destination": self.destination,
            "reply-to": self.replies,
            "correlation-id": str(n),
            "persistent": "true",
            "receipt": str(n),
            "http_requestMethod": "POST",
            "http_requestUrl": self.url(n),
            "content-length": str(len(self.body)),
        }
        return Frame("SEND", headers, self.body).encode()

    def _send(self) -> None:
        for number, peer in enumerate(self.peers):
            if peer.connect():
                lost = sorted(n for n, at in self.unconfirmed.items() if at == number)
                self.again.update(lost)
                self._write(number, lost)
            peer.beat()
        room = min(self.window - self.waiting(), self.limit - len(self.sent_at), 200)
        if room > 0 and self.peers[self.current].sender:
            new = range(len(self.sent_at), len(self.sent_at) + room)
            now = time.monotonic()
            for n in new:
                self.sent_at[n], self.unconfirmed[n] = now, self.current
            self._write(self.current, list(new))

    def _write(self, number: int, requests: list[int]) -> None:
        peer = self.peers[number]
        try:
            peer.sender.socket.settimeout(120)
            peer.sender.socket.sendall(b"".join(map(self._frame, requests)))
        except OSError:
            peer.sender.close()
            peer.sender = None

    def _poll(self, timeout: float) -> None:
        sockets = [c.socket for p in self.peers for c in (p.sender, p.collector) if c]
        if self.asleep:
            sockets = [p.sender.socket for p in self.peers if p.sender]
        if not sockets:
            time.sleep(timeout)
        elif not any(c._frames for p in self.peers for c in (p.sender, p.collector) if c):
            select.select(sockets, [], [], timeout)
        for peer in self.peers:
            if peer.sender:
                peer.sender = self._take(peer.sender, self._confirm)
            if peer.collector and not self.asleep:
                peer.collector = self._take(peer.collector, self._collect)

    @staticmethod
    def _take(connection: Connection, what: Callable[[Connection, list[Frame]], None]) -> Connection | None:
        try:
            what(connection, connection.poll(0))
        except (OSError, ConnectionLost):
            connection.close()
            return None
        return connection

    def _confirm(self, _: Connection, frames: list[Frame]) -> None:
        for frame in frames:
            if frame.command != "RECEIPT":
                raise ProtocolError(f"{frame.command} {frame.headers} {frame.body[:500]!r}")
            self.unconfirmed.pop(int(frame.headers["receipt-id"]), None)

    def _collect(self, connection: Connection, frames: list[Frame]) -> None:
        now, acks = time.monotonic(), bytearray()
        for frame in frames:
            if frame.command != "MESSAGE":
                raise ProtocolError(f"{frame.command} {frame.headers} {frame.body[:500]!r}")
            acks += Frame("ACK", {"id": frame.headers["ack"]}).encode()
            n = int(frame.headers["correlation-id"])
            if n not in self.answers:
                self.answered.append((self.sent_at[n], now))
            self.answers[n] += 1
            if frame.headers.get("http_statusCode") != "200" or frame.body != self.body:
                self.wrong.append(f"{n}: {frame.headers} {frame.body[:200]!r}")
        if acks:
            connection.socket.settimeout(60)
            connection.socket.sendall(acks)

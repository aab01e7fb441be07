"""Relays between server and broker that do harm: one stops at a frame, one cuts and dribbles bytes."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

from proxy import Proxy


def end_of_frame(data: bytearray, start: int) -> int:
    """Where the frame that begins at `start` ends, its NUL included; 0 while that is not known."""
    blank = data.find(b"\n\n", start)
    if blank < 0:
        return 0
    for line in data[start:blank].split(b"\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            end = blank + 2 + int(value)
            return end + 1 if end < len(data) else 0
    return data.find(b"\0", blank) + 1


class Splitter:
    """Bytes in, whole frames and heart-beats out, byte for byte what came in."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._data += data
        start = 0
        while start < len(self._data):
            end = start + 1 if self._data[start] in b"\r\n" else end_of_frame(self._data, start)
            if not end:
                break
            yield bytes(self._data[start:end])
            start = end
        del self._data[:start]


class FrameRelay(Proxy):
    """Passes whole frames, and strikes when one of a kind comes by.

    From then on nothing passes on that connection, in either direction.
    """

    def __init__(self, port: int) -> None:
        self.struck = threading.Event()
        self._armed: tuple[bytes, float, Callable[[], None]] | None = None
        self._lock = threading.Lock()
        self._silenced: set[socket.socket] = set()
        super().__init__(port)

    def strike_at(self, command: str, passes: float, then: Callable[[], None]) -> None:
        """Calls `then` when the next frame of this kind has come, and so much of it was passed on: 0 for nothing, 1 for all."""
        self.struck.clear()
        self._armed = (command.encode() + b"\n", passes, then)

    def _pump(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        splitter = Splitter()
        try:
            while data := source.recv(64 * 1024):
                if from_client:
                    self.heard.append(time.monotonic())
                passing = bytearray()
                for frame in splitter.feed(data):
                    if self._strikes(frame, source, sink, passing):
                        break
                    passing += frame
                if source not in self._silenced:
                    sink.sendall(passing)
        except OSError:
            pass
        self._silenced -= {source, sink}
        self._end(source, sink)

    def _strikes(self, frame: bytes, source: socket.socket, sink: socket.socket, before: bytearray) -> bool:
        if not self._armed or not frame.startswith(self._armed[0]):
            return False
        with self._lock:
            armed, self._armed = self._armed, None
        if not armed:  # another connection was quicker
            return False
        _, passes, then = armed
        sink.sendall(bytes(before) + frame[: round(len(frame) * passes)])
        self._silenced |= {source, sink}
        then()
        self.struck.set()
        return True


class NoisyRelay(Proxy):
    """Cuts connections at arbitrary bytes, or passes bytes in small pieces and late; from a seed."""

    def __init__(self, port: int, seed: int) -> None:
        self.random = random.Random(seed)
        #: How many bytes may pass, both ways together, before the connection they pass on is cut.
        self.until_cut: int | None = None
        self.cuts = 0
        #: The longest pieces, and the longest delay of each in seconds.
        self.piece = 64 * 1024
        self.delay = 0.0
        self._lock = threading.Lock()
        super().__init__(port)

    def _pump(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        try:
            while data := source.recv(64 * 1024):
                if from_client:
                    self.heard.append(time.monotonic())
                self._pass(data, sink)
        except OSError:
            pass
        self._end(source, sink)

    def _pass(self, data: bytes, sink: socket.socket) -> None:
        start = 0
        while start < len(data):
            piece = data[start : start + (self.piece if self.piece < 2 else self.random.randint(1, self.piece))]
            with self._lock:
                cut = self.until_cut is not None and self.until_cut < len(piece)
                if cut:
                    piece, self.until_cut = piece[: self.until_cut], None
                elif self.until_cut is not None:
                    self.until_cut -= len(piece)
            sink.sendall(piece)
            if cut:
                self.cuts += 1
                raise ConnectionAbortedError
            start += len(piece)
            if self.delay:
                time.sleep(self.random.uniform(0, self.delay))

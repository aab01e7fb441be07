"""A TCP relay on the loopback interface that notes who connected, and when bytes went by."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path


class Proxy:
    #: Of the URI by which it is reached.
    scheme = "stomp"

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        #: Connections that came through.
        self.connections = 0
        #: When bytes came from the client, as `time.monotonic()` has it.
        self.heard: list[float] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for one in self._sockets:
            one.close()

    def options(self, directory: Path) -> tuple[object, ...]:
        """What a server needs to be told to connect by it; files may go into `directory`."""
        return ()

    def cut(self) -> None:
        """Ends the connections there are."""
        for one in self._sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def longest_silence(self, start: float, end: float) -> float:
        """The longest time between `start` and `end` in which the client sent nothing."""
        times = [start, *(t for t in self.heard if start < t < end), end]
        return max(b - a for a, b in zip(times, times[1:]))

    def passed(self, source: socket.socket, data: bytes) -> None:
        """For those who want to know what the client says."""

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connected, args=(near,), daemon=True).start()

    def _connected(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            near.close()
            return
        self.connections += 1
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets += [near, far]
        threading.Thread(target=self._pump, args=(near, far, True), daemon=True).start()
        threading.Thread(target=self._pump, args=(far, near, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        try:
            while data := source.recv(64 * 1024):
                if from_client:
                    self.heard.append(time.monotonic())
                    self.passed(source, data)
                sink.sendall(data)
        except OSError:
            pass
        self._end(source, sink)

    @staticmethod
    def _end(*ends: socket.socket) -> None:
        for one in ends:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

"""A log that cannot be written costs lines of the log, and nothing else."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable

import pytest
import server as servers

SIZE = 4096
#: More lines than fit into any of them.
REQUESTS = 600


class Unread:
    """A pipe with little room, whose reader is there and does not read."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, SIZE)

    def spoil(self) -> None:
        """What happens to it once the server runs."""

    def fill(self) -> None:
        os.set_blocking(self.writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"x" * 100)
        os.set_blocking(self.writer, True)

    def close(self) -> None:
        for fd in (self.reader, self.writer):
            with contextlib.suppress(OSError):
                os.close(fd)


class Gone(Unread):
    """A pipe whose reader exits."""

    def spoil(self) -> None:
        os.close(self.reader)


class Terminal(Unread):
    """A terminal that is closed."""

    def __init__(self) -> None:
        self.reader, self.writer = os.openpty()

    def spoil(self) -> None:
        os.close(self.reader)


class Frozen(Terminal):
    """A terminal that shows nothing more."""

    def spoil(self) -> None:
        pass


class Socket(Unread):
    """A socket whose reader does not read, as journald's may."""

    def __init__(self) -> None:
        reader, writer = socket.socketpair()
        writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SIZE)
        self.reader, self.writer = reader.detach(), writer.detach()


class Full(Unread):
    """A full disk."""

    def __init__(self) -> None:
        self.reader, self.writer = os.open("/dev/null", os.O_RDONLY), os.open("/dev/full", os.O_WRONLY)


@pytest.fixture
def make():
    made: list[Unread] = []

    def make(kind: Callable[[], Unread]) -> Unread:
        made.append(kind())
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("target", [Unread, Gone, Terminal, Frozen, Socket, Full])
def test_a_server_serves_and_stops_without_its_log(target, reactor, shared_brokers, serve, make):
    stderr = make(target)
    server = serve(shared_brokers("dev"), reactor, stderr=stderr.writer)
    stderr.spoil()
    with server.requester() as caller:
        for n in range(REQUESTS):
            assert caller.request("GET", "/ping").body == b"pong", n
        # Tracebacks are long, and from Python.
        assert caller.request("GET", "/boom").headers["http_statusCode"] == "500"
        with server.requester() as other:
            assert other.request("POST", "/echo/x", b"y" * 5000).body == b"x:" + b"y" * 5000
    assert server.stop() == 0


def lost(text: bytes) -> int:
    """How many lines are missing. There may be room for a notice, and then none again for a line."""
    return sum(map(int, re.findall(rb"WARN .*log lines were lost.* lost=(\d+)\n", text)))


def test_what_was_lost_is_said_when_somebody_reads_again(shared_brokers, serve, make):
    stderr = make(Unread)
    server = serve(shared_brokers("dev"), "thread-pool", stderr=stderr.writer)
    with server.requester() as caller:
        for _ in range(REQUESTS):
            caller.request("GET", "/ping")
        text, said = bytearray(), threading.Event()

        def read() -> None:
            while part := os.read(stderr.reader, 65536):
                text.extend(part)
                if lost(text) > REQUESTS / 2:
                    said.set()

        reader = threading.Thread(target=read)
        reader.start()
        deadline = time.monotonic() + 20
        while not said.wait(0.05) and time.monotonic() < deadline:
            caller.request("GET", "/ping")
    assert server.stop() == 0
    os.close(stderr.writer)
    reader.join(20)
    assert said.is_set() and lost(text) <= REQUESTS
    assert text.decode().splitlines()[-1].endswith(" stopped")


@pytest.mark.parametrize("target", [Unread, Gone, Full])
def test_the_exit_code_needs_no_standard_error(target, make):
    stderr = make(target)
    stderr.spoil()
    if target is Unread:
        stderr.fill()
    for status, arguments in [
        (3, ["serve", "broken:app", "--chdir", servers.APPS]),
        (7, ["call", "--broker", "failover:(stomp://127.0.0.1:1)?startupMaxReconnectAttempts=1", "GET", "/"]),
    ]:
        command = [str(servers.binary()), *map(str, arguments)]
        done = subprocess.run(command, stderr=stderr.writer, env=servers.environment(), timeout=30)
        assert done.returncode == status, arguments


def test_a_bad_argument_needs_none_either(make):
    stderr = make(Full)
    command = [str(servers.binary()), "serve", "a:a", "--threads", "stomp://bob:secret@h"]
    assert subprocess.run(command, stderr=stderr.writer, env=servers.environment(), timeout=30).returncode == 2


def test_an_application_may_close_the_standard_streams(reactor, shared_brokers, serve):
    """What the server opens next does not become standard error, which would send the log to the broker."""
    server = serve(shared_brokers("dev"), reactor, app="closed:app")
    with server.requester() as caller:
        for n in range(20):
            assert caller.request("GET", "/print").body == b"printed", n
    assert server.stop() == 0
    log = server.log.read_text()
    assert log.count(" connected ") == 1, "one connection"
    assert log.splitlines()[-1].endswith(" stopped"), "the log goes where it went before"

"""A system that has no more threads for the server: it says so at the start, and can be stopped later."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from pathlib import Path

import pytest
from server import APPS, Server


class Limit:
    """A control group with a limit of threads."""

    def __init__(self) -> None:
        for parent in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")):
            self.path = parent / f"stomp-wsgi-tests-{uuid.uuid4().hex}"
            try:
                self.path.mkdir()
                self.set("max")
                return
            except OSError:
                with contextlib.suppress(OSError):
                    self.path.rmdir()
        pytest.skip("threads cannot be limited here (a control group with pids, as root)")

    def set(self, limit: int | str) -> None:
        (self.path / "pids.max").write_text(f"{limit}\n")

    def join(self) -> None:
        (self.path / "cgroup.procs").write_text(f"{os.getpid()}\n")

    def close(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                return self.path.rmdir()
            except OSError:
                assert time.monotonic() < deadline, "its processes do not end"
                time.sleep(0.05)


@pytest.fixture
def limit():
    limit = Limit()
    yield limit
    limit.close()


def threads(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/task"))


def test_a_server_has_all_of_its_threads_or_ends(reactor, shared_brokers, serve, directory, queue, limit):
    broker = shared_brokers("dev")
    server = Server(directory, broker.port, reactor, queue, chdir=APPS, options=("--threads", 2), prepare=limit.join)
    try:
        server.start().wait_ready()
        needed = threads(server)
        # With none to spare.
        limit.set(needed)
        with server.requester() as caller:
            for _ in range(10):
                assert caller.request("GET", "/ping").body == b"pong"
        assert server.stop() == 0, "a stop takes no thread"
        # The thread-pool's last is the reader of a connection, which is made again and again.
        least = needed - (reactor == "thread-pool")
        for count in sorted({1, 2, 3, 4, least - 2, least - 1}):
            limit.set(count)
            server.log.write_bytes(b"")
            assert server.start().process.wait(30) == 1, f"of {needed} threads it gets {count}"
            last = server.log.read_text().splitlines()[-1]
            assert "cannot start the thread stomp-wsgi" in last and "pids.max" in last, last
    finally:
        server.kill()


def test_a_connection_that_gets_no_thread_is_tried_again(shared_brokers, directory, queue, limit):
    broker = shared_brokers("dev")
    server = Server(directory, broker.port, "thread-pool", queue, chdir=APPS, options=("--threads", 2), prepare=limit.join)
    try:
        server.start().wait_ready()
        limit.set(threads(server) - 1)
        assert server.stop() == 0
        server.log.write_bytes(b"")
        log = server.start().wait_log("cannot start the thread stomp-wsgi-reader")
        assert "not connected; trying again" in log
        limit.set("max")
        server.wait_ready()
        assert server.stop() == 0
    finally:
        server.kill()

"""The server goes away in the middle of work: no request is lost, and a polite end doubles none."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

from stomp_client import Request

MANY = 2_000


def jobs() -> list[Request]:
    return [Request("POST", f"/task/{n}?ms=1", b"", {}, f"worked on {n}".encode()) for n in range(MANY)]


def test_killed(broker, reactor, serve):
    server = serve(broker, reactor)

    def at(answered: int) -> None:
        if answered == MANY // 3:
            server.kill()
            server.start()

    with server.requester() as caller:
        load = caller.load(jobs(), in_flight=32, on_reply=at)
    print(f"{broker.kind} {reactor}: {load}, {len(load.doubled)} answered twice")
    load.check(once=False)
    assert len(load.replies) == MANY
    begun = Counter(server.records("begun"))
    assert len(begun) == MANY
    assert server.stop() == 0
    broker.wait_empty(server.destination)


def test_killed_while_a_forked_child_lives(broker, reactor, serve):
    """The end of the server is the end of its connection, whoever it has left behind: nothing else tells the broker."""
    server = serve(broker, reactor, app="unruly:app", options=("--heart-beat", "0,0"))
    with server.requester() as caller:
        caller.send(caller.frame(Request("GET", "/fork-and-hang"), "1"))
        deadline = time.monotonic() + 10
        while not server.records("forked"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child = int(server.records("forked")[0])
        server.kill()
        server.start()
        # Artemis sometimes answers the next CONNECT 10 s late.
        reply = caller.receive(25)
        assert (reply.headers["correlation-id"], reply.body) == ("1", b"at last")
        os.kill(child, signal.SIGKILL)
    assert server.stop() == 0


def test_terminated(broker, reactor, serve):
    server = serve(broker, reactor)
    statuses = []

    def at(answered: int) -> None:
        if answered == MANY // 3:
            statuses.append(server.stop())
            server.start()

    with server.requester() as caller:
        load = caller.load(jobs(), in_flight=32, linger=1.0, on_reply=at)
    print(f"{broker.kind} {reactor}: {load}")
    assert statuses == [0]
    load.check(once=True)
    assert len(load.replies) == MANY
    # Drained, not dropped: what had begun was finished, and not begun again.
    assert Counter(server.records("begun")) == Counter(server.records("done")) == Counter(map(str, range(MANY)))
    assert server.stop() == 0
    broker.wait_empty(server.destination)

"""The server goes away in the middle of work: no request is lost, and a polite end doubles none."""

from __future__ import annotations

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

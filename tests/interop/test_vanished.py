"""Requesters that leave before they are answered cost nobody else anything."""

from __future__ import annotations

import time

from stomp_client import Request


def test_a_vanished_requester_does_not_end_the_connection(broker, reactor, serve):
    server = serve(broker, reactor)
    # One waits for a whole reply, one is in the middle of a stream.
    with server.requester() as first, server.requester() as second:
        first.send(first.frame(Request("GET", "/task/a?ms=300"), first.next_id()))
        stream = second.stream("GET", "/gated/v?blocks=4", headers={"http_acceptStream": "true"})
        assert next(stream).body == b"block 0 of v\n"
    for n in range(1, 4):
        (server.directory / f"gate-v-{n}").touch()
    with server.requester() as other:
        deadline = time.monotonic() + 20
        while not server.records("done"):
            assert time.monotonic() < deadline, "the first request was never worked on"
            time.sleep(0.02)
        for _ in range(20):
            assert other.request("GET", "/ping").body == b"pong"
    broker.wait_empty(server.destination)
    assert server.records("begun") == ["a"], "it must not be delivered again"
    log = server.log.read_text()
    assert log.count(" connected") == 1, log
    assert server.stop() == 0

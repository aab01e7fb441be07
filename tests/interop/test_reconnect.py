"""The broker dies and comes back; the servers come back by themselves.

All servers live through one outage together, since it takes as long for one as for all.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import processes
import pytest
from server import Server
from stomp_client import Request

OUTAGE = 5.0


def pings(count: int) -> list[Request]:
    return [Request("POST", f"/echo/{n}", b"x" * n, {}, f"{n}:".encode() + b"x" * n) for n in range(count)]


@pytest.fixture(scope="module")
def outage(request, new_broker, scratch: Path):
    """What became of each server: (kind, reactor) -> Server, still running."""
    cases = [item.callspec.params for item in request.session.items if item.module is request.module]
    pairs = sorted({(case["kind"], case["reactor"]) for case in cases})
    own: dict[str, object] = {}
    servers: dict[tuple[str, str], Server] = {}
    for kind in sorted({kind for kind, _ in pairs}):
        try:
            own[kind] = new_broker(kind).start()
        except (pytest.skip.Exception, pytest.fail.Exception):
            continue  # said again, for the one test that it concerns
    for kind, reactor in pairs:
        if kind in own:
            directory = Path(tempfile.mkdtemp(dir=scratch))
            servers[kind, reactor] = Server(directory, own[kind].port, reactor, f"/queue/outage.{reactor}").start()
    try:
        for one in servers.values():
            one.wait_ready()
        for broker in own.values():
            broker.kill()
        if own:
            time.sleep(OUTAGE)
        for broker in own.values():
            broker.launch()
        for broker in own.values():
            broker.wait_ready()
        yield own, servers
    finally:
        for one in servers.values():
            one.kill()
        for broker in own.values():
            broker.close()


def test_the_server_comes_back_with_the_broker(kind, reactor, outage, need_broker):
    need_broker(kind)
    own, servers = outage
    one = servers[kind, reactor]
    log = processes.tail(one.log)
    assert one.running, f"it ended with {one.process.poll()}\n{log}"
    with one.requester() as caller:
        load = caller.load(pings(300), idle_timeout=40)
    print(f"{kind} {reactor}: {load}")
    load.check()
    assert one.stop() == 0, processes.tail(one.log)
    own[kind].wait_empty(one.destination)

"""An application that holds the GIL in C does not cost the server its connection.

A heart-beat of five seconds, a hold of thirty: whoever beats from Python, or waits for it, is cut off
by the broker. All servers hold at the same time, since it takes as long for one as for all.

The mio reactor runs the application where it does its I/O. It cannot beat meanwhile, so it must not
have promised to: its connection has to last as well, in silence.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import processes
import pytest
from proxy import Proxy
from server import Server
from stomp_client import Frame, Request

HOLD = int(os.environ.get("GIL_HOLD", "30"))
BEAT = HOLD / 6


@dataclass
class Held:
    server: Server
    reply: Frame | Exception
    seconds: float
    reconnects: int
    #: The longest time that the server sent nothing.
    silence: float


@pytest.fixture(scope="module")
def holds(request, shared_brokers, scratch: Path):
    """Runs all holds: (kind, reactor) -> what came of it."""
    cases = [item.callspec.params for item in request.session.items if item.module is request.module]
    relays: dict[tuple[str, str], Proxy] = {}
    servers: dict[tuple[str, str], Server] = {}
    callers, results = {}, {}
    try:
        for pair in sorted({(case["kind"], case["reactor"]) for case in cases}):
            kind, reactor = pair
            try:
                broker = shared_brokers(kind)
            except (pytest.skip.Exception, pytest.fail.Exception):
                continue  # said again, by the tests that it concerns
            relays[pair] = Proxy(broker.port)
            directory = Path(tempfile.mkdtemp(dir=scratch))
            beat = int(BEAT * 1000)
            options = ("--heart-beat", f"{beat},{beat}")
            one = Server(directory, relays[pair].port, reactor, f"/queue/hold.{reactor}", options=options)
            servers[pair] = one.start()
            # Not through the relay, which is to see the server only.
            callers[pair] = one.requester(port=broker.port)
        for caller in callers.values():
            assert caller.request("GET", "/ping", timeout=30).body == b"pong"
        before = {pair: relay.connections for pair, relay in relays.items()}
        start = time.monotonic()
        for caller in callers.values():
            caller.send(caller.frame(Request("GET", f"/hold/?seconds={HOLD}"), "hold"))
        for pair, caller in callers.items():
            try:
                reply = caller.receive(start + HOLD + 20 - time.monotonic())
            except Exception as error:  # noqa: BLE001 - raised by the test that it concerns
                reply = error
            results[pair] = Held(
                server=servers[pair],
                reply=reply,
                seconds=time.monotonic() - start,
                reconnects=relays[pair].connections - before[pair],
                silence=relays[pair].longest_silence(start, start + HOLD),
            )
        yield results
    finally:
        for caller in callers.values():
            caller.close()
        for one in servers.values():
            one.kill()
        for relay in relays.values():
            relay.close()


def test_the_connection_outlives_the_hold(kind, reactor, need_broker, holds):
    need_broker(kind)
    held = holds[kind, reactor]
    log = processes.tail(held.server.log)
    assert isinstance(held.reply, Frame), f"{held.reply!r}\n{log}"
    assert held.reply.body == f"held for {HOLD} s".encode()
    assert held.seconds >= HOLD
    assert held.reconnects == 0, log
    assert held.server.records("held") == [""], "delivered more than once"
    if reactor != "mio":
        assert held.silence < BEAT, f"silent for {held.silence:.1f} s, promised every {BEAT:.1f} s"
    assert held.server.stop() == 0, log

"""What a server holds: next to nothing when idle, and little more than twice of what is large."""

from __future__ import annotations

import re
import time
from pathlib import Path

import processes
import pytest
import server
from stomp_client import Connection, Frame

MIB = 2**20


def memory(of: server.Server, which: str) -> float:
    """MiB: VmRSS now, VmHWM at most."""
    status = Path(f"/proc/{of.process.pid}/status").read_text()
    return int(re.search(rf"{which}:\s+(\d+)", status)[1]) / 1024


@pytest.mark.parametrize("kind", ["dev"])
def test_a_large_body_costs_little_more_than_twice_its_size(kind, broker, reactor, serve):
    """Once as it came, and once as Python's."""
    one = serve(broker, reactor, app="stomp_wsgi.bench:upload", ready="/", options=("--max-body", "110MiB"))
    idle = memory(one, "VmRSS")
    assert idle < 60  # a build with everything that debugging needs
    body = bytes(100 * MIB)
    with one.requester() as requester:
        for _ in range(3):
            assert requester.request("POST", "/", body, timeout=60).headers["http_statusCode"] == "200"
    assert memory(one, "VmHWM") - idle < 2.2 * 100
    # Or its last message would stay with the broker, which has others to take.
    assert one.stop() == 0


def test_names_count_against_the_memory_of_the_development_broker(directory):
    """A client that subscribes under very long names, in frames with more that nobody asked for."""
    port = processes.free_port()
    command = [str(server.binary()), "broker", "--listen", f"127.0.0.1:{port}", "--memory", "8MiB"]
    child = processes.spawn(command, directory / "broker.log", server.environment())
    try:
        for _ in range(100):
            try:
                client = Connection("127.0.0.1", port)
                break
            except OSError:
                time.sleep(0.1)
        with client:
            try:
                for n in range(1000):
                    client.send(Frame("SUBSCRIBE", {"id": f"{n}" + "i" * 60_000, "destination": "/queue/a", "x": "x" * 60_000}))
            except OSError:
                pass  # it was refused, and closed
            error = client.receive(20)
        assert (error.command, error.headers["message"]) == ("ERROR", "the broker's memory is full")
        # And others go on.
        with Connection("127.0.0.1", port) as other:
            other.confirmed(Frame("SUBSCRIBE", {"id": "1", "destination": "/queue/a"}))
            other.send(Frame("SEND", {"destination": "/queue/a"}, b"x"))
            assert other.receive(20).body == b"x"
        status = Path(f"/proc/{child.pid}/status").read_text()
        assert int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024 < 60, status
    finally:
        processes.end(child)

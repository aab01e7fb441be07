"""What a server holds: next to nothing when idle, and little more than twice of what is large."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import server

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

"""stompest's own integration tests pass on the development broker as they do on ActiveMQ."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).with_name("stompest_suite.py")


def outcomes(port: int, report: Path) -> tuple[dict[str, str], str]:
    command = [sys.executable, str(SUITE), str(port), str(report)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    output = done.stdout + done.stderr
    assert report.exists(), output
    return json.loads(report.read_text()), output


@pytest.mark.activemq
def test_as_on_activemq(shared_brokers, directory):
    yardstick, _ = outcomes(shared_brokers("activemq").port, directory / "activemq.json")
    ours, output = outcomes(shared_brokers("dev").port, directory / "dev.json")
    assert len(yardstick) >= 8
    print(json.dumps({"activemq": yardstick, "dev": ours}, indent=2))
    passing = {name for name, outcome in yardstick.items() if outcome == "passed"}
    assert passing, "none passes on ActiveMQ: this says nothing"
    missed = {name: ours.get(name) for name in passing if ours.get(name) != "passed"}
    assert not missed, f"{missed}\n{output[-8000:]}"


def test_all_pass(shared_brokers, directory):
    """Needs no other broker."""
    ours, output = outcomes(shared_brokers("dev").port, directory / "dev.json")
    assert set(ours.values()) == {"passed"}, f"{ours}\n{output[-8000:]}"

"""What README shows runs; what docs/frameworks.md shows is what the other tests here run."""

from __future__ import annotations

import re
import time

import processes
import pytest
from conftest import APPS, FRAMEWORKS
from server import ROOT, Server
from stomp_client import Frame

PAGE = (ROOT / "docs" / "frameworks.md").read_text()
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = PYTHON.findall(PAGE)
SOURCES = {path: path.read_text() for path in APPS.rglob("*.py")}


def test_it_shows_something():
    assert len(BLOCKS) >= 8


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n", 1)[0].strip())
def test_code_is_of_the_applications(block):
    assert any(block in source for source in SOURCES.values())


def test_the_table():
    """Frameworks, their versions, and how to serve them."""
    lines = [line for name in ("tests", "examples") for line in (ROOT / name / "requirements.txt").read_text().split()]
    pinned = dict(line.lower().split("==") for line in lines if "==" in line)
    rows = re.findall(
        r"^\| (\w+) \| ([\d.]+)(?:, with (\w+) ([\d.]+))? \| `stomp-wsgi serve (\S+)` \|", PAGE, re.MULTILINE
    )
    assert {name.lower(): app for name, *_, app in rows} == {k: v for k, v in FRAMEWORKS.items() if k != "plain"}
    for framework, version, other, other_version, _ in rows:
        assert f"{pinned[framework.lower()]}.".startswith(f"{version}.")
        assert not other or f"{pinned[other]}.".startswith(f"{other_version}.")


def test_the_readme(shared_brokers, directory, queue):
    """Its pieces of one application, put together, and nothing added."""
    blocks = PYTHON.findall((ROOT / "README.md").read_text())
    assert len(blocks) == 2
    (directory / "flask_app.py").write_text("\n".join(blocks))
    broker = shared_brokers("dev")
    one = Server(directory, broker.port, "thread-pool", queue, app="flask_app:app", chdir=directory).start()
    try:
        one.wait_ready("/hello/you")
        with one.requester() as caller:
            assert caller.request("GET", "/hello/World").body == b"Hello, World!\n"
            event = {"destination": queue, "http_requestMethod": "NOTIFY", "http_requestUrl": "/events/kettle"}
            caller.confirmed(Frame("SEND", event, b"the kettle is on"))
        deadline = time.monotonic() + 20
        while "kettle b'the kettle is on'" not in one.log.read_text():
            assert time.monotonic() < deadline, processes.tail(one.log)
            time.sleep(0.02)
        assert one.stop() == 0
    finally:
        one.kill()

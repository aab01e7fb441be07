"""What docs/frameworks.md shows is what the other tests here run."""

from __future__ import annotations

import re

import pytest
from conftest import APPS, FRAMEWORKS
from server import ROOT

PAGE = (ROOT / "docs" / "frameworks.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
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

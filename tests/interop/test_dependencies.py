"""The crates that we build upon are licensed as deny.toml allows, and come from crates.io.

`cargo deny` looks deeper; this needs nothing but cargo.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib

import pytest
from server import ROOT


@pytest.fixture(scope="module")
def packages() -> list[dict]:
    command = ["cargo", "metadata", "--format-version", "1", "--all-features", "--locked"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return json.loads(done.stdout)["packages"]


@pytest.fixture(scope="module")
def deny() -> dict:
    return tomllib.loads((ROOT / "deny.toml").read_text())


def satisfied(expression: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression holds; `/` is an old way to write OR."""
    tokens = re.findall(r"[()]|[\w.+-]+(?: WITH [\w.-]+)?", expression.replace("/", " OR "))
    python = " ".join(
        token if token in "()" else token.lower() if token in ("AND", "OR") else str(token in allowed)
        for token in tokens
    )
    return eval(python)  # noqa: S307 - words that we have just written


@pytest.mark.parametrize(
    ("expression", "holds"),
    [("MIT", True), ("MIT/GPL-3.0", True), ("GPL-3.0", False), ("MIT AND GPL-3.0", False), ("(GPL-3.0 OR MIT) AND MIT", True)],
)
def test_expressions(expression, holds):
    assert satisfied(expression, {"MIT"}) is holds


def test_licences(packages, deny):
    allowed = set(deny["licenses"]["allow"])
    refused = {p["name"]: p["license"] for p in packages if not p["license"] or not satisfied(p["license"], allowed)}
    assert not refused


def test_sources(packages):
    foreign = {p["name"]: p["source"] for p in packages if p["source"] and not p["source"].startswith("registry+")}
    assert not foreign


def test_exceptions_are_dated(deny):
    for entry in deny["advisories"]["ignore"]:
        assert entry["reason"]
    assert re.search(r"# \d{4}-\d\d-\d\d: async-std", (ROOT / "deny.toml").read_text())

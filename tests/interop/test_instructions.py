"""What `make instructions` says of counts (benches/instructions/count.py); it runs in `make test` for itself."""

from __future__ import annotations

import json
import sys

import pytest
from server import ROOT

sys.path.append(str(ROOT / "benches" / "instructions"))

import count  # noqa: E402

MADE_WITH = {"rustc": "rustc 1", "system": "glibc 2", "python": "CPython 3"}


@pytest.fixture(autouse=True)
def left_out(tmp_path, monkeypatch):
    file = tmp_path / "cache" / "left-out"
    monkeypatch.setattr(count, "LEFT_OUT", file)
    return file


def failed(now: dict[str, int], limits: dict[str, int], **other: str) -> int:
    return count.checked(now, MADE_WITH | other, {"made with": MADE_WITH, "limits": limits})


@pytest.mark.parametrize(
    ("now", "fails", "says"),
    [
        (1000, 0, "+0.0 %\n"),
        (1050, 0, "+5.0 %\n"),
        (1051, 1, "FAILED: more than 5 % above"),
        (950, 0, "-5.0 %\n"),
        (949, 0, "lower the limit"),
    ],
)
def test_the_limit(now, fails, says, capsys, left_out):
    assert failed({"parse/x": now}, {"parse/x": 1000}) == fails
    assert says in capsys.readouterr().out
    assert not left_out.exists()


def test_each_case_has_a_limit():
    assert failed({"new": 1}, {"gone": 1}) == 2


@pytest.mark.parametrize(("other", "fails"), [("rustc", 0), ("system", 0), ("python", 1)])
def test_limits_of_another_environment(other, fails, capsys, left_out):
    """Nothing is compared, and that is said; Python is in some of the cases only."""
    counts, limits = {"parse/x": 2000, "wsgi/x": 2000}, {"parse/x": 1000, "wsgi/x": 1000}
    assert failed(counts, limits, **{other: "another"}) == fails
    assert capsys.readouterr().out.count("not checked") == 2 - fails
    assert f"made with {MADE_WITH[other]}, here is another" in left_out.read_text()


def test_what_is_kept():
    known = json.loads(count.LIMITS.read_text())
    assert known["made with"].keys() == MADE_WITH.keys()
    assert any(case.startswith(count.OF_PYTHON) for case in known["limits"])

"""The table of docs/brokers.md says what the tests show."""

from __future__ import annotations

import re
from pathlib import Path

import brokers
import guarantees

HERE = Path(__file__).resolve().parent


def test_each_row_names_tests_that_there_are():
    for named in guarantees.GUARANTEES.values():
        for test in named:
            module, _, function = test.partition("::")
            source = (HERE / module).read_text()
            assert not function or re.search(rf"^def {function}\(", source, re.MULTILINE), test


def test_the_page_has_the_rows_and_none_that_fails():
    rows = guarantees.rows_of(guarantees.PAGE.read_text())
    assert list(rows) == list(guarantees.GUARANTEES), "run `make broker-table`"
    releases = len([name for name in brokers.NAMES if name != "dev"])
    for text, cells in rows.items():
        assert len(cells) == releases, text
        assert all(re.fullmatch(r"\d+|-", cell) for cell in cells), (text, cells)
        assert sum(cell != "-" for cell in cells) >= 3, f"{text}: on hardly any broker"


def test_runs_are_told_apart():
    node = "tests/interop/test_crash.py::test_killed[activemq-mio]"
    assert guarantees.shows(node, "test_crash.py::test_killed")
    assert guarantees.shows(node, "test_crash.py")
    assert not guarantees.shows(node, "test_crash.py::test_kill")
    outcomes = {node: "passed", node.replace("mio", "tokio"): "failed"}
    assert guarantees.cell(outcomes, ("test_crash.py",)) == "**fails**"
    assert guarantees.cell({node: "passed"}, ("test_crash.py::test_killed",)) == "1"
    assert guarantees.cell({node: "skipped"}, ("test_crash.py::test_killed",)) == "-"

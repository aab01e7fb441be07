"""The table of docs/wsgi.md is that of this run. Run last, by an order of conftest.py's."""

from __future__ import annotations

from pathlib import Path

import pytest
import server
import table
from statements import STATEMENTS

HERE = Path(__file__).parent
DOCUMENT = server.ROOT / "docs" / "wsgi.md"


@pytest.fixture
def whole_run(run):
    """All tests of this directory ran."""
    if not run.whole or run.modules | {Path(__file__).name} != {path.name for path in HERE.glob("test_*.py")}:
        pytest.skip("only a part of the tests ran")
    return run


def test_every_statement_has_a_test_on_every_reactor(whole_run):
    missing = [
        f"{statement.id} on {reactor}: {statement.text}"
        for statement in STATEMENTS
        for reactor in server.REACTORS
        if not whole_run.results[statement.id][reactor]
    ]
    assert not missing, "\n".join(missing)


def test_the_table_is_that_of_this_run(whole_run, pytestconfig):
    document = DOCUMENT.read_text()
    now = table.inserted(document, table.render(whole_run.results, server.REACTORS))
    if pytestconfig.getoption("write_table", default=False):
        DOCUMENT.write_text(now)
    else:
        assert now == document, f"{DOCUMENT.name} says something else: make wsgi-table"

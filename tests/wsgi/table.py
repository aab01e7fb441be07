"""The table of docs/wsgi.md."""

from __future__ import annotations

import re

from statements import STATEMENTS

BEGIN = "<!-- Written by `make wsgi-table`, and checked by `make test`. -->"
END = "<!-- End of the table. -->"


def render(results: dict[str, dict[str, dict[str, bool]]], reactors: tuple[str, ...]) -> str:
    """`results`: statement, then reactor, then test to whether it passed."""
    rows = [["", "statement", "level", "tests", *reactors], ["---"] * (4 + len(reactors))]
    total = 0
    for statement in STATEMENTS:
        per_reactor = [results.get(statement.id, {}).get(reactor, {}) for reactor in reactors]
        tests = max(map(len, per_reactor))
        total += tests
        said = ["pass" if len(done) == tests > 0 and all(done.values()) else "**fail**" for done in per_reactor]
        rows.append([statement.id, statement.text, statement.level, str(tests), *said])
    passing = sum("**fail**" not in row for row in rows[2:])
    summary = f"{passing} of {len(STATEMENTS)} statements hold, by {total} tests on each reactor."
    return "\n".join([summary, "", *(f"| {' | '.join(row)} |" for row in rows)])


def inserted(document: str, table: str) -> str:
    """The document with this table in the place of its own."""
    found = re.search(f"{re.escape(BEGIN)}.*?{re.escape(END)}", document, re.DOTALL)
    assert found, f"the document has no place for the table, between\n{BEGIN}\n{END}"
    return document[: found.start()] + f"{BEGIN}\n\n{table}\n\n{END}" + document[found.end() :]

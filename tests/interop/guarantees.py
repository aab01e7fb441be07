"""What holds on each broker: the table of docs/brokers.md. `guarantees.py tests` names its tests, `guarantees.py write` makes the
table of what `pytest --record FILE` has noted of them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import brokers

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "brokers.md"
RECORD = ROOT / ".cache" / "guarantees.json"
BEGIN, END = "<!-- Written by `make broker-table`. -->", "<!-- End of the table. -->"

#: What holds, and the tests that show it: a module, or one test of it.
GUARANTEES: dict[str, tuple[str, ...]] = {
    "a killed server (`kill -9`) loses no request": (
        "test_crash.py::test_killed",
        "test_crash.py::test_killed_while_a_forked_child_lives",
        "test_delivery.py::test_killed_while_it_serves",
    ),
    "a stopped server (SIGTERM) answers what it has begun": ("test_crash.py::test_terminated",),
    "the server comes back with the broker": ("test_reconnect.py::test_the_server_comes_back_with_the_broker",),
    "one answer for each request, in every delivery mode": (
        "test_delivery.py::test_every_mode_answers_each_request_once",
    ),
    "504 and 503 for what takes too long": (
        "test_delivery.py::test_a_request_that_takes_too_long",
        "test_delivery.py::test_a_request_for_which_no_thread_is_free",
        "test_delivery.py::test_a_message_that_takes_too_long",
    ),
    "stuck threads give their requests to another server": (
        "test_stuck.py::test_what_has_not_begun_goes_to_another_server",
    ),
    "what fails is tried again, and then a dead letter": (
        "test_dialects.py::test_what_fails_is_tried_again_and_then_dead",
        "test_notify.py::test_refused",
    ),
    "a message that kills the server keeps no other from being answered": (
        "test_poison.py::test_a_message_that_kills_keeps_nobody_from_being_answered",
    ),
    "hostile and malformed messages cost no other request": ("test_hostile.py",),
    "a request that is too large is answered 413; what has no reply-to is kept whole": ("test_too_large.py",),
    "a requester that has gone costs no other request": (
        "test_vanished.py::test_a_vanished_requester_does_not_end_the_connection",
        "test_delivery.py::test_a_requester_that_is_gone",
    ),
    "bodies of any octets and size come back as they are": (
        "test_requests.py::test_every_request_comes_back",
        "test_structured.py::test_every_octet",
    ),
    "status and headers, cookies among them, arrive": (
        "test_requests.py::test_replies_carry_status_and_headers",
        "test_structured.py::test_headers_repeat_in_both_directions",
    ),
    "streamed replies arrive block by block, in order": ("test_streaming.py",),
    "messages by topic, and by durable subscriptions": (
        "test_notify.py::test_from_a_topic",
        "test_mounts.py::test_a_durable_subscription_has_what_came_in_the_meantime",
    ),
    "no user is believed whom the broker does not verify": ("test_identity.py::test_nobody_is_believed_unless_asked_to",),
    "a refused login ends the server, with a hint": (
        "test_cli.py::test_login_refused",
        "test_cli.py::test_a_server_that_is_refused_ends",
    ),
    "stomp.py, stompman, stompest and the terminal call it": ("test_calling.py", "test_requesters.py"),
    "JMS, Spring and Camel call it": ("test_jvm.py",),
    "the development broker answers as this one does": ("test_scenarios.py",),
}


def tests() -> list[str]:
    return sorted({f"tests/interop/{test}" for named in GUARANTEES.values() for test in named})


def shows(nodeid: str, test: str) -> bool:
    """Whether this is a run of that test."""
    path, _, rest = nodeid.rpartition("interop/")[2].partition("[")
    del rest
    return path == test or path.startswith(f"{test}::")


def record(file: Path, outcomes: dict[tuple[str, str], str]) -> None:
    """Adds what a run has shown: by release of a broker and test."""
    known = json.loads(file.read_text()) if file.exists() else {}
    for (release, nodeid), outcome in outcomes.items():
        known.setdefault(release, {})[nodeid] = outcome
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(known, indent=1))


def cell(outcomes: dict[str, str], named: tuple[str, ...]) -> str:
    """An expected failure is a difference that docs/brokers.md names."""
    found = [outcome for nodeid, outcome in outcomes.items() if any(shows(nodeid, test) for test in named)]
    if "failed" in found:
        return "**fails**"
    return f"{found.count('passed')}" if "passed" in found else "-"


def table(known: dict[str, dict[str, str]]) -> str:
    releases = [name for name in brokers.NAMES if name != "dev"]
    if missing := [name for name in releases if name not in known]:
        raise SystemExit(f"no tests were recorded of {', '.join(missing)}: run `make broker-table` where all brokers can be had")
    rows = [["", *releases], ["---"] * (1 + len(releases))]
    rows += [[text, *(cell(known[name], named) for name in releases)] for text, named in GUARANTEES.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def rows_of(page: str) -> dict[str, list[str]]:
    """The table that the page has."""
    inner = page.partition(BEGIN)[2].partition(END)[0]
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in inner.strip().splitlines()]
    return {line[0].lstrip("| ").strip(): line[1:] for line in lines[2:]}


def write() -> None:
    page = PAGE.read_text()
    if BEGIN not in page:
        raise SystemExit(f"{PAGE} has no place for the table: {BEGIN}")
    made = f"{BEGIN}\n\n{table(json.loads(RECORD.read_text()))}\n\n{END}"
    PAGE.write_text(re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: made, page, flags=re.DOTALL))


if __name__ == "__main__":
    if sys.argv[1:] == ["tests"]:
        print("\n".join(tests()))
    elif sys.argv[1:] == ["write"]:
        write()
    else:
        sys.exit("usage: guarantees.py tests|write")

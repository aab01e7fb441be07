"""A part of other people's test suites, across the wire. The whole of them: `make suites`."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import processes
import pytest
import server
import suites
from expected import SUITES, Selection
from job import Job, Report
from wire import NoReply, Request, Wire

#: The two most different ones, each with one of the ways in which a request travels.
WAYS = (("thread-pool", "structured"), ("mio", "property"))


@pytest.mark.parametrize(("model", "mode"), WAYS)
@pytest.mark.parametrize("name", SUITES)
def test_sample(name: str, model: str, mode: str, shared_brokers, tmp_path: Path):
    if why := suites.missing():
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(f"{why}; CI has to run them", pytrace=False)
        pytest.skip(why)
    suite = SUITES[name]
    outcome = suites.run(suite, suite.sample, model, tmp_path, shared_brokers("dev"), mode)
    print(suites.table([outcome]))
    assert not outcome.complaints, "\n".join([*outcome.complaints, processes.tail(outcome.log)])


GOOD = Report(
    outcomes={"a.py::one": "passed", "a.py::two": "failed", "a.py::three": "skipped"},
    reasons={"a.py::two": "E  because"},
    crossed=["a.py::one"],
    status=1,
)


def judged(report: Report, excused: tuple[str, ...] = ("a.py::two",)) -> list[str]:
    selection = Selection((), tests=2, crossing=1)
    return suites.judge(report, dict.fromkeys(excused, "a reason"), selection, "mio")


def test_a_run_as_expected_is_good():
    assert judged(GOOD) == []
    # A sample need not have all files of the list.
    assert judged(GOOD, ("a.py::two", "b.py::other")) == []


@pytest.mark.parametrize(
    ("report", "excused", "complaint"),
    [
        (GOOD, (), "failed: a.py::two\nE  because"),
        (GOOD, ("a.py::two", "a.py::one"), "passed, and need not be excused any more: a.py::one"),
        (GOOD, ("a.py::two", "a.py::gone"), "is not there, and need not be excused any more: a.py::gone"),
        (replace(GOOD, outcomes={"a.py::two": "failed"}), ("a.py::two",), "1 tests ran, 2 were expected"),
        (replace(GOOD, crossed=[]), ("a.py::two",), "0 tests sent a request, 1 were expected"),
        (replace(GOOD, status=3), ("a.py::two",), "pytest ended with 3"),
    ],
)
def test_what_is_wrong_is_said(report: Report, excused: tuple[str, ...], complaint: str):
    assert judged(report, excused) == [complaint]


def test_a_suite_that_never_ran_is_wrong():
    assert judged(Report(), ()) == [
        "pytest ended with pytest did not run",
        "0 tests ran, 2 were expected",
        "0 tests sent a request, 1 were expected",
    ]


def environ(path: str = "/", **more: object) -> dict[str, object]:
    return {"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.input": io.BytesIO()} | more


@pytest.mark.parametrize(
    ("given", "target"),
    [
        (environ("/a b", QUERY_STRING="c=d e#f"), "/a%20b?c=d%20e%23f"),
        (environ("/a/b", RAW_URI="/a%2Fb?not=this", QUERY_STRING="but=this"), "/a%2Fb?but=this"),
        (environ("/\xc3\xa9?%"), "/%C3%A9%3F%25"),
        (environ("/b", SCRIPT_NAME="/a"), "/a/b"),
    ],
)
def test_targets_are_those_of_a_client(given: dict[str, object], target: str):
    assert Request(given).target == target


def test_a_body_ends_where_it_says_and_can_be_sent_again():
    stream = io.BytesIO(b"0123456789")
    stream.read(1)
    assert Request(environ(**{"wsgi.input": stream}, CONTENT_LENGTH="5")).body == b"12345"
    assert stream.read() == b"123456789"


def test_no_reply_is_a_failure_that_says_so(shared_brokers):
    wire = Wire(Job("", [], "", port=shared_brokers("dev").port, destination="/queue/suite.nobody", timeout=0.2))
    with pytest.raises(NoReply, match=r"GET /lost: no reply within 0\.2 s"):
        wire.to(lambda environ, start_response: [])(environ("/lost"), lambda status, headers: None)

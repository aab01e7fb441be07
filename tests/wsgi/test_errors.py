"""wsgi.errors (PEP 3333, "Input and Error Streams")."""

from __future__ import annotations

import logging
import sys
import traceback

import pytest
from application import answer


def writes(environ, start_response):
    """All that the PEP names, and what each gives."""
    errors = environ["wsgi.errors"]
    given = [errors.write("first line\nsecond "), errors.flush()]
    errors.writelines(["third\n", "fourth\n"])
    errors.writelines(f"from a generator {n}\n" for n in range(2))
    print("printed", 1, None, file=environ["wsgi.errors"])
    return answer(start_response, given[1])


def lines_of(log: str) -> list[str]:
    """What was logged, without time, level and the request's span."""
    return [line.partition("}: ")[2] if "ERROR" in line else line for line in log.splitlines() if " INFO " not in line]


def test_w1_everything_ends_in_the_log(ask):
    reply = ask(writes)
    assert reply.json is None
    expected = [
        "first line",
        "second ",
        "third",
        "fourth",
        "from a generator 0",
        "from a generator 1",
        "printed 1 None",
    ]
    assert lines_of(reply.log) == expected


TEXTS = {
    "latin": "grüße",
    "wide": "日本語 \U0001f600",
    "lone surrogate": "a\udcffb\ud800",
    "nul": "a\x00b",
    "empty": "",
    "long": "x" * 60_000,
}


def writes_text(environ, start_response):
    text = TEXTS[environ["HTTP_X_TEXT"]]
    text = f"<{text}>"
    environ["wsgi.errors"].write(text)
    environ["wsgi.errors"].writelines([text, text])
    environ["wsgi.errors"].flush()
    return answer(start_response, True)


@pytest.mark.parametrize("text", TEXTS)
def test_w1_any_text(ask, text):
    reply = ask(writes_text, headers={"X-Text": text})
    assert reply.json is True
    shown = {"lone surrogate": r"a\udcffb\ud800"}.get(text, TEXTS[text])
    assert reply.log.count(f"<{shown}>") == 3


def writes_no_text(environ, start_response):
    raised = []
    for call, argument in (
        ("write", b"bytes"),
        ("write", None),
        ("write", 1),
        ("writelines", [b"bytes"]),
        ("writelines", None),
    ):
        try:
            getattr(environ["wsgi.errors"], call)(argument)
            raised.append("nothing")
        except TypeError as error:
            raised.append(type(error).__name__)
    return answer(start_response, raised)


def test_w1_text_only(ask):
    assert ask(writes_no_text).json == ["TypeError"] * 5


def logs(environ, start_response):
    """As applications and frameworks use it: a handler of logging's, a traceback, warnings."""
    log = logging.getLogger("tests.errors")
    handler = logging.StreamHandler(environ["wsgi.errors"])
    handler.setFormatter(logging.Formatter("%(levelname)s-%(message)s"))
    log.addHandler(handler)
    try:
        log.error("logged")
        raise LookupError("in a traceback")
    except LookupError:
        traceback.print_exc(file=environ["wsgi.errors"])
    finally:
        log.removeHandler(handler)
    return answer(start_response, True)


def test_w1_logging_and_tracebacks(ask):
    log = ask(logs).log
    assert "ERROR-logged" in log
    assert "Traceback (most recent call last):" in log and "LookupError: in a traceback" in log


def writes_unfinished(environ, start_response):
    """Lines that are not ended: by the end of the request they are."""
    environ["wsgi.errors"].write("begun in the call")
    start_response("200 OK", [])
    yield b"x"
    environ["wsgi.errors"].write(", ended in the iteration")


def test_w1_an_unfinished_line_is_not_lost(ask):
    for stream in (False, True):
        assert lines_of(ask(writes_unfinished, stream=stream).log) == ["begun in the call, ended in the iteration"]


def replaces_stderr(environ, start_response):
    """Some applications do; what Python itself writes goes there then."""
    before, sys.stderr = sys.stderr, environ["wsgi.errors"]
    try:
        print("through sys.stderr", file=sys.stderr, flush=True)
    finally:
        sys.stderr = before
    return answer(start_response, environ["wsgi.errors"].isatty())


def test_w1_in_the_place_of_stderr(ask):
    reply = ask(replaces_stderr)
    assert reply.json is False
    assert lines_of(reply.log) == ["through sys.stderr"]


def forges(environ, start_response):
    """What looks like a line of the server's own."""
    environ["wsgi.errors"].write("evil\x1b[2J\x1b]0;title\x07\n")
    return answer(start_response, True)


def test_w1_no_escape_sequences_for_the_terminal(ask):
    log = ask(forges).log
    assert "evil" in log
    assert "\x1b" not in log and "\x07" not in log

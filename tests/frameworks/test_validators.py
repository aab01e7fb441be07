"""WSGI's four public validators stand between the server and each application.

They object to nothing that the server does. What they object to in frameworks is listed here: they do so
under any server.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import server
import test_contract
from conftest import APPS, FRAMEWORKS, Served
from reference import Waitress
from server import REACTORS, Server
from web_client import Client

VALIDATORS = ("wsgiref", "werkzeug", "paste", "webtest")
CONTRACT = {
    name.removeprefix("test_"): check for name, check in vars(test_contract).items() if name.startswith("test_")
}

#: A warning or failed assertion of a validator as Python reports it, or as Bottle does.
COMPLAINT = re.compile(r"^(?:(?:[\w.]*\.)?(?:AssertionError|WSGIWarning|HTTPWarning)|.*Critical error).*", re.MULTILINE)


@dataclass(frozen=True)
class Objection:
    #: Of any of these validators,
    validators: set[str]
    #: to these frameworks, in these parts of the contract.
    where: dict[str, set[str]]
    #: A part of what the validator says, as a regular expression.
    text: str
    reason: str


EVENT, ORDER = "notify", "notify_to_a_view_that_is_a_class"
READS = {"form", "json", "json_that_is_none", EVENT}
OBJECTIONS = [
    Objection(
        {"wsgiref"},
        {"flask": READS},
        "AssertionError$",
        "Werkzeug calls read() without a size where wsgi.input_terminated is set; PEP 3333 has made it optional",
    ),
    Objection(
        {"werkzeug"},
        {"flask": READS},
        "calls to 'wsgi.input.read.*' unsafe",
        "the same, found by Werkzeug itself: its validator does not know wsgi.input_terminated",
    ),
    Objection(
        {"werkzeug"},
        {"flask": {"redirect"}, "django": {"redirect"}, "falcon": {"redirect"}},
        "Absolute URLs required for location header",
        "RFC 9110 section 10.2.2 allows relative ones",
    ),
    Objection(
        {"werkzeug"},
        {"flask": {"head"}, "falcon": {"head"}, "bottle": {"head"}, "pyramid": {"head"}},
        "Content-Length and the number of bytes sent to the client do not match",
        "it forgets about HEAD, for which these frameworks leave the body out",
    ),
    Objection(
        {"werkzeug"},
        {"flask": {ORDER}} | {name: {EVENT, ORDER} for name in ("falcon", "bottle", "pyramid", "fastapi", "plain")},
        "204 responses must have an empty content length",
        "RFC 9110 section 8.6 forbids a Content-Length there",
    ),
    Objection(
        {"werkzeug"},
        {"bottle": {"download"}},
        "Critical error while processing request: /download",
        "Bottle's ETag has no quotation marks, and Bottle does not show the warning's text",
    ),
    Objection(
        {"wsgiref", "paste", "webtest"},
        {"flask": {ORDER}, "django": {EVENT, ORDER}, "fastapi": {EVENT, ORDER}},
        "Content-Type header found in a 204 response",
        "these frameworks give every response a content type",
    ),
    Objection(
        {"paste", "webtest"},
        {"flask": {EVENT}},
        "Content-Type header found in a 204 response",
        "the same, where they have not objected to read()",
    ),
    Objection(
        {"wsgiref", "paste"},
        {"fastapi": {"redirect"}},
        "No Content-Type header found",
        "Starlette gives a redirect none, as it has no body",
    ),
]


def expected(validator: str, framework: str, check: str) -> list[Objection]:
    return [o for o in OBJECTIONS if validator in o.validators and check in o.where.get(framework, ())]


def env(validator: str, framework: str) -> dict[str, str]:
    return {"VALIDATOR": validator, "APP": FRAMEWORKS[framework]}


def complaints(check: Callable[..., None], served: Served) -> list[str]:
    """What the validator said during this part of the contract, which has to hold if it said nothing."""
    before, error = len(served.log()), None
    offered = {"served": served, "client": served.client}
    try:
        check(**{name: offered[name] for name in inspect.signature(check).parameters})
    except AssertionError as failure:
        error = failure
    # There is one thread: what came before this has been logged.
    served.client.get("/orders/1")
    found = COMPLAINT.findall(served.log()[before:])
    if error and not found:
        raise error
    return found


def compare(found: list[str], objections: list[Objection]) -> None:
    strange = [line for line in found if not any(re.search(o.text, line) for o in objections)]
    assert not strange
    gone = [o for o in objections if not any(re.search(o.text, line) for line in found)]
    assert not gone, "it objects no longer"


# Each validator on each reactor, with one framework or another.
COMBINATIONS = [
    (validator, framework, REACTORS[(v + f) % len(REACTORS)])
    for v, validator in enumerate(VALIDATORS)
    for f, framework in enumerate(FRAMEWORKS)
]


@pytest.fixture(scope="session", params=COMBINATIONS, ids="-".join)
def validated(request: pytest.FixtureRequest, serve_app) -> Iterator[tuple[str, str, Server]]:
    validator, framework, reactor = request.param
    options = ("--max-attempts", 1, "--threads", 1)
    one = serve_app(framework, reactor, app="validated:app", env=env(validator, framework), options=options)
    yield validator, framework, one
    assert one.stop() == 0


@pytest.mark.parametrize("name", CONTRACT)
def test_no_objection(name, validated):
    validator, framework, one = validated
    with one.requester() as requester:
        found = complaints(CONTRACT[name], Served(one, Client(requester), patience=1.0))
    compare(found, expected(validator, framework, name))


OBJECTED = sorted({(validator, framework) for o in OBJECTIONS for validator in o.validators for framework in o.where})


@pytest.mark.parametrize(("validator", "framework"), OBJECTED, ids=map("-".join, OBJECTED))
def test_objections_are_the_same_under_another_server(validator, framework, app_directory, installed):
    directory = app_directory(framework)
    more = {"PYTHONPATH": str(installed), "FALCON_CUSTOM_HTTP_METHODS": "NOTIFY"}
    other = Waitress(directory, "validated:app", APPS, server.environment(directory) | env(validator, framework) | more)
    try:
        other.start().wait_ready("/hello/anybody")
        for name, check in CONTRACT.items():
            if objections := expected(validator, framework, name):
                compare(complaints(check, Served(other, other.client(), patience=0.5)), objections)
    finally:
        other.kill()

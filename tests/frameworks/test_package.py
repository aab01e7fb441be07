"""The Python package `stomp_wsgi`: in the server, and installed."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import tomllib
from email import message_from_string
from types import ModuleType, SimpleNamespace

import pytest
import server
from asgiref.sync import iscoroutinefunction
from conftest import APPS, FRAMEWORKS
from reference import Waitress
from server import REACTORS, ROOT, binary, run
from web_client import FORM

VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def test_one_version(installed):
    assert run("--version").stdout.decode().split() == ["stomp-wsgi", VERSION]
    (information,) = installed.glob("stomp_wsgi-*.dist-info/METADATA")
    metadata = message_from_string(information.read_text())
    assert (metadata["Name"], metadata["Version"]) == ("stomp-wsgi", VERSION)


def test_what_is_installed(installed):
    sources = ROOT / "python" / "stomp_wsgi"
    names = {path.name for path in sources.iterdir()} - {"__pycache__"}
    assert {path.name for path in (installed / "stomp_wsgi").iterdir()} - {"__pycache__"} == names
    assert "py.typed" in names


def test_the_server_brings_it_along(serve_app):
    one = serve_app("plain", REACTORS[0], app="whence:app")
    with one.requester() as caller:
        version, file = caller.request("GET", "/").body.decode().split(" ", 1)
    assert version == VERSION
    # A name within the program, as of a module in a zip file.
    assert file == os.fspath(binary() / "stomp_wsgi" / "django.py")
    assert one.stop() == 0


def test_what_is_installed_comes_first(serve_app, installed):
    one = serve_app("plain", REACTORS[0], app="whence:app", options=("--pythonpath", installed))
    with one.requester() as caller:
        assert caller.request("GET", "/").body.decode() == f"{VERSION} {installed / 'stomp_wsgi' / 'django.py'}"
    assert one.stop() == 0


@pytest.fixture(scope="module")
def django() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ours", ROOT / "python" / "stomp_wsgi" / "django.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MESSAGE = {"stomp.message_id": "1", "stomp.one_way": False}


@pytest.mark.parametrize(
    ("method", "environ", "exempt"),
    [
        ("POST", MESSAGE, True),
        ("DELETE", MESSAGE | {"HTTP_AUTHORIZATION": "Bearer x"}, True),
        ("POST", MESSAGE | {"stomp.one_way": True}, True),
        ("POST", MESSAGE | {"HTTP_COOKIE": ""}, False),
        ("POST", MESSAGE | {"HTTP_ORIGIN": "null"}, False),
        ("POST", MESSAGE | {"HTTP_REFERER": "https://shop.example/"}, False),
        ("POST", MESSAGE | {"stomp.one_way": True, "HTTP_COOKIE": "sessionid=1"}, False),
        ("NOTIFY", MESSAGE | {"HTTP_COOKIE": "sessionid=1", "HTTP_ORIGIN": "null"}, True),
        # Another server, whatever its client says.
        ("POST", {}, False),
        ("NOTIFY", {}, False),
        ("NOTIFY", {"HTTP_STOMP.MESSAGE_ID": "1", "HTTP_STOMP_MESSAGE_ID": "1", "HTTP_STOMP_ONE_WAY": "true"}, False),
    ],
)
def test_who_needs_no_token(django, method, environ, exempt):
    request = SimpleNamespace(META=environ | {"REQUEST_METHOD": method})
    middleware = django.BrokerMessageMiddleware(lambda request: ("response to", request))
    assert middleware(request) == ("response to", request)
    assert getattr(request, "_dont_enforce_csrf_checks", False) is exempt


def test_another_server_s_clients_cannot_claim_it(app_directory, installed):
    directory = app_directory("django")
    env = server.environment(directory) | {"PYTHONPATH": str(installed)}
    other = Waitress(directory, FRAMEWORKS["django"], APPS, env)
    claims = {"stomp.message_id": "1", "stomp.one_way": "true", "X_STOMP.MESSAGE_ID": "1"}
    try:
        client = other.start().wait_ready("/hello/anybody").client()
        assert client.post("/form", b"a=1", FORM, **claims).status == 403
        assert client.request("NOTIFY", "/events/kettle", **claims).status == 403
    finally:
        other.kill()


def test_asynchronous_views(django):
    async def view(request: SimpleNamespace) -> str:
        return "response"

    request = SimpleNamespace(META=MESSAGE | {"REQUEST_METHOD": "POST"})
    middleware = django.BrokerMessageMiddleware(view)
    assert iscoroutinefunction(middleware), "or else Django would not await it"
    assert asyncio.run(middleware(request)) == "response"
    assert request._dont_enforce_csrf_checks is True

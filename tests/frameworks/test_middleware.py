"""Standard middleware does behind this server what it does behind others."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from conftest import Served
from web_client import Client

STYLES = "body { color: teal }\n" * 5000


@pytest.fixture
def within(request: pytest.FixtureRequest, serve_app, app_directory) -> Iterator[Served]:
    """The application of apps/middleware.py that the test names, on the reactor that it names."""
    name, reactor = request.param
    one = serve_app("flask", reactor, app=f"middleware:{name}")
    with one.requester() as requester:
        yield Served(one, Client(requester))
    assert one.stop() == 0


def behind(name: str, reactor: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("within", [(name, reactor)], indirect=True, ids=[f"{name}-{reactor}"])


@behind("proxied", "tokio")
def test_proxy_fix(within):
    """What a gateway says about its client is believed."""
    plain = within.client.get("/where").json
    assert plain == {"url": "http://localhost/where", "client": "", "root": ""}
    forwarded = {
        "X_Forwarded_For": "192.0.2.1",
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Host": "shop.example",
        "X_Forwarded_Prefix": "/shop",
    }
    assert within.client.get("/where", **forwarded).json == {
        "url": "https://shop.example/shop/where",
        "client": "192.0.2.1",
        "root": "/shop",
    }


@behind("debugged", "mio")
def test_werkzeug_s_debugger(within):
    """Shows the traceback in the reply, and serves its own resources."""
    reply = within.client.get("/boom")
    assert reply.status == 500
    assert reply.headers["content-type"].startswith("text/html")
    assert "RuntimeError: the kettle is empty" in reply.text
    assert "EVALEX = false" in reply.text
    assert "RuntimeError: the kettle is empty" in within.log()
    styles = within.client.get("/boom?__debugger__=yes&cmd=resource&f=style.css")
    assert (styles.status, styles.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert within.client.get("/hello/survivor").text == "Hello, survivor!"


@behind("static", "async-std")
def test_whitenoise(within):
    """Serves files, which it opens with wsgi.file_wrapper, and the application what are none."""
    reply = within.client.get("/static/site.css")
    assert (reply.status, reply.text) == (200, STYLES)
    assert reply.headers["content-type"] == 'text/css; charset="utf-8"'
    assert "max-age" in reply.headers["cache-control"]
    again = within.client.get("/static/site.css", If_None_Match=reply.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    part = within.client.get("/static/site.css", Range="bytes=5-9")
    assert (part.status, part.text) == (206, STYLES[5:10])
    head = within.client.request("HEAD", "/static/site.css")
    assert (head.body, head.headers["content-length"]) == (b"", str(len(STYLES)))
    assert within.client.get("/static/none.css").status == 404
    assert within.client.get("/hello/World").text == "Hello, World!"


@behind("watched", "thread-pool")
def test_sentry(within):
    """Gets the exception with its frames, the request and what led to it."""
    assert within.client.get("/boom?x=1", X_Tenant="blue").status == 500
    errors = [event for event in map(json.loads, within.server.records("sentry")) if "exception" in event]
    assert len(errors) == 1
    (error,) = errors[0]["exception"]["values"]
    assert (error["type"], error["value"]) == ("RuntimeError", "the kettle is empty")
    assert error["stacktrace"]["frames"][-1]["vars"]["kettle"] == "'empty'"
    request = errors[0]["request"]
    assert (request["method"], request["url"], request["query_string"]) == ("GET", "http://localhost/boom", "x=1")
    assert request["headers"]["X-Tenant"] == "blue"


@behind("traced", "thread-pool")
def test_opentelemetry(within):
    """Makes a span of each request, in the trace that the requester says."""
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    within.client.get("/hello/World?x=1", traceparent=f"00-{trace}-{parent}-01")
    assert within.client.get("/boom").status == 500
    ready, hello, boom = within.client.get("/spans").json
    assert hello["context"]["trace_id"] == f"0x{trace}"
    assert hello["parent_id"] == f"0x{parent}"
    assert hello["kind"] == "SpanKind.SERVER"
    assert hello["attributes"]["http.method"] == "GET"
    assert hello["attributes"]["http.status_code"] == 200
    assert hello["attributes"]["http.target"] == "/hello/World?x=1"
    assert boom["status"]["status_code"] == "ERROR"

"""Many requests at once, large bodies, and nothing left behind."""

from __future__ import annotations

import hashlib
import json
import random

import pytest
from stomp_client import Request

MANY = 10_000


def echo(n: int) -> Request:
    """Sizes from nothing to 1.5 kB, every byte value; different for each `n`."""
    body = random.Random(n).randbytes(n * 7 % 1500)
    return Request("POST", f"/echo/{n}", body, {"content-type": "application/octet-stream"}, f"{n}:".encode() + body)


def test_every_request_comes_back(broker, reactor, serve, record_property):
    # RabbitMQ 4 is set up here to take more than by default.
    server = serve(broker, reactor, options=("--max-reply", "16MiB"))
    with server.requester() as caller:
        load = caller.load((echo(n) for n in range(MANY)), in_flight=32)
        print(f"{broker.kind} {reactor}: {load}")
        record_property("load", str(load))
        load.check()
        assert load.sent == len(load.replies) == MANY

        body = random.Random(reactor).randbytes(10 * 1024 * 1024)
        reply = caller.request("POST", "/plain", body, {"content-type": "application/octet-stream"}, timeout=60)
        assert reply.headers["http_statusCode"] == "200"
        assert hashlib.sha256(reply.body).digest() == hashlib.sha256(body).digest()
    assert server.stop() == 0
    broker.wait_empty(server.destination)


def test_a_request_as_the_application_sees_it(broker, reactor, serve):
    server = serve(broker, reactor)
    with server.requester() as caller:
        headers = {"X-Tenant": "blue", "Accept": "text/plain", "content-type": "text/plain; charset=utf-8"}
        reply = caller.request("PUT", "/show/caf%C3%A9?x=1&y=%20", b"hi", headers)
        environ = json.loads(reply.body)
        assert environ["REQUEST_METHOD"] == "PUT"
        assert environ["PATH_INFO"].encode("latin-1").decode() == "/show/café"
        assert environ["QUERY_STRING"] == "x=1&y=%20"
        assert environ["CONTENT_LENGTH"] == "2"
        assert environ["CONTENT_TYPE"] == "text/plain; charset=utf-8"
        assert environ["HTTP_X_TENANT"] == "blue"
        assert environ["HTTP_ACCEPT"] == "text/plain"
        assert not [name for name in environ if name.startswith("HTTP_HTTP_")]


def test_replies_carry_status_and_headers(broker, reactor, serve):
    server = serve(broker, reactor)
    with server.requester() as caller:
        reply = caller.request("GET", "/cookies")
        assert reply.headers["Set-Cookie"] == "a=1"
        assert reply.headers["Set-Cookie_2"] == "b=2"
        assert reply.headers["Expires"].startswith("Thu, 01 Jan 1970")
        for code in ("201", "404", "503"):
            assert caller.request("GET", f"/status/{code}").headers["http_statusCode"] == code
        assert caller.request("GET", "/nowhere").headers["http_statusCode"] == "404"
        assert caller.request("GET", "/boom").headers["http_statusCode"] == "500"
        assert caller.request("GET", "/ping").body == b"pong"


def test_what_nobody_answers(broker, reactor, serve):
    server = serve(broker, reactor)
    with server.requester() as caller:
        note = caller.frame(Request("NOTIFY", "/note/one", b"a letter"), "unused")
        del note.headers["reply-to"], note.headers["correlation-id"]
        caller.confirmed(note)
        # Asked to reply, but not to a notification.
        caller.confirmed(caller.frame(Request("NOTIFY", "/note/two", b"another"), "unused"))
        assert caller.request("GET", "/ping").body == b"pong"
        with pytest.raises(TimeoutError):
            caller.receive(0.5)
    assert server.stop() == 0
    assert sorted(server.records("notes")) == ["NOTIFY one a letter", "NOTIFY two another"]
    broker.wait_empty(server.destination)

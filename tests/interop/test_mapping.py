"""The other ways to say an HTTP request in a message."""

from __future__ import annotations

import json

from stomp_client import Request

REACTOR = "thread-pool"


def test_camels_names(broker, serve):
    server = serve(broker, REACTOR)
    with server.requester() as caller:
        frame = caller.frame(Request("", "", b"{}"), "camel")
        for name in ("http_requestMethod", "http_requestUrl"):
            del frame.headers[name]
        frame.headers |= {"CamelHttpMethod": "POST", "CamelHttpPath": "/show/", "CamelHttpQuery": "a=b"}
        frame.headers |= {"Content_HYPHEN_Language": "de"}
        caller.send(frame)
        environ = json.loads(caller.receive(20).body)
        assert (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("POST", "/show/", "a=b")
        assert environ["HTTP_CONTENT_LANGUAGE"] == "de"


def test_text(broker, serve):
    """Without content-length: a text message to JMS, and text is what comes back."""
    server = serve(broker, REACTOR)
    with server.requester() as caller:
        frame = caller.frame(Request("POST", "/echo/text", "grüße".encode()), "text")
        del frame.headers["content-length"]
        caller.send(frame)
        reply = caller.receive(20)
        assert reply.body.decode() == "text:grüße"
        if broker.kind == "activemq":
            assert "content-length" not in reply.headers


def test_no_correlation_id(broker, serve):
    """The reply carries the message's own id then, and never none."""
    server = serve(broker, REACTOR)
    with server.requester() as caller:
        frame = caller.frame(Request("GET", "/show/"), "")
        del frame.headers["correlation-id"]
        caller.send(frame)
        reply = caller.receive(20)
        assert reply.headers["correlation-id"]
        if broker.kind == "activemq":
            assert reply.headers["correlation-id"] == json.loads(reply.body)["stomp.message_id"]

"""Messages that nobody should send neither wedge the server nor cost others their connection."""

from __future__ import annotations

import json
import socket

import pytest
from stomp_client import Connection, Frame, Request

COLONS = ":" * 6000  # a short header, until somebody escapes it


def request(server, **headers: str) -> dict[str, str]:
    return {"destination": server.destination, "http_requestMethod": "GET", "http_requestUrl": "/ping"} | headers


def send_as_1_0(port: int, headers: dict[str, str]) -> None:
    """STOMP 1.0 has no escapes, so it can say what 1.2 cannot."""
    def frame(command: str, headers: dict[str, str]) -> bytes:
        return (command + "".join(f"\n{name}:{value}" for name, value in headers.items()) + "\n\n\0").encode()

    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        peer.sendall(frame("CONNECT", {"login": "guest", "passcode": "guest"}))
        assert peer.recv(4096).startswith(b"CONNECTED")
        peer.sendall(frame("SEND", headers | {"receipt": "sent"}))
        assert b"RECEIPT" in peer.recv(65536)


def messages(server, broker):
    """What to send, by name: (headers, whether in STOMP 1.0)."""
    kind = broker.kind
    replied = {"reply-to": "/queue/nobody.reads.this"}
    if kind != "rabbitmq" or broker.release().long_strings:
        yield "a correlation-id that grows when escaped", request(server, **replied) | {"correlation-id": COLONS}, True
    gone = {"http_requestMethod": "NOTIFY", "http_requestUrl": "/status/404", "x-long": COLONS}
    yield "a dead letter whose header grows when escaped", request(server, **gone), True
    many = {f"h{n}": "v" for n in range(980)}
    yield "very many headers", request(server, **replied) | many, False
    large = {f"h{n}": "v" * 9000 for n in range(40)}
    yield "very large headers", request(server, **replied) | large, False
    yield "a method that is none", request(server, **replied) | {"http_requestMethod": "G E T"}, False
    yield "a target that is none", request(server, **replied) | {"http_requestUrl": "/a b\x01"}, False
    if kind == "rabbitmq":
        yield "one huge header", request(server, **replied) | {"h": "v" * 70_000}, False
    if kind == "activemq":
        yield "a reply-to that loops", request(server) | {"reply-to": server.destination}, False


def test_hostile_messages_cost_nobody_else_anything(real_kind, shared_brokers, serve):
    broker = shared_brokers(real_kind)
    server = serve(broker, "thread-pool").wait_ready()
    for name, headers, old in messages(server, broker):
        if old:
            send_as_1_0(broker.port, headers)
        with server.requester() as caller:
            if not old:
                caller.confirmed(Frame("SEND", headers))
            assert caller.request("GET", "/ping").body == b"pong", name
        broker.wait_empty(server.destination)
        log = server.log.read_text()
        assert log.count(" connected") == 1, f"{name}\n{log[-3000:]}"


def test_nothing_is_smuggled_in_or_out(broker, serve):
    """Escapes of STOMP and of Camel make no header of a value, no proxy, and no line of a correlation id."""
    server = serve(broker, "thread-pool").wait_ready()
    evil = "c\r\nX-Evil: 1\n\nSEND\ndestination:/queue/b\n\n"
    claims = {
        "X_HYPHEN_A\r\nProxy": "http://evil",
        "X_HYPHEN_B\n": "1",
        "pRoXy": "http://evil",
        "X_HYPHEN_C": "1\r\nProxy: http://evil",
        "Content_HYPHEN_Length": "999",
        "content_type": "evil/one",
        "Content_HYPHEN_Type": "evil/two",
        "content-type": "text/plain",
        "X_Tenant": "evil",
        "X_HYPHEN_Tenant": "blue",
        "Host": "shop.example",
        "HO\nST": "evil",
    }
    with server.requester() as caller:
        frame = caller.frame(Request("POST", "/show", b"four", claims), evil)
        caller.send(frame)
        reply = caller.receive(20)
        assert reply.headers["correlation-id"] == evil, "as it came"
        assert "X-Evil" not in reply.headers
        environ = json.loads(reply.body)
    expected = {"CONTENT_LENGTH": "4", "CONTENT_TYPE": "text/plain", "HTTP_X_TENANT": "blue", "SERVER_NAME": "shop.example"}
    assert {name: environ.get(name) for name in expected} == expected
    assert "HTTP_PROXY" not in environ
    assert not [key for key in environ if "\n" in key or "\r" in key or "X_A" in key or "X_B" in key]
    assert environ["HTTP_X_C"] == "1  Proxy: http://evil", "a space for each of CR and LF"
    assert server.stop() == 0


@pytest.mark.rabbitmq
def test_a_reply_that_the_broker_forbids_is_tried_no_more_than_thrice(shared_brokers, serve):
    """RabbitMQ ends the connection over a reply to a queue that somebody has for himself, and says no more."""
    broker = shared_brokers("rabbitmq")
    server = serve(broker, "thread-pool").wait_ready()
    taken = f"{server.destination}.taken"
    with Connection("127.0.0.1", broker.port) as owner, server.requester() as caller:
        owner.confirmed(Frame("SUBSCRIBE", {"id": "o", "destination": taken, "exclusive": "true", "auto-delete": "true"}))
        evil = request(server) | {"http_requestUrl": "/task/evil", "reply-to": taken, "correlation-id": "evil"}
        caller.confirmed(Frame("SEND", evil))
        caller.close()
        broker.wait_empty(server.destination, timeout=30)
    assert server.records("begun") == ["evil"] * 3
    with server.requester() as caller:
        assert caller.request("GET", "/ping").body == b"pong"
    assert broker.depth(f"/queue/DLQ.{server.destination.removeprefix('/queue/')}") == 1


@pytest.mark.activemq
def test_a_list_hides_no_destination(shared_brokers, serve, queue):
    """ActiveMQ takes the prefixes in a list off twice, and the blanks behind them: `/queue/topic://a,b` goes to a topic."""
    broker = shared_brokers("activemq")
    server = serve(broker, "thread-pool", options=["--allow-reply-to", "*"]).wait_ready()
    name = queue.removeprefix("/queue/")
    spellings = [f"/queue/queue://{name},{name}.x", f"/queue/{name}.x,/queue/ {name}", f"/queue/topic://{name}.t,{name}.x"]
    with server.requester() as caller:
        caller.confirmed(Frame("SUBSCRIBE", {"id": "t", "destination": f"/topic/{name}.t", "ack": "auto"}))
        # The server's own queue: what is sent there by any of these names is a request.
        for nth, hidden in enumerate(spellings[:2]):
            told = {"destination": hidden, "http_requestMethod": "NOTIFY", "http_requestUrl": f"/task/hidden-{nth}"}
            caller.confirmed(Frame("SEND", told))
        caller.confirmed(Frame("SEND", {"destination": spellings[2]}))
        assert caller.receive().headers["subscription"] == "t", "the broker reads it as we say it does"
        broker.wait_empty(server.destination)
        assert sorted(server.records("begun")) == ["hidden-0", "hidden-1"]
        for hidden in spellings:
            asked = {"http_requestUrl": "/task/asked", "reply-to": hidden, "correlation-id": "asked"}
            caller.confirmed(Frame("SEND", request(server) | asked))
        assert caller.request("GET", "/ping").body == b"pong"
        broker.wait_empty(server.destination)
        assert caller.poll(0.5) == [], "no reply of ours has gone to a topic"
    assert sorted(server.records("begun")) == ["hidden-0", "hidden-1"], "nor to ourselves"


@pytest.mark.parametrize("host", ["a:80:80", "u@a", "a/b", "a b", "[::1"])
def test_a_host_that_is_none_is_answered_400(host, broker, serve):
    """In both modes, or an application that checks hosts would take the request for one without."""
    server = serve(broker, "thread-pool")
    whole = f"GET /ping HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    with server.requester() as caller:
        assert caller.request("GET", "/ping", headers={"Host": host}).headers["http_statusCode"] == "400"
        headers = {"content-type": "application/http"}
        assert caller.request("POST", "/ping", whole, headers).headers["http_statusCode"] == "400"
        assert caller.request("GET", "/ping", headers={"Host": "a:80"}).body == b"pong"


def test_what_a_gateway_copied_of_its_connection(broker, reactor, serve):
    """Bottle would undo the chunks of a body that has none, and answer 400."""
    server = serve(broker, reactor)
    copied = {
        "Transfer-Encoding": "chunked",
        "Connection": "keep-alive, X-Hop",
        "Keep-Alive": "timeout=5",
        "TE": "trailers",
        "X-Hop": "1",
        "X-End": "2",
        "content-encoding": "utf-8",
    }
    with server.requester() as caller:
        environ = json.loads(caller.request("POST", "/show", b"body", copied).body)
        assert (environ["CONTENT_LENGTH"], environ["HTTP_X_END"]) == ("4", "2")
        gone = {"TRANSFER_ENCODING", "CONNECTION", "KEEP_ALIVE", "TE", "X_HOP", "CONTENT_ENCODING"}
        assert not gone & {name.removeprefix("HTTP_") for name in environ}
        packed = caller.request("POST", "/show", b"body", {"content-encoding": "gzip"})
        assert json.loads(packed.body)["HTTP_CONTENT_ENCODING"] == "gzip"

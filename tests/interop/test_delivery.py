"""When messages are acknowledged, and what becomes of those that take too long or come too late."""

from __future__ import annotations

import json
import time

import pytest
from stomp_client import Connection, Frame, Request
from test_notify import dead_letters, notify

MANY = 400
MODES = ("at-least-once", "at-most-once", "transactional")


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_answers_each_request_once(broker, serve, mode):
    server = serve(broker, "thread-pool", options=("--delivery", mode))
    requests = [Request("POST", f"/task/{n}?ms=1", b"", {}, f"worked on {n}".encode()) for n in range(MANY)]
    with server.requester() as caller:
        load = caller.load(requests, in_flight=32, linger=0.5)
    load.check(once=True)
    assert len(load.replies) == MANY
    assert server.stop() == 0
    broker.wait_empty(server.destination)
    assert len(server.records("begun")) == MANY


@pytest.mark.parametrize("mode", MODES)
def test_killed_while_it_serves(broker, serve, queue, mode):
    """At most once, the request is lost; else it is served again."""
    server = serve(broker, "thread-pool", options=("--delivery", mode))
    with server.requester() as caller:
        caller.confirmed(caller.frame(Request("GET", "/task/a?ms=2000"), "a"))
        wait_for(lambda: server.records("begun"))
        server.kill()
        server.start().wait_ready()
        if mode == "at-most-once":
            with pytest.raises(TimeoutError):
                caller.receive(3)
        else:
            assert caller.receive(20).body == b"worked on a"
    assert server.records("begun") == (["a"] if mode == "at-most-once" else ["a", "a"])
    assert server.stop() == 0
    broker.wait_empty(queue)


@pytest.mark.parametrize("mode", MODES)
def test_a_requester_that_is_gone(broker, serve, mode):
    server = serve(broker, "thread-pool", options=("--delivery", mode))
    with server.requester() as gone:
        gone.send(gone.frame(Request("GET", "/task/a?ms=300"), "a"))
        wait_for(lambda: server.records("begun"))
    with server.requester() as other:
        wait_for(lambda: server.records("done"))
        for _ in range(20):
            assert other.request("GET", "/ping").body == b"pong"
    broker.wait_empty(server.destination)
    assert server.records("begun") == ["a"]
    assert server.log.read_text().count(" connected") == 1
    assert server.stop() == 0


@pytest.mark.parametrize("reactor", ["thread-pool", "tokio", "async-std"])
def test_a_request_that_takes_too_long(broker, serve, reactor):
    """Exactly one reply, and the server goes on; on mio nothing can be sent while the application runs."""
    options = ("--request-timeout", 0.5, "--threads", 2)
    server = serve(broker, reactor, options=options)
    with server.requester() as caller:
        begun = time.monotonic()
        assert caller.request("GET", "/task/slow?ms=1500").headers["http_statusCode"] == "504"
        assert time.monotonic() - begun < 1.4
        assert caller.request("GET", "/ping").body == b"pong"
        wait_for(lambda: server.records("done"))
        with pytest.raises(TimeoutError):
            caller.receive(0.5)
        # A stream whose second block does not come.
        stream = caller.stream("GET", "/gated/s?blocks=2", headers={"http_acceptStream": "true"})
        first, last = next(stream), next(stream)
        assert first.headers["http_statusCode"] == "200"
        assert (last.headers["http_moreContent"], last.headers["http_isError"]) == ("false", "true")
        (server.directory / "gate-s-1").touch()
    assert server.stop() == 0
    broker.wait_empty(server.destination)


@pytest.mark.parametrize("reactor", ["thread-pool", "mio"])
def test_a_request_for_which_no_thread_is_free(broker, serve, reactor):
    server = serve(broker, reactor, options=("--request-timeout", 0.5, "--threads", 1))
    with server.requester() as caller:
        if reactor == "mio":
            # It reads nothing meanwhile, and then the other two at once: time counts from when a message is read.
            caller.send(caller.frame(Request("GET", "/task/earlier?ms=400"), "earlier"))
            wait_for(lambda: server.records("begun") == ["earlier"])
        for name in ("first", "second"):
            caller.send(caller.frame(Request("GET", f"/task/{name}?ms=1500"), name))
        expected = 3 if reactor == "mio" else 2
        replies = {reply.headers["correlation-id"]: reply for reply in (caller.receive(20) for _ in range(expected))}
        assert replies["second"].headers["http_statusCode"] == "503"
        assert replies["first"].headers["http_statusCode"] == ("200" if reactor == "mio" else "504")
        assert caller.request("GET", "/ping").headers["http_statusCode"] in ("200", "503")
    assert server.stop() == 0
    assert [name for name in server.records("begun") if name != "earlier"] == ["first"]
    broker.wait_empty(server.destination)


def test_a_message_that_takes_too_long(broker, serve, queue):
    """It is tried again when it has ended, never before, and at last a dead letter."""
    options = ("--request-timeout", 0.3, "--max-attempts", 2)
    server = serve(broker, "thread-pool", options=options)
    with dead_letters(broker, queue) as dead:
        notify(broker, queue, "/task/n?ms=1000", b"")
        letter = dead.receive(20)
        assert letter.headers["message-failed"] == "not done within 300ms, attempt 2"
    wait_for(lambda: len(server.records("done")) == 2)
    assert server.stop() == 0
    assert server.records("begun") == ["n", "n"]
    broker.wait_empty(queue)


@pytest.mark.rabbitmq
def test_replies_expire_on_rabbitmq(shared_brokers, serve):
    """A reply that nobody fetches is gone when the time of its request is up."""
    broker = shared_brokers("rabbitmq")
    server = serve(broker, "thread-pool")
    replies = f"{server.destination}.replies"
    request = {"destination": server.destination, "http_requestMethod": "GET", "http_requestUrl": "/ping"}
    with server.requester() as caller:
        for name, lives in (("short", "1000"), ("long", "60000")):
            headers = {"reply-to": replies, "correlation-id": name, "expiration": lives}
            caller.confirmed(Frame("SEND", request | headers))
        wait_for(lambda: server.log.read_text().count(" answered ") == 3)  # one of them asked whether it was there
        time.sleep(1.5)
        caller.send(Frame("SUBSCRIBE", {"id": "r", "destination": replies, "ack": "auto"}))
        reply = caller.receive(10)
        assert reply.headers["correlation-id"] == "long", "the other was first in the queue, and had its time"
        assert 50_000 <= int(reply.headers["expiration"]) <= 60_000
        assert "expires" not in reply.headers


def wait_for(condition, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


@pytest.mark.rabbitmq
@pytest.mark.parametrize("mode", ["at-least-once", "transactional"])
def test_a_full_reply_queue_of_rabbitmq_costs_no_request(shared_brokers, serve, queue, mode):
    """It carries out the ACK of a transaction whose SEND it refuses, so that the server must use none."""
    broker = shared_brokers("rabbitmq")
    full = f"{queue}.full"
    definition = json.dumps({"max-length": 1, "overflow": "reject-publish"})
    broker.control("set_policy", "--apply-to", "queues", "full", "[.]full$", definition)
    server = serve(broker, "thread-pool", destination=queue, options=("--delivery", mode))
    with Connection("127.0.0.1", broker.port) as caller:
        caller.confirmed(Frame("SEND", {"destination": full}, b"no room beside it"))
        frame = {"destination": queue, "reply-to": full, "correlation-id": "c"}
        caller.confirmed(Frame("SEND", frame | {"http_requestMethod": "GET", "http_requestUrl": "/ping"}))
        server.wait_log("closed the connection")
        caller.confirmed(Frame("SUBSCRIBE", {"id": "r", "destination": full, "ack": "auto"}))
        assert caller.receive(5).body == b"no room beside it"
        reply = caller.receive(40)
        assert (reply.headers["http_statusCode"], reply.headers["correlation-id"]) == ("200", "c")
    broker.control("clear_policy", "full")
    assert server.stop() == 0
    broker.wait_empty(queue)

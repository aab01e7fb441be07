"""Bodies larger than `--max-body`: whoever waits is told, and the broker keeps what nobody waits for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import processes
import pytest
from http_message import request
from stomp_client import Frame, Request
from test_delivery import MODES
from test_notify import dead_letters, notify
from test_structured import exchange, wrapped

MAX_BODY = ("--max-body", "64KiB")
LARGE = b"\x00 large\n" * 100_000


def test_requests_are_answered_413(broker, reactor, serve):
    """In their own kind, as often as they come, and nobody else is disturbed."""
    server = serve(broker, reactor, options=MAX_BODY)
    with server.requester() as caller:
        for _ in range(5):
            reply = caller.request("POST", "/echo/large", LARGE)
            assert (reply.headers["http_statusCode"], reply.headers["http_isError"]) == ("413", "true")
            assert reply.headers["http_reasonPhrase"] == "Content Too Large"
            assert reply.body == f"a body of {len(LARGE)} octets is more than this server takes\n".encode()
        answer, reply = exchange(caller, wrapped(caller, request("PUT", "/echo/large", LARGE)))
        assert (answer.status, answer.reason) == (413, "Content Too Large")
        assert b"more than this server takes" in answer.read()
        text = caller.frame(Request("POST", "/echo/text", b"text " * 20_000), "text")
        del text.headers["content-length"]
        caller.send(text)
        assert caller.receive(20).headers["http_statusCode"] == "413"
        exact = b"x" * (64 << 10)
        assert caller.request("POST", "/plain", exact).body == exact, "as large as may be"
        assert caller.request("POST", "/plain", exact + b"x").headers["http_statusCode"] == "413"
    undisturbed(server)
    assert server.stop() == 0
    broker.wait_empty(server.destination)


@pytest.mark.parametrize("reactor", ["thread-pool", "tokio"])
def test_between_others(broker, reactor, serve):
    server = serve(broker, reactor, options=MAX_BODY)
    with server.requester() as caller:
        for n in range(100):
            large = n % 5 == 0
            caller.send(caller.frame(Request("POST", "/plain", LARGE if large else b"small"), f"{n} {large}"))
        replies = [caller.receive(30) for _ in range(100)]
        assert len({reply.headers["correlation-id"] for reply in replies}) == 100
        for reply in replies:
            status = "413" if reply.headers["correlation-id"].endswith("True") else "200"
            assert reply.headers["http_statusCode"] == status
        with pytest.raises(TimeoutError):
            caller.receive(0.3)
    undisturbed(server)
    assert server.stop() == 0
    broker.wait_empty(server.destination)


@pytest.mark.parametrize("reactor", ["thread-pool", "tokio"])
@pytest.mark.parametrize("mode", MODES)
def test_what_nobody_waits_for_is_kept_whole(broker, reactor, serve, queue, mode):
    """Among the broker's own dead letters; a queue of RabbitMQ's has some if it is told to. Artemis cannot be told:
    there the server's dead letter is without the body."""
    whole = b"" if broker.kind == "artemis" else LARGE
    name = queue.removeprefix("/queue/")
    if broker.kind == "rabbitmq":
        definition = {"dead-letter-exchange": "", "dead-letter-routing-key": f"DLQ.{name}"}
        pattern = f"^{re.escape(name)}$"
        broker.control("set_policy", "--apply-to", "queues", name, pattern, json.dumps(definition))
    server = serve(broker, reactor, options=(*MAX_BODY, "--delivery", mode))
    with dead_letters(broker, queue) as dead:
        for tenant in ("blue", "red"):
            notify(broker, queue, "/note/large", LARGE, **{"X-Tenant": tenant})
            letter = dead.receive(20)
            assert letter.body == whole
            assert (letter.headers["X-Tenant"], letter.headers["http_requestUrl"]) == (tenant, "/note/large")
        notify(broker, queue, "/note/small", b"served")
        with pytest.raises(TimeoutError):
            dead.receive(0.3)
    undisturbed(server)
    assert server.stop() == 0
    assert server.records("notes") == ["NOTIFY small served"]
    log = processes.tail(server.log, 1000)
    assert log.count("ERROR") == log.count(f"octets={len(LARGE)}") == 2, log
    broker.wait_empty(queue)


@pytest.mark.rabbitmq
def test_what_nobody_waits_for_is_gone_where_rabbitmq_is_told_to_keep_nothing(shared_brokers, serve, queue):
    broker = shared_brokers("rabbitmq")
    server = serve(broker, "thread-pool", options=MAX_BODY)
    with dead_letters(broker, queue) as dead:
        notify(broker, queue, "/note/large", LARGE)
        with server.requester() as caller:
            assert caller.request("GET", "/ping").body == b"pong"
        broker.wait_empty(queue)
        with pytest.raises(TimeoutError):
            dead.receive(0.5)
    undisturbed(server)
    assert processes.tail(server.log, 1000).count("ERROR") == 1


def test_from_a_topic(broker, serve, queue):
    # On Artemis a subscription to a topic would take messages from a queue of the same name.
    topic = queue.replace("/queue/", "/topic/events.")
    server = serve(broker, "thread-pool", options=(*MAX_BODY, "--destination", topic))
    with server.requester() as caller:
        caller.confirmed(Frame("SEND", {"destination": topic, "content-length": str(len(LARGE))}, LARGE))
        assert caller.request("GET", "/ping").body == b"pong"
    undisturbed(server)
    assert server.stop() == 0


@pytest.mark.parametrize("reactor", ["thread-pool", "tokio"])
def test_it_takes_no_memory(broker, reactor, serve):
    """Dropped as it arrives: the most that the server ever held is far from the size of one."""
    server = serve(broker, reactor, options=MAX_BODY)
    before, octets = most_memory(server), 32 << 20
    with server.requester() as caller:
        for _ in range(2):
            assert caller.request("POST", "/echo/huge", b"x" * octets, timeout=60).headers["http_statusCode"] == "413"
    assert most_memory(server) - before < octets / 2
    undisturbed(server)


def undisturbed(server) -> None:
    log = processes.tail(server.log, 1000)
    assert log.count(" connected") == 1, log


def most_memory(server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10

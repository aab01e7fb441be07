"""Replies that RabbitMQ takes in no frame (since 3.12), or with no such header (since 4.0).

It would end the connection each time that the request is delivered. The development broker does so, too, when it plays RabbitMQ.
"""

from __future__ import annotations

import json
import re
import time

import brokers
import processes
import pytest
from stomp_client import Connection, Frame, Request
from test_notify import dead_letters

MIB = 1 << 20
LIMIT = 4 * MIB


@pytest.fixture(scope="module", params=[pytest.param("rabbitmq", marks=pytest.mark.rabbitmq), "dev"])
def broker(request: pytest.FixtureRequest, new_broker) -> brokers.Broker:
    """With RabbitMQ's own limits."""
    broker = new_broker(request.param)
    broker.raised, broker.dialect = False, "rabbitmq"
    return broker.start()


def is_limited(broker: brokers.Broker) -> bool:
    return broker.kind == "dev" or broker.release().frame == LIMIT


def undisturbed(server) -> None:
    log = processes.tail(server.log, 1000)
    assert log.count(" connected to=") == 1, log


def test_a_large_reply_is_a_500_and_delays_nobody(broker, reactor, serve, queue):
    server = serve(broker, reactor)
    with server.requester() as caller, server.requester() as other, dead_letters(broker, queue) as dead:
        begun = time.monotonic()
        caller.send(caller.frame(Request("GET", f"/large/{5 * MIB}"), "large"))
        for _ in range(20):
            assert other.request("GET", "/ping", timeout=3).body == b"pong"
        reply = caller.receive(10)
        assert time.monotonic() - begun < 5
        assert reply.headers["correlation-id"] == "large"
        if is_limited(broker):
            assert (reply.headers["http_statusCode"], reply.headers["http_isError"]) == ("500", "true")
            assert b"takes more than 4194304 bytes" in reply.body
        else:
            assert (reply.headers["http_statusCode"], len(reply.body)) == ("200", 5 * MIB)
        assert server.records("large") == [str(5 * MIB)]
        assert dead.poll(0.2) == []
    undisturbed(server)
    assert server.stop() == 0
    broker.wait_empty(queue)


@pytest.mark.parametrize("mode", ["at-least-once", "transactional"])
def test_the_largest_reply_is_taken(broker, serve, mode):
    """One octet more is too much for the server, long before it is for the broker."""
    server = serve(broker, "thread-pool", options=("--delivery", mode))
    with server.requester() as caller:
        fits, octets = 0, LIMIT - 1000
        statuses = []
        for octets in range(LIMIT - 1000, LIMIT, 50):
            reply = caller.request("GET", f"/large/{octets}")
            statuses.append(reply.headers["http_statusCode"])
            fits = octets if statuses[-1] == "200" else fits
        if is_limited(broker):
            assert statuses == sorted(statuses) and set(statuses) == {"200", "500"}
            assert LIMIT - fits < 600
        else:
            assert set(statuses) == {"200"}
    undisturbed(server)
    assert server.stop() == 0


@pytest.mark.parametrize("reactor", ["thread-pool", "mio"])
def test_a_stream_of_more_than_a_frame(broker, reactor, serve):
    server = serve(broker, reactor)
    with server.requester() as caller:
        received = 0
        for part in caller.stream("GET", f"/large/{8 * MIB}?block={MIB}", headers={"http_acceptStream": "true"}):
            received += len(part.body)
            assert part.headers.get("http_isError", "false") == "false"
            if part.headers["http_moreContent"] == "false":
                break
        assert received == 8 * MIB
        parts = []
        for part in caller.stream("GET", f"/large/{10 * MIB}?block={5 * MIB}", headers={"http_acceptStream": "true"}):
            parts.append(part)
            if part.headers["http_moreContent"] == "false":
                break
        if is_limited(broker):
            assert [part.headers["http_statusCode"] for part in parts] == ["500"], "a block has the limit, too"
        else:
            assert sum(len(part.body) for part in parts) == 10 * MIB
    undisturbed(server)
    assert server.stop() == 0


def test_a_long_name_of_a_header_is_a_500(broker, serve):
    server = serve(broker, "thread-pool")
    refused = broker.kind == "dev" or not broker.release().long_strings
    with server.requester() as caller:
        for octets, status in [(255, "200"), (256, "500" if refused else "200")]:
            reply = caller.request("GET", f"/named/{octets}")
            assert (reply.headers["http_statusCode"], octets) == (status, octets)
    assert server.records("named") == ["255", "256"]
    undisturbed(server)
    assert server.stop() == 0


def test_a_dead_letter_that_no_frame_can_hold_is_left_to_the_broker(broker, serve, queue):
    """It has more headers than the message, which was as long as a frame may be."""
    server = serve(broker, "thread-pool")
    if broker.kind == "rabbitmq":
        name = queue.removeprefix("/queue/")
        definition = {"dead-letter-exchange": "", "dead-letter-routing-key": f"DLQ.{name}"}
        broker.control("set_policy", "--apply-to", "queues", name, f"^{re.escape(name)}$", json.dumps(definition))
    head = {"destination": queue, "http_requestMethod": "NOTIFY", "http_requestUrl": "/status/400", "receipt": "r"}
    head["content-length"] = str(LIMIT - 300)
    body = b"x" * (LIMIT - 300)
    assert len(Frame("SEND", head, body).encode()) <= LIMIT
    with dead_letters(broker, queue) as dead:
        with Connection("127.0.0.1", broker.port) as sender:
            sender.confirmed(Frame("SEND", head, body))
        if not is_limited(broker):
            letter = dead.receive(20)
            assert letter.headers["message-failed"] == "NOTIFY /status/400 was answered 400"
        elif broker.kind == "rabbitmq":
            letter = dead.receive(20)
            assert (letter.headers["x-first-death-reason"], len(letter.body)) == ("rejected", len(body))
        if is_limited(broker):
            server.wait_log("its dead letter is larger than the broker takes in a frame")
    undisturbed(server)
    assert server.stop() == 0
    broker.wait_empty(queue)


def test_who_says_that_more_is_taken_is_wrong_at_most_once(broker, serve, queue):
    """The broker ends the connection over each attempt. The requester is told in the end, and the message is a dead letter."""
    server = serve(broker, "thread-pool", options=("--max-reply", "8MiB"))
    with server.requester() as caller, dead_letters(broker, queue) as dead:
        if not is_limited(broker):
            assert len(caller.request("GET", f"/large/{5 * MIB}").body) == 5 * MIB
            return
        caller.send(caller.frame(Request("GET", f"/large/{5 * MIB}"), "large"))
        reply = caller.receive(60)
        assert (reply.headers["correlation-id"], reply.headers["http_statusCode"]) == ("large", "500")
        assert b"ended the connection to the broker each time" in reply.body
        assert dead.receive(10).headers["message-failed"] == "its reply ended the connection each time"
        assert caller.request("GET", "/ping").body == b"pong"
        assert caller.poll(0.2) == dead.poll(0) == []
    assert len(server.records("large")) in (5, 6)
    assert server.stop() == 0
    broker.wait_empty(queue)


@pytest.mark.rabbitmq
def test_who_has_raised_the_limit_says_so(shared_brokers, serve):
    server = serve(shared_brokers("rabbitmq"), "thread-pool", options=("--max-reply", "8MiB"))
    with server.requester() as caller:
        for octets, status in [(8 * MIB, "200"), (8 * MIB + 1, "500")]:
            assert caller.request("GET", f"/large/{octets}").headers["http_statusCode"] == status
    undisturbed(server)
    assert server.stop() == 0

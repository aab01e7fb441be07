"""RabbitMQ's quorum queues, served by `/amq/queue/NAME`: what they count, and when they give a message up by themselves."""

from __future__ import annotations

import json
import re

import brokers
import pytest
from stomp_client import Connection, Frame
from test_delivery import wait_for
from test_notify import dead_letters, notify

pytestmark = pytest.mark.rabbitmq
#: Since 4.0 a message may come back so often. Before, there is no limit unless a policy sets one.
DELIVERY_LIMIT = 20


@pytest.fixture
def broker(shared_brokers) -> brokers.Broker:
    return shared_brokers("rabbitmq")


@pytest.fixture
def quorum(broker, queue) -> str:
    """A quorum queue whose dead letters go to `/queue/DLQ.NAME`, by the name to serve it."""
    name = queue.removeprefix("/queue/")
    definition = {"dead-letter-exchange": "", "dead-letter-routing-key": f"DLQ.{name}"}
    broker.control("set_policy", "--apply-to", "queues", name, f"^{re.escape(name)}$", json.dumps(definition))
    brokers.declare(broker, queue, **{"x-queue-type": "quorum"})
    return f"/amq{queue}"


def taken(broker: brokers.Broker, quorum: str) -> list[Frame]:
    """What a consumer is given that acknowledges nothing, and leaves."""
    with Connection("127.0.0.1", broker.port) as consumer:
        subscribe = {"id": "0", "destination": quorum, "ack": "client-individual", "prefetch-count": "1"}
        consumer.confirmed(Frame("SUBSCRIBE", subscribe))
        try:
            return [consumer.receive(2)]
        except TimeoutError:
            return []


def test_the_broker_gives_a_message_up_that_came_back_too_often(broker, quorum, queue):
    """Whatever it came back for: here each consumer leaves in good order. Without a dead-letter exchange it would be gone."""
    with dead_letters(broker, queue) as dead:
        with Connection("127.0.0.1", broker.port) as sender:
            sender.confirmed(Frame("SEND", {"destination": quorum, "persistent": "true"}, b"precious"))
        counts = []
        while len(counts) < DELIVERY_LIMIT + 2 and (messages := taken(broker, quorum)):
            counts.append(messages[0].headers.get("x-delivery-count"))
        expected = [None if n == 0 else str(n) for n in range(len(counts))]
        assert [count if count != "0" else None for count in counts] == expected
        if broker.name == "rabbitmq-3":
            assert len(counts) == DELIVERY_LIMIT + 2
            assert dead.poll(0.2) == []
        else:
            assert len(counts) == DELIVERY_LIMIT + 1
            letter = dead.receive(10)
            assert (letter.body, letter.headers["x-first-death-reason"]) == (b"precious", "delivery_limit")


def test_what_is_refused_goes_to_the_dead_letter_exchange(broker, quorum, queue, serve):
    """By NACK with requeue:false, once: it is not delivered again."""
    server = serve(broker, "thread-pool", destination=quorum, options=("--max-body", "64KiB"))
    large = b"x" * (65 << 10)
    with dead_letters(broker, queue) as dead:
        notify(broker, quorum, "/note/large", large)
        letter = dead.receive(20)
        assert (letter.body, letter.headers["x-first-death-reason"]) == (large, "rejected")
        notify(broker, quorum, "/note/small", b"served")
        wait_for(lambda: server.records("notes"))
        assert dead.poll(0.2) == []
    assert server.stop() == 0
    assert server.records("notes") == ["NOTIFY small served"]
    broker.wait_empty(queue)

"""Messages that nobody answers: the status of the application decides what becomes of them."""

from __future__ import annotations

import pytest
from stomp_client import Connection, Frame, Request

REACTOR = "thread-pool"


def notify(broker, destination: str, url: str, body: bytes, **headers: str) -> None:
    frame = Frame("SEND", {"destination": destination, "http_requestMethod": "NOTIFY", "http_requestUrl": url}, body)
    frame.headers |= headers | {"content-length": str(len(body))}
    with Connection("127.0.0.1", broker.port) as sender:
        sender.confirmed(frame)


def dead_letters(broker, queue: str) -> Connection:
    look = Connection("127.0.0.1", broker.port)
    destination = f"/queue/DLQ.{queue.removeprefix('/queue/')}"
    look.confirmed(Frame("SUBSCRIBE", {"id": "dead", "destination": destination, "ack": "auto"}))
    return look


@pytest.mark.parametrize(("url", "tried"), [("/status/400", 1), ("/status/500", 2), ("/boom", 2)])
def test_refused(broker, serve, queue, url, tried):
    """4xx goes to the dead letters at once; 5xx and exceptions after the last attempt."""
    server = serve(broker, REACTOR, options=("--max-attempts", 2))
    with dead_letters(broker, queue) as dead:
        notify(broker, queue, url, b"\x00 bad news", **{"X-Tenant": "blue"})
        letter = dead.receive(20)
        assert letter.body == b"\x00 bad news"
        assert letter.headers["http_requestUrl"] == url
        assert letter.headers["X-Tenant"] == "blue"
        assert letter.headers["message-failed"]
        with pytest.raises(TimeoutError):
            dead.receive(0.3)
    assert server.stop() == 0
    broker.wait_empty(queue)


def test_from_a_topic(broker, serve, queue):
    """Every subscriber has a copy, and nobody replies, whatever the message asks for."""
    # A name of its own: to Artemis a queue and a topic of one name are the same address.
    topic = f"{queue.replace('/queue/', '/topic/')}.topic"
    # The queue tells when the server is there: it subscribes to both before it answers.
    server = serve(broker, REACTOR, options=("--destination", topic))
    with server.requester() as caller:
        caller.destination = topic
        caller.confirmed(caller.frame(Request("POST", "/note/topic", b"to whom it may concern"), "unused"))
        with pytest.raises(TimeoutError):
            caller.receive(0.5)
    assert server.stop() == 0
    assert server.records("notes") == ["POST topic to whom it may concern"]

"""What is Artemis' alone: where the headers of a sender stand, and what becomes of names without a prefix."""

from __future__ import annotations

import brokers
import processes
import pytest
from stomp_client import Connection, Frame, Request

pytestmark = pytest.mark.artemis


class BareArtemis(brokers.Artemis):
    """One as `artemis create` makes it: no prefix is taken off a name."""

    def acceptors(self) -> dict[str, str]:
        return super().acceptors() | {"stomp": f"tcp://127.0.0.1:{self.port}?protocols=STOMP"}


@pytest.fixture(scope="module")
def bare(scratch, need_broker):
    need_broker("artemis")
    broker = BareArtemis(scratch / "bare-artemis").start()
    yield broker
    broker.close()


#: Headers that a MESSAGE has from the broker, too.
CLAIMS = {
    "ack": "1,2",
    "subscription": "1",
    "message-id": "3,4",
    "redelivered": "true",
    "timestamp": "1",
    "destination-type": "ANYCAST",
}


def test_headers_of_a_sender_settle_no_other_message(shared_brokers, reactor, serve, queue):
    """Artemis has them before its own `ack`. To acknowledge by the wrong one ends the connection, each time."""
    broker = shared_brokers("artemis")
    one = serve(broker, reactor, options=("--destination", f"{queue}.other"))
    with one.requester() as caller:
        for name, value in CLAIMS.items():
            reply = caller.request("POST", "/echo/x", b"hello", {name: value})
            assert reply.body == b"x:hello", name
        assert caller.request("POST", "/echo/x", b"hello", CLAIMS).body == b"x:hello"
    broker.wait_empty(queue)
    assert one.stop() == 0
    log = processes.tail(one.log, 1000)
    assert log.count(" connected to=") == 1, log


@pytest.mark.parametrize("way", ["queue", "topic"])
def test_names_without_prefixes(way, bare, reactor, serve, queue):
    """The server says of each name which it is; otherwise a queue that is not there yet would be a topic."""
    name = queue.replace("/queue/", f"/{way}/")
    one = serve(bare, reactor, options=("--mount", f"{name}.mounted=probe:app"))
    with one.requester() as caller:
        assert caller.request("GET", "/ping").body == b"pong"
        caller.destination = f"{name}.mounted"
        caller.send(caller.frame(Request("POST", "/note/x", b"hello"), "1"))
        one.wait_log("/note/x")
    assert one.stop() == 0
    assert one.records("notes") == ["POST x hello"]


def test_dead_letters_are_kept_without_prefixes(bare, serve, queue):
    """To a queue that does not exist yet: Artemis drops what is sent to a name that it takes for a topic's."""
    one = serve(bare, "thread-pool")
    with one.requester() as caller:
        caller.confirmed(Frame("SEND", {"destination": queue, "http_requestMethod": "G E T", "http_requestUrl": "/"}))
        one.wait_log("dead letter")
    assert one.stop() == 0
    letters = f"/queue/DLQ.{queue.removeprefix('/queue/')}"
    with Connection("127.0.0.1", bare.port) as reader:
        reader.confirmed(Frame("SUBSCRIBE", {"id": "0", "destination": letters, "subscription-type": "ANYCAST"}))
        assert reader.receive().headers["message-failed"]

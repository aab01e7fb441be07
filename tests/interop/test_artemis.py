"""What is Artemis' alone: where the headers of a sender stand, and what becomes of names without a prefix."""

from __future__ import annotations

import brokers
import processes
import pytest
from stomp_client import Connection, Frame, Request
from test_notify import dead_letters

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


def test_headers_beyond_the_journal_cost_no_connection(shared_brokers, serve, queue):
    """Artemis ends the connection over more headers of a persistent message than one record of its journal has room for."""
    broker = shared_brokers("artemis")
    one = serve(broker, "thread-pool")
    with one.requester() as caller, dead_letters(broker, queue) as dead:
        for count, status in [(24, "200"), (26, "500")]:
            reply = caller.request("GET", f"/headers/{count}?octets=10000", b"", {"persistent": "true"})
            assert (count, reply.headers["http_statusCode"]) == (count, status)
        assert caller.request("GET", "/headers/60?octets=10000").headers["http_statusCode"] == "200", "it is not kept"
        # The dead letter is kept, though the message was not.
        many = {f"x-{n}": "v" * 10_000 for n in range(28)}
        notify = {"destination": queue, "http_requestMethod": "NOTIFY", "http_requestUrl": "/status/400"}
        caller.confirmed(Frame("SEND", notify | many, b"body"))
        letter = dead.receive(20)
        assert (letter.headers["message-failed"], letter.body) == ("NOTIFY /status/400 was answered 400", b"body")
        assert 1 <= sum(name.startswith("x-") for name in letter.headers) < len(many)
    broker.wait_empty(queue)
    assert one.stop() == 0
    assert one.records("headers") == ["24", "26", "60"]
    assert one.log.read_text().count(" connected to=") == 1


def test_a_reply_that_is_refused_is_found_out(shared_brokers, serve, queue, reactor):
    """By what stays of Artemis' message-id: the consumer's number in it is another at each delivery. Others are answered."""
    broker = shared_brokers("artemis")
    one = serve(broker, reactor)
    with one.requester() as caller, dead_letters(broker, queue) as dead:
        refused = {"destination": queue, "http_requestMethod": "GET", "http_requestUrl": "/large/1", "persistent": "true"}
        # Artemis refuses to route to it, and does not say so before.
        caller.confirmed(Frame("SEND", refused | {"reply-to": "/queue//queue/x", "correlation-id": "bad"}))
        for n in range(5):
            caller.send(caller.frame(Request("POST", f"/task/{n}?ms=200", headers={"persistent": "true"}), str(n)))
        answered = {caller.receive(60).headers["correlation-id"] for _ in range(5)}
        assert answered == {str(n) for n in range(5)}
        assert dead.receive(60).headers["message-failed"]
    broker.wait_empty(queue)
    assert one.stop() == 0
    assert len(one.records("large")) <= 3


@pytest.mark.parametrize(
    "allowed, reply_to",
    [
        ("/queue/replies.", "/queue/replies.zz::{victim}"),
        ("/queue/replies.", "/queue/replies.zz?::{victim}"),
        ("queue://", "queue://zz::{victim}"),
        ("temp-queue://", "temp-queue://ID:zz?::{victim}"),
        ("temp-queue://", "temp-queue://4f5b3339-a1cd-4661-8218-c10f059ad957?::{victim}"),
    ],
)
def test_no_reply_makes_a_queue_of_another_service(allowed, reply_to, shared_brokers, serve, queue):
    """It would be on the sender's address from then on, and the service would get what it sends there."""
    broker = shared_brokers("artemis")
    victim = f"{queue.removeprefix('/queue/')}.victim"
    one = serve(broker, "thread-pool", options=("--allow-reply-to", allowed, "--allow-reply-to", "/queue/replies-"))
    with Connection("127.0.0.1", broker.port) as sender, dead_letters(broker, queue) as dead:
        request = {"destination": queue, "http_requestMethod": "GET", "http_requestUrl": "/ping"}
        sender.confirmed(Frame("SEND", request | {"reply-to": reply_to.format(victim=victim), "correlation-id": "1"}))
        assert "not on the allow-list" in dead.receive(20).headers["message-failed"]
        genuine = {"destination": f"/queue/{victim}", "destination-type": "ANYCAST"}
        sender.confirmed(Frame("SEND", genuine, b"genuine"))
        sender.confirmed(Frame("SUBSCRIBE", {"id": "v", "destination": f"/queue/{victim}", "subscription-type": "ANYCAST"}))
        assert sender.receive(10).body == b"genuine"
    assert one.stop() == 0

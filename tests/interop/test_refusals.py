"""Replies, dead letters and subscriptions that the broker refuses: nothing is lost, and nobody else waits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import brokers
import jms
import processes
import pytest
import server as ours
from stomp_client import Connection, Frame, Request
from test_notify import dead_letters, notify

ACL = """
<authorizationPlugin><map><authorizationMap>
  <authorizationEntries>
    {entries}
    <authorizationEntry queue="forbidden.>" read="users,anonymous" write="admins" admin="users,anonymous"/>
    <authorizationEntry queue="unreadable.>" read="admins" write="users,anonymous" admin="users,anonymous"/>
    <authorizationEntry topic=">" read="users,anonymous" write="users,anonymous" admin="users,anonymous"/>
  </authorizationEntries>
  <tempDestinationAuthorizationEntry>
    <tempDestinationAuthorizationEntry read="users,anonymous" write="users,anonymous" admin="users,anonymous"/>
  </tempDestinationAuthorizationEntry>
</authorizationMap></map></authorizationPlugin>"""
OPEN = '<authorizationEntry queue="{}" read="users,anonymous" write="users,anonymous" admin="users,anonymous"/>'
TIGHT = (
    '<policyEntry queue="tight.>" producerFlowControl="true" memoryLimit="16kb">'
    "<pendingQueuePolicy><vmQueueCursor/></pendingQueuePolicy></policyEntry>"
)


class StrictActiveMQ(brokers.ActiveMQ):
    """One with ACLs, that refuses messages for which it has no room: 16 KiB in each of `/queue/tight.>`."""

    def _configuration(self) -> str:
        configuration = super()._configuration()
        entries = "\n".join(map(OPEN.format, ("test.>", "DLQ.>", "tight.>")))
        for before, new in (
            ("</plugins>", ACL.format(entries=entries) + "</plugins>"),
            ("<policyEntries>", "<policyEntries>" + TIGHT),
            ("<systemUsage><systemUsage>", '<systemUsage><systemUsage sendFailIfNoSpace="true">'),
        ):
            assert before in configuration
            configuration = configuration.replace(before, new, 1)
        return configuration


@pytest.fixture(scope="module")
def strict(scratch, need_broker):
    need_broker("activemq")
    broker = StrictActiveMQ(scratch / "strict")
    yield broker.start()
    broker.close()


@pytest.fixture(scope="module")
def sender(strict):
    """A JMS client."""
    jms.need()
    one = jms.JmsCaller(strict)
    yield one
    one.close()


@pytest.fixture
def told(scratch: Path, need_broker, request):
    """Starts the development broker, told what to refuse."""
    started: list[brokers.Broker] = []

    def start(*refuse: str, dialect: str | None = None) -> brokers.Broker:
        class Told(need_broker("dev")):
            def command(self) -> tuple[list[str], dict[str, str]]:
                command, env = super().command()
                return [*command, *(word for what in refuse for word in ("--refuse", what))], env

        Told.dialect = dialect
        one = Told(scratch / f"told-{request.node.name}-{len(started)}")
        started.append(one)
        return one.start()

    yield start
    for one in started:
        one.close()


def wait_for(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def log(server: ours.Server) -> str:
    return server.log.read_text()


def test_replies_that_are_refused_for_a_while_are_sent_again(told, reactor, serve):
    """The application is called once for each."""
    broker = told("full:/queue/replies=6")
    server = serve(broker, reactor, options=("--threads", "4", "--prefetch", "40"))
    with server.requester() as caller:
        caller.reply_to = "/queue/replies"
        caller.confirmed(Frame("SUBSCRIBE", {"id": "r", "destination": caller.reply_to, "ack": "auto"}))
        load = caller.load([Request("GET", f"/task/{n}") for n in range(20)], in_flight=5)
    load.check()
    assert sorted(map(int, server.records("begun"))) == list(range(20)), "each was worked on once"
    assert server.stop() == 0
    broker.wait_empty(server.destination)
    assert "a reply was refused, and will be sent again" in log(server)
    assert log(server).count(" connected") == 1


def test_a_stream_that_loses_a_block_says_so(told, reactor, serve):
    broker = told("full:/queue/streamed=1")
    server = serve(broker, reactor)
    with Connection("127.0.0.1", broker.port) as caller:
        caller.confirmed(Frame("SUBSCRIBE", {"id": "r", "destination": "/queue/streamed", "ack": "auto"}))
        frame = {"destination": server.destination, "reply-to": "/queue/streamed", "http_acceptStream": "true"}
        caller.confirmed(Frame("SEND", frame | {"http_requestMethod": "GET", "http_requestUrl": "/gated/s?blocks=1"}))
        end = caller.receive(20)
        # The first block, with the status, is the one that was lost.
        assert end.headers.get("http_isError") == "true", end
        assert (end.headers["http_moreContent"], end.headers["http_chunkSeq"]) == ("false", "1")
        with pytest.raises(TimeoutError):
            caller.receive(0.3)
    assert server.stop() == 0
    broker.wait_empty(server.destination)


@pytest.mark.parametrize("mode", ["at-least-once", "transactional", "at-most-once"])
def test_a_forbidden_reply_queue_makes_a_dead_letter(told, serve, queue, mode):
    broker = told("forbidden:/queue/forbidden")
    server = serve(broker, "thread-pool", options=("--delivery", mode))
    with dead_letters(broker, queue) as dead:
        with Connection("127.0.0.1", broker.port) as caller:
            frame = {"destination": queue, "reply-to": "/queue/forbidden.r", "correlation-id": "c"}
            caller.confirmed(Frame("SEND", frame | {"http_requestMethod": "GET", "http_requestUrl": "/task/once"}))
        letter = dead.receive(40)
        assert (letter.headers["reply-to"], letter.headers["correlation-id"]) == ("/queue/forbidden.r", "c")
        assert "not authorized to write" in letter.headers["message-failed"]
    assert server.records("begun") == ["once"], "the application is called once"
    assert server.stop() == 0
    broker.wait_empty(queue)


def test_requests_are_served_beside_refused_dead_letters(told, reactor, serve, queue):
    """More of them than there are places, and none of them is lost."""
    broker = told("forbidden:/queue/DLQ.")
    server = serve(broker, reactor, options=("--threads", "2", "--prefetch", "10"))
    for n in range(20):
        notify(broker, queue, "/status/404", f"{n}".encode())
    with server.requester() as caller:
        begun = time.monotonic()
        load = caller.load([Request("GET", "/ping", expect=b"pong")] * 50, in_flight=5)
        load.check()
        assert time.monotonic() - begun < 30
    # The development broker's own dead letters are in the same place, which it does not refuse to itself.
    wait_for(lambda: broker.depth(f"/queue/DLQ.{queue.removeprefix('/queue/')}") == 20, "all are kept")
    assert server.stop() == 0
    broker.wait_empty(queue)
    assert log(server).count(" connected") == 1


@pytest.mark.activemq
def test_activemq_without_room_loses_no_request(strict, serve):
    """Replies wait until there is room, in every mode."""
    destination, replies = "/queue/test.room", "/queue/tight.replies"
    server = serve(strict, "thread-pool", destination=destination)
    body = b"x" * 6000
    with Connection("127.0.0.1", strict.port) as caller:
        for n in range(10):
            frame = {"destination": destination, "reply-to": replies, "correlation-id": str(n)}
            frame |= {"http_requestMethod": "POST", "http_requestUrl": f"/echo/{n}", "content-length": str(len(body))}
            caller.confirmed(Frame("SEND", frame, body))
        wait_for(lambda: "a reply was refused" in log(server), "the broker refuses some")
        caller.confirmed(Frame("SUBSCRIBE", {"id": "r", "destination": replies, "ack": "client-individual"}))
        answered = set()
        while len(answered) < 10:
            reply = caller.receive(60)
            answered.add(reply.headers["correlation-id"])
            assert reply.body == f"{reply.headers['correlation-id']}:".encode() + body
            caller.send(Frame("ACK", {"id": reply.headers["ack"]}))
    assert server.stop() == 0
    strict.wait_empty(destination)
    assert log(server).count(" connected") == 1


@pytest.mark.activemq
def test_activemq_that_forbids_both_keeps_the_message(strict, serve):
    """Neither the reply nor the dead letter may be sent; what the broker does itself is not forbidden."""
    destination = "/queue/test.both"
    server = serve(
        strict, "thread-pool", destination=destination, options=("--dead-letter", "/queue/forbidden.{queue}")
    )
    with dead_letters(strict, destination) as dead, server.requester() as caller:
        frame = {"destination": destination, "reply-to": "/queue/forbidden.r", "correlation-id": "c"}
        caller.confirmed(Frame("SEND", frame | {"http_requestMethod": "GET", "http_requestUrl": "/task/once"}))
        for n in range(20):
            notify(strict, destination, "/status/404", f"{n}".encode())
        assert caller.request("GET", "/ping").body == b"pong"
        kept = [dead.receive(60) for _ in range(21)]
    assert {letter.headers.get("correlation-id") for letter in kept} == {"c", None}
    assert server.records("begun") == ["once"]
    assert server.stop() == 0
    strict.wait_empty(destination)
    assert log(server).count(" connected") == 1


@pytest.mark.activemq
def test_what_a_jms_sender_sets_does_not_steer_dead_letters(strict, sender, serve):
    """`destination` and `subscription` name another queue, `amq-msg-type` makes ActiveMQ refuse the letter."""
    destination = "/queue/test.jms"
    server = serve(strict, "thread-pool", destination=destination, options=("--destination", "/queue/test.second"))
    forged = {"destination": "/queue/a,/queue/test.elsewhere", "amq-msg-type": "bogus", "X_TENANT": "blue"}
    forged |= {"http_requestMethod": "NOTIFY", "http_requestUrl": "/status/404", "message-id": "evil", "ack": "evil"}
    forged |= {"subscription": "1", "receipt": "evil", "transaction": "evil", "CC": "evil", "timestamp": "evil"}
    with dead_letters(strict, destination) as dead, server.requester() as caller:
        for _ in range(20):
            sender.send(destination, "text", forged, text="text")
        assert caller.request("GET", "/ping").body == b"pong"
        for _ in range(20):
            letter = dead.receive(20)
            assert (letter.body, letter.headers["X_TENANT"]) == (b"text", "blue")
    assert server.stop() == 0
    strict.wait_empty(destination)
    for elsewhere in ("/queue/DLQ.a", "/queue/DLQ.a_.queue.test.elsewhere", "/queue/test.elsewhere", "/queue/DLQ.test.second"):
        assert strict.depth(elsewhere) == 0, elsewhere
    assert log(server).count(" connected") == 1


@pytest.mark.activemq
def test_the_environ_names_our_destination(strict, sender, serve):
    destination = "/queue/test.environ"
    server = serve(strict, "thread-pool", destination=destination, options=("--default-path", "/show/{destination}"))
    with Connection("127.0.0.1", strict.port) as caller:
        caller.confirmed(Frame("SUBSCRIBE", {"id": "r", "destination": "/queue/test.shown", "ack": "auto"}))
        forged = {"destination": "/queue/evil", "reply-to": "/queue/test.shown"}
        sender.send(destination, "text", forged, text="text")
        found = json.loads(caller.receive(20).body)
    assert found["stomp.destination"] == destination
    assert found["PATH_INFO"].endswith(destination)
    assert server.stop() == 0


def refused(uri: str, destination: str, *options: object) -> str:
    """What a server says that must end at once."""
    done = ours.run("serve", "probe:app", "--chdir", ours.APPS, "--broker", uri, "--destination", destination, *options)
    assert done.returncode == 7, done.stderr.decode()
    return done.stderr.decode()


@pytest.mark.activemq
def test_activemq_that_lets_us_read_nothing_ends_it(strict):
    assert "not authorized to read" in refused(strict.uri, "/queue/unreadable.x")


@pytest.mark.rabbitmq
def test_a_queue_with_other_arguments_ends_it_with_a_hint(shared_brokers, serve, queue):
    broker = shared_brokers("rabbitmq")
    with Connection("127.0.0.1", broker.port) as owner:
        owner.confirmed(Frame("SEND", {"destination": queue, "x-message-ttl": "600000"}, b""))
    name = queue.removeprefix("/queue/")
    said = refused(broker.uri, queue)
    assert "PRECONDITION_FAILED" in said and f"serve /amq/queue/{name}," in said
    # One of several, of which the others are fine.
    assert f"/amq/queue/{name}," in refused(broker.uri, f"{queue}.ok", "--destination", queue)
    one = serve(broker, "thread-pool", destination=f"{queue}.ok", options=("--destination", f"/amq/queue/{name}"))
    assert one.stop() == 0
    assert "RabbitMQ reserves the names" in refused(broker.uri, "/queue/amq.reserved")


@pytest.mark.rabbitmq
@pytest.mark.parametrize("how", ["acl", "arguments"])
def test_rabbitmq_that_refuses_dead_letters_goes_on_serving(new_broker, serve, queue, how):
    """Each ends the connection; so they are not sent for a while. What the queue's own policy keeps is kept."""
    broker = new_broker("rabbitmq").start()
    name = queue.removeprefix("/queue/")
    policy = json.dumps({"dead-letter-exchange": "", "dead-letter-routing-key": "kept"})
    broker.control("set_policy", "--apply-to", "queues", "kept", f"^{name}$", policy)
    with Connection("127.0.0.1", broker.port) as owner:
        owner.confirmed(Frame("SUBSCRIBE", {"id": "0", "destination": "/queue/kept", "ack": "auto"}))
        if how == "acl":
            broker.control("set_permissions", "guest", "^(?!DLQ).*", ".*", ".*")
        else:
            owner.confirmed(Frame("SEND", {"destination": f"/queue/DLQ.{name}", "x-message-ttl": "600000"}, b""))
        server = serve(broker, "thread-pool")
        for n in range(20):
            notify(broker, queue, "/status/404", f"{n}".encode())
        with server.requester() as caller:
            for _ in range(20):
                assert caller.request("GET", "/ping").body == b"pong"
        kept = {owner.receive(60).body for _ in range(20)}
        assert kept == {f"{n}".encode() for n in range(20)}
    assert server.stop() == 0
    # A reply may be on its way beside the letter, so that more than one end is needed to tell; but not one for each letter.
    assert log(server).count(" connected") <= 8, log(server)
    assert "the broker refuses dead letters" in log(server)


def test_a_reply_after_its_expiry_says_so(broker, serve):
    server = serve(broker, "thread-pool")
    until = {"expiration": "500"} if broker.kind == "rabbitmq" else {"expires": str(int(time.time() * 1000) + 1500)}
    with server.requester() as caller:
        caller.send(caller.frame(Request("GET", "/task/late?ms=2500", headers=until), "late"))
        wait_for(lambda: server.records("done") == ["late"], "it is served")
        wait_for(lambda: "answered after it had expired" in log(server), "the log says that it is of no use")
    assert server.stop() == 0


def test_a_refusal_has_a_form(need_broker):
    for what in ("forbidden", "none:/queue/a", "full:", "full:/queue/a=x"):
        done = ours.run("broker", "--listen", f"127.0.0.1:{processes.free_port()}", "--refuse", what)
        assert (done.returncode, b"--refuse" in done.stderr) == (2, True), (what, done.stderr)

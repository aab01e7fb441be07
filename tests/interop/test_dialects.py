"""The development broker plays each of the brokers whose ways we know.

What they answer to single frames is compared in `test_scenarios`. The brokers themselves are in the other tests, and below for what is RabbitMQ's alone.
"""

from __future__ import annotations

import brokers
import processes
import pytest
import server
from stomp_client import Connection, Frame, Request, Requester
from test_delivery import wait_for
from test_notify import dead_letters, notify

DIALECTS = ("activemq", "rabbitmq", "artemis")


@pytest.fixture(scope="module", params=DIALECTS)
def broker(request: pytest.FixtureRequest, new_broker) -> brokers.Broker:
    played = new_broker("dev")
    played.dialect = request.param
    return played.start()


class WithoutTemporary(Requester):
    """One who takes replies from a queue of its own, as on Artemis."""

    def frame(self, request: Request, cid: str) -> Frame:
        frame = super().frame(request, cid)
        frame.headers["reply-to"] = self.own
        return frame

    @property
    def own(self) -> str:
        return self.reply_to.replace("/temp-queue/", "/queue/")


def test_it_says_who_it_is(broker):
    names = {"activemq": "stomp-wsgi-dev", "rabbitmq": "RabbitMQ", "artemis": "ActiveMQ-Artemis"}
    with Connection("127.0.0.1", broker.port) as client:
        assert client.connected.headers["server"].startswith(f"{names[broker.dialect]}/")


@pytest.mark.parametrize("reactor", ["thread-pool", "mio"])
def test_requests(broker, reactor, serve):
    one = serve(broker, reactor)
    assert f"dialect={broker.dialect}" in plain(one)
    with one.requester() as caller:
        requests = [Request("POST", f"/echo/{n}", b"x" * n, {}, f"{n}:".encode() + b"x" * n) for n in range(200)]
        load = caller.load(requests)
    load.check()
    assert one.stop() == 0
    broker.wait_empty(one.destination)


def test_a_streamed_reply(broker, serve):
    one = serve(broker, "thread-pool")
    for n in range(4):
        (one.directory / f"gate-d-{n}").touch()
    with one.requester() as caller:
        parts = []
        for part in caller.stream("GET", "/gated/d?blocks=4", headers={"http_acceptStream": "true"}):
            parts.append(part)
            if part.headers["http_moreContent"] == "false":
                break
    assert b"".join(part.body for part in parts) == b"".join(b"block %d of d\n" % n for n in range(4))
    assert [part.headers["http_chunkSeq"] for part in parts] == [str(n) for n in range(len(parts))]


@pytest.mark.parametrize(("url", "tried"), [("/status/400", 1), ("/status/500", 2)])
def test_what_fails_is_tried_again_and_then_dead(broker, serve, queue, url, tried):
    """Without NACK, which means something else to each of them."""
    one = serve(broker, "thread-pool", options=("--max-attempts", 2))
    with dead_letters(broker, queue) as dead:
        notify(broker, queue, url, b"bad news")
        letter = dead.receive(20)
        assert (letter.body, letter.headers["http_requestUrl"]) == (b"bad news", url)
        assert letter.headers.get("destination-type") == anycast(broker)
        with pytest.raises(TimeoutError):
            dead.receive(0.3)
    assert plain(one).count("will be tried again") == tried - 1
    assert one.stop() == 0
    broker.wait_empty(queue)


def test_what_is_too_large_and_nobody_waits_for(broker, serve, queue):
    """Kept whole by a broker that NACK tells to; Artemis cannot be told, and is given the headers.

    RabbitMQ keeps it where the queue was declared with an exchange for its dead letters.
    """
    name = queue.removeprefix("/queue/")
    work = f"/amq/queue/{name}" if broker.dialect == "rabbitmq" else queue
    if broker.dialect == "rabbitmq":
        brokers.declare(broker, queue, **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"DLQ.{name}"})
    options = ("--max-body", "1KiB", "--delivery", "at-most-once")
    one = serve(broker, "thread-pool", destination=work, options=options)
    with dead_letters(broker, queue) as dead:
        notify(broker, work, "/note/large", b"x" * 2000)
        letter = dead.receive(20)
        assert letter.headers["http_requestUrl"] == "/note/large"
        assert len(letter.body) == (0 if broker.dialect == "artemis" else 2000)
        notify(broker, work, "/note/small", b"x")
        with pytest.raises(TimeoutError):
            dead.receive(0.3)
    assert one.stop() == 0
    assert one.records("notes") == ["NOTIFY small x"]
    assert "octets=2000" in plain(one)
    broker.wait_empty(work)


def test_replies_to_a_queue(broker, serve):
    one = serve(broker, "thread-pool")
    with WithoutTemporary("127.0.0.1", broker.port, one.destination) as caller:
        caller.confirmed(Frame("SUBSCRIBE", {"id": "own", "destination": caller.own, "ack": "auto"}))
        reply = caller.request("GET", "/ping")
        assert (reply.body, reply.headers.get("destination-type")) == (b"pong", anycast(broker))
        nonsense = caller.request("GET", "nowhere at all")
        assert (nonsense.headers["http_statusCode"], nonsense.headers.get("destination-type")) == ("400", anycast(broker))


def test_who_is_believed(broker, serve):
    """As each of them is said to do. On Artemis nobody, and `--dialect` makes it no other.

    Nor is the development broker believed, unless `--dialect` says that it is ActiveMQ.
    """
    header = "user-id" if broker.dialect == "rabbitmq" else "JMSXUserID"
    options = ("--trust-user-header", header, "--all-senders-use-stomp")
    if broker.dialect != "artemis":
        serve(broker, "thread-pool", options=(*options, "--dialect", broker.dialect)).wait_ready()
    refused = {"rabbitmq": (), "activemq": ((),), "artemis": ((), ("--dialect", "artemis"))}
    for more in refused[broker.dialect]:
        done = server.run("serve", "probe:app", "--chdir", server.APPS, "--broker", broker.uri, *options, *more)
        assert (done.returncode, b"it is not known that it verifies" in done.stderr) == (7, True), done.stderr


def test_our_own_requester(broker, serve):
    """`stomp-wsgi call` gets its replies as each of them has it; so it does if it is told who that is."""
    one = serve(broker, "thread-pool")
    at = ("--broker", f"stomp://127.0.0.1:{broker.port}", "--to", one.destination)
    for more in ((), ("--dialect", broker.dialect)):
        done = server.run("call", "GET", "/ping", *at, *more)
        assert (done.returncode, done.stdout) == (0, b"pong"), done.stderr


def test_a_virtual_host(broker, queue):
    """Only RabbitMQ has some, and only `/` is there."""
    done = server.run(
        *("call", "GET", "/ping", "--broker", f"stomp://127.0.0.1:{broker.port}", "--to", queue),
        *("--vhost", "elsewhere", "--timeout", "0.5"),
    )
    if broker.dialect == "rabbitmq":
        assert done.returncode == 7 and b"Bad CONNECT" in done.stderr, done.stderr
    else:
        assert done.returncode == 28 and b"--vhost has no effect" in done.stderr, done.stderr


@pytest.mark.rabbitmq
def test_virtual_hosts_of_rabbitmq(reactor, shared_brokers, directory, queue):
    """Each has queues of its own. One that is not there, or is closed to us, ends the server."""
    broker = shared_brokers("rabbitmq")
    open_one, closed = (f"{queue.rpartition('/')[2]}.{name}" for name in ("open", "closed"))
    for name in (open_one, closed):
        broker.control("add_vhost", name)
    broker.control("set_permissions", "-p", open_one, brokers.LOGIN, ".*", ".*", ".*")
    one = server.Server(directory, broker.port, reactor, queue, options=("--vhost", open_one)).start()
    at = ("--broker", broker.uri, "--to", queue)
    try:
        done = server.run("call", "GET", "/ping", *at, "--vhost", open_one, "--timeout", "20")
        assert (done.returncode, done.stdout) == (0, b"pong"), done.stderr
        assert server.run("call", "GET", "/ping", *at, "--timeout", "0.5").returncode == 28
        assert one.stop() == 0
    finally:
        one.kill()
    for name in (closed, "nowhere"):
        options = ("--broker", broker.uri, "--reactor", reactor, "--vhost", name)
        done = server.run("serve", "probe:app", "--chdir", server.APPS, *options)
        assert done.returncode == 7, done.stderr
        assert f"Virtual host '{name}' access denied" in done.stderr.decode(), done.stderr


@pytest.mark.rabbitmq
def test_a_queue_with_a_slash(shared_brokers, serve, queue):
    """RabbitMQ refuses it unless it is written in another way."""
    broker = shared_brokers("rabbitmq")
    done = server.run(
        "serve", "probe:app", "--chdir", server.APPS, "--broker", broker.uri, "--destination", f"{queue}/b"
    )
    assert (done.returncode, b"%2F" in done.stderr) == (7, True), done.stderr
    serve(broker, "thread-pool", destination=f"{queue}%2Fb")
    assert broker.depth(f"{queue}/b") == 0


@pytest.mark.rabbitmq
@pytest.mark.parametrize(
    ("destination", "why"),
    [("/exchange/none/x", "no exchange 'none'"), ("/amq/queue/none", "no queue 'none'")],
)
def test_what_rabbitmq_does_not_have_is_named(destination, why, shared_brokers, directory):
    """Somebody may make it yet, so the server goes on trying."""
    one = server.Server(directory, shared_brokers("rabbitmq").port, "thread-pool", destination).start()
    try:
        wait_for(lambda: "trying again" in plain(one))
        assert why in plain(one)
        assert one.stop() == 0
    finally:
        one.kill()


def anycast(broker: brokers.Broker) -> str | None:
    """What a SEND to a queue says of it."""
    return "ANYCAST" if broker.dialect == "artemis" else None


def plain(one: server.Server) -> str:
    """The log, without colours."""
    return processes.tail(one.log, 1000)

"""Messages that kill servers or end connections: each is found out, and costs others as little as can be."""

from __future__ import annotations

import itertools
import socket
import time
from collections import Counter

import brokers
import pytest
from server import Server
from stomp_client import Connection, Decoder, Frame, Request
from test_delivery import wait_for
from test_notify import dead_letters

APP = "poison:app"


def counting(broker, queue: str) -> str:
    """Makes a quorum queue, which counts deliveries, and says by what name to serve it."""
    brokers.declare(broker, queue, **{"x-queue-type": "quorum"})
    return "/amq" + queue


def kept_alive(server: Server, done, deadline: float = 120.0) -> int:
    """Starts the server again whenever it has died, until `done()`. How often that was."""
    deadline, deaths = time.monotonic() + deadline, 0
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        if not server.running:
            assert server.process.returncode not in (0, None)
            deaths += 1
            server.start()
        time.sleep(0.02)
    return deaths


def send_all(server: Server, caller, killer: dict[str, str], requests: int) -> None:
    """Some requests, then the killer, then as many requests again."""
    for n in range(2 * requests):
        if n == requests:
            caller.confirmed(Frame("SEND", {"destination": server.destination, "persistent": "true"} | killer))
        caller.send(caller.frame(Request("POST", f"/task/{n}?ms=5", headers={"persistent": "true"}), str(n)))


NOTIFY = {"http_requestMethod": "NOTIFY", "http_requestUrl": "/die/k"}


@pytest.mark.rabbitmq
def test_a_message_that_kills_is_dead_lettered_where_the_broker_counts(shared_brokers, serve, queue, reactor):
    """RabbitMQ's quorum queues do. It is tried five times; everything else is answered."""
    broker = shared_brokers("rabbitmq")
    server = serve(broker, reactor, app=APP, destination=counting(broker, queue))
    answers: Counter[str] = Counter()
    with server.requester() as caller, dead_letters(broker, queue) as dead:
        send_all(server, caller, NOTIFY, 40)
        letters: list[Frame] = []

        def done() -> bool:
            letters.extend(dead.poll(0))
            answers.update(reply.headers["correlation-id"] for reply in caller.poll(0))
            return len(letters) == 1 and len(answers) == 80

        assert kept_alive(server, done) == 5
        assert letters[0].headers["http_requestUrl"] == "/die/k"
        assert letters[0].headers["message-failed"].startswith("not served: 5 servers or connections ended")
        assert caller.request("GET", "/ping").body == b"pong"
        assert dead.poll(0.2) == [], "and nothing else is a dead letter"
    assert server.records("died") == [f"k {attempt}" for attempt in range(1, 6)]
    assert server.stop() == 0
    broker.wait_empty(queue)


@pytest.mark.rabbitmq
def test_whoever_waits_for_a_request_that_kills_is_told(shared_brokers, serve, queue):
    broker = shared_brokers("rabbitmq")
    options = ("--max-attempts", 2)
    destination = counting(broker, queue)
    server = serve(broker, "thread-pool", app=APP, destination=destination, options=options)
    with server.requester() as caller, dead_letters(broker, queue) as dead:
        caller.send(caller.frame(Request("GET", "/die/k?how=crash"), "kill"))
        replies: list[Frame] = []
        assert kept_alive(server, lambda: replies.extend(caller.poll(0)) or replies) == 2
        assert (replies[0].headers["correlation-id"], replies[0].headers["http_statusCode"]) == ("kill", "500")
        assert b"not served: 2 servers" in replies[0].body
        assert dead.receive(10).headers["http_requestUrl"] == "/die/k?how=crash"
    assert server.records("died") == ["k 1", "k 2"]
    assert server.stop() == 0
    broker.wait_empty(queue)


def test_a_message_that_kills_keeps_nobody_from_being_answered(real_kind, shared_brokers, serve, queue):
    """These queues say no more than that a message was delivered before: it kills until it is taken away."""
    broker = shared_brokers(real_kind)
    server = serve(broker, "thread-pool", app=APP)
    answers: Counter[str] = Counter()
    with server.requester() as caller:
        send_all(server, caller, NOTIFY | {"http_requestUrl": "/die/k?times=6"}, 40)

        def done() -> bool:
            answers.update(reply.headers["correlation-id"] for reply in caller.poll(0))
            return len(answers) == 80 and len(server.records("died")) == 7

        assert kept_alive(server, done) == 6
    assert server.records("died")[0] == "k 1"
    # Artemis sets it for the first message of a connection that was lost, for the others sometimes.
    one_bit = [{"k 2"}, {"k 1", "k 2"}, {"k 1"}] if real_kind == "artemis" else [{"k 2"}]
    assert set(server.records("died")[1:]) in one_bit, "one bit"
    assert server.stop() == 0
    broker.wait_empty(queue)


@pytest.mark.rabbitmq
def test_a_count_that_a_sender_makes_up_does_not_count(shared_brokers, serve, queue):
    broker = shared_brokers("rabbitmq")
    server = serve(broker, "thread-pool", app=APP)
    with server.requester() as caller:
        made_up = {"x-delivery-count": "99", "x-acquired-count": "99", "redelivered": "true"}
        reply = caller.request("GET", "/show", headers=made_up)
        assert (reply.headers["http_statusCode"], b'"stomp.attempt": 1' in reply.body) == ("200", True)
    assert server.stop() == 0
    broker.wait_empty(queue)


#: A bare name would arrive as /reply-queue/..., which RabbitMQ does not declare, and takes.
RESERVED = ["/queue/amq.evil", "/queue/%61mq.evil", "/queue/" + "q" * 256]


@pytest.mark.rabbitmq
@pytest.mark.parametrize("mode", ["at-least-once", "at-most-once", "transactional"])
def test_replies_to_what_rabbitmq_reserves_are_never_made(shared_brokers, serve, queue, mode):
    broker = shared_brokers("rabbitmq")
    server = serve(broker, "thread-pool", options=("--delivery", mode))
    # The last is refused by RabbitMQ 4 as soon as it is sent.
    reserved = RESERVED if broker.release().long_strings else RESERVED[:-1]
    with server.requester() as caller, dead_letters(broker, queue) as dead:
        for reply_to, method in itertools.product(reserved, ["GET", "G E T"]):
            asked = {"http_requestMethod": method, "http_requestUrl": "/task/evil?ms=9000", "reply-to": reply_to}
            caller.confirmed(Frame("SEND", {"destination": server.destination} | asked))
            failed = dead.receive(10).headers["message-failed"]
            assert failed.startswith("message rejected: "), failed
            assert method != "GET" or "reply-to refused: RabbitMQ" in failed
        assert caller.request("GET", "/ping").body == b"pong"
    assert server.stop() == 0
    broker.wait_empty(queue)
    assert server.records("begun") == []
    assert server.log.read_text().count(" connected to=") == 1


@pytest.mark.rabbitmq
def test_what_rabbitmq_reserves_is_no_destination_of_ours(shared_brokers, directory, queue):
    broker = shared_brokers("rabbitmq")
    for destination, options, said in [
        ("/queue/amq.ours", (), "cannot subscribe to /queue/amq.ours: RabbitMQ reserves"),
        (queue, ("--dead-letter", "/queue/amq.dead"), "--dead-letter"),
        (queue, ("--dead-letter", "/queue/{queue}." + "q" * 255), "--dead-letter"),
    ]:
        server = Server(directory, broker.port, "thread-pool", destination, options=options).start()
        assert server.process.wait(30) == 7
        assert said in server.log.read_text()


@pytest.mark.rabbitmq
@pytest.mark.parametrize("reactor", ["thread-pool", "tokio", "async-std"])
def test_a_suspect_delays_nobody_while_it_is_served(shared_brokers, serve, queue, reactor):
    """RabbitMQ ends the connection over a reply to a queue that it has otherwise, and says no more. On mio jobs take turns."""
    broker = shared_brokers("rabbitmq")
    otherwise = f"{queue}.otherwise"
    brokers.declare(broker, otherwise, **{"x-queue-type": "quorum"})
    server = serve(broker, reactor, app=APP)
    with server.requester() as caller, dead_letters(broker, queue) as dead:
        asked = {"http_requestMethod": "GET", "http_requestUrl": "/second/evil", "reply-to": otherwise}
        caller.confirmed(Frame("SEND", {"destination": server.destination} | asked))
        wait_for(lambda: server.records("begun") == ["evil 1", "evil 2"])
        for _ in range(20):
            assert caller.request("GET", "/ping").body == b"pong", "beside it"
        assert dead.poll(0) == []
        (server.directory / "gate-evil").touch()
        assert dead.receive(20).headers["message-failed"] == "its reply ended the connection each time"
        assert caller.request("GET", "/ping").body == b"pong"
    assert server.stop() == 0
    broker.wait_empty(queue)
    assert len(server.records("begun")) == 3
    assert server.log.read_text().count(" connected to=") == 4


@pytest.mark.rabbitmq
def test_at_most_once_a_suspect_is_served_once(shared_brokers, serve, queue):
    broker = shared_brokers("rabbitmq")
    otherwise = f"{queue}.otherwise"
    brokers.declare(broker, otherwise, **{"x-queue-type": "quorum"})
    server = serve(broker, "thread-pool", options=("--delivery", "at-most-once"))
    with Connection("127.0.0.1", broker.port) as sender:
        for twin in range(2):
            asked = {"http_requestMethod": "GET", "http_requestUrl": "/task/evil", "reply-to": otherwise}
            # RabbitMQ passes a receipt on, by which the two would differ.
            sender.send(Frame("SEND", {"destination": server.destination} | asked))
            wait_for(lambda: server.log.read_text().count(" connected to=") == 2 + twin)
    broker.wait_empty(queue)
    server.wait_ready()
    assert server.stop() == 0
    assert server.records("begun") == ["evil"] * 2, "each of the two, once"


class Script:
    """A broker that does what the test says, for one server."""

    def __init__(self, server_header: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(30)
        self.port, self.server_header = self._listener.getsockname()[1], server_header

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.socket.close()

    def accept(self) -> None:
        """The next connection, connected and subscribed."""
        self.socket, _ = self._listener.accept()
        self.socket.settimeout(30)
        self._decoder, self._frames = Decoder(), []
        assert self.next().command in ("CONNECT", "STOMP")
        self.send(Frame("CONNECTED", {"version": "1.2", "server": self.server_header}))
        subscribe = self.next()
        assert subscribe.command == "SUBSCRIBE"
        self.send(Frame("RECEIPT", {"receipt-id": subscribe.headers["receipt"]}))

    def next(self) -> Frame:
        while not self._frames:
            data = self.socket.recv(65536)
            assert data, "the server has left"
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def send(self, frame: Frame) -> None:
        self.socket.sendall(frame.encode())

    def message(self, number: int, url: str, **headers: str) -> None:
        standard = {"subscription": "0", "destination": "/queue/a", "message-id": f"T_0@@session-x@@{number}"}
        asked = {"http_requestMethod": "GET", "http_requestUrl": url, "reply-to": "/queue/replies"}
        self.send(Frame("MESSAGE", {**standard, **asked, "ack": str(number), **headers}))

    def confirm(self, reply: Frame) -> None:
        self.send(Frame("RECEIPT", {"receipt-id": reply.headers["receipt"]}))


def scripted(script: Script, directory, reactor: str, *options: object) -> Server:
    return Server(directory, script.port, reactor, "/queue/a", options=options).start()


def test_a_stop_acknowledges_what_was_answered_503(directory, reactor):
    """Three suspects and one thread: those that wait for it are answered 503, and then comes the stop."""
    with Script("RabbitMQ/3.10.8") as script:
        options = ("--request-timeout", 1, "--threads", 1)
        server = Server(directory, script.port, reactor, "/queue/a", app=APP, options=options).start()
        script.accept()
        for number in range(3):
            script.message(number, f"/second/{number}")
        for _ in range(3):
            assert script.next().command == "SEND"
        script.send(Frame("ERROR", {"message": "access_refused"}))
        script.socket.close()
        script.accept()
        for number in range(3):
            script.message(number, f"/second/{number}", redelivered="true")
        wait_for(lambda: len(server.records("begun")) == 4)
        if reactor == "mio":  # nothing is sent while the application runs
            time.sleep(1.2)
            for number in range(3):
                (directory / f"gate-{number}").touch()
        frame = script.next()
        server.process.send_signal(15)
        wait_for(lambda: " draining" in server.log.read_text())
        answers, acks = [], []
        for number in range(3):
            (directory / f"gate-{number}").touch()
        while frame.command != "DISCONNECT":
            if frame.command == "SEND":
                answers.append(frame.headers["http_statusCode"])
                script.confirm(frame)
            else:
                acks.append(frame.headers["id"])
            frame = script.next()
        assert len(answers) == len(acks) == len(set(acks)), (answers, acks, "what was answered is not handed back")
        assert reactor == "mio" or sorted(answers) == ["503", "503", "504"]
        script.confirm(frame)
        assert server.process.wait(30) == 0


def test_a_poison_is_known_again_by_what_no_broker_changes(directory, reactor):
    """RabbitMQ 4.3 counts how often a message was acquired."""
    with Script("RabbitMQ/4.3.0") as script:
        server = scripted(script, directory, reactor)
        for count in range(3):
            script.accept()
            counts = {"redelivered": "true", "x-acquired-count": str(count), "x-delivery-count": str(count)}
            script.message(count, "/task/evil", **(counts if count else {"redelivered": "false"}))
            assert script.next().headers["destination"] == "/queue/replies"
            script.send(Frame("ERROR", {"message": "precondition_failed"}))
            script.socket.close()
        script.accept()
        script.message(3, "/task/evil", redelivered="true", **{"x-acquired-count": "3", "x-delivery-count": "3"})
        letter = script.next()
        assert letter.headers["destination"] == "/queue/DLQ.a"
        script.confirm(letter)
        assert script.next().headers["id"] == "3"
        assert server.records("begun") == ["evil"] * 3
        server.kill()

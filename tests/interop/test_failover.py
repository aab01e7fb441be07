"""Two ActiveMQ brokers behind one failover URI.

The one in use is killed under load. The service goes on with the other, and what was persistent on the dead one is
answered when it is back.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Callable

import processes
import pytest
from brokers import Broker
from server import Server
from stomp_client import Connection, ConnectionLost, Frame, Request, Requester

REQUESTS = 400
#: Seconds until the service answers on the other broker.
AT_ONCE = 2.0


@pytest.fixture
def pair(new_broker) -> tuple[Broker, Broker]:
    both = new_broker("activemq"), new_broker("activemq")
    for one in both:
        one.launch()
    for one in both:
        one.wait_ready()
    return both


def uri(brokers: tuple[Broker, Broker], options: str) -> str:
    return f"failover:({','.join(one.uri for one in brokers)})?randomize=false&{options}"


@dataclass
class Sender:
    """Persistent requests to one broker, their replies to a queue that outlives the connection."""

    broker: Broker
    destination: str
    name: str
    sent: list[str] = field(default_factory=list)
    replies: Counter[str] = field(default_factory=Counter)
    first_reply: float | None = None

    @property
    def reply_to(self) -> str:
        return f"{self.destination}.replies.{self.name}"

    def frame(self, number: int) -> Frame:
        caller = f"{self.name}-{number}"
        headers = {
            "destination": self.destination,
            "reply-to": self.reply_to,
            "correlation-id": caller,
            "http_requestMethod": "POST",
            "http_requestUrl": f"/echo/{number}",
            "persistent": "true",
            "content-length": "0",
        }
        return Frame("SEND", headers)

    def send(self, connection: Connection, count: int, pace: float = 0.0) -> None:
        """Each is counted once the broker has confirmed it."""
        for number in range(len(self.sent), len(self.sent) + count):
            frame = self.frame(number)
            connection.confirmed(frame)
            self.sent.append(frame.headers["correlation-id"])
            time.sleep(pace)

    def collect(self, connection: Connection, until: float, more: Callable[[], bool] = lambda: False) -> None:
        """Takes replies until each request has one, and there are no more to come."""
        connection.confirmed(Frame("SUBSCRIBE", {"id": "replies", "destination": self.reply_to, "ack": "auto"}))
        while (left := until - time.monotonic()) > 0 and (more() or self.lost()):
            try:
                frame = connection.receive(min(left, 0.2))
            except TimeoutError:
                continue
            assert frame.command == "MESSAGE", f"{frame.command} {frame.headers}"
            self.first_reply = self.first_reply or time.monotonic()
            self.replies[frame.headers["correlation-id"]] += 1

    def lost(self) -> set[str]:
        return set(self.sent) - set(self.replies)


def resumed(server: Server, port: int, since: float) -> float:
    """Seconds from `since` until the service answers there."""
    with Requester("127.0.0.1", port, server.destination) as caller:
        caller.request("GET", "/ping", timeout=30)
    return time.monotonic() - since


@pytest.mark.activemq
@pytest.mark.parametrize("reactor", ["thread-pool", "mio"])
def test_the_other_broker_takes_over(pair, reactor, directory, queue):
    first, second = pair
    server = Server(directory, first.port, reactor, queue, uri=uri(pair, "initialReconnectDelay=100")).start()
    try:
        server.wait_ready()
        one, two = Sender(first, queue, "first"), Sender(second, queue, "second")
        # What waits for the service on the other one, before it comes there.
        with Connection("127.0.0.1", second.port) as connection:
            two.send(connection, 50)

        def until_it_dies(what: Callable[[Connection], None]) -> None:
            try:
                with Connection("127.0.0.1", first.port) as connection:
                    what(connection)
            except (ConnectionLost, OSError, TimeoutError):
                pass  # the broker is dead: what it confirmed until then is what counts

        def load(connection: Connection) -> None:
            one.send(connection, REQUESTS)

        # Replies are not persistent, so somebody has to take them while the broker lives.
        def replies(connection: Connection) -> None:
            one.collect(connection, time.monotonic() + 60, more=thread.is_alive)

        thread = threading.Thread(target=until_it_dies, args=(load,))
        thread.start()
        collector = threading.Thread(target=until_it_dies, args=(replies,))
        collector.start()
        while len(one.sent) < REQUESTS // 4:
            assert thread.is_alive(), "the load came to an end too early"
            time.sleep(0.01)
        killed = time.monotonic()
        first.kill()
        seconds = resumed(server, second.port, killed)
        thread.join()
        collector.join()
        assert len(one.sent) < REQUESTS, "the broker was to die in the middle of it"
        print(f"{reactor}: on the other broker after {seconds:.2f} s")
        assert seconds < AT_ONCE, processes.tail(server.log)

        with Connection("127.0.0.1", second.port) as connection:
            two.send(connection, 50)
            two.collect(connection, time.monotonic() + 30)
        assert not two.lost(), processes.tail(server.log)

        # The dead one comes back with what it had; the service comes back when the other one goes.
        first.launch()
        first.wait_ready()
        second.stop()
        with Connection("127.0.0.1", first.port) as connection:
            one.collect(connection, time.monotonic() + 30)
        twice = sum(count - 1 for count in one.replies.values())
        print(f"{reactor}: {len(one.sent)} persistent requests on the broker that died, {twice} answered twice")
        assert not one.lost(), processes.tail(server.log)
        assert server.stop() == 0
    finally:
        server.kill()


@pytest.mark.activemq
def test_back_to_the_broker_of_choice(pair, directory, queue):
    """`priorityBackup`: as soon as the first one is there again, and no request is lost or answered twice by it."""
    first, second = pair
    first.kill()
    options = "initialReconnectDelay=100&priorityBackup=true"
    server = Server(directory, second.port, "thread-pool", queue, uri=uri(pair, options)).start()
    try:
        server.wait_ready()
        two = Sender(second, queue, "second")
        with Connection("127.0.0.1", second.port) as connection:
            two.send(connection, 200)
            first.launch()
            first.wait_ready()
            began = time.monotonic()
            # It leaves in the middle of this, and what it did not answer waits here for a server.
            two.send(connection, 100, pace=0.01)
            seconds = resumed(server, first.port, began)
            print(f"back on the broker of choice after {seconds:.1f} s")
            assert seconds < 20, processes.tail(server.log)
            with_second = Server(directory, second.port, "tokio", queue).start()
            try:
                two.collect(connection, time.monotonic() + 30)
            finally:
                with_second.kill()
        assert not two.lost(), processes.tail(server.log)
        assert max(two.replies.values()) == 1, "an orderly change of brokers doubles nothing"
        assert server.stop() == 0
    finally:
        server.kill()


def test_a_start_without_any_broker_ends_clearly(directory, queue):
    options = "initialReconnectDelay=10&startupMaxReconnectAttempts=3"
    brokers = ",".join(f"stomp://127.0.0.1:{processes.free_port()}" for _ in range(2))
    nowhere = f"failover:({brokers})?{options}"
    server = Server(directory, 0, "thread-pool", queue, uri=nowhere).start()
    try:
        assert server.process.wait(20) == 7
    finally:
        server.kill()
    log = processes.tail(server.log)
    assert "connection refused" in log and "gave up after 3 attempts" in log, log

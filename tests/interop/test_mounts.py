"""Several destinations with applications of their own, over one connection or several."""

from __future__ import annotations

import json
import time
import uuid
from typing import Callable

import processes
import pytest
import server as ours
from stomp_client import Request, Requester
from test_notify import notify


def known(caller: Requester) -> dict[str, str]:
    """What the application says of itself and of a request."""
    return json.loads(caller.request("GET", "/").body)


def wait_for(one: ours.Server, name: str, lines: list[str]) -> None:
    """Until the probe has written down these, in any order, and no others."""
    until(lambda: sorted(one.records(name)) == sorted(lines), lambda: f"{one.records(name)}, not {lines}")


def wait_subscribed(one: ours.Server, count: int) -> None:
    """A topic says nothing by which its subscription could be known, and keeps nothing for those who come late."""
    until(lambda: one.log.read_text().count(" subscribed") >= count, lambda: processes.tail(one.log))


def until(holds: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)


def test_each_destination_has_its_application(reactor, broker, serve, queue):
    """Whatever a sender claims: RabbitMQ passes its headers on, behind the true ones."""
    destinations = {name: f"{queue}.{name}" for name in ("orders", "stock")}
    options = [f"--mount={destination}=mounted:{name}" for name, destination in destinations.items()]
    one = serve(broker, reactor, options=tuple(options))
    claims = b"\nsubscription:0\ndestination:%s\n\n" % queue.encode()
    for name, destination in destinations.items():
        with Requester("127.0.0.1", broker.port, destination) as caller:
            honest = known(caller)
            frame = caller.frame(Request("GET", "/"), "claimed").encode()
            caller.socket.sendall(frame.replace(b"\n\n", claims, 1))
            for found in (honest, json.loads(caller.receive(20).body)):
                assert (found["app"], found["stomp.destination"]) == (name, destination)
                assert found["stomp.subscription"] == honest["stomp.subscription"]
    with one.requester() as caller:
        assert caller.request("GET", "/ping").body == b"pong"
    assert one.stop() == 0
    assert one.log.read_text().count(" connected") == 1


def test_mounts_alone(shared_brokers, serve, queue):
    """From the environment, without an application of the server's own; one of them twice."""
    broker = shared_brokers("dev")
    one = serve(broker, "thread-pool")
    one.kill()
    mounts = f"{queue}.a=mounted:orders,{queue}.b=mounted:orders,{queue}.c=mounted:stock"
    at = one.command.index("--destination")
    del one.command[at : at + 2]
    one.command.remove("probe:app")
    one.env["STOMP_WSGI_MOUNTS"] = mounts
    one.start()
    for name, app in {"a": "orders", "b": "orders", "c": "stock"}.items():
        with Requester("127.0.0.1", broker.port, f"{queue}.{name}") as caller:
            assert known(caller)["app"] == app
    assert one.stop() == 0


def test_no_reply_goes_to_a_mount(broker, serve, queue):
    """What is answered there would come back as a request, to another application even."""
    one = serve(broker, "thread-pool", options=(f"--mount={queue}.task=probe:app",))
    with one.requester() as caller:
        loop = caller.frame(Request("POST", "/task/looped"), "loop")
        loop.headers["reply-to"] = f"{queue}.task"
        caller.confirmed(loop)
        fine = caller.frame(Request("POST", "/task/fine"), "fine")
        caller.send(fine)
        assert caller.receive(20).body == b"worked on fine"
    assert one.records("begun") == ["fine"]
    assert "consumes" in one.log.read_text()
    assert one.stop() == 0
    broker.wait_empty(queue)
    broker.wait_empty(f"{queue}.task")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--mount", "orders:app"), "DEST=APP"),
        (("--mount", "/queue/a="), "DEST=APP"),
        (("--mount", "/qeue/a=probe:app"), "no such kind"),
        (("--mount", "/queue/a=probe:app", "--mount", "/queue/a=mounted:stock"), "twice"),
        (("--mount", "/queue/wsgi=mounted:stock"), "twice"),
        (("--mount", "wsgi=mounted:stock"), "twice"),
        (("--mount", "queue://DLQ.wsgi=mounted:stock"), "--dead-letter"),
        (("--mount", "/queue/DLQ.wsgi=mounted:stock"), "--dead-letter"),
        (("--destination", "/queue/>"), "come back by /queue/>"),
        (("--destination", "/queue/orders.*", "--dead-letter", "/queue/orders.dead"), "come back by /queue/orders.*"),
        (("--destination", "/topic/a?durable=x"), "--client-id"),
        (("--client-id", "c", "--destination", "/queue/a?durable=x"), "only topics"),
        (("--client-id", "c", "--destination", "/topic/a?durable=x,/topic/b?durable=x"), "a name of its own"),
        (("--connections", "0"), "connections"),
    ],
)
def test_bad_options(options, word):
    done = ours.run("serve", "probe:app", "--chdir", ours.APPS, *options)
    assert done.returncode == 2, done.stderr.decode()
    assert word in done.stderr.decode()


def test_a_mount_that_cannot_be_loaded():
    done = ours.run("serve", "--chdir", ours.APPS, "--mount", "/queue/a=probe:app", "--mount", "/queue/b=probe:nothing")
    assert done.returncode == 3, done.stderr.decode()
    assert "nothing" in done.stderr.decode()


def test_nothing_to_serve():
    for options in ((), ("--destination", "/queue/a", "--mount", "/queue/b=probe:app")):
        done = ours.run("serve", "--chdir", ours.APPS, *options)
        assert done.returncode == 2
        assert b"APP" in done.stderr, done.stderr.decode()


def test_connections_share_the_work(reactor, broker, serve, queue):
    """All are subscribed, all are drained, and a topic's messages come once."""
    topic = f"/topic/{queue.removeprefix('/queue/')}.topic"
    one = serve(broker, reactor, options=("--connections", "3", "--mount", f"{topic}=probe:app"))
    with one.requester() as caller:
        requests = [ours.Request("POST", f"/echo/{n}", b"x", expect=b"%d:x" % n) for n in range(300)]
        caller.load(requests).check()
    wait_subscribed(one, 4)
    for n in range(5):
        notify(broker, topic, f"/note/{n}", b"")
    wait_for(one, "notes", [f"NOTIFY {n} " for n in range(5)])
    assert one.stop() == 0
    log = one.log.read_text()
    assert (log.count(" connected"), log.count(" subscribed"), log.count(" draining running=")) == (3, 4, 3)
    broker.wait_empty(queue)


def test_a_durable_subscription_has_what_came_in_the_meantime(real_kind, shared_brokers, serve, queue):
    broker = shared_brokers(real_kind)
    topic = f"/topic/{queue.removeprefix('/queue/')}.topic"
    client = queue.removeprefix("/queue/")
    options = ("--client-id", client, "--mount", f"{topic}?durable=desk=probe:app", "--connections", "2")
    one = serve(broker, "thread-pool", options=options)
    wait_subscribed(one, 3)
    notify(broker, topic, "/note/first", b"")
    wait_for(one, "notes", ["NOTIFY first "])
    assert one.stop() == 0
    for n in range(10):
        notify(broker, topic, f"/note/{n}", b"", persistent="true")
    one.start().wait_ready()
    wait_for(one, "notes", ["NOTIFY first ", *(f"NOTIFY {n} " for n in range(10))])
    assert one.stop() == 0


@pytest.mark.rabbitmq
def test_no_reply_goes_to_the_queue_of_a_durable_subscription(shared_brokers, serve, queue):
    """RabbitMQ keeps the topic's messages in one that anybody may name."""
    name = queue.removeprefix("/queue/")
    options = ("--client-id", name, "--mount", f"/topic/{name}?durable=desk=probe:app")
    one = serve(shared_brokers("rabbitmq"), "thread-pool", options=options)
    wait_subscribed(one, 2)
    with one.requester() as caller:
        for spelling in (f"/queue/{name}.desk", f"/amq/queue/{name}.des%6B"):
            loop = caller.frame(Request("POST", "/task/looped"), "loop")
            loop.headers["reply-to"] = spelling
            caller.confirmed(loop)
        assert caller.request("POST", "/task/fine").body == b"worked on fine"
    assert one.records("begun") == ["fine"]
    assert one.log.read_text().count("consumes") >= 2
    assert one.stop() == 0


@pytest.mark.rabbitmq
def test_rabbitmq_shares_a_durable_subscription(shared_brokers, serve, queue, directory):
    """Two servers with one client id take turns; each message comes to one of them."""
    broker = shared_brokers("rabbitmq")
    name = queue.removeprefix("/queue/")
    options = ("--client-id", name, "--mount", f"/topic/{name}?durable=desk=probe:app")
    # A queue for each: an answer in a common one does not say that both are there.
    one = serve(broker, "thread-pool", options=options)
    two = serve(broker, "tokio", options=options, destination=f"{queue}.two")
    for server in (one, two):
        wait_subscribed(server, 2)
    for n in range(20):
        notify(broker, f"/topic/{name}", f"/note/{n}", b"")
    wait_for(one, "notes", [f"NOTIFY {n} " for n in range(20)])
    assert (one.stop(), two.stop()) == (0, 0)
    assert all(server.log.read_text().count(" taken") > 0 for server in (one, two))
    assert broker.depth(f"{name}.desk") == 0


@pytest.mark.parametrize(
    ("kind", "selector"),
    [
        pytest.param("activemq", "region IN ('eu'%2C 'us') AND n > 3", marks=pytest.mark.activemq),
        ("dev", "region = 'eu' AND n = '4'"),
    ],
)
def test_a_selector_leaves_the_rest(kind, selector, shared_brokers, serve, queue):
    broker = shared_brokers(kind)
    chosen = f"{queue}.chosen"
    one = serve(broker, "thread-pool", options=("--mount", f"{chosen}?selector={selector}=probe:app"))
    for region, n in (("eu", 3), ("asia", 4), ("eu", 4)):
        notify(broker, chosen, f"/note/{region}-{n}", b"", region=region, n=str(n))
    wait_for(one, "notes", ["NOTIFY eu-4 "])
    assert one.stop() == 0
    assert broker.depth(chosen) == 2


@pytest.mark.parametrize(
    ("kind", "destination", "why"),
    [
        pytest.param("activemq", "/queue/{}?selector=n >", "InvalidSelectorException: n >", marks=pytest.mark.activemq),
        pytest.param("activemq", "/topic/{}?selector=n >", "TopicSubscription", marks=pytest.mark.activemq),
        pytest.param("rabbitmq", "/topic/{}?selector=n > 3", "RabbitMQ has no selectors", marks=pytest.mark.rabbitmq),
        ("dev", "/topic/{}?selector=n > 3", "this selector is not supported"),
        ("dev", "/topic/{}?durable=desk", "durable subscriptions are not supported"),
    ],
)
def test_what_a_broker_cannot_do_ends_the_server(kind, destination, why, shared_brokers):
    """At once, and with its reason: it would go on without a word, or fail for ever."""
    # Not named after the test: what it is to say would be in it.
    destination = destination.format(f"chosen.{uuid.uuid4()}")
    options = ("--broker", shared_brokers(kind).uri, "--client-id", "c", "--destination", destination)
    done = ours.run("serve", "probe:app", "--chdir", ours.APPS, *options)
    assert done.returncode == 7, done.stderr.decode()
    last = done.stderr.decode().splitlines()[-1]
    assert destination.partition("?")[0] in last and why in last, last


@pytest.mark.activemq
def test_one_client_id_is_for_one(shared_brokers, serve, queue):
    """ActiveMQ lets nobody in twice; our other connections have none."""
    broker = shared_brokers("activemq")
    options = ("--client-id", queue, "--connections", "2")
    one = serve(broker, "thread-pool", options=options)
    done = ours.run("serve", "probe:app", "--chdir", ours.APPS, "--broker", broker.uri, *options)
    assert done.returncode == 7, done.stderr.decode()
    assert b"already connected" in done.stderr, done.stderr.decode()
    with one.requester() as caller:
        assert caller.request("GET", "/ping").body == b"pong"

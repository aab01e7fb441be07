"""Other people's STOMP clients as requesters, and our own command line."""

from __future__ import annotations

import asyncio
import json
import queue as queues
import random
import uuid

import pytest
import server as ours
import stomp
import stompest.config
import stompest.protocol
import stompest.sync
import stompman
import stompman.connection

REACTOR = "thread-pool"
BIG = random.Random(1).randbytes(1024 * 1024)


@pytest.fixture
def serving(broker, serve):
    return serve(broker, REACTOR)


def reply_queue(broker) -> tuple[str, bool]:
    """Where replies are to go, and whether that has to be subscribed to."""
    kind = "queue" if broker.kind == "artemis" else "temp-queue"
    return f"/{kind}/{uuid.uuid4().hex}", broker.kind != "rabbitmq"


def headers_of(cid: str, method: str, url: str, reply_to: str) -> dict[str, str]:
    return {
        "correlation-id": cid,
        "reply-to": reply_to,
        "http_requestMethod": method,
        "http_requestUrl": url,
        "content-type": "application/octet-stream",
    }


class Expected:
    """Requests by correlation id, ticked off as replies come."""

    def __init__(self) -> None:
        self.requests = {f"{n}-{uuid.uuid4()}": (f"/echo/{n}", f"body {n}".encode()) for n in range(50)}
        self.requests["big"] = ("/echo/big", BIG)
        self.open = dict(self.requests)

    def reply(self, headers: dict[str, str], body: bytes) -> None:
        url, sent = self.open.pop(headers["correlation-id"])
        assert headers["http_statusCode"] == "200"
        assert body == url.removeprefix("/echo/").encode() + b":" + sent


def test_stomp_py(broker, serving):
    expected, arrived = Expected(), queues.Queue()

    class Listener(stomp.ConnectionListener):
        def on_message(self, frame):
            arrived.put(frame)

        def on_error(self, frame):
            arrived.put(frame)

    connection = stomp.Connection12([("127.0.0.1", broker.port)], auto_decode=False, vhost="/")
    connection.set_listener("", Listener())
    connection.connect("guest", "guest", wait=True)
    try:
        reply_to, subscribe = reply_queue(broker)
        if subscribe:
            connection.subscribe(reply_to, id="replies", ack="auto")
        for cid, (url, body) in expected.requests.items():
            connection.send(serving.destination, body, headers=headers_of(cid, "POST", url, reply_to))
        while expected.open:
            frame = arrived.get(timeout=30)
            assert frame.cmd == "MESSAGE", (frame.headers, frame.body)
            body = frame.body if isinstance(frame.body, bytes) else frame.body.encode()
            expected.reply(frame.headers, body)
    finally:
        connection.disconnect()


class ToLoopback(stompman.connection.Connection):
    """stompman sends the name that it connects to as `host`, which RabbitMQ takes for a virtual host."""

    @classmethod
    async def connect(cls, *, host: str, **options: object):
        return await super().connect(host="127.0.0.1", **options)


def test_stompman(broker, serving):
    expected = Expected()

    async def run() -> None:
        done = asyncio.Event()
        failures = []

        async def on_reply(frame: stompman.MessageFrame) -> None:
            try:
                expected.reply(frame.headers, frame.body)
            except BaseException as error:
                failures.append(error)
            if failures or not expected.open:
                done.set()

        parameters = stompman.ConnectionParameters("/", broker.port, "guest", "guest")
        reply_to, temporary = reply_queue(broker)
        if not temporary:
            # It drops messages of a subscription that it did not make.
            reply_to = f"/queue/{uuid.uuid4().hex}"
        connect = {"connection_class": ToLoopback, "on_error_frame": failures.append}
        async with stompman.Client([parameters], **connect) as client:
            subscription = await client.subscribe(
                reply_to, on_reply, ack="auto", on_suppressed_exception=lambda *_: None
            )
            for cid, (url, body) in expected.requests.items():
                await client.send(body, serving.destination, headers=headers_of(cid, "POST", url, reply_to))
            try:
                await asyncio.wait_for(done.wait(), 30)
            finally:
                await subscription.unsubscribe()
        assert not failures

    asyncio.run(run())
    assert not expected.open


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_stompest(broker, serving, version):
    expected = Expected()
    spec = stompest.protocol.StompSpec
    config = stompest.config.StompConfig(
        f"tcp://127.0.0.1:{broker.port}", login="guest", passcode="guest", version=version
    )
    client = stompest.sync.Stomp(config)
    client.connect(host="/", versions=[version])
    try:
        reply_to, subscribe = reply_queue(broker)
        if subscribe:
            client.subscribe(reply_to, {spec.ID_HEADER: "replies", spec.ACK_HEADER: spec.ACK_AUTO})
        for cid, (url, body) in expected.requests.items():
            headers = headers_of(cid, "POST", url, reply_to) | {spec.CONTENT_LENGTH_HEADER: str(len(body))}
            client.send(serving.destination, body, headers)
        while expected.open:
            assert client.canRead(30), f"{len(expected.open)} replies missing"
            frame = client.receiveFrame()
            assert frame.command == spec.MESSAGE, frame
            expected.reply(frame.headers, frame.body)
    finally:
        client.disconnect()


def call(broker, destination: str, *arguments: object, stdin: bytes | None = None):
    return ours.run("call", "--broker", broker.uri, "--to", destination, "--timeout", "30", *arguments, stdin=stdin)


def test_call(broker, serving, tmp_path):
    to = serving.destination
    done = call(broker, to, "GET", "/ping")
    assert (done.returncode, done.stdout) == (0, b"pong"), done.stderr.decode()

    assert call(broker, to, "-d", "some data", "POST", "/echo/a").stdout == b"a:some data"
    big = tmp_path / "big"
    big.write_bytes(BIG)
    assert call(broker, to, "-d", f"@{big}", "POST", "/plain").stdout == BIG
    assert call(broker, to, "-d", "-", "POST", "/plain", stdin=BIG).stdout == BIG

    done = call(broker, to, "-H", "X-Tenant: blue", "-H", "Content-Type: text/x-test", "-d", "x", "PUT", "/show/?a=b")
    environ = json.loads(done.stdout)
    assert environ["REQUEST_METHOD"] == "PUT"
    assert environ["QUERY_STRING"] == "a=b"
    assert environ["HTTP_X_TENANT"] == "blue"
    assert environ["CONTENT_TYPE"] == "text/x-test"

    done = call(broker, to, "-i", "GET", "/status/404")
    head, _, body = done.stdout.replace(b"\r\n", b"\n").partition(b"\n\n")
    assert b"404" in head.splitlines()[0]
    assert b"content-type: text/plain" in head.lower()
    assert body == b"as you say: 404"


def test_call_streamed(broker, serving):
    for n in range(1, 4):
        (serving.directory / f"gate-c-{n}").touch()
    done = call(broker, serving.destination, "--stream", "GET", "/gated/c?blocks=4")
    assert done.stdout == b"".join(f"block {n} of c\n".encode() for n in range(4)), done.stderr.decode()


def test_notify(broker, serving):
    done = ours.run("notify", "--broker", broker.uri, "--to", serving.destination, "-d", "a letter", "/note/cli")
    assert done.returncode == 0, done.stderr.decode()
    assert call(broker, serving.destination, "GET", "/ping").stdout == b"pong"
    assert serving.stop() == 0
    assert serving.records("notes") == ["NOTIFY cli a letter"]

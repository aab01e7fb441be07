"""Messages that brokers relay although STOMP does not allow them: each is served or settled, and costs nobody anything."""

from __future__ import annotations

import base64
import subprocess
import time

import brokers
import jms
import processes
import pytest
from stomp_client import Connection, Frame, ProtocolError, Requester
from test_notify import dead_letters

#: What makes any of them a request that is answered with its body.
CALL = {"http_requestMethod": "POST", "http_requestUrl": "/plain"}


def send_by_jms(broker: brokers.ActiveMQ, queue: str, messages: list[tuple[str, bytes, str, str, dict[str, str]]]) -> None:
    """Messages of a JMS client: each its kind (text, compressed, bytes or map), body, reply-to, correlation-id
    and properties."""

    def word(text: str | bytes) -> str:
        return "=" + base64.b64encode(text.encode() if isinstance(text, str) else text).decode()

    lines = [
        " ".join([kind, *map(word, [body, reply_to, correlation_id, *(x for pair in properties.items() for x in pair)])])
        for kind, body, reply_to, correlation_id, properties in messages
    ]
    source = jms.source(jms.SOURCE.with_name("MalformedSender.java"), broker)
    command = ["java", "-Xmx128m", "-cp", ":".join(broker.jars()), str(source)]
    command += [f"tcp://127.0.0.1:{broker.openwire_port}", queue.removeprefix("/queue/")]
    done = subprocess.run(
        command, env=processes.environment(), input="".join(f"{line}\n" for line in lines), capture_output=True,
        text=True, timeout=60,
    )
    assert done.returncode == 0 and done.stdout.endswith("sent\n"), done.stdout + done.stderr


@pytest.fixture(scope="module")
def openwire(scratch, need_broker):
    """An ActiveMQ whose messages of JMS clients harm no other test."""
    need_broker("activemq")
    jms.need()
    broker = brokers.ActiveMQ(scratch / "openwire").start()
    yield broker
    broker.close()


def replies(caller: Connection, count: int, timeout: float = 20.0) -> dict[str, bytes]:
    """So many replies, by their correlation-id."""
    deadline, found = time.monotonic() + timeout, {}
    while len(found) < count:
        frame = caller.receive(deadline - time.monotonic())
        assert frame.command == "MESSAGE", frame
        assert frame.headers["correlation-id"] not in found, "answered once"
        found[frame.headers["correlation-id"]] = frame.body
        if frame.headers["http_statusCode"] != "200":
            found[frame.headers["correlation-id"]] = frame.headers["http_statusCode"].encode()
    return found


def undisturbed(server, broker, *others: str) -> None:
    """All queues are served, over the connection that there was, and nothing is left of the messages."""
    for destination in (server.destination, *others):
        with Requester("127.0.0.1", broker.port, destination) as caller:
            assert caller.request("GET", "/ping").body == b"pong", destination
        broker.wait_empty(destination)
    log = server.log.read_text()
    assert log.count(" connected") == 1, log[-3000:]


#: Name, kind, body, and properties that go with it.
PROPERTIES = [
    ("length too short", "text", b"hello", {"content-length": "3"}),
    ("length of none", "text", b"hello", {"content-length": "0"}),
    ("length that is right", "text", b"hello", {"content-length": "5"}),
    ("length with a sign", "text", b"hello", {"content-length": "+5"}),
    ("negative length", "text", b"hello", {"content-length": "-1"}),
    ("no number", "text", b"hello", {"content-length": "many"}),
    ("empty", "text", b"hello", {"content-length": ""}),
    ("too large a number", "text", b"hello", {"content-length": "9" * 30}),
    ("of a map", "map", b"415", {"content-length": "3"}),
    ("of bytes", "bytes", b"h\0el\0\nlo", {"content-length": "3"}),
    ("of bytes, torn", "bytes", b"h\0el\0\nlo", {"X\ncontent-length": "3"}),
    ("torn name", "text", b"hello", {"X\nName": "v"}),
    ("name that ends so", "text", b"hello", {"X\n": "v"}),
    ("name that begins so", "text", b"hello", {"\nX": "v"}),
    ("name with an empty line", "text", b"hello", {"X\n\nName": "v"}),
    ("name of an empty line", "text", b"hello", {"A\n\n": "v", "Z\n\n": "w"}),
    ("torn ack", "text", b"hello", {"X\nack": "forged", "A\nack": "forged", "b\nack": "forged"}),
    ("torn ids", "text", b"hello", {"X\nmessage-id": "forged", "Y\nsubscription": "forged"}),
    ("name with a colon", "text", b"hello", {":x": "v", ":": "w"}),
    ("name with NUL", "text", b"hello", {"x\0y": "v\0w"}),
    ("text with NUL", "compressed", b"h\0el\0\nlo", {}),
    ("text with NUL at its end", "compressed", b"hello\0\0", {"content-length": "300"}),
    ("very long length", "text", b"hello", {"content-length": str(2**31 - 1)}),
    ("length too long", "text", b"hello", {"content-length": "300"}),
]


@pytest.mark.activemq
def test_properties_of_jms_senders(openwire, reactor, serve, queue):
    other = f"{queue}.other"
    server = serve(openwire, reactor, options=("--destination", other))
    back = f"{queue}.replies"
    with Connection("127.0.0.1", openwire.port) as caller:
        caller.confirmed(Frame("SUBSCRIBE", {"id": "replies", "destination": back, "ack": "auto"}))
        messages = [
            (kind, body, back.removeprefix("/queue/"), name, CALL | properties)
            for name, kind, body, properties in PROPERTIES
        ]
        send_by_jms(openwire, queue, messages)
        expected = {name: body for name, _, body, _ in PROPERTIES}
        if not openwire.release().utf8:
            # The application had a NUL; in a text for a JMS client that is two octets.
            expected["text with NUL"] = b"h\xc0\x80el\xc0\x80\nlo"
        assert replies(caller, len(messages)) == expected
        undisturbed(server, openwire, other)
        # Alone: nothing follows that would tell where it ends.
        for messages in ([message] for message in messages if message[3] == "length too long"):
            send_by_jms(openwire, queue, messages)
            assert replies(caller, 1) == {"length too long": b"hello"}
    undisturbed(server, openwire, other)
    assert server.stop() == 0


@pytest.mark.activemq
def test_heads_beyond_the_limits(openwire, reactor, serve, queue):
    """OpenWire has no limits for properties: a caller is told, and the broker keeps what nobody waits for."""
    server = serve(openwire, reactor)
    back = f"{queue}.replies"
    heads = [{"large": "x" * (2 << 20)}, {f"h{n}": "v" for n in range(11_000)}]
    with Connection("127.0.0.1", openwire.port) as caller:
        caller.confirmed(Frame("SUBSCRIBE", {"id": "replies", "destination": back, "ack": "auto"}))
        call = [("text", b"hello", back.removeprefix("/queue/"), str(n), CALL | head) for n, head in enumerate(heads)]
        told = [("text", b"hello", "", str(n), {"http_requestMethod": "NOTIFY"} | head) for n, head in enumerate(heads)]
        send_by_jms(openwire, queue, call + told)
        assert replies(caller, len(heads)) == {str(n): b"431" for n in range(len(heads))}
    undisturbed(server, openwire)
    assert openwire.depth(f"/queue/DLQ.{queue.removeprefix('/queue/')}") == len(heads)
    assert server.stop() == 0


@pytest.mark.activemq
@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_lengths_that_activemq_passes_on(shared_brokers, serve, queue, version):
    """Of a text by `amq-msg-type` it keeps the sender's header, as he spelt it; the body may have NULs in it."""
    broker = shared_brokers("activemq")
    server = serve(broker, "thread-pool")
    lengths = ["content-length:+8", "content-length: 8", "content-length:8 ", "content-length:008", "content-length:8"]
    with Connection("127.0.0.1", broker.port) as caller:
        back = f"{queue}.replies"
        caller.confirmed(Frame("SUBSCRIBE", {"id": "replies", "destination": back, "ack": "auto"}))
        with Connection("127.0.0.1", broker.port, version=version) as sender:
            for n, length in enumerate(lengths):
                head = "".join(f"{name}:{value}\n" for name, value in CALL.items())
                head += f"destination:{queue}\nreply-to:{back}\ncorrelation-id:{n}\namq-msg-type:text\n{length}\n"
                sender.socket.sendall(f"SEND\n{head}\nb\0o\0\ndy\n\0".encode())
            assert replies(caller, len(lengths)) == {str(n): b"b\0o\0\ndy\n" for n in range(len(lengths))}
        undisturbed(server, broker)
    assert server.stop() == 0


@pytest.mark.rabbitmq
def test_headers_without_a_name(shared_brokers, reactor, serve, queue):
    """RabbitMQ relays them, by STOMP and by AMQP, and a content-length of the sender's that comes twice."""
    broker = shared_brokers("rabbitmq")
    other = f"{queue}.other"
    server = serve(broker, reactor, options=("--destination", other))
    with server.requester() as caller:
        for n, lines in enumerate([":x", ":", ":x\n:y:z", ": "]):
            head = "".join(f"{name}:{value}\n" for name, value in CALL.items())
            head += f"{lines}\ndestination:{queue}\nreply-to:{caller.reply_to}\ncorrelation-id:{n}\ncontent-length:5\n"
            caller.socket.sendall(f"SEND\n{head}\nhello\0".encode())
            assert replies(caller, 1) == {str(n): b"hello"}
        back = f"{queue}.replies"
        with Connection("127.0.0.1", broker.port) as listener:
            listener.confirmed(Frame("SUBSCRIBE", {"id": "replies", "destination": back, "ack": "auto"}))
            tables = {
                "no name": [("", "x")],
                "several": [("", "x"), ("", "y"), ("a", "b")],
                "lines": [("X\nName", "v\n\n"), ("\n\n", "\n"), (":x", ":")],
                "length": [("content-length", "3"), ("content-length", "300"), ("content-length", "many")],
                "NUL": [("x\0y", "v\0w")],
            }
            messages = [(b"h\0ello", name, table) for name, table in tables.items()]
            messages.append((b"", "empty", [("content-length", "3"), ("content-length", "300")]))
            publish(broker, queue, back, messages)
            found = replies(listener, len(tables) + 1)
            assert found == {name: b"h\0ello" for name in tables} | {"empty": b""}
    undisturbed(server, broker, other)
    assert server.stop() == 0


def publish(broker, queue: str, back: str, messages: list[tuple[bytes, str, list[tuple[str, str]]]]) -> None:
    """As an AMQP client would: the broker does not look at the tables. Each message has a body, a correlation-id and a
    table of headers."""

    def binary(octets: str | bytes) -> str:
        octets = octets.encode() if isinstance(octets, str) else octets
        return f"<<{','.join(map(str, octets))}>>"

    key = binary(queue.removeprefix("/queue/"))
    calls = ["Name = rabbit_misc:r(<<47>>,exchange,<<>>)", "{ok, Exchange} = rabbit_exchange:lookup(Name)"]
    for body, correlation_id, table in messages:
        rows = ",".join(f"{{{binary(name)},longstr,{binary(value)}}}" for name, value in [*table, *CALL.items()])
        reply_to = binary(back.removeprefix("/queue/"))
        properties = f"[{{headers,[{rows}]}},{{correlation_id,{binary(correlation_id)}}},{{reply_to,{reply_to}}}]"
        content = f"rabbit_basic:build_content(rabbit_basic:properties({properties}),[{binary(body)}])"
        if broker.name == "rabbitmq-3":
            calls.append(f"rabbit_basic:publish(Name,{key},{properties},{binary(body)})")
        else:
            message = f"element(2,{{ok,_}} = mc_amqpl:message(Name,{key},{content}))"
            calls.append(f"rabbit_queue_type:publish_at_most_once(Exchange,{message})")
    broker.control("eval", f"{','.join(calls)}.")


@pytest.mark.rabbitmq
def test_dead_letters_have_no_long_properties(shared_brokers, serve, queue):
    """An AMQP sender can put what STOMP reads as a property into the table, where it may be of any length."""
    broker = shared_brokers("rabbitmq")
    server = serve(broker, "thread-pool")
    long = "v" * 300
    with dead_letters(broker, queue) as dead:
        table = [("content-type", long), ("type", long), ("app-id", long), ("X-Long", long)]
        notify = [("http_requestMethod", "NOTIFY"), ("http_requestUrl", "/status/400")]
        publish(broker, queue, "nobody", [(b"body", "c", table + notify)])
        letter = dead.receive(20)
        assert (letter.body, letter.headers["X-Long"]) == (b"body", long)
        assert not letter.headers.keys() & {"content-type", "type", "app-id"}
    undisturbed(server, broker)
    assert server.stop() == 0


@pytest.mark.rabbitmq
def test_heads_that_rabbitmq_does_not_limit(shared_brokers, reactor, serve, queue):
    broker = shared_brokers("rabbitmq")
    server = serve(broker, reactor)
    heads = [{"large": "x" * (2 << 20)}, {f"h{n}": "v" for n in range(11_000)}]
    if broker.release().long_strings:
        heads.append({"x" * (1 << 20): ""})
    with server.requester() as caller:
        for n, head in enumerate(heads):
            reply = caller.request("POST", "/plain", b"hello", head)
            assert reply.headers["http_statusCode"] == "431", n
            caller.confirmed(Frame("SEND", {"destination": queue, "http_requestMethod": "NOTIFY"} | head, b"hello"))
    undisturbed(server, broker)
    assert server.log.read_text().count("refused a message") == len(heads)
    assert server.stop() == 0


@pytest.mark.rabbitmq
@pytest.mark.parametrize("header", ["correlation-id", "type", "app-id", "n" * 256])
def test_what_rabbitmq_4_takes_of_nobody(header, shared_brokers, queue):
    """Since 4.0 it turns each message into AMQP when it is sent: 256 octets end the connection that they came by."""
    broker = shared_brokers("rabbitmq")
    with Connection("127.0.0.1", broker.port) as sender:
        frame = Frame("SEND", {"destination": queue, header: "v" * 256})
        if broker.release().long_strings:
            return sender.confirmed(frame)
        with pytest.raises(ProtocolError, match="AMQP channel died"):
            sender.confirmed(frame)

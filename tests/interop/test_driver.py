"""The load driver itself: that it reads what brokers write, and that a wrong reply does not get past it."""

from __future__ import annotations

import threading

import pytest
from stomp_client import Connection, ConnectionLost, Decoder, Frame, ProtocolError, Request, Requester, escape, unescape

FRAMES = [
    Frame("CONNECTED", {"version": "1.2", "session": "a:b\\c"}),
    Frame("MESSAGE", {"a": "1", "odd:na\\me": "va\nl\rue: \\", "content-length": "7"}, b"x\0y\n\nz\0"),
    Frame("MESSAGE", {"b": "ü ", "empty": ""}, b"up to the NUL"),
    Frame("RECEIPT", {"receipt-id": "r1"}),
]
RAW = {"CONNECTED"}


def wire() -> bytes:
    out = b"\n\n"
    for frame in FRAMES:
        code = str if frame.command in RAW else escape
        head = "".join(f"{code(k)}:{code(v)}\n" for k, v in frame.headers.items())
        out += f"{frame.command}\n{head}\n".encode() + frame.body + b"\0\n\r\n"
    return out


def test_split_anywhere():
    data = wire()
    for size in (1, 2, 3, 7, 50, len(data)):
        decoder, got = Decoder(), []
        for at in range(0, len(data), size):
            got += decoder.feed(data[at : at + size])
        assert got == FRAMES


def test_escapes():
    for text in ("", "plain", "a:b\\c\nd\re", "\\c", "\\\\n"):
        assert unescape(escape(text)) == text
        assert not set("\n\r:") & set(escape(text))


def test_the_first_of_repeated_headers_counts():
    (frame,) = Decoder().feed(b"MESSAGE\na:1\na:2\n\n\0")
    assert frame.headers == {"a": "1"}


def test_a_body_longer_than_it_says():
    with pytest.raises(ProtocolError):
        Decoder().feed(b"MESSAGE\ncontent-length:1\n\nabc\0")


class Misbehaving:
    """Answers echo requests by hand; `how` says what becomes of request number 7."""

    def __init__(self, port: int, destination: str, how: str) -> None:
        self._connection = Connection("127.0.0.1", port)
        subscribe = {"id": "1", "destination": destination, "ack": "auto"}
        self._connection.confirmed(Frame("SUBSCRIBE", subscribe))
        self._how = how
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        count = 0
        while not self._stop.is_set():
            try:
                message = self._connection.receive(0.1)
            except TimeoutError:
                continue
            count += 1
            headers = {
                "destination": message.headers["reply-to"],
                "correlation-id": message.headers["correlation-id"],
                "http_statusCode": "200",
            }
            reply, times = Frame("SEND", headers, message.body), 1
            if count == 7:
                match self._how:
                    case "lost":
                        times = 0
                    case "doubled":
                        times = 2
                    case "wrong body":
                        reply.body += b"!"
                    case "wrong status":
                        headers["http_statusCode"] = "500"
                    case "unknown id":
                        headers["correlation-id"] += "?"
                    case "trimmed id":
                        headers["correlation-id"] = headers["correlation-id"].replace("\\", "")
            for _ in range(times):
                self._connection.send(reply)


@pytest.mark.parametrize(
    "how", ["well", "lost", "doubled", "wrong body", "wrong status", "unknown id", "trimmed id"]
)
def test_what_it_notices(how, shared_brokers, queue):
    broker = shared_brokers("dev")
    responder = Misbehaving(broker.port, queue, how)
    try:
        with Requester("127.0.0.1", broker.port, queue) as caller:
            requests = [Request("POST", "/", str(n).encode(), {}, str(n).encode()) for n in range(20)]
            load = caller.load(requests, in_flight=4, idle_timeout=1)
            assert load.sent == 20
            if how == "well":
                load.check()
                assert len(load.replies) == 20
            else:
                with pytest.raises(AssertionError):
                    load.check()
    finally:
        responder.close()


def test_a_broker_that_leaves(new_broker, queue):
    broker = new_broker("dev").start()
    with Requester("127.0.0.1", broker.port, queue) as caller:
        broker.kill()
        with pytest.raises(ConnectionLost):
            caller.request("GET", "/")


def test_depth(broker, queue):
    """What the other tests conclude from an empty queue."""
    assert broker.depth(queue) == 0
    with Connection("127.0.0.1", broker.port) as sender:
        for _ in range(3):
            sender.confirmed(Frame("SEND", {"destination": queue}, b"x"))
    assert broker.depth(queue) == 3
    with Connection("127.0.0.1", broker.port) as taker:
        taker.confirmed(Frame("SUBSCRIBE", {"id": "1", "destination": queue, "ack": "auto"}))
        for _ in range(3):
            assert taker.receive().body == b"x"
    broker.wait_empty(queue)

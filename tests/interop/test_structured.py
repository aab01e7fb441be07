"""Whole HTTP messages in the bodies of messages: application/http, both ways."""

from __future__ import annotations

import hashlib
import io
import json
import random
from http.client import IncompleteRead

import pytest
from http_message import request, response
from server import run
from stomp_client import Frame, Requester
from test_notify import dead_letters
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

KIND = "application/http; msgtype=request"


def wrapped(caller: Requester, whole: bytes, **headers: str) -> Frame:
    """A message with this request, and nothing of it in its headers."""
    own = {"destination": caller.destination, "reply-to": caller.reply_to, "correlation-id": caller.next_id()}
    own |= {"content-type": KIND, "content-length": str(len(whole))}
    return Frame("SEND", own | headers, whole)


def exchange(caller: Requester, frame: Frame, method: str = "GET"):
    """Sends it; the response within the reply, and the reply."""
    caller.send(frame)
    reply = caller.receive(20)
    assert reply.command == "MESSAGE", reply
    assert reply.headers["correlation-id"] == frame.headers["correlation-id"]
    assert reply.headers["content-type"] == "application/http; msgtype=response"
    whole = response(reply.body, method)
    assert reply.headers["http_statusCode"] == str(whole.status)
    return whole, reply


@pytest.fixture
def caller(broker, serve):
    with serve(broker, "thread-pool", app="whole:app").requester() as one:
        yield one


def test_uploads(caller):
    """Multipart with a length, in chunks, and what a text message cannot hold."""
    content = random.Random(7).randbytes(300_000)
    files = {"grün.bin": content, "empty": b""}
    uploads = [FileStorage(io.BytesIO(octets), name) for name, octets in files.items()]
    boundary, body = encode_multipart({"name": ["kettle", "pot"], "file": uploads})
    headers = [("Content-Type", f'multipart/form-data; boundary="{boundary}"')]
    digests = {name: hashlib.sha256(octets).hexdigest() for name, octets in files.items()}
    for sent in (body, (body[at : at + 10_000] for at in range(0, len(body), 10_000))):
        whole, reply = exchange(caller, wrapped(caller, request("POST", "/upload", sent, headers)))
        assert whole.status == 201 and reply.headers["http_isError"] == "false"
        assert json.load(whole) == {"form": {"name": ["kettle", "pot"]}, "files": digests}


def test_every_octet(caller):
    body = bytes(range(256)) * 40
    whole, _ = exchange(caller, wrapped(caller, request("PUT", "/echo", body, [("Content-Type", "a/b")])))
    assert (whole.read(), whole.getheader("Content-Type")) == (body, "a/b")


def test_headers_repeat_in_both_directions(caller):
    """Names that brokers claim, repeats, spelling: nothing that a broker would lose, join or choke on."""
    sent = [("X-A", "1"), ("Cookie", "a=1"), ("x-a", "2, 3"), ("Cookie", "b=2"), ("expires", "0"), ("X-Long", "l" * 20_000)]
    whole, _ = exchange(caller, wrapped(caller, request("GET", "/headers?x=%20", None, sent)))
    seen = json.load(whole)
    environ = seen["environ"]
    assert (environ["HTTP_X_A"], environ["HTTP_COOKIE"], environ["HTTP_EXPIRES"]) == ("1,2, 3", "a=1; b=2", "0")
    assert len(environ["HTTP_X_LONG"]) == 20_000
    assert (environ["SERVER_NAME"], environ["QUERY_STRING"]) == ("shop.example", "x=%20")
    assert [tuple(pair) for pair in seen["raw"]] == [("Host", "shop.example"), *sent]

    whole, reply = exchange(caller, wrapped(caller, request("GET", "/cookies")))
    assert whole.read() == b"cookies"
    assert whole.msg.get_all("x-spelled-so") == ["1", "2, 3"]
    assert [cookie.partition(";")[0] for cookie in whole.msg.get_all("Set-Cookie")] == ["a=1", "b=2"]
    assert b"\r\nx-spelled-so: 1\r\nX-Spelled-SO: 2, 3\r\n" in reply.body
    assert (whole.getheader("expires"), whole.getheader("JMSExpiration")) == ("0", "5")
    assert len(whole.getheader("X-Long")) == 25_000
    assert not [name for name in reply.headers if name.lower() in ("set-cookie", "x-long", "x-spelled-so")]


def test_responses_without_a_body(caller):
    whole, _ = exchange(caller, wrapped(caller, request("HEAD", "/cookies")), "HEAD")
    assert (whole.status, whole.getheader("Content-Length"), whole.read()) == (200, "7", b"")
    whole, reply = exchange(caller, wrapped(caller, request("DELETE", "/nothing")))
    assert (whole.status, whole.getheader("Content-Length")) == (204, None)
    assert reply.body.endswith(b"\r\n\r\n")
    for wrong in (request("HEAD", "/boom"), b"HEAD / HTTP/1.1\r\n\r\nunframed"):
        whole, reply = exchange(caller, wrapped(caller, wrong), "HEAD")
        assert whole.status in (400, 500) and reply.body.endswith(b"\r\n\r\n")


def test_one_response_however_it_is_yielded(caller):
    whole, reply = exchange(caller, wrapped(caller, request("GET", "/blocks"), http_acceptStream="true"))
    assert (whole.getheader("Content-Length"), whole.read()) == ("6", b"0;1;2;")
    assert "http_moreContent" not in reply.headers


def test_a_short_body_cannot_be_taken_for_a_whole_one(caller):
    whole, reply = exchange(caller, wrapped(caller, request("GET", "/short")))
    assert reply.headers["http_isError"] == "true"
    with pytest.raises(IncompleteRead):
        whole.read()


@pytest.mark.parametrize(
    ("whole", "status"),
    [
        (b"", 400),
        (b'{"no": "request"}', 400),
        (b"GET / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1\r\nX-A: 1\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX-A : 1\r\n\r\n", 400),
        (b"PUT /echo HTTP/1.1\r\nContent-Length: 6\r\n\r\nhello", 400),
        (b"PUT /echo HTTP/1.1\r\n\r\nGET /boom HTTP/1.1\r\n\r\n", 400),
        (b"PUT /echo HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"PUT /echo HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\n" + b"X-A: 1\r\n" * 1000 + b"\r\n", 431),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
    ],
)
def test_malformed_requests_are_answered_in_kind(shared_brokers, serve, whole, status):
    with serve(shared_brokers("dev"), "thread-pool", app="whole:app").requester() as caller:
        answer, reply = exchange(caller, wrapped(caller, whole))
        assert (answer.status, reply.headers["http_isError"]) == (status, "true")
        assert answer.getheader("Content-Type").startswith("text/plain")
        assert b"malformed" in answer.read()
        assert exchange(caller, wrapped(caller, request("PUT", "/echo", b"next")))[0].read() == b"next"


def test_errors_are_in_kind(caller):
    answer, reply = exchange(caller, wrapped(caller, b"GET /a b HTTP/1.1\r\n\r\n"))
    assert (answer.status, reply.headers["http_isError"]) == (400, "true")
    assert b"the first line" in answer.read()
    response_sent = {"content-type": "application/http; msgtype=response"}
    assert exchange(caller, wrapped(caller, b"HTTP/1.1 200 OK\r\n\r\n", **response_sent))[0].status == 400
    assert exchange(caller, wrapped(caller, request("GET", "/boom")))[0].status == 500
    assert exchange(caller, wrapped(caller, request("GET", "/nowhere")))[0].status == 404


def test_text(caller, broker):
    """Without content-length: a text message to JMS, and text is what comes back."""
    frame = wrapped(caller, b"PUT /echo HTTP/1.1\nContent-Type: text/plain\nContent-Length: 6\n\n" + "grün!".encode())
    del frame.headers["content-length"]
    whole, reply = exchange(caller, frame)
    assert whole.read().decode() == "grün!"
    if broker.kind == "activemq":
        assert "content-length" not in reply.headers


def test_notifications(broker, serve, queue):
    server = serve(broker, "thread-pool", app="whole:app")
    with server.requester() as caller, dead_letters(broker, queue) as dead:
        caller.confirmed(wrapped(caller, request("NOTIFY", "/event", b"the kettle is on")))
        for body in (request("NOTIFY", "/nowhere", b"lost"), b"NOTIFY /event HTTP/1.1\r\n\r\nunframed"):
            caller.confirmed(wrapped(caller, body))
            letter = dead.receive(20)
            assert (letter.body, letter.headers["content-type"]) == (body, KIND)
        with pytest.raises(TimeoutError):
            caller.receive(0.3)
    assert server.stop() == 0
    assert server.records("events") == ["the kettle is on"]
    broker.wait_empty(queue)


def test_every_reactor(shared_brokers, reactor, serve):
    with serve(shared_brokers("dev"), reactor, app="whole:app").requester() as caller:
        assert exchange(caller, wrapped(caller, request("PUT", "/echo", b"body")))[0].read() == b"body"
        assert exchange(caller, wrapped(caller, b"nonsense"))[0].status == 400


def test_the_command_line(broker, serve):
    server = serve(broker, "thread-pool", app="whole:app")

    def call(*arguments: str):
        where = ("--broker", broker.uri, "--to", server.destination)
        return run("call", *where, "--structured", *arguments)

    done = call("-H", "Content-Type: text/plain", "-d", "hello", "PUT", "/echo")
    assert (done.returncode, done.stdout) == (0, b"hello"), done.stderr.decode()
    lines = call("-i", "GET", "/cookies").stdout.decode().splitlines()
    assert lines[0] == "200 OK"
    assert lines.count("x-spelled-so: 1") == lines.count("X-Spelled-SO: 2, 3") == 1
    assert len([line for line in lines if line.startswith("Set-Cookie: ")]) == 2
    done = call("-i", "-H", "Content-Length: 9", "-d", "hello", "PUT", "/echo")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, b"400 Bad Request")
    done = call("GET", "/short")
    assert (done.returncode, done.stdout) == (1, b"Hello")
    assert b"broke off" in done.stderr

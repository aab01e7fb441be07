"""A JMS client on ActiveMQ (OpenWire): what of its messages arrives, what it can forge, and what it gets."""

from __future__ import annotations

import json

import brokers
import jms
import processes
import pytest
import server as ours
from stomp_client import Frame, Requester

pytestmark = pytest.mark.activemq

EMOJI = "a\U0001f600b\0c\u20ac"
STATEMENT = ("--trust-user-header", "JMSXUserID", "--all-senders-use-stomp")


@pytest.fixture(scope="module")
def activemq(scratch, need_broker):
    """It says of each message who sent it."""
    need_broker("activemq")
    jms.need()
    broker = brokers.IdentifyingActiveMQ(scratch / "jms")
    yield broker.start()
    broker.close()


@pytest.fixture(scope="module")
def caller(activemq):
    one = jms.JmsCaller(activemq)
    yield one
    one.close()


def post(url: str, **more: object) -> dict[str, object]:
    return {"http_requestMethod": "POST", "http_requestUrl": url} | more


def get(url: str, **more: object) -> dict[str, object]:
    return {"http_requestMethod": "GET", "http_requestUrl": url} | more


# Who sent it.


def test_users_are_only_trusted_where_all_senders_use_stomp(activemq, queue):
    options = ("--broker", activemq.uri, "--destination", queue, "--trust-user-header", "JMSXUserID")
    done = ours.run("serve", "probe:app", "--chdir", ours.APPS, *options)
    assert done.returncode == 7, done.stderr.decode()
    assert "--all-senders-use-stomp" in done.stderr.decode()


def test_a_jms_sender_can_be_anybody(activemq, caller, serve, queue):
    """Which is why that statement is asked for. Should this fail on a later ActiveMQ, it may be worth another look."""
    one = serve(activemq, "thread-pool", options=STATEMENT)
    shown = json.loads(caller.call(queue, "text", get("/show"))["text"])
    assert shown["REMOTE_USER"] == brokers.LOGIN
    shown = json.loads(caller.call(queue, "text", get("/show", JMSXUserID="admin"))["text"])
    assert shown["REMOTE_USER"] == "admin"
    # Its own header and another that a property makes of two lines: two of that name.
    shown = json.loads(caller.call(queue, "text", get("/show", **{"X:1\nJMSXUserID": "admin"}))["text"])
    assert "REMOTE_USER" not in shown
    log = processes.tail(one.log, 1000)
    assert "--all-senders-use-stomp says that there are no others" in log
    # A STOMP sender cannot, however it spells it.
    with one.requester() as stomp:
        for name in ("JMSXUserID", "X\nJMSXUserID", "JMSXUserID\r", "JMSXUserID "):
            reply = stomp.request("GET", "/show", headers={name: "admin"})
            assert json.loads(reply.body)["REMOTE_USER"] == brokers.LOGIN, name


def test_properties_do_not_change_what_is_acknowledged(activemq, caller, serve, queue):
    """ActiveMQ puts `ack` and `subscription` in last, so that no property of that name replaces them."""
    one = serve(activemq, "thread-pool")
    forged = {name: "forged" for name in ("ack", "subscription", "message-id", "transaction", "receipt")}
    for _ in range(3):
        reply = caller.call(queue, "text", get("/ping", **forged, redelivered="true"))
        assert reply["text"] == "pong"
    assert one.stop() == 0
    activemq.wait_empty(queue)


def lands_before(name: str, prefix: str = "X") -> str:
    """A property whose name makes a header line `name:...`, in front of the one that ActiveMQ has by that name.

    Headers leave in the order of a java.util.HashMap of 32 buckets.
    """

    def bucket(text: str) -> int:
        code = 0
        for char in text:
            code = (31 * code + ord(char)) & 0xFFFFFFFF
        return (code ^ code >> 16) & 31

    candidates = (f"{prefix}{n}:1\n{name}" for n in range(1000))
    return next(candidate for candidate in candidates if bucket(candidate) < bucket(name))


def test_a_line_feed_in_a_name_does_not_change_it_either(reactor, activemq, caller, directory, queue):
    """Neither how a message is acknowledged, nor which application serves it: the broker's dead letters have it."""
    mounted = f"{queue}.mounted"
    one = ours.Server(directory, activemq.port, reactor, queue, options=("--mount", f"{mounted}=probe:app"))
    letters = f"DLQ.{queue.removeprefix('/queue/')}"
    try:
        one.start().wait_ready()
        for name, value in (("ack", "forged"), ("ack", "ID:forged-1:1"), ("subscription", "1")):
            properties = get("/task/forged", **{lands_before(name): value})
            caller.send(queue, "text", properties, text=name)
            letter = caller.take(letters)
            assert letter["text"] == name, letter
            assert caller.call(queue, "text", get("/ping"))["text"] == "pong"
        assert one.stop() == 0
    finally:
        one.kill()
    assert one.records("begun") == []
    log = processes.tail(one.log, 1000)
    assert log.count("refused a message (NACK)") == 3 and "trying again" not in log
    activemq.wait_empty(queue)


def test_the_code_that_the_documentation_shows(activemq, caller, serve, queue):
    serve(activemq, "thread-pool")
    assert caller.get(queue, "/ping") == "pong"
    with pytest.raises(AssertionError, match="404"):
        caller.get(queue, "/nowhere")


# Text.


@pytest.mark.parametrize("text", ["plain", EMOJI, "\U0001f600" * 5000, "\0", "\ue000\uffff\U0010ffff"])
def test_text_goes_there_and_back(text, activemq, caller, serve, queue):
    serve(activemq, "thread-pool")
    reply = caller.call(queue, "text", post("/echo/x"), text=text)
    assert reply["correlated"]
    assert said(reply, activemq) == f"x:{text}", reply


def said(message: dict, activemq: brokers.ActiveMQ) -> str:
    """The text of a reply. With a NUL it is a BytesMessage where text is UTF-8: without content-length a NUL ends a frame,
    and with one it is no text."""
    if message["type"] == "TextMessage":
        return message["text"]
    text = bytes.fromhex(message["hex"]).decode()
    assert (message["type"], "\0" in text, activemq.release().utf8) == ("BytesMessage", True, True), message
    return text


def test_the_application_reads_utf8(activemq, caller, serve, queue):
    one = serve(activemq, "thread-pool")
    caller.call(queue, "text", post("/note/x"), text=EMOJI)
    assert one.records("notes") == [f"POST x {EMOJI}"]
    # Half a character has no UTF-8. It stays as Java has it, or Java makes a question mark of it.
    reply = caller.call(queue, "text", post("/plain"), text="\ud83dx")
    if activemq.release().utf8:
        assert (reply["type"], reply["text"]) == ("TextMessage", "?x")
    else:
        assert (reply["type"], reply["hex"]) == ("BytesMessage", "eda0bd78")


def test_bytes_stay_as_they_are(activemq, caller, serve, queue):
    serve(activemq, "thread-pool")
    for octets in (EMOJI.encode().hex(), "6162eda0bdedb880c080", "00ff"):
        reply = caller.call(queue, "bytes", post("/plain"), hex=octets)
        assert (reply["type"], reply["hex"]) == ("BytesMessage", octets)


def test_a_whole_request_as_text(activemq, caller, serve, queue):
    serve(activemq, "thread-pool")
    body = "\U0001f600"
    text = f"POST /echo/x HTTP/1.1\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}"
    reply = caller.call(queue, "text", {"content-type": "application/http"}, text=text)
    assert reply["type"] == "TextMessage"
    head, _, got = reply["text"].partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n") and got == f"x:{body}"
    assert f"content-length: {len(got.encode())}\r\n" in f"{head.lower()}\r\n"


def test_a_stomp_client_that_sends_text_gets_utf8(activemq, serve, queue):
    one = serve(activemq, "thread-pool")
    with one.requester() as stomp:
        body = "a\U0001f600".encode()
        frame = stomp.frame(ours.Request("POST", "/echo/x", body), "c")
        del frame.headers["content-length"]
        stomp.send(frame)
        reply = stomp.receive(20)
    assert (reply.body, "content-length" in reply.headers) == (b"x:" + body, False)


def test_no_character_of_a_streamed_text_is_cut(activemq, caller, serve, queue):
    serve(activemq, "thread-pool")
    text = "\U0001f600\u20ac" * 3
    # Each octet is a block of its own.
    reply = caller.call(queue, "text", post("/octets", http_acceptStream="true"), text=text)
    parts = [reply, *reply["more"]]
    assert {part["type"] for part in parts} == {"TextMessage"}, parts
    assert "".join(part["text"] or "" for part in parts) == text
    assert len(parts) == len(text) + 1


def test_a_reply_may_go_to_a_queue_that_stays(activemq, caller, serve, queue):
    """Its reader is taken to be of the requester's kind."""
    serve(activemq, "thread-pool")
    replies = f"{queue}.replies"
    forged = post("/echo/x", **{"reply-to": replies})
    caller.send(queue, "text", forged, text=EMOJI)
    assert said(caller.take(replies), activemq) == f"x:{EMOJI}"


# Kinds of messages.

KINDS = {
    "map": {"values": {"a": "b", "n": 1}},
    "object": {"values": ["a", 1]},
    "stream": {"values": ["a", 1]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_read_is_answered_415(kind, activemq, caller, serve, queue):
    one = serve(activemq, "thread-pool")
    for properties in (post("/task/x"), {"http_requestMethod": "PUT", "http_requestUrl": "/task/x"}, {}):
        reply = caller.call(queue, kind, properties, **KINDS[kind])
        assert reply["properties"]["http_statusCode"] == "415", reply
        assert "MapMessage" in reply["text"] and reply["correlated"]
    assert one.records("begun") == []
    assert one.stop() == 0
    activemq.wait_empty(queue)


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("text", get("/ping")),
        ("message", get("/ping")),
        ("message", {"http_requestUrl": "/ping"}),
        ("message", {"http_requestMethod": "DELETE", "http_requestUrl": "/ping"}),
        ("bytes", post("/ping")),
        ("text", post("/ping", **{"Content-Length": "0"})),
        ("message", post("/ping", Content_HYPHEN_Length="0")),
    ],
)
def test_what_is_known_to_be_empty_is_served(kind, properties, activemq, caller, serve, queue):
    serve(activemq, "thread-pool")
    reply = caller.call(queue, kind, properties)
    assert reply["properties"]["http_statusCode"] == "200", reply


def test_a_stomp_client_may_leave_out_an_empty_body(activemq, serve, queue):
    one = serve(activemq, "thread-pool")
    with one.requester() as stomp:
        frame = stomp.frame(ours.Request("POST", "/ping"), "c")
        del frame.headers["content-length"]
        stomp.send(frame)
        assert stomp.receive(20).headers["http_statusCode"] == "200"


def test_an_empty_body_may_be_accepted(activemq, caller, serve, queue):
    serve(activemq, "thread-pool", options=("--empty-jms", "accept"))
    for kind in ("text", "message", "map"):
        assert caller.call(queue, kind, post("/ping"))["properties"]["http_statusCode"] == "200"


def test_events_without_a_body_are_served_or_left_to_the_broker(activemq, caller, serve, queue):
    lax = serve(activemq, "thread-pool")
    notify = {"http_requestMethod": "NOTIFY", "http_requestUrl": "/task/lax"}
    for kind in ("message", "map"):
        caller.send(queue, kind, notify, values={"a": "b"})
    caller.call(queue, "bytes", get("/ping"))
    assert lax.stop() == 0
    assert lax.records("done") == ["lax", "lax"]
    assert "--empty-jms reject" in processes.tail(lax.log, 1000)

    strict = serve(activemq, "thread-pool", options=("--empty-jms", "reject"))
    caller.send(queue, "map", notify, values={"a": "b"})
    # The broker's own dead letters, and it has the map.
    letter = caller.take(f"DLQ.{queue.removeprefix('/queue/')}")
    assert (letter["type"], letter["values"]) == ("MapMessage", {"a": "b"})
    caller.send(queue, "text", notify | {"http_requestUrl": "/task/strict"}, text="x")
    caller.call(queue, "bytes", get("/ping"))
    assert strict.stop() == 0
    assert strict.records("done") == ["lax", "lax", "strict"]


# What a caller casts its reply to.


def test_a_binary_reply_to_text_is_bytes(activemq, caller, serve, queue):
    serve(activemq, "thread-pool")
    reply = caller.call(queue, "text", post("/binary"), text="x")
    assert (reply["type"], reply["hex"]) == ("BytesMessage", "fffe00")


@pytest.mark.parametrize(
    ("form", "url", "kind", "status"),
    [
        ("bytes", "/ping", "BytesMessage", "200"),
        ("bytes", "/binary", "BytesMessage", "200"),
        ("bytes", "/status/404", "BytesMessage", "404"),
        ("text", "/ping", "TextMessage", "200"),
        ("text", "/binary", "TextMessage", "500"),
        ("text", "/status/404", "TextMessage", "404"),
    ],
)
def test_replies_of_one_type(form, url, kind, status, activemq, caller, serve, queue):
    serve(activemq, "thread-pool", options=("--reply-body", form))
    for sent in ({"kind": "text", "text": "x"}, {"kind": "bytes", "hex": "00"}):
        reply = caller.call(queue, properties=post(url), **sent)
        assert (reply["type"], reply["properties"]["http_statusCode"]) == (kind, status), reply

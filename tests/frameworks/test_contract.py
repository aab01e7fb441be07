"""What every framework does over HTTP it does over STOMP, off the shelf and on every reactor."""

from __future__ import annotations

import hashlib
import json
import random

from stomp_client import Connection, Frame
from web_client import FORM, JSON, multipart


def test_a_route_with_a_parameter(client):
    reply = client.get("/hello/World")
    assert (reply.status, reply.body) == (200, b"Hello, World!")
    assert reply.headers["content-type"].replace("UTF-8", "utf-8") == "text/plain; charset=utf-8"


def test_unicode_in_path_and_query(client):
    assert client.get("/hello/J%C3%BCrgen%20%E2%82%AC").text == "Hello, Jürgen €!"
    reply = client.get("/query?a=1&a=%26&b=%C3%A9t%C3%A9+%E6%9D%B1")
    assert reply.json == {"a": ["1", "&"], "b": ["été 東"]}


def test_form(client):
    reply = client.post("/form", b"a=1&a=%3D&b=%C3%A9t%C3%A9+%E6%9D%B1", FORM)
    assert reply.json == {"a": ["1", "="], "b": ["été 東"]}


def test_json(client):
    for value in ({"name": "été", "list": [1, 2.5, None, True]}, [], "text"):
        assert client.post("/json", json.dumps(value).encode(), JSON).json == {"got": value}


def test_json_that_is_none(client):
    reply = client.post("/json", b'{"name": ', JSON)
    # FastAPI calls it 422.
    assert reply.status in (400, 422)


def test_upload(client):
    file = bytes(range(256)) * 4 + random.Random(7).randbytes(200_000) + b"\r\n--a-boundary"
    body, content_type = multipart({"note": "a kettle"}, "kettle.png", file)
    reply = client.post("/upload", body, content_type)
    assert reply.json == {
        "note": "a kettle",
        "filename": "kettle.png",
        "type": "image/png",
        "size": len(file),
        "sha256": hashlib.sha256(file).hexdigest(),
    }


def test_cookies(client):
    flavour, size = client.get("/cookies/set").cookies
    assert flavour.startswith("flavour=oat;") and "max-age=3600" in flavour.lower()
    assert size.startswith("size=large;") and "httponly" in size.lower()
    assert client.get("/cookies", Cookie="flavour=oat; size=large").json == {"flavour": "oat", "size": "large"}


def test_a_stream_leaves_block_by_block(served):
    blocks = 4
    frames: list[Frame] = []
    for frame in served.client.stream(f"/stream/{blocks}"):
        frames.append(frame)
        if len(frames) < blocks:
            # The application waits for this gate: the block has overtaken the end.
            assert not served.server.records("finished")
            (served.server.directory / f"gate-{len(frames)}").touch()
    assert [frame.body for frame in frames if frame.body] == [f"block {n}\n".encode() for n in range(blocks)]
    assert frames[0].headers["http_statusCode"] == "200"
    assert served.server.records("finished") == [f"{blocks} blocks"]


def test_redirect(client):
    reply = client.get("/old/World")
    assert reply.status == 302
    assert reply.headers["location"].removeprefix("http://localhost") == "/hello/World"


def test_download(served):
    reply = served.client.get("/download")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/octet-stream")
    assert "attachment" in reply.headers["content-disposition"]
    assert "download.bin" in reply.headers["content-disposition"]
    assert hashlib.sha256(reply.body).digest() == hashlib.sha256(served.download).digest()


def test_head(client):
    reply = client.request("HEAD", "/hello/World")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-type"].startswith("text/plain")
    assert reply.headers["content-length"] == "13"
    # Nothing is left over for the next request.
    assert client.get("/hello/again").text == "Hello, again!"


def test_an_error_is_logged_and_survived(served):
    reply = served.client.get("/boom")
    assert reply.status == 500
    assert b"kettle" not in reply.body
    log = served.log()
    assert "Traceback (most recent call last)" in log
    assert "RuntimeError: the kettle is empty" in log
    assert served.client.get("/hello/survivor").text == "Hello, survivor!"


def test_not_found(client):
    assert client.get("/nowhere").status == 404


def test_method_not_allowed(client):
    reply = client.request("DELETE", "/hello/World")
    assert reply.status == 405
    assert "GET" in reply.headers["allow"]


def test_notify(served):
    served.client.notify("/events/kettle?x=1", "on, été".encode(), content_type="text/plain; charset=utf-8")
    served.wait_recorded("events", "kettle: on, été")


def test_notify_to_a_view_that_is_a_class(served):
    assert served.client.get("/orders/7").json == {"order": 7}
    served.client.notify("/orders/7", b"paid")
    served.wait_recorded("events", "order 7")


def test_notify_where_the_route_does_not_take_it(served):
    """405 is a refusal: it goes to the dead letters."""
    with Connection("127.0.0.1", served.server.port) as look:
        dead = served.server.destination.replace("/queue/", "/queue/DLQ.")
        look.confirmed(Frame("SUBSCRIBE", {"id": "dead", "destination": dead, "ack": "auto"}))
        served.client.notify("/hello/World", b"unwanted")
        while (letter := look.receive()).body != b"unwanted":
            pass
    assert "405" in letter.headers["message-failed"]

"""Every example runs as its first lines say."""

from __future__ import annotations

import json

import pytest
from server import EXAMPLES, run

REACTOR = "thread-pool"


@pytest.fixture
def example(shared_brokers, serve):
    def start(app: str, ready: str = "/"):
        one = serve(shared_brokers("dev"), REACTOR, ready, app=app, chdir=EXAMPLES)
        caller = one.requester()
        started.append(caller)
        return one, caller

    started = []
    yield start
    for caller in started:
        caller.close()


def test_hello(example):
    _, caller = example("hello:app")
    assert caller.request("GET", "/").body == b"Hello, World!\n"


def test_flask(example):
    _, caller = example("flask_app:app")
    assert caller.request("GET", "/hello/World").body == b"Hello, World!\n"
    assert caller.request("POST", "/echo", b"\x00\xff", {"content-type": "application/x-test"}).body == b"\x00\xff"
    reply = caller.request("POST", "/sum", b'{"numbers": [1, 2, 3.5]}', {"content-type": "application/json"})
    assert json.loads(reply.body) == {"sum": 6.5}
    assert caller.request("POST", "/sum", b"{", {"content-type": "application/json"}).headers["http_statusCode"] == "400"
    assert caller.request("GET", "/nowhere").headers["http_statusCode"] == "404"
    replies = caller.stream("GET", "/count/3", headers={"http_acceptStream": "true"})
    got = []
    for reply in replies:
        got.append(reply.body)
        if reply.headers["http_moreContent"] == "false":
            break
    assert b"".join(got) == b"1\n2\n3\n"


def test_bottle(example):
    _, caller = example("bottle_app:app")
    assert caller.request("GET", "/hello/World").body == b"Hello, World!\n"
    assert json.loads(caller.request("POST", "/upper", b'{"text": "abc"}', {"content-type": "application/json"}).body) == {
        "text": "ABC"
    }


def test_streamed(example, shared_brokers):
    one, _ = example("streamed:app", ready="/?count=1")
    done = run("call", "--broker", shared_brokers("dev").uri, "--to", one.destination, "--stream", "GET", "/?count=3&pause=0.1")
    assert done.stdout == b"tick 1\ntick 2\ntick 3\n", done.stderr.decode()


def test_notify(example, shared_brokers):
    one, caller = example("notify:app")
    done = run("notify", "--broker", shared_brokers("dev").uri, "--to", one.destination, "-d", "fire in room 7", "/alarm")
    assert done.returncode == 0, done.stderr.decode()
    assert caller.request("GET", "/").body == b"/alarm: fire in room 7\n"


def test_each_example_says_how_to_run_it():
    examples = sorted(EXAMPLES.glob("*.py"))
    assert len(examples) >= 5
    for path in examples:
        first = path.read_text().split('"""')[1]
        assert f"stomp-wsgi serve {path.stem}:app" in first, path

"""Messages of a gateway that copied all headers of the request that it had by HTTP."""

from __future__ import annotations

import json

import pytest
from web_client import JSON

COPIED = {
    "chunked": {"Transfer-Encoding": "chunked", "Connection": "close"},
    "a charset": {"content-encoding": "utf-8"},
    "upgrade": {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk", "TE": "trailers"},
}


@pytest.mark.parametrize("copied", COPIED)
def test_what_concerned_its_connection(copied, client):
    """Bottle would undo chunks that are not there, and answer 400."""
    value = {"name": "kettle"}
    reply = client.post("/json", json.dumps(value).encode(), JSON, **COPIED[copied])
    assert reply.json == {"got": value}


def test_a_host_that_is_none(client):
    """Whatever the framework makes of hosts."""
    for host in ("a:80:80", "u@a", "a/b"):
        assert client.get("/hello/World", Host=host).status == 400
    assert client.get("/hello/World", Host="localhost:8080").status == 200

"""Many requests that use the database: each thread has one connection, and keeps it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stomp_client import Request
from web_client import FORM, Client

THREADS = 4
ITEMS = 20
#: Of so many requests one writes.
WRITES = 10
COUNTS = {"thread-pool": 20_000, "tokio": 2_000, "mio": 2_000, "async-std": 2_000}


def requests(count: int) -> Iterator[Request]:
    for n in range(count):
        item = f"/items/{n // WRITES % ITEMS + 1}"
        if n % WRITES == 0:
            yield Request("POST", f"{item}/sales", f"customer {n}".encode(), {"content-type": "text/plain"}, b"sold")
        else:
            yield Request("GET", item)


@pytest.mark.load
def test_no_more_connections_than_threads(reactor, serve_app, record_property):
    count = COUNTS[reactor]
    one = serve_app("django", reactor, options=("--threads", THREADS))
    threads = 1 if reactor == "mio" else THREADS
    with one.requester() as requester:
        client = Client(requester)
        for n in range(ITEMS):
            assert client.post("/items", b"name=kettle&stock=1000", FORM).json == {"id": n + 1}
        load = requester.load(requests(count), in_flight=32)
        print(f"{reactor}: {load}")
        record_property("load", str(load))
        load.check()
        assert len(load.replies) == count
        sold = count // WRITES // ITEMS
        for n in range(ITEMS):
            assert client.get(f"/items/{n + 1}").json == {"name": "kettle", "stock": 1000 - sold, "sold": sold}
        found = client.get("/connections").json
    assert one.stop() == 0
    assert found["held"] == len(found["opened"]) <= threads
    assert len(set(found["opened"])) == len(found["opened"]), "a thread lost its connection"

"""What is FastAPI's own, and a2wsgi's."""

from __future__ import annotations

import pytest
from server import REACTORS

pytestmark = pytest.mark.parametrize(
    "running", [("fastapi", reactor) for reactor in REACTORS], indirect=True, ids="-".join
)


def test_background_tasks_run_after_the_response(served):
    """They need a server that lets an application go on after it has sent its Content-Length."""
    assert served.client.get("/later").json == {"state": "accepted"}
    served.wait_recorded("later", "done")


def test_nothing_is_left_running(served):
    """Each request is a task on a2wsgi's event loop, which waits for ever if the server goes off in the middle."""
    for _ in range(20):
        served.client.get("/hello/World")
        served.client.request("HEAD", "/hello/World")
    assert served.client.get("/tasks").json["running"] < 5

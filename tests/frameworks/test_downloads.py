"""Who leaves files to the server does so here."""

from __future__ import annotations

import pytest
from conftest import FRAMEWORKS
from server import REACTORS
from web_client import Client

#: FastAPI knows nothing of WSGI.
USED = [name for name in FRAMEWORKS if name != "fastapi"]


@pytest.mark.parametrize("framework", USED)
def test_file_wrapper(framework, serve_app):
    reactor = REACTORS[USED.index(framework) % len(REACTORS)]
    one = serve_app(framework, reactor, app="file_wrapper:app", env={"APP": FRAMEWORKS[framework]})
    with one.requester() as requester:
        reply = Client(requester).get("/download")
    download = one.directory / "download.bin"
    assert reply.body == download.read_bytes()
    assert one.records("files") == [str(download)]
    assert one.stop() == 0

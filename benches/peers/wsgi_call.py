"""A message to a WSGI application and back: the least that an adapter around a STOMP client has to do."""

from __future__ import annotations

import io
import sys
from urllib.parse import unquote


def call(app, headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    """Headers and body of the reply."""
    path, _, query = headers["http_requestUrl"].partition("?")
    environ = {
        "REQUEST_METHOD": headers["http_requestMethod"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    reply = {"correlation-id": headers["correlation-id"]}

    def start_response(status, response_headers, exc_info=None):
        reply["http_statusCode"], _, reply["http_reasonPhrase"] = status.partition(" ")
        reply.update(response_headers)

    blocks = app(environ, start_response)
    try:
        return reply, b"".join(blocks)
    finally:
        if hasattr(blocks, "close"):
            blocks.close()

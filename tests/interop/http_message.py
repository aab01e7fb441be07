"""HTTP messages as the standard library writes and reads them, without a connection."""

from __future__ import annotations

import io
from collections.abc import Iterable
from http.client import HTTPConnection, HTTPResponse


class _Wire:
    """A socket that keeps what is sent, or gives what was received."""

    def __init__(self, received: bytes = b"") -> None:
        self.received, self.sent = received, bytearray()

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.received)

    def close(self) -> None:
        pass


def request(
    method: str,
    url: str,
    body: bytes | Iterable[bytes] | None = None,
    headers: Iterable[tuple[str, str]] = (),
    host: str = "shop.example",
) -> bytes:
    """One whole request; a body of unknown length goes in chunks."""
    connection, wire = HTTPConnection(host), _Wire()
    connection.sock = wire
    connection.putrequest(method, url, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    chunked = body is not None and not isinstance(body, bytes)
    if chunked:
        connection.putheader("Transfer-Encoding", "chunked")
    elif body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body, encode_chunked=chunked)
    return bytes(wire.sent)


def response(message: bytes, method: str = "GET") -> HTTPResponse:
    """One whole response, its head read."""
    parsed = HTTPResponse(_Wire(message), method=method)
    parsed.begin()
    return parsed

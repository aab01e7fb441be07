"""A broker by hand, for messages that no real one would pass on."""

from __future__ import annotations

import socket

from stomp_client import Decoder, Frame


class ByHand:
    """One connection, one subscription; the test writes the MESSAGE and reads what the server sends."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._decoder, self._frames = Decoder(), []

    def connect(self) -> None:
        self._listener.settimeout(20)
        self._socket, _ = self._listener.accept()
        self._socket.settimeout(20)
        assert self.receive().command in ("CONNECT", "STOMP")
        self._socket.sendall(b"CONNECTED\nversion:1.2\n\n\0")
        subscribe = self.receive()
        assert subscribe.command == "SUBSCRIBE", subscribe
        self._subscription = subscribe.headers

    def deliver(self, headers: bytes, body: bytes = b"", length: bool = True) -> Frame:
        """Delivers a message with these lines of headers; the frame that answers it."""
        subscription, destination = self._subscription["id"].encode(), self._subscription["destination"].encode()
        head = b"subscription:%s\ndestination:%s\nmessage-id:1\nack:1\nreply-to:/temp-queue/x\n" % (
            subscription,
            destination,
        )
        if length:
            head += b"content-length:%d\n" % len(body)
        self._socket.sendall(b"MESSAGE\n" + head + headers + b"\n" + body + b"\0")
        reply = self.receive()
        assert reply.command == "SEND", reply
        return reply

    def receive(self) -> Frame:
        while not self._frames:
            data = self._socket.recv(65536)
            assert data, "the server closed the connection"
            self._frames = self._decoder.feed(data)
        return self._frames.pop(0)

    def close(self) -> None:
        self._listener.close()
        if hasattr(self, "_socket"):
            self._socket.close()

"""TLS in front of a broker, which misbehaves when it is told to."""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from pathlib import Path

import trustme
from proxy import Proxy


def record(kind: int, content: bytes) -> bytes:
    return bytes([kind, 3, 3]) + len(content).to_bytes(2, "big") + content


def handshake(length: int, octets: int) -> bytes:
    """The beginning of a ServerHello that claims this length, in as many records as it takes."""
    message = b"\x02" + length.to_bytes(3, "big") + bytes(octets)
    return b"".join(record(22, message[at : at + 16384]) for at in range(0, len(message), 16384))


#: What it answers to the ClientHello, in place of a handshake. Then it waits until the other side hangs up.
EARLY = {
    "a handshake message of 64 KiB": handshake(0xFFFF, 70_000),
    "a handshake message of 16 MiB": handshake(0xFFFFFF, 70_000),
    "a handshake message that is no ServerHello": record(22, b"\x01\x00\x00\x04abcd"),
    "data before the handshake": record(23, b"CONNECTED\nversion:1.2\n\n\0"),
    "a record that is too long": b"\x16\x03\x03\xff\xff" + bytes(20_000),
    "noise in a record": record(22, bytes(range(256))),
    "no TLS": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}
#: What it does to a connection that serves. The value is sent as it is; None stands for a method.
LATE = {
    "an octet after close_notify": None,
    "noise after close_notify": None,
    "a record that cannot be decrypted": record(23, bytes(100)),
    "a handshake message in plain text": handshake(0xFFFF, 70_000),
    "no TLS any more": b"ERROR\nmessage:plain\n\n\0",
    "half a record, and the end": None,
}
HARMS = [*EARLY, "the end within the handshake", *LATE]


class TlsPeer(Proxy):
    """Serves by TLS what a broker on `port` serves without.

    `harms` are done one by one, each to a connection of its own: those of `LATE` to one that serves, the others in place of
    the handshake. `done` counts them: after each, the client has closed the connection.
    """

    scheme = "ssl"

    def __init__(self, port: int, identity: trustme.LeafCert | None = None, authority: trustme.CA | None = None) -> None:
        self.authority = authority or trustme.CA()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (identity or self.authority.issue_cert("127.0.0.1", "localhost")).configure_cert(self._context)
        self.harms: deque[str] = deque()
        self.done = 0
        self._lock = threading.Lock()
        super().__init__(port)

    def options(self, directory: Path) -> tuple[object, ...]:
        file = directory / "authority.pem"
        file.write_bytes(self.authority.cert_pem.bytes())
        return ("--tls-ca", file)

    def _connected(self, near: socket.socket) -> None:
        near.settimeout(20)
        self.connections += 1
        self._sockets.append(near)
        try:
            if harm := self._next(late=False):
                return self._early(near, harm)
            self._serve(near)
        except (OSError, ssl.SSLError):
            pass
        finally:
            near.close()

    def _early(self, near: socket.socket, harm: str) -> None:
        near.recv(64 * 1024)
        near.sendall(EARLY.get(harm, handshake(100, 50)))
        if harm not in EARLY:
            near.shutdown(socket.SHUT_WR)
        self._until_closed(near)

    def _until_closed(self, near: socket.socket) -> None:
        try:
            while near.recv(64 * 1024):
                pass
        except ConnectionError:
            pass
        self.done += 1

    def _next(self, late: bool) -> str | None:
        """Takes the next harm, if it is of this kind."""
        with self._lock:
            return self.harms.popleft() if self.harms and (self.harms[0] in LATE) == late else None

    def _serve(self, near: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)
        shaken = False
        while not shaken:
            try:
                tls.do_handshake()
                shaken = True
            except ssl.SSLWantReadError:
                near.sendall(outgoing.read())
                incoming.write(self._some(near))
        near.sendall(outgoing.read())
        far = socket.create_connection(("127.0.0.1", self._target))
        self._sockets.append(far)
        with far:
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            served = False
            while True:
                # The handshake may have left something.
                try:
                    while data := tls.read(64 * 1024):
                        self.heard.append(time.monotonic())
                        far.sendall(data)
                    return
                except ssl.SSLWantReadError:
                    pass
                ready, _, _ = select.select([near, far], [], [], 0.05)
                # Not to a connection that has just ended.
                if served and near not in ready and (harm := self._next(late=True)):
                    return self._late(near, tls, outgoing, harm)
                if near in ready:
                    incoming.write(self._some(near))
                if far in ready:
                    tls.write(self._some(far))
                    near.sendall(outgoing.read())
                    served = True

    def _late(self, near: socket.socket, tls: ssl.SSLObject, outgoing: ssl.MemoryBIO, harm: str) -> None:
        if data := LATE[harm]:
            near.sendall(data)
        elif harm == "half a record, and the end":
            near.sendall(b"\x17\x03\x03\x10\x00" + bytes(50))
            near.shutdown(socket.SHUT_WR)
        else:
            try:
                tls.unwrap()
            except ssl.SSLWantReadError:
                pass
            near.sendall(outgoing.read())
            time.sleep(0.02)  # in a segment of its own, mostly
            try:
                near.sendall(b"x" if harm == "an octet after close_notify" else os.urandom(1000))
            except OSError:
                pass  # it has gone by then
        self._until_closed(near)

    @staticmethod
    def _some(source: socket.socket) -> bytes:
        data = source.recv(64 * 1024)
        if not data:
            raise ConnectionAbortedError
        return data

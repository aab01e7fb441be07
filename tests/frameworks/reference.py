"""Another WSGI server, over HTTP: what happens there as well is no doing of ours."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from pathlib import Path

import processes
from server import Server
from web_client import Client, Reply


class HttpClient(Client):
    """A request, a connection."""

    def __init__(self, port: int) -> None:
        self.port = port

    def request(self, method: str, url: str, body: bytes = b"", **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, url, body or None, {name.replace("_", "-"): v for name, v in headers.items()})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.msg.get_all("Set-Cookie", []), response.read())
        finally:
            connection.close()

    def notify(self, url: str, body: bytes = b"", **headers: str) -> None:
        # Here Django wants a token.
        secret = "x" * 32
        self.request("NOTIFY", url, body, **headers, Cookie=f"csrftoken={secret}", X_CSRFToken=secret)


class Waitress(Server):
    """With the same interface as our own, as far as the tests use it."""

    def __init__(self, directory: Path, app: str, chdir: Path, env: dict[str, str]) -> None:
        self.directory, self.chdir, self.env = directory, chdir, env
        self.port = processes.free_port()
        self.command = [sys.executable, "-m", "waitress", "--threads=1", f"--listen=127.0.0.1:{self.port}", app]
        self.log = directory / "waitress.log"
        self.process: subprocess.Popen | None = None

    def start(self) -> Waitress:
        self.process = processes.spawn(self.command, self.log, self.env, self.chdir)
        return self

    def client(self) -> HttpClient:
        return HttpClient(self.port)

    def wait_ready(self, url: str = "/ping", timeout: float = 30.0) -> Waitress:
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.client().get(url)
                return self
            except OSError:
                assert self.running and time.monotonic() < deadline, processes.tail(self.log)
                time.sleep(0.02)

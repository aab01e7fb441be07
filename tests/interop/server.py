"""The server under test, and the command line beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import processes
from stomp_client import Request, Requester

ROOT = Path(__file__).resolve().parents[2]
APPS = Path(__file__).resolve().parent / "apps"
EXAMPLES = ROOT / "examples"
REACTORS = ("thread-pool", "tokio", "mio", "async-std")


def binary() -> Path:
    """`STOMP_WSGI` from the environment, or what `cargo build` made."""
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    return Path(os.environ.get("STOMP_WSGI") or Path(target) / "debug" / "stomp-wsgi")


def environment(directory: Path | None = None) -> dict[str, str]:
    """For our binary: the Python of the tests, whatever else is first on the path."""
    more = {"VIRTUAL_ENV": sys.prefix, "RUST_BACKTRACE": "1"}
    if directory:
        more["PROBE_DIR"] = str(directory)
    return processes.environment(**more)


def run(*arguments: object, timeout: float = 30.0, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """`stomp-wsgi ARGUMENTS` to its end."""
    return subprocess.run(
        [str(binary()), *map(str, arguments)],
        input=stdin if stdin is not None else b"",
        capture_output=True,
        env=environment(),
        timeout=timeout,
    )


class Server:
    """`stomp-wsgi serve`, one process."""

    def __init__(
        self,
        directory: Path,
        port: int,
        reactor: str,
        destination: str,
        app: str = "probe:app",
        chdir: Path = APPS,
        options: tuple[object, ...] = (),
        uri: str | None = None,
        env: dict[str, str] | None = None,
        stderr: int = subprocess.STDOUT,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self.env = environment(directory) | (env or {})
        self.directory, self.port, self.reactor, self.destination = directory, port, reactor, destination
        self.stderr, self.prepare = stderr, prepare
        self.command = [str(binary()), "serve", app, "--broker", uri or f"stomp://guest:guest@127.0.0.1:{port}"]
        self.command += ["--destination", destination, "--reactor", reactor, "--chdir", str(chdir)]
        self.command += map(str, options)
        self.log = directory / f"server-{reactor}.log"
        self.process: subprocess.Popen | None = None

    def start(self) -> Server:
        """Starts; requests wait in the broker until it has subscribed."""
        self.process = processes.spawn(self.command, self.log, self.env, stderr=self.stderr, prepare=self.prepare)
        return self

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout: float = 30.0) -> int | None:
        """Asks it to drain and leave. Its exit status, or None if it had to be killed."""
        status = processes.end(self.process, signal.SIGTERM, timeout)
        return None if status == -signal.SIGKILL else status

    def kill(self) -> None:
        processes.end(self.process, signal.SIGKILL)

    def requester(self, port: int | None = None) -> Requester:
        return Requester("127.0.0.1", port or self.port, self.destination)

    def wait_ready(self, url: str = "/ping", timeout: float = 30.0) -> Server:
        """Until it has answered a request, whatever it thought of it."""
        deadline = time.monotonic() + timeout
        with self.requester() as caller:
            caller.send(caller.frame(Request("GET", url), "ready?"))
            while True:
                try:
                    assert caller.receive(0.2).headers.get("correlation-id") == "ready?"
                    return self
                except TimeoutError:
                    if self.running and time.monotonic() < deadline:
                        continue
                state = "runs" if self.running else f"ended with {self.process.poll()}"
                raise AssertionError(f"no answer; it {state}\n{processes.tail(self.log)}")

    def wait_log(self, text: str, timeout: float = 30.0) -> str:
        """Until the log has this in it. The log."""
        deadline = time.monotonic() + timeout
        while text not in (log := self.log.read_text()):
            assert time.monotonic() < deadline, f"not in the log: {text}\n{processes.tail(self.log)}"
            time.sleep(0.02)
        return log

    def records(self, name: str) -> list[str]:
        """What the probe wrote down."""
        path = self.directory / name
        return path.read_text().splitlines() if path.exists() else []


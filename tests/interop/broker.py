"""What all brokers of the tests have in common.

Each listens on the loopback interface only, keeps its data in a directory of its own, needs no service
manager, and is ready when a CONNECTED has come back from it.
"""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import processes
from stomp_client import Connection, ConnectionLost, ProtocolError

LOGIN = PASSCODE = "guest"
#: Where tests/prepare.sh puts the brokers that Debian does not have.
FETCHED = Path(__file__).resolve().parents[2] / ".cache" / "brokers"


class Broker:
    """Start it, crash it, bring it back on the same port and data, look how deep a queue is."""

    #: The family, by which tests ask for it: all of its releases behave alike, unless a test says otherwise.
    kind = ""
    #: The release, by which `BROKERS` names it.
    name = ""
    #: How long a start may take at most, on a busy machine.
    patience = 90.0

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = processes.free_port()
        self.process: subprocess.Popen | None = None
        self.log = directory / "broker.log"
        directory.mkdir(parents=True)

    # What a kind of broker has to say.

    @classmethod
    def missing(cls) -> str | None:
        """Why this broker cannot run here, or None."""
        raise NotImplementedError

    def command(self) -> tuple[list[str], dict[str, str]]:
        """What to run, and in which environment."""
        raise NotImplementedError

    def depth(self, queue: str) -> int:
        """Messages in `queue`, delivered but not acknowledged ones included."""
        raise NotImplementedError

    # What is the same for all.

    @property
    def uri(self) -> str:
        return f"stomp://{LOGIN}:{PASSCODE}@127.0.0.1:{self.port}"

    def start(self) -> Broker:
        self.launch()
        self.wait_ready()
        return self

    def launch(self) -> None:
        """Starts without waiting; `wait_ready` has to follow."""
        command, env = self.command()
        self.process = processes.spawn(command, self.log, env, self.directory)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + self.patience
        while True:
            try:
                Connection("127.0.0.1", self.port, timeout=5).disconnect()
                return
            except (OSError, ConnectionLost, ProtocolError, TimeoutError) as error:
                status = self.process.poll()
                if status is not None or time.monotonic() > deadline:
                    state = "still starting" if status is None else f"ended with {status}"
                    raise RuntimeError(
                        f"{self.kind} on port {self.port}: {state}, {error!r}\n{processes.tail(self.log)}"
                    ) from error
                time.sleep(0.05)

    def stop(self) -> None:
        processes.end(self.process)
        self.process = None

    def kill(self) -> None:
        """As if the power had gone."""
        processes.end(self.process, signal.SIGKILL)
        self.process = None

    def close(self) -> None:
        """The end; nothing of it is needed any more."""
        self.kill()

    def wait_empty(self, queue: str, timeout: float = 10.0) -> None:
        deadline = time.monotonic() + timeout
        while (depth := self.depth(queue)) > 0:
            assert time.monotonic() < deadline, f"{depth} messages left in {queue} on {self.kind}"
            time.sleep(0.1)

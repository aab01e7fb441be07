"""A JMS client over OpenWire: tests/jvm/JmsCaller.java in a JVM of its own, with the jars that ActiveMQ comes with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import brokers
import pytest

SOURCE = Path(__file__).resolve().parents[1] / "jvm" / "JmsCaller.java"


def need() -> None:
    """Skips where nothing compiles Java; on CI that is a failure."""
    if not shutil.which("javac"):
        why = "no javac to compile a JMS client (apt-get install default-jdk-headless)"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)


def source(path: Path, broker: brokers.ActiveMQ) -> Path:
    """This Java program, for the package that JMS has with this broker."""
    copy = broker.directory / path.name
    copy.write_text(path.read_text().replace("javax.jms", broker.release().jms))
    return copy


class JmsCaller:
    """Sends what it is told to, and tells what comes back. It ends with its standard input."""

    def __init__(self, broker: brokers.ActiveMQ, user: str = brokers.LOGIN, password: str = brokers.PASSCODE) -> None:
        self._log = (broker.directory / "jms.log").open("ab")
        options = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        command = ["java", *options, "-cp", ":".join(broker.jars(1)), str(source(SOURCE, broker))]
        uri = f"tcp://127.0.0.1:{broker.openwire_port}"
        self._process = subprocess.Popen(
            [*command, uri, user, password], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        assert self._answer() == {"ready": True}

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        assert line, Path(self._log.name).read_text(errors="replace")[-2000:]
        return json.loads(line)

    def _run(self, **command: object) -> dict:
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        assert "failed" not in answer, answer
        return answer

    def call(self, queue: str, kind: str, properties: dict[str, object] | None = None, **message: object) -> dict:
        """A request and its reply; for the fields see the Java source."""
        return self._run(to=queue.removeprefix("/queue/"), type=kind, properties=properties or {}, **message)

    def send(self, queue: str, kind: str, properties: dict[str, object] | None = None, **message: object) -> str:
        """A message that nobody answers. Its id."""
        return self.call(queue, kind, properties, oneWay=True, **message)["id"]

    def get(self, queue: str, url: str) -> str:
        """The text that comes back, by the code of docs/calling.md."""
        return self._run(to=queue.removeprefix("/queue/"), get=url)["text"]

    def take(self, queue: str, wait: float = 20.0) -> dict:
        """The next message of a queue."""
        return self._run(receive=queue.removeprefix("/queue/"), wait=int(wait * 1000))

    def close(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

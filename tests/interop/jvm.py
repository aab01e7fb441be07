"""Callers as JVM teams write them: tests/jvm/callers in a JVM of their own, with the jars that Maven fetched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import broker as common
import brokers
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "tests" / "jvm" / "callers" / "src" / "main" / "java" / "callers").glob("*.java"))
JARS = common.FETCHED / "jvm-callers"
#: The ways to call.
WAYS = ("context", "template", "client", "camel", "boot")


def need() -> None:
    """Skips where the libraries or a compiler are missing; on CI that is a failure."""
    if not shutil.which("javac"):
        why = "no javac to compile JVM callers (apt-get install default-jdk-headless)"
    elif not any(JARS.glob("camel-jms-*.jar")):
        why = "no libraries of JVM callers (install Maven, then tests/prepare.sh brokers)"
    else:
        return
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


def compile_callers(directory: Path) -> Path:
    """The class files, in a directory below this one."""
    classes = directory / "callers"
    options = ["-proc:none", "--release", "17", "-Xlint:all,-processing", "-Werror", "-parameters", "-J-XX:TieredStopAtLevel=1"]
    command = ["javac", *options, "-cp", f"{JARS}/*", "-d", str(classes), *map(str, SOURCES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return classes


class JvmCallers:
    """One JVM with all ways to call. It ends with its standard input."""

    def __init__(self, broker: brokers.ActiveMQ | brokers.Artemis, classes: Path, client: str | None = None) -> None:
        """`client` is the broker's own, or activemq: OpenWire, which Artemis takes, too."""
        self._log = (broker.directory / "jvm.log").open("ab")
        options = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true"]
        command = ["java", *options, "-cp", f"{classes}:{JARS}/*", "callers.Main", client or broker.kind]
        command += [f"tcp://127.0.0.1:{broker.openwire_port}", brokers.LOGIN, brokers.PASSCODE]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        assert self._answer() == {"ready": True}

    def _answer(self, patience: float = 120.0) -> dict:
        # A JVM that answers nothing must not hang the tests.
        watchdog = threading.Timer(patience, self._process.kill)
        watchdog.start()
        line = self._process.stdout.readline()
        watchdog.cancel()
        assert line, Path(self._log.name).read_text(errors="replace")[-4000:]
        return json.loads(line)

    def run(self, by: str, do: str, queue: str, **command: object) -> dict:
        """See the Java source, Main and Call."""
        name = queue.removeprefix("/queue/").removeprefix("/topic/")
        self._process.stdin.write(json.dumps({"by": by, "do": do, "to": name} | command) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if "failed" in answer:
            raise CallFailed(answer["failed"])
        return answer

    def call(self, by: str, queue: str, method: str, url: str, **command: object) -> dict:
        """A request and its reply; `properties` are added to the method and the URL."""
        properties = {"http_requestMethod": method, "http_requestUrl": url} | command.pop("properties", {})
        return self.run(by, "call", queue, properties=properties, **command)

    def close(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()


class CallFailed(Exception):
    """What a caller threw."""

"""What is compared: how each server is started, how it is put under load, and what is read off."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "interop"))
# A debug build says nothing about speed.
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
os.environ.setdefault("STOMP_WSGI", str(TARGET / "stomp-wsgi"))

import brokers  # noqa: E402
import processes  # noqa: E402
import server  # noqa: E402

#: The peers have an environment of their own, in which our server finds Flask, too. `tests/prepare.sh peers` makes it.
VENV = ROOT / ".cache" / "peers" / "venv"
PYTHON = VENV / "bin" / "python"
ECHO = TARGET / "examples" / "peers-echo"
JARS = ":".join(f"/usr/share/java/{name}.jar" for name in (
    "activemq-client", "geronimo-jms_1.1_spec", "geronimo-j2ee-management-1.1-spec",
    "hawtbuf", "servlet-api", "slf4j-api",
))  # fmt: skip

#: Requests in flight while a server that has just been started warms up.
WARM = 32


@dataclass
class Measure:
    """One load on one server. CPU is that of the server, user and system, per request."""

    throughput: float
    p50_us: float
    p99_us: float
    cpu_us: float
    errors: int = 0


#: Puts so many requests in flight for so many seconds.
Load = Callable[[int, float], Measure]


@dataclass
class Subject:
    name: str
    #: Runs the server while it is entered.
    running: Callable[[], contextlib.AbstractContextManager[Load]]
    #: Why it cannot run here.
    missing: str | None = None


def cpu_seconds(session: int) -> float:
    """What all processes of a session have used, their children that have ended included."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def measured(child: subprocess.Popen, log: Path, command: Callable[[int, float], list[str]]) -> Load:
    """The load that `command` puts on `child`; its last line is JSON."""

    def load(in_flight: int, seconds: float) -> Measure:
        before = cpu_seconds(child.pid)
        done = subprocess.run(command(in_flight, seconds), capture_output=True, text=True, timeout=seconds + 60)
        cpu = cpu_seconds(child.pid) - before
        if done.returncode or child.poll() is not None:
            raise RuntimeError(f"{done.stdout}{done.stderr}\n{processes.tail(log, 20)}")
        found = json.loads(done.stdout.splitlines()[-1])
        requests = found["requests"]
        throughput, cpu_us = requests / found["seconds"], cpu * 1e6 / max(requests, 1)
        return Measure(throughput, found["p50_us"], found["p99_us"], cpu_us, found.get("errors", 0))

    return load


# Over HTTP, with wrk.


def http_subjects(app: str, reactors: list[str], scratch: Path, warm_up: float) -> list[Subject]:
    bin_ = VENV / "bin"
    peers: dict[str, tuple[str, list[object]]] = {
        "bjoern": ("bjoern", [PYTHON, "-c", f"import apps, bjoern; bjoern.run(apps.{app}, '127.0.0.1', PORT)"]),
        "granian": ("granian", [bin_ / "granian", "--interface", "wsgi", "--workers", 1, "--blocking-threads", 1]
                    + ["--port", "PORT", "--log-level", "warning", f"apps:{app}"]),
        "uwsgi": ("uwsgidecorators", [bin_ / "uwsgi", "--http", "127.0.0.1:PORT", "--http-keepalive=1", "--die-on-term"]
                  + ["--processes", 1, "--listen", 1024, "--disable-logging", "--module", f"apps:{app}"]),
        "gunicorn": ("gunicorn", [bin_ / "gunicorn", "--workers", 1, "--bind", "127.0.0.1:PORT", f"apps:{app}"]),
        "waitress": ("waitress", [bin_ / "waitress-serve", "--listen", "127.0.0.1:PORT", "--connection-limit", 1000]
                     + [f"apps:{app}"]),
    }  # fmt: skip
    no_wrk = None if shutil.which("wrk") else "no wrk (apt-get install wrk)"
    subjects = [
        Subject(
            name,
            partial(http_running, name, list(map(str, command)), scratch, warm_up),
            no_wrk or not_installed(module),
        )
        for name, (module, command) in peers.items()
    ]
    return subjects + [
        Subject(reactor, partial(contextlib.nullcontext, partial(ours, reactor, app, scratch))) for reactor in reactors
    ]


def not_installed(module: str) -> str | None:
    find = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    found = subprocess.run([PYTHON, "-c", find]).returncode == 0
    return None if found else f"not in {VENV.relative_to(ROOT)} (tests/prepare.sh peers)"


@contextlib.contextmanager
def http_running(name: str, command: list[str], scratch: Path, warm_up: float) -> Iterator[Load]:
    port, log = processes.free_port(), scratch / f"{name}.log"
    child = processes.spawn([word.replace("PORT", str(port)) for word in command], log, environment(), HERE)
    url = f"http://127.0.0.1:{port}/"
    try:
        wait_for(url, child, log)
        load = measured(child, log, partial(wrk, url))
        load(WARM, warm_up)
        yield load
    finally:
        processes.end(child)


def environment() -> dict[str, str]:
    return processes.environment(VIRTUAL_ENV=str(VENV), PYTHONPATH=str(HERE), PYTHONDONTWRITEBYTECODE="1")


def wait_for(url: str, child: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                body = response.read()
            assert b"Hello World" in body, body
            return
        except OSError as error:
            if child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{error}\n{processes.tail(log, 20)}") from error
            time.sleep(0.05)


def wrk(url: str, in_flight: int, seconds: float) -> list[str]:
    # One thread of it is enough for the fastest of these, and two cores are all there may be.
    return ["wrk", "-t1", f"-c{in_flight}", f"-d{max(1, round(seconds))}s", "-s", str(HERE / "done.lua"), url]


def ours(reactor: str, app: str, scratch: Path, in_flight: int, seconds: float) -> Measure:
    """Our server without a broker in between: the tool plays it, as wrk plays the browser."""
    report = scratch / "bench.json"
    command = [server.binary(), "bench", "--reactor", reactor, "--app", f"apps:{app}", "--in-flight", in_flight]
    command += ["--rounds", 1, "--seconds", seconds, "--warm-up", 0.5, "--json", report]
    command, patience = list(map(str, command)), seconds + 60
    done = subprocess.run(command, cwd=HERE, env=environment(), capture_output=True, text=True, timeout=patience)
    if done.returncode:
        raise RuntimeError(f"{done.stdout}{done.stderr}")
    found = json.loads(report.read_text())["results"][0]["median"]
    return Measure(*(found[field.name] for field in fields(Measure)))


# On a broker.


class Broker(brokers.ActiveMQ):
    """ActiveMQ with a port for JMS."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.jms_port = processes.free_port()

    def _configuration(self) -> str:
        more = f'<transportConnectors><transportConnector name="jms" uri="tcp://127.0.0.1:{self.jms_port}"/>'
        return super()._configuration().replace("<transportConnectors>", more)


def broker_subjects(broker: Broker, reactors: list[str], scratch: Path, warm_up: float) -> list[Subject]:
    python, port = str(PYTHON), str(broker.port)
    classes, jms = scratch / "classes", f"tcp://127.0.0.1:{broker.jms_port}"
    commands = {
        "echo": ([str(ECHO), "serve", f"127.0.0.1:{port}"], None),
        "stomp.py": ([python, str(HERE / "behind_stomp_py.py"), port], not_installed("stomp")),
        "stompman": ([python, str(HERE / "behind_stompman.py"), port], not_installed("stompman")),
        "servlet": (["java", "-XX:+UseSerialGC", "-cp", f"{classes}:{JARS}", "JmsServlet", jms], compiled(classes)),
    }
    subjects = [
        Subject(name, partial(broker_running, broker, name, command, scratch, warm_up), missing)
        for name, (command, missing) in commands.items()
    ]
    return subjects + [Subject(reactor, partial(our_server, broker, reactor, scratch, warm_up)) for reactor in reactors]


def compiled(classes: Path) -> str | None:
    """Why there is no servlet, or None."""
    if not shutil.which("javac"):
        return "no javac (apt-get install default-jdk-headless)"
    command = ["javac", "-d", str(classes), "-cp", JARS, str(HERE / "JmsServlet.java")]
    done = subprocess.run(command, capture_output=True, text=True)
    return f"apt-get install libservlet-api-java libactivemq-java\n{done.stderr}" if done.returncode else None


@contextlib.contextmanager
def broker_running(
    broker: brokers.Broker, name: str, command: list[str], scratch: Path, warm_up: float
) -> Iterator[Load]:
    log, queue = scratch / f"{name}.log", f"/queue/{name}"
    # JMS has no slash in front.
    named = queue.removeprefix("/queue/") if name == "servlet" else queue
    child = processes.spawn([*command, named], log, environment())
    try:
        load = measured(child, log, partial(requests, broker, queue))
        load(WARM, warm_up)
        yield load
    finally:
        processes.end(child)


@contextlib.contextmanager
def our_server(broker: brokers.Broker, reactor: str, scratch: Path, warm_up: float) -> Iterator[Load]:
    queue = f"/queue/{reactor}"
    # The prefetch that ActiveMQ gives the others, who do not ask for one.
    options, env = ("--log-level", "warn", "--prefetch", "1000"), {"VIRTUAL_ENV": str(VENV)}
    one = server.Server(scratch, broker.port, reactor, queue, "apps:hello", HERE, options, env=env).start()
    try:
        load = measured(one.process, one.log, partial(requests, broker, queue))
        load(WARM, warm_up)
        yield load
    finally:
        one.stop()


def requests(broker: brokers.Broker, queue: str, in_flight: int, seconds: float) -> list[str]:
    return [str(ECHO), "load", f"127.0.0.1:{broker.port}", queue, str(in_flight), str(seconds)]

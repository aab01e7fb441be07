"""Every program of docs/calling.md that a shell or Python runs, as it stands there but for address and destination."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from server import EXAMPLES, ROOT, binary, environment

REACTOR = "thread-pool"
BLOCKS = re.findall(r"^```(python|sh)\n(.*?)^```$", (ROOT / "docs" / "calling.md").read_text(), re.DOTALL | re.MULTILINE)
PROGRAMS = {code.partition("\n")[0].lstrip("# "): code for language, code in BLOCKS if language == "python"}
SCRIPTS = [code for language, code in BLOCKS if language == "sh"]


@pytest.fixture
def shop(broker, serve):
    return serve(broker, REACTOR, "/hello/you", app="flask_app:app", chdir=EXAMPLES)


def replaced(code: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in code, f"{old!r} is not in\n{code}"
        code = code.replace(old, new)
    return code


def adapted(code: str, broker, shop) -> str:
    """The program for this broker, as the page says it is to be adapted."""
    code = replaced(code, ("61613", str(broker.port)), ("/queue/shop", shop.destination))
    if broker.kind == "rabbitmq":
        code = "".join(line for line in code.splitlines(keepends=True) if not line.endswith("# not on RabbitMQ\n"))
        code = code.replace('REPLY_TO = "/queue/"', 'REPLY_TO = "/amq/queue/"')
    if broker.kind == "artemis":
        code = code.replace("/temp-queue/", "/queue/")
    return code.replace("localhost", "127.0.0.1")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_program_of_the_page_has_a_test():
    assert set(PROGRAMS) == {"stomp.py", "stomp.py: a stream, and a message without a reply", "stompman"}
    assert len(SCRIPTS) == 1


def test_stomp_py(broker, shop):
    first, second, third = python(adapted(PROGRAMS["stomp.py"], broker, shop)).splitlines()
    assert first.startswith("(200, ") and "b'Hello, World!\\n'" in first
    assert second.startswith("(200, ") and '{"sum":3}' in second and "'content-type': 'application/json'" in second
    assert third.startswith("(404, ") and "'http_isError': 'true'" in third


def test_stomp_py_streams_and_notifies(broker, shop):
    got = python(adapted(PROGRAMS["stomp.py: a stream, and a message without a reply"], broker, shop)).splitlines()
    blocks = [line.split(" ", 1) for line in got]
    assert [number for number, _ in blocks] == [str(n) for n in range(len(blocks))]
    assert b"".join(eval(block) for _, block in blocks) == b"1\n2\n3\n"
    shop.wait_log("weather: it rains")


def test_stompman(broker, shop):
    together, alone = python(adapted(PROGRAMS["stompman"], broker, shop)).splitlines()
    assert [f"b'Hello, {n}!\\n'" in together for n in range(3)] == [True] * 3
    assert alone.startswith("(404, ")


def test_the_terminal(broker, shop, directory: Path):
    (directory / "stomp-wsgi").symlink_to(binary())
    address, destination = ("localhost:61613", f"127.0.0.1:{broker.port}"), ("/queue/shop", shop.destination)
    script = replaced(SCRIPTS[0], address, destination)
    env = environment()
    env["PATH"] = f"{directory}:{env['PATH']}"
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('Hello, World!\n{"sum":3}\n'), done.stdout
    assert "404 NOT FOUND" in done.stdout and done.stdout.count("Hello, World!\n") == 2
    assert "1\n2\n3\n" in done.stdout
    shop.wait_log("weather: it rains")


def test_the_terminal_sends_nothing_that_the_broker_would_not_take(broker, shop, directory: Path):
    """RabbitMQ ends the connection over a larger frame, and cuts off what is more than 100 headers, and says neither."""
    call = [binary(), "call", "--broker", f"stomp://guest:guest@127.0.0.1:{broker.port}", "--to", shop.destination]
    large = directory / "large"
    limit = {"rabbitmq-4": 4 << 20, "rabbitmq-3": 128 << 20}.get(broker.name, 100 << 20)
    if broker.name not in ("rabbitmq-3", "artemis"):
        limit -= 64  # The whole frame counts. An end of line before it does, too.
    large.write_bytes(b" " * (limit + 1))
    done = subprocess.run([*call, "-d", f"@{large}", "POST", "/sum"], capture_output=True, text=True, timeout=60, env=environment())
    assert done.returncode == 1 and f"no more than {limit}" in done.stderr, done.stderr
    headers = [part for n in range(150) for part in ("-H", f"X-{n}: {n}")]
    done = subprocess.run([*call, *headers, "GET", "/hello/World"], capture_output=True, text=True, timeout=60, env=environment())
    assert (done.returncode, done.stdout) == (0, "Hello, World!\n"), done.stderr


def test_another_reply_queue_is_a_parameter(broker, shop):
    """What the page says of `/queue/NAME`: it is for replies on each broker."""
    code = replaced(PROGRAMS["stomp.py"], ("61613", str(broker.port)), ("/queue/shop", shop.destination))
    code = replaced(code, ("/temp-queue/{uuid.uuid4()}", f"/queue/{uuid.uuid4().hex}"), ("localhost", "127.0.0.1"))
    assert len(python(code).splitlines()) == 3

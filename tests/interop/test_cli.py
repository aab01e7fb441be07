"""The command line: what it refuses, how it says so, and what it exits with."""

from __future__ import annotations

import socket
import time

import processes
import pytest
import server as ours
from server import APPS, EXAMPLES, REACTORS, Server, run
from stomp_client import Requester


def says(done, *words: str) -> str:
    """What it wrote on stderr, which has to hold `words`, and no Rust panic."""
    text = done.stderr.decode()
    assert "panicked" not in text, text
    for word in words:
        assert word.lower() in text.lower(), f"{word!r} not in: {text}"
    return text


def serve(*arguments: object, app: str = "probe:app"):
    return run("serve", app, "--chdir", APPS, *arguments, timeout=60)


def nowhere() -> str:
    return f"stomp://127.0.0.1:{processes.free_port()}"


@pytest.mark.parametrize("command", ["", "serve", "broker", "call", "notify", "reactors", "demo"])
def test_help(command):
    done = run(*command.split(), "--help")
    assert done.returncode == 0
    assert b"Usage" in done.stdout


def test_version():
    done = run("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, b"stomp-wsgi")


def test_reactors_lists_those_built():
    done = run("reactors")
    assert done.returncode == 0
    for reactor in REACTORS:
        assert reactor in done.stdout.decode()


def test_unknown_command_and_option():
    assert run("nonsense").returncode == 2
    assert run("serve", "probe:app", "--no-such-option").returncode == 2


def test_unknown_reactor():
    done = serve("--reactor", "spinning-wheel")
    assert done.returncode == 2
    says(done, "spinning-wheel", *REACTORS)


@pytest.mark.parametrize(
    ("uri", "word"),
    [
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("stomp://", "host"),
        ("stomp://127.0.0.1:notaport", "port"),
        ("stomp://h:99999", "port"),
        ("stomp://h/queue/x", "--destination"),
        ("ssl://h", "TLS"),
        ("failover:(", "failover"),
        ("stomp://me:my-secret@h:port", "port"),
    ],
)
def test_bad_uri(uri, word):
    for done in (serve("--broker", uri), run("call", "--broker", uri, "GET", "/")):
        assert done.returncode == 2
        assert "my-secret" not in says(done, word)


@pytest.mark.parametrize("threads", ["0", "-1", "many"])
def test_bad_threads(threads):
    done = serve(f"--threads={threads}")
    assert done.returncode == 2
    says(done, "threads")


def test_bad_destination():
    done = serve("--destination", "")
    assert done.returncode == 2
    says(done, "destination")


@pytest.mark.parametrize(
    ("variable", "word"),
    [
        ("", "NAME=VALUE"),
        ("no-equals", "NAME=VALUE"),
        ("=x", "NAME=VALUE"),
        ("a b=x", "NAME=VALUE"),
        ("A=1,2", "commas"),
        ("PATH_INFO=/", "PATH_INFO"),
        ("HTTP_HOST=h", "HTTP_HOST"),
        ("CONTENT_LENGTH=1", "CONTENT_LENGTH"),
        ("wsgi.input=x", "wsgi.input"),
        ("stomp.headers=x", "stomp.headers"),
        ("SCRIPT_NAME=/x", "--script-name"),
        ("wsgi.url_scheme=https", "--url-scheme"),
    ],
)
def test_bad_environ(variable, word):
    done = serve("--environ", variable)
    assert done.returncode == 2
    says(done, word)


@pytest.mark.parametrize(
    ("app", "word"),
    [
        ("broken:app", "a_module_that_does_not_exist"),
        ("no_such_module:app", "no_such_module"),
        ("probe:no_such_app", "no_such_app"),
        ("probe:VIEWS", "called"),
    ],
)
def test_an_application_that_cannot_be_loaded(app, word):
    done = serve("--listen", f"127.0.0.1:{processes.free_port()}", app=app)
    assert done.returncode == 3, done.stderr.decode()
    text = says(done, word)
    if app.startswith("broken"):
        assert "Traceback" in text
        assert "broken.py" in text


def test_port_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for done in (run("broker", "--listen", address), serve("--listen", address)):
            assert done.returncode == 1
            says(done, address)


def test_call_refused():
    uri = nowhere()
    done = run("call", "--broker", uri, "--timeout", "2", "GET", "/")
    assert done.returncode == 7
    says(done, uri.rpartition("/")[2])
    assert done.stdout == b""


def test_call_without_an_answer(shared_brokers, queue):
    """Nobody serves this queue."""
    started = time.monotonic()
    done = run("call", "--broker", shared_brokers("dev").uri, "--to", queue, "--timeout", "1", "GET", "/")
    assert done.returncode == 28, done.stderr.decode()
    assert 0.9 < time.monotonic() - started < 5
    assert done.stdout == b""


def test_login_refused(real_kind, shared_brokers, queue):
    broker = shared_brokers(real_kind)
    uri = f"stomp://guest:wrong-secret@127.0.0.1:{broker.port}"
    done = run("call", "--broker", uri, "--to", queue, "--timeout", "5", "GET", "/")
    assert done.returncode == 7
    assert "wrong-secret" not in says(done)


def test_secrets_are_not_logged(real_kind, shared_brokers, queue, directory):
    """A server whose login is refused says so, and goes on trying or gives up; never with the password."""
    broker = shared_brokers(real_kind)
    one = Server(directory, broker.port, "tokio", queue)
    one.command = [part.replace("guest:guest@", "guest:wrong-secret@") for part in one.command]
    one.start()
    time.sleep(1.5)
    one.stop(timeout=5)
    log = processes.tail(one.log)
    assert "wrong-secret" not in log
    assert log, "it said nothing"


def test_failover_to_the_broker_that_is_there(reactor, shared_brokers, serve, queue):
    broker = shared_brokers("dev")
    one = serve(broker, reactor)
    one.kill()
    uri = f"failover:(tcp://127.0.0.1:{processes.free_port()},{broker.uri})?randomize=false"
    one.command[one.command.index("--broker") + 1] = uri
    one.start()
    one.wait_ready()
    done = run("call", "--broker", uri, "--to", queue, "GET", "/ping")
    assert (done.returncode, done.stdout) == (0, b"pong"), done.stderr.decode()
    assert one.stop() == 0


def test_no_broker_at_all(reactor, directory):
    """The one-liner: a Flask application on the development broker that the server brings along."""
    port = processes.free_port()
    command = [str(ours.binary()), "serve", "flask_app:app", "--listen", f"127.0.0.1:{port}", "--reactor", reactor]
    log = directory / "serve.log"
    child = processes.spawn([*command, "--chdir", str(EXAMPLES)], log, ours.environment(), directory)
    try:
        wait_listening(port, child, log)
        uri = f"stomp://127.0.0.1:{port}"
        done = run("call", "--broker", uri, "GET", "/hello/World")
        assert (done.returncode, done.stdout) == (0, b"Hello, World!\n"), done.stderr.decode() + processes.tail(log)
        # The default destination, by another requester as well.
        with Requester("127.0.0.1", port, "/queue/wsgi") as caller:
            assert caller.request("GET", "/hello/Broker").body == b"Hello, Broker!\n"
    finally:
        assert processes.end(child) == 0, processes.tail(log)


def wait_listening(port: int, child, log) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            assert child.poll() is None and time.monotonic() < deadline, processes.tail(log)
            time.sleep(0.05)


def test_two_destinations(reactor, shared_brokers, serve, queue):
    broker = shared_brokers("dev")
    one = serve(broker, reactor, options=("--destination", f"{queue}.too"))
    for destination in (queue, f"{queue}.too"):
        with Requester("127.0.0.1", broker.port, destination) as caller:
            assert caller.request("GET", "/ping").body == b"pong"
    assert one.stop() == 0


def test_demo():
    done = run("demo", timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout or done.stderr

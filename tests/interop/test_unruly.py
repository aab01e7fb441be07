"""What an application does to its process, and what that must not do to the server."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import processes
import pytest
import server as ours

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def unruly(serve, shared_brokers):
    """A server of that application on the development broker."""

    def start(reactor: str, **options: object) -> ours.Server:
        return serve(shared_brokers("dev"), reactor, app="unruly:app", **options)

    return start


def wait_for(what, timeout: float = 10.0):
    """The first value of `what()` that is true."""
    deadline = time.monotonic() + timeout
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
    return found


def test_it_survives_whatever_a_request_does(reactor, unruly):
    """Each of these, and the next request is answered as if nothing had been."""
    one = unruly(reactor)
    with one.requester() as caller:
        for path, status, body in [
            ("print", 200, b"printed"),
            ("threads", 200, b"joined"),
            ("subprocess", 200, b"True True"),
            ("subprocess-terminated", 200, b"-15"),
            ("multiprocessing?fork", 200, b"6"),
            ("multiprocessing?spawn", 200, b"6"),
            ("fork-exit", 200, b"7"),
            ("fork-os-exit", 200, b"8"),
            ("fork-raise", 200, b"1"),
            ("fork-return", 200, b"1"),
            ("fork-stream", 200, b"first 1"),
            ("fork-errors", 200, b"0"),
            ("fork-close", 200, b"x"),
            ("exit", 500, None),
            ("interrupt", 500, None),
            ("recursion", 500, None),
            ("deep", 200, b"30000"),
            ("memory", 500, None),
            ("close-raises", 200, b"answered"),
            ("close-exits", 200, b"answered"),
            ("chdir", 200, b"/"),
            ("close-stdout", 200, b"closed"),
        ]:
            reply = caller.request("GET", f"/{path}")
            assert reply.headers["http_statusCode"] == str(status), (path, reply, processes.tail(one.log))
            assert body is None or reply.body == body, (path, reply.body)
            assert caller.request("GET", "/ping").body == b"pong", path
            assert caller.poll(0.05) == [], f"{path}: more than one reply"
    log = one.log.read_text()
    # The first child closes what it iterated over as well.
    assert set(one.records("statuses")) == {"3", "4"}
    assert (log.count("a line of two; the end of it"), log.count("a line of two;")) == (1, 1)
    assert log.count("a line of the child") == 1
    for line in ("printed on wsgi.errors", "INFO of the application: logged", "SystemExit: 9", "close() failed"):
        assert line in log, line
    assert one.stop() == 0
    assert sorted(one.records("ended")) == ["atexit", "thread"]


@pytest.mark.parametrize("path", ["fork-return", "fork-stream"])
def test_a_forked_child_never_answers(reactor, unruly, path):
    """Streams as well, block by block."""
    one = unruly(reactor)
    with one.requester() as caller:
        body = b""
        for part in caller.stream("GET", f"/{path}", headers={"http_acceptStream": "true"}):
            body += part.body
            if part.headers["http_moreContent"] == "false":
                break
        assert body in (b"1", b"first 1")
        assert caller.poll(0.2) == []
    assert one.stop() == 0
    assert one.records("ended").count("atexit") == 1


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_end_it_in_good_order(reactor, unruly, number):
    """The application has imported `signal`, which takes SIGINT for Python where nobody minds."""
    one = unruly(reactor)
    with one.requester() as caller:
        caller.request("GET", "/print")
    assert processes.end(one.process, number) == 0, processes.tail(one.log)
    log = one.log.read_text()
    for line in ("imported", "printed on stdout", "printed by atexit"):
        assert log.count(line) == 1, (line, log)
    assert "KeyboardInterrupt" not in log
    assert one.records("ended") == ["atexit"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_running_request_is_answered_before_the_end(reactor, unruly, number):
    one = unruly(reactor)
    with one.requester() as caller:
        wish = caller.next_id()
        caller.send(caller.frame(ours.Request("GET", "/sleep"), wish))
        wait_for(lambda: one.records("begun"))
        one.process.send_signal(number)
        time.sleep(0.2)
        (one.directory / "wake").touch()
        reply = caller.receive(10)
        assert (reply.headers["correlation-id"], reply.body) == (wish, b"slept")
    assert one.process.wait(20) == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_it_at_once(reactor, unruly, number):
    one = unruly(reactor)
    with one.requester() as caller:
        caller.send(caller.frame(ours.Request("GET", "/sleep"), "1"))
        wait_for(lambda: one.records("begun"))
        one.process.send_signal(number)
        wait_for(lambda: "stopping" in one.log.read_text())
        one.process.send_signal(number)
        assert one.process.wait(5) == 128 + number


@pytest.mark.parametrize("number", SIGNALS)
def test_handlers_of_the_application_run_after_the_last_reply(reactor, unruly, number, monkeypatch):
    monkeypatch.setenv("UNRULY_TERM", "yes")
    one = unruly(reactor)
    assert processes.end(one.process, number) == 0, processes.tail(one.log)
    assert one.records("signals") == [signal.Signals(number).name]
    assert one.records("ended") == ["atexit"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_comes_while_the_application_is_imported(reactor, shared_brokers, directory, queue, number):
    """Its handler hears it at once, and the server does not begin to serve as if nothing had been."""
    env = {"UNRULY_TERM": "yes", "UNRULY_SLOW": "yes"}
    one = ours.Server(directory, shared_brokers("dev").port, reactor, queue, app="unruly:app", env=env).start()
    wait_for(lambda: one.records("begun"))
    one.process.send_signal(number)
    assert one.process.wait(20) == 0, processes.tail(one.log)
    assert one.records("signals") == [signal.Signals(number).name]


def test_a_handler_that_forks(reactor, unruly, monkeypatch):
    """Its child is no second server, and takes nothing that is meant for the first."""
    monkeypatch.setenv("UNRULY_USR1", "fork")
    one = unruly(reactor)
    one.process.send_signal(signal.SIGUSR1)
    child = wait_for(lambda: one.records("forked"))[0]
    with one.requester() as caller:
        assert caller.request("GET", "/ping").body == b"pong"
    wait_for(lambda: "Z" in status_of(child))
    assert one.stop() == 0


def status_of(pid: str) -> str:
    """One letter; Z for a process that has ended and of which nobody has taken note."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def test_a_handler_that_exits_has_no_more_time_than_a_signal(unruly, monkeypatch):
    monkeypatch.setenv("UNRULY_USR1", "exit")
    one = unruly("thread-pool", options=("--drain-timeout", "0.1"))
    with one.requester() as caller:
        caller.send(caller.frame(ours.Request("GET", "/hang"), "1"))
        wait_for(lambda: one.records("begun"))
        one.process.send_signal(signal.SIGUSR1)
        assert one.process.wait(20) == 1
    assert "did not end in time" in one.log.read_text()


def test_a_broker_that_is_given_up_ends_the_server(new_broker, serve):
    """Even while a request hangs."""
    broker = new_broker("dev").start()
    uri = f"failover:({broker.uri})?maxReconnectAttempts=1"
    one = serve(broker, "thread-pool", app="unruly:app", options=("--drain-timeout", "0.1"), uri=uri)
    with one.requester() as caller:
        caller.send(caller.frame(ours.Request("GET", "/hang"), "1"))
        wait_for(lambda: one.records("begun"))
        broker.kill()
        assert one.process.wait(20) == 1
    assert "not trying again" in one.log.read_text()


def test_a_writer_is_told_that_nobody_listens(reactor, unruly):
    """An iterable is not asked again; who writes has to hear it, or a worker is lost."""
    one = unruly(reactor, options=("--threads", "1"))
    with one.requester() as caller:
        assert next(caller.stream("GET", "/write-for-ever", headers={"http_acceptStream": "true"})).body
    with one.requester() as caller:
        assert caller.request("GET", "/ping").body == b"pong"
    assert one.stop() == 0
    assert "writer" in one.records("ended")


def test_a_child_has_the_handlers_of_its_parent(reactor, unruly, monkeypatch):
    monkeypatch.setenv("UNRULY_TERM", "yes")
    one = unruly(reactor)
    with one.requester() as caller:
        assert caller.request("GET", "/fork-handler").body == b"1"
    assert one.stop() == 0


def test_other_signals_reach_the_application(reactor, unruly):
    """While nothing happens, and while a request runs."""
    one = unruly(reactor)
    one.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: one.records("signals") == ["SIGUSR1"])
    with one.requester() as caller:
        caller.request("GET", "/kill-usr1")
        wait_for(lambda: len(one.records("signals")) == 2)
        assert b"main thread" in caller.request("GET", "/signal").body
        assert caller.request("GET", "/ping").body == b"pong"
    assert one.stop() == 0


def test_an_application_that_exits_while_it_is_imported(monkeypatch):
    monkeypatch.setenv("UNRULY_EXIT", "yes")
    done = ours.run("serve", "unruly:app", "--chdir", ours.APPS, "--listen", f"127.0.0.1:{processes.free_port()}")
    assert done.returncode == 3
    assert b"the application does not want to" in done.stderr
    assert b"imported" in done.stdout


def test_ctrl_c_in_a_terminal(unruly):
    """It goes to the whole process group, children of the application included."""
    one = unruly("thread-pool")
    with one.requester() as caller:
        caller.request("GET", "/multiprocessing?spawn")
    os.killpg(one.process.pid, signal.SIGINT)
    assert one.process.wait(20) == 0

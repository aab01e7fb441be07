"""What an application does to its process, and what that must not do to the server."""

from __future__ import annotations

import os
import signal
import time

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

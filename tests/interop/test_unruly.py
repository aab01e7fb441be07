"""What an application does to its process, and what that must not do to the server."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

import processes
import pytest
import server as ours
from stomp_client import ConnectionLost, Requester

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
        caller.send(caller.frame(ours.Request("GET", "/daemons"), "1"))
        wait_for(lambda: one.records("begun"))
        one.process.send_signal(signal.SIGUSR1)
        assert one.process.wait(20) == 1
    assert "did not end in time" in one.log.read_text()
    for pid in one.records("daemons"):
        wait_for(lambda: status_of(pid) == "Z")


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


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_drains_where_the_server_stops_by_itself(reactor, unruly, number, monkeypatch):
    """The application wants to end: a request that runs is answered all the same."""
    monkeypatch.setenv("UNRULY_USR1", "exit")
    one = unruly(reactor)
    with one.requester() as caller:
        caller.send(caller.frame(ours.Request("GET", "/sleep"), "1"))
        wait_for(lambda: one.records("begun"))
        one.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: "raised SystemExit" in one.log.read_text())
        one.process.send_signal(number)
        wait_for(lambda: "stopping already" in one.log.read_text())
        (one.directory / "wake").touch()
        assert caller.receive(10).body == b"slept"
        assert one.process.wait(20) == 0


def test_the_first_signal_drains_where_the_broker_is_given_up(reactor, new_broker, serve):
    """And the second one ends it at once."""
    broker = new_broker("dev").start()
    uri = f"failover:({broker.uri})?maxReconnectAttempts=1"
    one = serve(broker, reactor, app="unruly:app", uri=uri)
    with one.requester() as caller:
        caller.send(caller.frame(ours.Request("GET", "/sleep"), "1"))
        wait_for(lambda: one.records("begun"))
        broker.kill()
        if reactor == "mio":
            # It hears of the broker when the request has ended.
            one.process.send_signal(signal.SIGTERM)
            wait_for(lambda: "stopping" in one.log.read_text())
        else:
            wait_for(lambda: "not trying again" in one.log.read_text())
            one.process.send_signal(signal.SIGTERM)
            wait_for(lambda: "stopping already" in one.log.read_text())
        assert one.running
        one.process.send_signal(signal.SIGQUIT)
        assert one.process.wait(5) == 128 + signal.SIGQUIT


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGUSR2])
def test_other_signals_that_drain(reactor, unruly, number):
    one = unruly(reactor)
    with one.requester() as caller:
        caller.send(caller.frame(ours.Request("GET", "/sleep"), "1"))
        wait_for(lambda: one.records("begun"))
        one.process.send_signal(number)
        wait_for(lambda: f'"{signal.Signals(number).name}"' in one.log.read_text())
        (one.directory / "wake").touch()
        assert caller.receive(10).body == b"slept"
        assert one.process.wait(20) == 0
    assert one.records("ended") == ["atexit"]


HARMLESS = ("SIGHUP", "SIGUSR1", "SIGTTIN", "SIGTTOU", "SIGALRM")


def test_signals_that_neither_stop_nor_end_it(reactor, unruly, monkeypatch):
    """A line in the log for each, and the next request is answered."""
    monkeypatch.setenv("UNRULY_USR1", "none")
    one = unruly(reactor)
    with one.requester() as caller:
        for name in HARMLESS:
            one.process.send_signal(signal.Signals[name])
            wait_for(lambda: f'signal="{name}"' in processes.tail(one.log))
            assert caller.request("GET", "/ping").body == b"pong"
    log = processes.tail(one.log)
    assert log.count("no log file to reopen") == 2 and log.count("ignored: ") == 3, log
    assert one.stop() == 0


def test_signals_that_come_while_the_application_is_imported(shared_brokers, directory, queue):
    """Those that do no harm do none, and one that would drain ends it: nothing is served yet."""
    env = {"UNRULY_SLOW": "yes", "UNRULY_USR1": "none"}
    one = ours.Server(directory, shared_brokers("dev").port, "thread-pool", queue, app="unruly:app", env=env).start()
    wait_for(lambda: one.records("begun"))
    for name in HARMLESS:
        one.process.send_signal(signal.Signals[name])
        wait_for(lambda: f'signal="{name}"' in processes.tail(one.log))
    one.process.send_signal(signal.SIGQUIT)
    assert one.process.wait(5) == 128 + signal.SIGQUIT, processes.tail(one.log)
    assert "still being loaded" in one.log.read_text()


IN_BACKGROUND = """
import os, pty, signal, sys, termios, threading

pid, terminal = pty.fork()
if pid:
    threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(terminal, 4096), b"")], daemon=True).start()
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

# What a shell does for `stty tostop; stomp-wsgi serve ... &`, and then for `fg`.
attributes = termios.tcgetattr(0)
attributes[3] |= termios.TOSTOP
termios.tcsetattr(0, termios.TCSANOW, attributes)
server = os.fork()
if server == 0:
    os.setpgid(0, 0)
    os.execv(sys.argv[2], sys.argv[2:])
status = os.waitpid(server, os.WUNTRACED)[1]
if not os.WIFSTOPPED(status):
    sys.exit(f"it was not suspended, but ended with {os.waitstatus_to_exitcode(status)}")
os.tcsetpgrp(0, server)
os.kill(server, signal.SIGCONT)
with open(sys.argv[1], "w") as file:
    print(server, file=file)
status = os.waitpid(server, os.WUNTRACED)[1]
sys.exit(99 if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status))
"""


def test_a_terminal_suspends_a_server_in_the_background(shared_brokers, directory, queue):
    """As any program, where it wants something of the terminal. It goes on in the foreground, and is not stopped again."""
    one = ours.Server(directory, shared_brokers("dev").port, "thread-pool", queue, app="unruly:app")
    one.command[:0] = [sys.executable, "-c", IN_BACKGROUND, str(directory / "foreground")]
    one.start().wait_ready("/ping")
    pid = int(one.records("foreground")[0])
    try:
        os.kill(pid, signal.SIGTTOU)
        with one.requester() as caller:
            assert caller.request("GET", "/ping").body == b"pong"
        assert status_of(str(pid)) in "SR"
        os.kill(pid, signal.SIGTERM)
        assert one.process.wait(20) == 0, processes.tail(one.log)
    finally:
        if one.running:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGQUIT", "SIGUSR2", "SIGALRM", "SIGTTIN", "SIGTTOU"])
def test_handlers_of_the_application_take_the_place_of_ours(unruly, monkeypatch, name):
    monkeypatch.setenv("UNRULY_HANDLES", name)
    one = unruly("thread-pool")
    one.process.send_signal(signal.Signals[name])
    wait_for(lambda: one.records("signals") == [name])
    with one.requester() as caller:
        assert caller.request("GET", "/ping").body == b"pong"
    assert f'signal="{name}"' not in processes.tail(one.log)
    assert one.stop() == 0


def test_signals_in_forked_children(reactor, unruly, monkeypatch):
    """They do there what they do by default."""
    monkeypatch.setenv("UNRULY_USR1", "none")
    names = "SIGHUP,SIGUSR1,SIGALRM,SIGQUIT,SIGUSR2,SIGTERM,SIGINT"
    one = unruly(reactor)
    with one.requester() as caller:
        assert caller.request("GET", f"/child-signals?{names}").body.decode() == names
        for name in ("SIGTTIN", "SIGTTOU"):
            # What that is depends on the process group.
            assert caller.request("GET", f"/child-catches?{name}").body == b"0"
    assert one.stop() == 0
    assert "no log file to reopen" not in one.log.read_text()


@pytest.mark.parametrize("how", ["asyncio", "none"])
def test_an_application_that_takes_the_wakeup_fd_while_it_is_imported(reactor, unruly, monkeypatch, how):
    """Its handlers run all the same, and signals that asyncio has left to the system's default do no harm."""
    monkeypatch.setenv("UNRULY_WAKEUP", how)
    one = unruly(reactor)
    for n in range(3):
        one.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: one.records("signals") == ["SIGUSR1"] * (n + 1))
    one.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "no log file to reopen" in one.log.read_text())
    with one.requester() as caller:
        assert caller.request("GET", "/child-signals?SIGHUP,SIGTERM").body == b"SIGHUP,SIGTERM"
    assert one.stop() == 0


def test_a_handler_that_takes_the_wakeup_fd(reactor, unruly, monkeypatch):
    monkeypatch.setenv("UNRULY_USR1", "wakeup")
    one = unruly(reactor)
    for n in range(3):
        one.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: one.records("signals") == ["SIGUSR1"] * (n + 1))
    assert one.stop() == 0


def test_children_have_none_of_our_sockets(reactor, unruly):
    """Neither forked ones nor programs, however many connections there are."""
    one = unruly(reactor, options=("--connections", "3"))
    with one.requester() as caller:
        for _ in range(3):
            assert caller.request("GET", "/fork-sockets").body == b"3 0 0"
            assert caller.request("GET", "/exec-files").body == b"[]"
    assert one.stop() == 0


def test_children_have_none_of_the_development_brokers_sockets(reactor, directory):
    """A port that a child holds could not be taken again."""
    port = processes.free_port()
    command = [str(ours.binary()), "serve", "unruly:app", "--listen", f"127.0.0.1:{port}", "--reactor", reactor]
    log = directory / "serve.log"

    def start():
        child = processes.spawn([*command, "--chdir", str(ours.APPS)], log, ours.environment(directory), directory)
        wait_for(lambda: "subscribed" in log.read_text() or "serving" in log.read_text())
        return child

    child = start()
    try:
        with wait_for(lambda: connected(port)) as caller:
            # The listener, both ends of the server's connection, and ours.
            assert caller.request("GET", "/fork-sockets").body == b"4 0 0"
            assert caller.request("GET", "/exec-files").body == b"[]"
            caller.send(caller.frame(ours.Request("GET", "/fork-and-hang"), "1"))
            orphan = int(wait_for(lambda: (directory / "forked").exists() and (directory / "forked").read_text()))
            processes.end(child, signal.SIGKILL)
            with pytest.raises(ConnectionLost):
                caller.receive(10)
        child = start()
        with wait_for(lambda: connected(port)) as caller:
            assert caller.request("GET", "/ping").body == b"pong"
        os.kill(orphan, signal.SIGKILL)
    finally:
        processes.end(child)


def connected(port: int) -> Requester | None:
    try:
        return Requester("127.0.0.1", port, "/queue/wsgi")
    except OSError:
        return None


@pytest.mark.parametrize("second", SIGNALS)
def test_signals_end_it_whatever_was_closed(reactor, unruly, second):
    """What else it does without these descriptors is not asked. A debug build aborts where one of them is to be closed."""
    one = unruly(reactor)
    with one.requester() as caller:
        caller.send(caller.frame(ours.Request("GET", "/close-pairs"), "1"))
        wait_for(lambda: one.records("begun"))
        wait_for(lambda: "has closed descriptors" in one.log.read_text())
        one.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping: draining" in one.log.read_text())
        one.process.send_signal(second)
        assert one.process.wait(5) in (128 + second, -signal.SIGABRT)


@pytest.mark.parametrize("query", ["", "gil"])
def test_children_of_multiprocessing_end_with_a_second_signal(reactor, unruly, query):
    """As they do with Python; even where nobody gets to ask Python which there are."""
    one = unruly(reactor)
    with one.requester() as caller:
        caller.send(caller.frame(ours.Request("GET", f"/daemons?{query}"), "1"))
        wait_for(lambda: one.records("begun"))
        one.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in one.log.read_text())
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(5) == 128 + signal.SIGTERM
    for pid in one.records("daemons"):
        wait_for(lambda: status_of(pid) == "Z")


def test_signals_that_the_parent_has_blocked(reactor, unruly):
    """They are blocked on no thread, and so in no child either."""
    blocked = {signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2}
    one = unruly(reactor, prepare=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, blocked))
    with one.requester() as caller:
        assert caller.request("GET", "/subprocess-terminated").body == b"-15"
    for thread in Path(f"/proc/{one.process.pid}/task").iterdir():
        mask = int(re.search(r"^SigBlk:\s*(\w+)", (thread / "status").read_text(), re.MULTILINE)[1], 16)
        assert not any(mask >> (number - 1) & 1 for number in blocked), (thread / "comm").read_text()
    one.process.send_signal(signal.SIGHUP)
    one.wait_log("no log file to reopen")
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


def test_an_application_that_makes_a_daemon_of_its_process(shared_brokers, directory, queue):
    """While it is imported: the child is the server then."""
    env = {"UNRULY_DAEMON": "yes", "UNRULY_USR1": "none"}
    one = ours.Server(directory, shared_brokers("dev").port, "thread-pool", queue, app="unruly:app", env=env).start()
    pid = wait_for(lambda: one.records("daemon"))[0]
    try:
        assert one.process.wait(20) == 0
        with one.requester() as caller:
            assert caller.request("GET", "/fork-sockets").body == b"1 0 0"
        os.kill(int(pid), signal.SIGHUP)
        wait_for(lambda: "no log file to reopen" in one.log.read_text())
        os.kill(int(pid), signal.SIGTERM)
        wait_for(lambda: one.log.read_text().splitlines()[-1].endswith("stopped"))
        assert one.records("ended") == ["atexit"]
    finally:
        wait_for(lambda: status_of(pid) == "Z" or os.kill(int(pid), signal.SIGKILL))


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

"""A server whose threads are all stuck takes nothing more, says where they are, and comes back or ends."""

from __future__ import annotations

import signal
import time

import processes
import pytest
from server import Server
from stomp_client import Request

LEFT = "not connected until a worker is free"
THREADS = 2
OPTIONS = ("--threads", THREADS, "--stuck-after", 1)


def hang(server: Server, caller, count: int) -> None:
    """Has so many requests hang, until `gate-stuck` is there."""
    for n in range(count):
        caller.send(caller.frame(_request("/hang/stuck"), f"stuck {n}"))
    deadline = time.monotonic() + 20
    while len(server.records("hanging")) < count:
        assert time.monotonic() < deadline, "they do not hang"
        time.sleep(0.02)


def _request(url: str) -> Request:
    return Request("GET", url)


def answers(caller, count: int, timeout: float = 30.0) -> dict[str, bytes]:
    """So many replies, by what they answer; each comes once."""
    found: dict[str, bytes] = {}
    for _ in range(count):
        reply = caller.receive(timeout)
        assert reply.headers["correlation-id"] not in found
        found[reply.headers["correlation-id"]] = reply.body
    return found


@pytest.mark.parametrize("reactor", ["thread-pool", "tokio", "async-std"])
def test_what_has_not_begun_goes_to_another_server(real_kind, reactor, shared_brokers, serve):
    broker = shared_brokers(real_kind)
    stuck = serve(broker, reactor, options=(*OPTIONS, "--connections", 2))
    with stuck.requester() as caller:
        hang(stuck, caller, THREADS)
        waiting = [f"waits {n}" for n in range(6)]
        for name in waiting:
            caller.send(caller.frame(_request("/ping"), name))
        log = stuck.wait_log("all worker threads are stuck")
        while stuck.log.read_text().count(LEFT) < 2:
            time.sleep(0.02)
        assert log.count("most recent call last") >= THREADS and log.count(", in hang\n") == THREADS
        assert "time.sleep(0.01)" in log, "the line where they are"
        # It gets what hangs, too, and has threads left.
        other = serve(broker, "thread-pool", options=("--threads", THREADS + 2))
        assert answers(caller, len(waiting)) == dict.fromkeys(waiting, b"pong")
        (stuck.directory / "gate-stuck").touch()
        assert answers(caller, THREADS) == {f"stuck {n}": b"stuck hung" for n in range(THREADS)}
        stuck.wait_log("a worker is free: connecting again")
        assert other.stop() == 0
        assert caller.request("GET", "/ping").body == b"pong", "the first serves again"
    broker.wait_empty(stuck.destination)
    assert stuck.stop() == 0


@pytest.mark.parametrize("reactor", ["thread-pool", "tokio", "async-std"])
def test_requests_that_were_answered_in_time_are_not_served_again(reactor, shared_brokers, serve):
    """With a request timeout, that is what counts, and what hangs is answered before the broker is left."""
    broker = shared_brokers("dev")
    stuck = serve(broker, reactor, options=("--threads", THREADS, "--request-timeout", 1))
    with stuck.requester() as caller:
        hang(stuck, caller, THREADS)
        assert set(answers(caller, THREADS).values()) == {b"Gateway Timeout\n"}
        stuck.wait_log(LEFT)
        for n in range(3):
            caller.send(caller.frame(_request("/ping"), f"waits {n}"))
        serve(broker, "thread-pool")
        assert set(answers(caller, 3).values()) == {b"pong"}, "no 503"
    assert len(stuck.records("hanging")) == THREADS
    (stuck.directory / "gate-stuck").touch()
    stuck.wait_log("connecting again")
    assert stuck.stop() == 0


@pytest.mark.parametrize("how", ["hang", "hold"])
def test_a_supervisor_hears_of_it(how, reactor, shared_brokers, serve):
    """Exit code 75, however the threads hang: also where one holds Python's lock."""
    broker = shared_brokers("dev")
    threads = 1 if how == "hold" or reactor == "mio" else THREADS
    options = ("--threads", threads, "--stuck-after", 1, "--exit-when-stuck")
    stuck = serve(broker, reactor, options=options)
    with stuck.requester() as caller:
        if how == "hang":
            hang(stuck, caller, threads)
        else:
            caller.send(caller.frame(_request("/hold?seconds=600"), "held"))
        caller.send(caller.frame(_request("/ping"), "waits"))
        assert stuck.process.wait(40) == 75
        log = stuck.log.read_text()
        assert (", in hang" in log) if how == "hang" else ("holds Python's lock" in log)
        assert "exiting, as all worker threads are stuck" in log
        (stuck.directory / "gate-stuck").touch()
        if how == "hang":
            stuck.start()
            assert answers(caller, threads + 1)["waits"] == b"pong", "all are served by the next"
            assert stuck.stop() == 0


@pytest.mark.parametrize("query", ["", "gil"])
def test_children_of_multiprocessing_end_with_it(query, shared_brokers, serve):
    """As with any end by force, even where nobody gets to ask Python which there are."""
    options = ("--threads", 1, "--stuck-after", 3, "--exit-when-stuck")
    stuck = serve(shared_brokers("dev"), "thread-pool", app="unruly:app", options=options)
    with stuck.requester() as caller:
        caller.send(caller.frame(_request(f"/daemons?{query}"), "1"))
        assert stuck.process.wait(40) == 75
    children = stuck.records("daemons")
    assert len(children) == 2
    deadline = time.monotonic() + 10
    while not all(processes.has_ended(pid) for pid in children):
        assert time.monotonic() < deadline, "they go on"
        time.sleep(0.02)


@pytest.mark.parametrize("reactor", ["thread-pool", "mio"])
def test_a_stuck_server_can_be_stopped(reactor, shared_brokers, serve):
    threads = 1 if reactor == "mio" else THREADS
    options = ("--threads", threads, "--stuck-after", 1, "--drain-timeout", 1)
    stuck = serve(shared_brokers("dev"), reactor, options=options)
    with stuck.requester() as caller:
        hang(stuck, caller, threads)
        stuck.wait_log("all worker threads are stuck")
        assert stuck.stop() == 1, "after the drain and ten seconds"


def test_who_streams_is_not_stuck(shared_brokers, serve):
    server = serve(shared_brokers("dev"), "thread-pool", options=("--threads", 1, "--stuck-after", 1.5))
    with server.requester() as caller:
        stream = caller.stream("GET", "/gated/s?blocks=5", headers={"http_acceptStream": "true"})
        for n in range(5):
            assert next(stream).body == f"block {n} of s\n".encode()
            time.sleep(0.6)
            (server.directory / f"gate-s-{n + 1}").touch()
    assert "are stuck" not in server.log.read_text()
    assert server.stop() == 0


def test_it_can_be_switched_off(shared_brokers, serve):
    options = ("--threads", 1, "--request-timeout", 1, "--stuck-after", 0)
    server = serve(shared_brokers("dev"), "thread-pool", options=options)
    with server.requester() as caller:
        hang(server, caller, 1)
        assert set(answers(caller, 1).values()) == {b"Gateway Timeout\n"}
        caller.send(caller.frame(_request("/ping"), "waits"))
        assert answers(caller, 1) == {"waits": b"Service Unavailable\n"}
        (server.directory / "gate-stuck").touch()
        assert caller.request("GET", "/ping").body == b"pong"
    assert server.stop() == 0
    assert "are stuck" not in server.log.read_text()


def test_a_stopped_process_is_not_stuck(shared_brokers, serve):
    """SIGSTOP, a debugger, a laptop's lid: then nobody could do anything."""
    server = serve(shared_brokers("dev"), "thread-pool", options=("--threads", 1, "--stuck-after", 2))
    with server.requester() as caller:
        hang(server, caller, 1)
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        server.process.send_signal(signal.SIGCONT)
        (server.directory / "gate-stuck").touch()
        assert answers(caller, 1) == {"stuck 0": b"stuck hung"}
    assert server.stop() == 0
    assert "are stuck" not in server.log.read_text()

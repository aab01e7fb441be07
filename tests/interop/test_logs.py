"""What is in the log, and how much of it: no secrets, nothing without a bound, and what machines can read."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading

import processes
import pytest
import server as ours
from stomp_client import Frame, Requester

SECRET = "correct-horse-battery-staple"
CONNECTED = b"CONNECTED\nversion:1.2\nserver:ActiveMQ/5.17.2\n\n\0"


class Parrot:
    """A broker that answers CONNECT with the same octets each time, and then ends the connection."""

    def __init__(self, answer: bytes) -> None:
        self.answer, self.listener = answer, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.answered = threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                peer.recv(65536)
                peer.sendall(self.answer)
                self.answered.release()
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass

    def __enter__(self) -> Parrot:
        return self

    def leave(self) -> None:
        # Only this wakes the thread that waits for a connection.
        self.listener.shutdown(socket.SHUT_RDWR)

    def __exit__(self, *_: object) -> None:
        self.listener.close()


MALFORMED = f"message-id:{SECRET}\ndestination:/queue/{SECRET}\nsubscription:0\nack:1\nno colon here\n\nbody\0"

ANSWERS = {
    "the headers of a malformed MESSAGE": CONNECTED + f"MESSAGE\n{MALFORMED}".encode(),
    "an ERROR, percent-encoded": CONNECTED
    + f"ERROR\nmessage:no {''.join(f'%{octet:02X}' for octet in SECRET.encode())}\n\n\0".encode(),
    "an ERROR's header": CONNECTED + f"ERROR\nmessage:no {SECRET}\n\nbody\0".encode(),
    "an ERROR's body": CONNECTED + f"ERROR\nmessage:no\n\n{'x' * 290}{SECRET}\0".encode(),
    "a first line": f"-ERR {SECRET} is wrong\r\n".encode(),
    "a first line that is cut": f"-ERR no such user as {SECRET}".encode(),
    "a line after CONNECTED": CONNECTED + SECRET.encode() + b"\n",
    "a version": f"CONNECTED\nversion:{SECRET}\n\n\0".encode(),
    "a refusal": f"ERROR\nmessage:bad\n\n{'x' * 1000}{SECRET * 10}\0".encode(),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_a_broker_repeats_of_a_passcode(answer, reactor, directory, queue):
    with Parrot(ANSWERS[answer]) as parrot:
        # Two of a cluster: the one repeats what belongs to the other.
        uri = f"failover:(stomp://ann:{SECRET}@127.0.0.1:{parrot.port},stomp://bob:another-secret@127.0.0.1:{parrot.port})"
        env = {"RUST_LOG": "trace"}
        one = ours.Server(directory, parrot.port, reactor, queue, uri=f"{uri}?maxReconnectAttempts=2", env=env).start()
        try:
            assert parrot.answered.acquire(timeout=60) and parrot.answered.acquire(timeout=60)
            # A broker that delivers messages is tried again and again.
            parrot.leave()
            assert one.process.wait(60) == 7
        finally:
            one.kill()
    log = one.log.read_text()
    assert "(redacted)" in log, log
    assert SECRET not in log and SECRET[:12] not in log and SECRET[-12:] not in log, log


def test_a_long_target_is_cut_in_the_log(reactor, shared_brokers, serve):
    """A megabyte of it, in a request, in a message that nobody answers, and in what is no request."""
    one = serve(shared_brokers("dev"), reactor)
    before = one.log.stat().st_size
    long, structured = "/" + "a" * 1_000_000, {"content-type": "application/http"}
    with one.requester() as caller:
        for line, status in ((f"GET {long}", "404"), (f"GET {long}\x7f", "400"), (f"{'G' * 60_000} /ping", "400")):
            whole = f"{line} HTTP/1.1\r\n\r\n".encode()
            assert caller.request("POST", "/", whole, structured).headers["http_statusCode"] == status
        long = long[:60_000]
        assert caller.request("GET", f"{long} b").headers["http_statusCode"] == "400"
        assert caller.request("G" * 60_000, "/ping").headers["http_statusCode"] == "400"
        assert caller.request("GET", "/ping", headers={"Host": "h/" * 30_000}).headers["http_statusCode"] == "400"
        dead = f"/queue/DLQ.{one.destination.removeprefix('/queue/')}"
        caller.confirmed(Frame("SUBSCRIBE", {"id": "dead", "destination": dead}))
        notify = {"http_requestMethod": "NOTIFY", "http_requestUrl": long}
        caller.confirmed(Frame("SEND", {"destination": one.destination} | notify))
        letter = caller.receive(20)
        assert letter.headers["subscription"] == "dead"
        assert letter.headers["message-failed"].endswith("... (60000 bytes) was answered 404")
    assert one.stop() == 0
    text = one.log.read_text()[before:]
    assert "... (1000001 bytes)" in text
    assert len(text) < 20_000, len(text)


def test_a_long_destination_is_cut_in_the_log(reactor, shared_brokers, directory, queue):
    broker = shared_brokers("dev")
    one = ours.Server(directory, broker.port, reactor, f"{queue}.{'d' * 9000}").start()
    try:
        one.wait_ready()
        with one.requester() as caller:
            for _ in range(5):
                assert caller.request("GET", "/ping").body == b"pong"
        assert one.stop() == 0
    finally:
        one.kill()
    requests = [line for line in one.log.read_text().splitlines() if " answered " in line]
    assert len(requests) == 6 and all("dddd... (" in line and len(line) < 1000 for line in requests), requests


def events(log: str) -> list[dict]:
    return [json.loads(line) for line in log.splitlines()]


def test_all_of_a_json_log_is_json(reactor, shared_brokers, serve):
    """Whatever Python writes to standard error: records of logging, prints, warnings, a thread's last words."""
    one = serve(
        shared_brokers("dev"), reactor, app="talkative:app", options=("--log-format", "json"), env={"RUST_LOG": ""}
    )
    with one.requester() as caller:
        for path in ("/logs", "/stderr", "/errors"):
            reply = caller.request("GET", path)
            assert reply.headers["http_statusCode"] == "200", reply
            if path == "/stderr":
                assert reply.body == b"[2, False, 'utf-8', True]"
        assert caller.request("GET", "/nowhere").headers["http_statusCode"] == "500"
    assert one.stop() == 0
    found = [(e["level"], e["target"], e["fields"]) for e in events(one.log.read_text())]

    def fields(target: str) -> list[tuple[str, dict]]:
        return [(level, fields) for level, of, fields in found if of == target]

    (warning, error) = fields("python.logging")
    assert warning == ("WARN", {"message": "a warning of mine", "logger": "shop"})
    assert (error[0], error[1]["message"]) == ("ERROR", 'an "error"\nof two lines')
    assert error[1]["exception"].splitlines()[-1] == "ZeroDivisionError: division by zero"
    said = [fields["message"] for _, fields in fields("python.stderr")]
    assert {"to standard error \u20ac", "without an endoctets \\xff", "one", "two"} <= set(said)
    assert any("UserWarning: be warned" in text for text in said)
    assert any("IndexError: list index out of range" in text for text in said)
    assert ("ERROR", {"message": "plain\nof two lines"}) in fields("wsgi.errors")
    assert any(level == "ERROR" and "KeyError" in fields["message"] for level, _, fields in found)


def test_the_end_of_a_json_log_is_json():
    uri = f"stomp://127.0.0.1:{processes.free_port()}"
    done = ours.run("call", "--broker", uri, "--log-format", "JSON", "GET", "/")
    assert done.returncode == 7
    assert "connection refused" in events(done.stderr.decode())[-1]["fields"]["message"]


def test_a_plain_log_leaves_logging_alone(shared_brokers, serve):
    one = serve(shared_brokers("dev"), "thread-pool", app="talkative:app")
    with one.requester() as caller:
        caller.request("GET", "/logs")
        caller.request("GET", "/stderr")
    assert one.stop() == 0
    lines = one.log.read_text(errors="replace").splitlines()
    assert "a warning of mine" in lines and "to standard error \u20ac" in lines


def test_what_an_application_writes_is_bounded(reactor, shared_brokers, serve):
    one = serve(shared_brokers("dev"), reactor, app="talkative:app", options=("--log-format", "json"))
    with one.requester() as caller:
        assert caller.request("GET", "/long").headers["http_statusCode"] == "500"
    assert one.stop() == 0
    log = one.log.read_text()
    long = [event["fields"]["message"] for event in events(log) if len(event["fields"]["message"]) > 1000]
    assert len(log) < 300_000 and len(long) == 3, [text[:100] for text in long]
    assert all("bytes left out" in text for text in long)
    assert [text[-9:] for text in long if "www" in text or "RuntimeError" in text] == ["end of it"] * 2


def test_an_error_of_flask_is_one(shared_brokers, serve):
    one = serve(shared_brokers("dev"), "thread-pool", app="talkative:flask_app")
    with one.requester() as caller:
        assert caller.request("GET", "/fails").headers["http_statusCode"] == "500"
    assert one.stop() == 0
    log = processes.tail(one.log, 1000)
    assert re.search(r"WARN .*WARNING in talkative: it is about to fail", log), log
    assert re.search(r"ERROR .*ERROR in app: Exception on /fails \[GET\]", log), log


def test_prints_come_at_once_and_in_whole_lines(reactor, shared_brokers, directory, queue):
    """Into a pipe, of which Python makes a block buffer."""
    broker = shared_brokers("dev")
    one = ours.Server(directory, broker.port, reactor, queue, app="talkative:app")
    one.env.pop("PYTHONUNBUFFERED", None)
    one.process = subprocess.Popen(
        one.command, env=one.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    # What does not come is not waited for without end.
    patience = threading.Timer(60, one.process.kill)
    patience.start()
    try:
        one.wait_ready()
        with one.requester() as caller:
            caller.request("GET", "/prints")
            # The server runs, and is idle: what is not there by now waits for its end.
            lines = [one.process.stdout.readline() for _ in range(2000)]
        assert one.running
        whole = {f"printed {name} {n}\n" for name in "abcd" for n in range(500)}
        assert len(lines) == len(whole) and set(lines) == whole
        assert one.stop() == 0
    finally:
        patience.cancel()
        one.kill()
        one.process.stdout.close()

"""One fault, on one broker and one reactor: the load, the harm, and what came of it."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import brokers
import processes
from load import Load
from proxy import Proxy
from relay import FrameRelay
from server import Server

HERE = Path(__file__).resolve().parent
#: Seconds without any reply after which what is missing counts as lost.
PATIENCE = 60.0
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Fault:
    name: str
    #: Does the harm, step by step: it is resumed again and again while the load goes on.
    play: Callable[[Run], Iterator[None]]
    #: Seconds from the end of the harm to the reply to a request sent after it, at most; None where it has no end.
    bound: float | None
    #: Why a request may be worked on or answered twice; None where it must not.
    twice: str | None = None
    kinds: tuple[str, ...] = ("activemq", "rabbitmq", "artemis")
    brokers: int = 1
    #: By kind, a class to start in place of the usual one.
    variants: Mapping[str, type[brokers.Broker]] = field(default_factory=dict, hash=False)
    relay: Callable[[int], Proxy] = FrameRelay
    options: tuple[object, ...] = ()
    #: Milliseconds that the application works, and what it is given.
    work: int = 1
    body: bytes = b"x" * 100
    window: int = 64
    #: Times as many requests as in another fault.
    times: int = 1
    #: Requests by whose number the application is told to die.
    dies: Callable[[Run, int], bool] = lambda run, n: False
    #: The server logs into a pipe, which nobody reads.
    piped: bool = False
    #: Where replies go; a queue of this run's own follows.
    replies: str = "/queue/replies."
    #: The requests' queue is one of RabbitMQ's that counts deliveries.
    quorum: bool = False


@dataclass
class Outcome:
    """A row of the table."""

    fault: Fault
    kind: str
    reactor: str
    sent: int = 0
    again: int = 0
    answered: int = 0
    worked_twice: int = 0
    answered_twice: int = 0
    lost: int = 0
    recovered: float | None = None
    notes: list[str] = field(default_factory=list)
    #: What is wrong; empty if nothing is.
    complaints: list[str] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)

    def row(self) -> list[str]:
        recovered = "-" if self.recovered is None else f"{self.recovered:.2f}"
        bound = "-" if self.fault.bound is None else f"{self.fault.bound:g}"
        counts = [self.sent, self.again, self.answered, self.worked_twice, self.answered_twice, self.lost]
        verdict = "FAILED" if self.complaints else "ok"
        return [self.fault.name, self.kind, self.reactor, *map(str, counts), recovered, bound, verdict]


COLUMNS = ["fault", "broker", "reactor", "sent", "again", "answered", "worked twice", "answered twice", "lost"]
COLUMNS += ["recovered (s)", "bound", ""]


class Run:
    def __init__(self, fault: Fault, pool: list[brokers.Broker], reactor: str, directory: Path, requests: int) -> None:
        self.fault, self.brokers, self.reactor, self.directory = fault, pool, reactor, directory
        self.broker = pool[0]
        # One by one, 200,000 requests of 10 ms take more than half an hour.
        self.requests = requests * fault.times // (20 if reactor == "mio" and fault.times > 1 else 1)
        number = next(_numbers)
        self.destination = f"/queue/faults.{number}"
        if fault.quorum:
            brokers.declare(self.broker, self.destination, **{"x-queue-type": "quorum"})
            self.destination = f"/amq{self.destination}"
        self.replies = f"{fault.replies}{number}"
        self.relay = fault.relay(self.broker.port)
        uri = f"{self.relay.scheme}://guest:guest@127.0.0.1:{self.relay.port}"
        if fault.brokers > 1:
            uri = "failover:(" + ",".join(f"stomp://guest:guest@127.0.0.1:{one.port}" for one in pool) + ")?randomize=false"
        #: What the server logs, where that goes into a pipe.
        self.pipe = os.pipe() if fault.piped else ()
        for fd in self.pipe[1:]:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 4096)
        self.server = Server(
            directory,
            self.broker.port,
            reactor,
            self.destination,
            app="work:app",
            chdir=HERE,
            options=(*fault.options, *self.relay.options(directory)),
            uri=uri,
            stderr=self.pipe[1] if self.pipe else subprocess.STDOUT,
        )
        self.load = Load(
            [one.port for one in pool],
            self.destination,
            self.replies,
            self.requests,
            self._url,
            fault.body,
            fault.window,
        )
        self.outcome = Outcome(fault, self.broker.name, reactor)
        self.outcome.logs = [self.server.log]
        #: When each harm was over.
        self.moments: list[float] = []

    # What a fault may say.

    def over(self, moment: float | None = None) -> None:
        """From here on it has to recover."""
        self.moments.append(time.monotonic() if moment is None else moment)

    def note(self, text: str) -> None:
        self.outcome.notes.append(text)

    def expect(self, condition: object, text: str) -> None:
        if not condition:
            self.outcome.complaints.append(text)

    def answered(self, share: float) -> Iterator[None]:
        """Waits until this share of the requests is answered."""
        while len(self.load.answers) < share * self.requests:
            yield

    def until(self, condition: Callable[[], object], timeout: float, what: str) -> Iterator[None]:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                self.outcome.complaints.append(f"not within {timeout:g} s: {what}")
                return
            yield

    def pause(self, seconds: float) -> Iterator[None]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            yield

    def _url(self, n: int) -> str:
        return f"/work/{n}?ms={self.fault.work}" + ("&die" if self.fault.dies(self, n) else "")

    # The whole of it.

    def run(self) -> Outcome:
        self.server.start().wait_ready("/ready")
        harm, load = self.fault.play(self), self.load
        # Some are kept back until the harm is over, to see how soon the next one is answered.
        load.limit = self.requests * 9 // 10

        def tick() -> None:
            if next(harm, harm) is harm:
                load.limit = self.requests

        try:
            load.run(tick, PATIENCE)
            finished = next(harm, harm) is harm
            self.expect(finished, "the fault did not come to its end")
            self._settle()
            self._judge()
        finally:
            self.load.close()
            self.server.kill()
            self.relay.close()
            for fd in self.pipe:
                with contextlib.suppress(OSError):
                    os.close(fd)
        return self.outcome

    def _settle(self) -> None:
        """Waits for what comes late; then nothing may be left in the queue."""
        for broker in self.brokers:
            try:
                broker.wait_empty(self.destination, timeout=20)
            except AssertionError as error:
                self.outcome.complaints.append(str(error))
        self.load.linger(0.5)
        status = self.server.stop()
        self.expect(status == 0, f"the server ended with {status}")

    def _judge(self) -> None:
        load, out = self.load, self.outcome
        begun, done = Counter(self.server.records("begun")), Counter(self.server.records("done"))
        missing = load.missing()
        out.sent, out.again, out.answered = len(load.sent_at), len(load.again), len(load.answers)
        out.worked_twice = sum(count > 1 for count in begun.values())
        out.answered_twice = sum(count > 1 for count in load.answers.values())
        out.lost = len(missing)
        self.expect(out.sent == self.requests, f"{out.sent} of {self.requests} were sent")
        self.expect(not missing, f"not answered: {missing[:5]}, of which {sum(done[str(n)] > 0 for n in missing)} were worked on")
        self.expect(not load.wrong, f"{len(load.wrong)} wrong replies: {load.wrong[:3]}")
        excused = {str(n) for n in load.again}
        doubled = {n for n, count in begun.items() if count > 1} | {str(n) for n, count in load.answers.items() if count > 1}
        if not self.fault.twice:
            self.expect(doubled <= excused, f"worked on or answered twice: {sorted(doubled - excused)[:5]}")
        if self.fault.bound is not None:
            self.expect(self.moments, "the fault never came")
        if self.moments:
            out.recovered = max(self.load.recovered_after(moment) for moment in self.moments)
            self.expect(out.recovered <= self.fault.bound, f"{out.recovered:.2f} s to recover, {self.fault.bound:g} s allowed")

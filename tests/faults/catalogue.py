"""The faults, each with why something may come twice and how soon all has to be well again."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Callable, Iterator

import brokers
from relay import NoisyRelay
from run import Fault, Run
from stomp_client import Connection, Frame, Request

FAULTS: dict[str, Fault] = {}
#: How often the same harm is done in a run, and when.
SHARES = (0.15, 0.3, 0.45, 0.6, 0.75)
IN_HAND = "what the server had in hand and had not acknowledged is delivered again"
UNCONFIRMED = "what was not acknowledged, or whose ACK the broker had not stored, is delivered again"


def fault(name: str, **properties: object) -> Callable[[Callable[..., Iterator[None]]], Callable[..., Iterator[None]]]:
    def register(play: Callable[..., Iterator[None]]) -> Callable[..., Iterator[None]]:
        FAULTS[name] = Fault(name, play, **properties)
        return play

    return register


# The server dies, at each point of a request's life.


def killed_at(command: str, passes: bool, run: Run) -> Iterator[None]:
    for share in SHARES:
        yield from run.answered(share)
        run.relay.strike_at(command, passes, run.server.process.kill)
        yield from run.until(run.relay.struck.is_set, 20, f"a {command} came by")
        run.over()
        run.server.kill()
        run.server.start()


#: The frame at which the server dies, and whether that frame still passes.
POINTS = {
    "before the app": ("MESSAGE", False),
    "after the reply left it": ("SEND", False),
    "after the broker had the reply": ("SEND", True),
    "before the RECEIPT": ("RECEIPT", False),
    "after the RECEIPT": ("ACK", False),
    "after the ACK": ("ACK", True),
}
for point, (command, passes) in POINTS.items():
    play = functools.partial(killed_at, command, passes)
    FAULTS[f"server killed {point}"] = Fault(f"server killed {point}", play, bound=5, twice=IN_HAND)


@fault("server killed in the app", bound=5, twice=IN_HAND, dies=lambda run, n: n in [int(s * run.requests) for s in SHARES])
def killed_in_the_app(run: Run) -> Iterator[None]:
    for _ in SHARES:
        yield from run.until(lambda: not run.server.running, 30, "the server died")
        run.over()
        run.server.kill()
        run.server.start()


# The broker dies, or seems to.


@fault("broker killed and restarted", bound=15, twice=UNCONFIRMED)
def broker_killed(run: Run) -> Iterator[None]:
    yield from run.answered(0.4)
    run.broker.kill()
    yield from run.pause(1)
    run.broker.launch()
    run.broker.wait_ready()
    run.over()


@fault("broker stopped, half-open", bound=5, twice=IN_HAND, options=("--heart-beat", "1000,1000"))
def half_open(run: Run) -> Iterator[None]:
    yield from run.answered(0.4)
    connections, begun = run.relay.connections, time.monotonic()
    run.broker.process.send_signal(signal.SIGSTOP)
    yield from run.until(lambda: run.relay.connections > connections, 6, "the server noticed the silence")
    run.note(f"noticed after {time.monotonic() - begun:.1f} s, with heart-beats of 1 s")
    yield from run.pause(1)
    run.broker.process.send_signal(signal.SIGCONT)
    run.over()


class TightActiveMQ(brokers.ActiveMQ):
    """One with little room for `/queue/tight.>`, whose producers it makes wait."""

    def _configuration(self) -> str:
        tight = (
            '<policyEntry queue="tight.>" producerFlowControl="true" memoryLimit="64kb">'
            "<pendingQueuePolicy><vmQueueCursor/></pendingQueuePolicy></policyEntry>"
        )
        configuration, before = super()._configuration(), "<policyEntries>"
        assert before in configuration
        return configuration.replace(before, before + tight)


#: What faults are played on.
KINDS = brokers.KINDS | {"activemq": TightActiveMQ}

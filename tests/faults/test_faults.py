"""Most faults once, with few requests, the brokers and reactors in turn. All of it: `make faults`."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import brokers
import faults
import pytest
import server
from catalogue import FAULTS
from relay import Splitter

REQUESTS = 400
#: Each has another that does the same and more.
LEFT_OUT = {
    "server killed after the broker had the reply",
    "broker killed and restarted",
    "failover, the broker in use half-open",
    "broker out of disk",
}
#: Machines of CI are slow and busy: it may take so much longer there to recover.
SLACK = 4


def cases():
    reactors = itertools.cycle(server.REACTORS)
    assert LEFT_OUT <= FAULTS.keys()
    chosen = [fault for name, fault in FAULTS.items() if name not in LEFT_OUT]
    for number, (fault, reactor) in enumerate(zip(chosen, reactors)):
        kinds = [kind for kind in fault.kinds if kind in brokers.KINDS]
        if not kinds:
            continue
        # By another rhythm than the reactors', so that each meets both.
        kind = kinds[(number // 4 + number) % len(kinds)]
        marks = getattr(pytest.mark, kind)
        yield pytest.param(fault, kind, reactor, id=f"{fault.name}-{kind}-{reactor}", marks=marks)


@pytest.fixture(scope="module")
def pool(scratch: Path):
    some = faults.Pool(scratch / "faults")
    yield some
    some.close()


@pytest.mark.parametrize("fault, kind, reactor", list(cases()))
def test_nothing_is_lost(fault, kind, reactor, need_broker, pool, directory):
    need_broker(kind)
    bound = fault.bound and fault.bound * SLACK
    fault = dataclasses.replace(fault, times=min(fault.times, 20), bound=bound)
    outcome = faults.run(fault, kind, reactor, pool, directory, REQUESTS)
    print(f"{faults.table([outcome])}\n{faults.reasons([outcome])}")
    assert not outcome.complaints, "\n".join(outcome.complaints)


def test_the_relay_passes_what_it_gets():
    frames = [b"\n", b"SEND\nb:c\n\nbody\0", b"\n", b"SEND\ncontent-length:3\n\n\0\n\0\0", b"\r\n", b"ACK\n\n\0"]
    data = b"".join(frames)
    for size in range(1, len(data)):
        splitter = Splitter()
        got = [frame for at in range(0, len(data), size) for frame in splitter.feed(data[at : at + size])]
        assert b"".join(got) == data
        assert [frame for frame in got if len(frame) > 1] == [frame for frame in frames if len(frame) > 2]

"""The development broker answers as the broker that it plays: the same frames go to both, and what comes back is compared.

`dialect_scenarios` has the frames. All scenarios of a broker are played at once, each on connections and names of its own.
"""

from __future__ import annotations

import concurrent.futures
import difflib
import itertools
import os

import brokers
import dialect_scenarios
import pytest
import scenarios

TABLES = {
    "activemq": dialect_scenarios.ACTIVEMQ,
    "rabbitmq": dialect_scenarios.RABBITMQ,
    "artemis": dialect_scenarios.ARTEMIS,
}
#: Scenarios at the same time: most of them wait.
AT_ONCE = 8
#: How long the end of a scenario waits that is played once more.
LONG = 2.0


def cases() -> list:
    found = []
    for kind, table in TABLES.items():
        for scenario in table:
            marks = [getattr(pytest.mark, kind)]
            if scenario.known:
                marks.append(pytest.mark.xfail(reason=scenario.known, strict=True))
            found.append(pytest.param(kind, scenario, marks=marks, id=f"{kind}-{scenario.name.replace(' ', '-')}"))
    return found


class Both:
    """A broker, ours that plays it, and what all scenarios brought on each."""

    def __init__(self, kind: str, real: brokers.Broker, ours: brokers.Broker) -> None:
        self.on, self.runs = (real, ours), itertools.count()
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            plays = [(each, [pool.submit(self.play, each, on) for on in self.on]) for each in TABLES[kind]]
        self.transcripts = {each.name: played for each, played in plays}

    def play(self, scenario: scenarios.Scenario, on: brokers.Broker, quiet: float = scenarios.QUIET) -> list[str]:
        return scenarios.play(scenario, on, f"q{os.getpid()}x{next(self.runs)}", quiet)

    def of(self, scenario: scenarios.Scenario) -> list[list[str]]:
        found = [played.result() for played in self.transcripts[scenario.name]]
        if found[0] != found[1] and not scenario.known:
            # Once more, with time: a busy machine may have been late.
            found = [self.play(scenario, on, LONG) for on in self.on]
        return found


@pytest.fixture(scope="module")
def both(shared_brokers, new_broker):
    played: dict[str, Both] = {}

    def get(kind: str) -> Both:
        if kind not in played:
            ours = new_broker("dev")
            ours.dialect = kind
            played[kind] = Both(kind, shared_brokers(kind), ours.start())
        return played[kind]

    return get


@pytest.mark.parametrize(("kind", "scenario"), cases())
def test_answers_as_the_broker_does(kind, scenario, both):
    release = brokers.KINDS[kind].name
    if why := scenario.differs.get(release):
        pytest.skip(f"{release}: {why}")
    theirs, ours = both(kind).of(scenario)
    if theirs != ours:
        diff = difflib.unified_diff(theirs, ours, release, f"--dialect {kind}", n=100, lineterm="")
        pytest.fail("\n".join([scenario.name, *diff]), pytrace=False)
    assert any(line.startswith(">") for line in theirs)

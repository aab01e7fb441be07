"""The development broker answers as the broker that it plays: the same frames go to both, and what comes back is compared.

`dialect_scenarios` has the frames. All scenarios of a broker are played at once, each on connections and names of its own.
"""

from __future__ import annotations

import concurrent.futures
import difflib
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


def cases() -> list:
    found = []
    for kind, table in TABLES.items():
        for scenario in table:
            marks = [getattr(pytest.mark, kind)]
            if scenario.known:
                marks.append(pytest.mark.xfail(reason=scenario.known, strict=True))
            found.append(pytest.param(kind, scenario, marks=marks, id=f"{kind}-{scenario.name.replace(' ', '-')}"))
    return found


@pytest.fixture(scope="module")
def transcripts(shared_brokers, new_broker):
    """Of all scenarios of one kind, by name: the broker's own, and ours."""
    played: dict[str, dict[str, tuple[list[str], list[str]]]] = {}

    def get(kind: str) -> dict[str, tuple[list[str], list[str]]]:
        if kind not in played:
            ours = new_broker("dev")
            ours.dialect = kind
            ours.start()
            real = shared_brokers(kind)
            table = TABLES[kind]
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:

                def play(on: brokers.Broker) -> list[concurrent.futures.Future]:
                    name = f"q{os.getpid()}x"
                    return [pool.submit(scenarios.play, each, on, f"{name}{n}") for n, each in enumerate(table)]

                both = zip(table, play(real), play(ours))
                played[kind] = {each.name: (theirs, mine) for each, theirs, mine in both}
            ours.stop()
        return played[kind]

    return get


@pytest.mark.parametrize(("kind", "scenario"), cases())
def test_answers_as_the_broker_does(kind, scenario, transcripts):
    release = brokers.KINDS[kind].name
    if why := scenario.differs.get(release):
        pytest.skip(f"{release}: {why}")
    theirs, ours = (played.result() for played in transcripts(kind)[scenario.name])
    if theirs != ours:
        diff = difflib.unified_diff(theirs, ours, release, f"--dialect {kind}", n=100, lineterm="")
        pytest.fail("\n".join([scenario.name, *diff]), pytrace=False)
    assert any(line.startswith(">") for line in theirs)

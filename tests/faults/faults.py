"""The fault suite: what becomes of requests when things break. `python faults.py --help`."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import indent

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "interop")]

import brokers  # noqa: E402
import processes  # noqa: E402
import server  # noqa: E402
from catalogue import FAULTS, KINDS  # noqa: E402
from run import COLUMNS, Fault, Outcome, Run  # noqa: E402


#: Seconds by which Artemis sometimes answers a CONNECT late, when a connection with messages in hand has just ended.
LATE = {"artemis": 10.0}


class Pool:
    """Brokers, started when first asked for, and used by one run after the other."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[type[brokers.Broker], list[brokers.Broker]] = {}
        self._numbers = itertools.count(1)

    def some(self, fault: Fault, kind: str) -> list[brokers.Broker]:
        cls = fault.variants.get(kind, KINDS[kind])
        running = self._running.setdefault(cls, [])
        while len(running) < fault.brokers:
            running.append(cls(self._directory / f"{kind}-{next(self._numbers)}").start())
        return running[: fault.brokers]

    def drop(self, kind: str) -> None:
        """After a failure: who knows in which state they are."""
        for cls in [cls for cls in self._running if cls.kind == kind]:
            for broker in self._running.pop(cls):
                broker.close()

    def close(self) -> None:
        for kind in {cls.kind for cls in self._running}:
            self.drop(kind)


def run(fault: Fault, kind: str, reactor: str, pool: Pool, directory: Path, requests: int) -> Outcome:
    """One row. What goes wrong in a way that nobody foresaw is a complaint like any other."""
    own = Path(tempfile.mkdtemp(dir=directory))
    if fault.bound is not None:
        fault = dataclasses.replace(fault, bound=fault.bound + LATE.get(kind, 0))
    outcome = Outcome(fault, brokers.KINDS[kind].name, reactor)
    try:
        one = Run(fault, pool.some(fault, kind), reactor, own, requests)
        outcome = one.outcome
        one.run()
    except Exception as error:
        outcome.complaints.append(f"{type(error).__name__}: {error}")
    if outcome.complaints:
        pool.drop(kind)
    return outcome


def table(outcomes: Iterable[Outcome]) -> str:
    rows = [COLUMNS, *(outcome.row() for outcome in outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join(lines)


def reasons(outcomes: list[Outcome]) -> str:
    """Why something came twice, where it did, and what else is to be said."""
    lines = []
    for fault in dict.fromkeys(outcome.fault for outcome in outcomes):
        those = [outcome for outcome in outcomes if outcome.fault is fault]
        if any(outcome.worked_twice or outcome.answered_twice for outcome in those):
            lines.append(f"{fault.name}: {fault.twice or 'sent again by the requester'}")
        lines += [f"{fault.name}, {one.kind} {one.reactor}: {note}" for one in those for note in one.notes]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Breaks things under load, and counts what is lost.")
    parser.add_argument("--fault", action="append", metavar="TEXT", help="those whose name has this in it (all)")
    parser.add_argument("--broker", action="append", choices=brokers.KINDS, help="one (all that BROKERS names)")
    parser.add_argument("--reactor", action="append", choices=server.REACTORS, help="one (all)")
    parser.add_argument("--requests", type=int, default=2000, help="for each fault (2000)")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--logs", type=Path, help="where logs go (a temporary directory)")
    return parser.parse_args()


def main() -> int:
    chosen = arguments()
    faults = [f for f in FAULTS.values() if any(text in f.name for text in chosen.fault or [""])]
    if chosen.list:
        print("\n".join(fault.name for fault in faults))
        return 0
    kinds = chosen.broker or brokers.REAL
    missing = [why for kind in kinds if (why := brokers.KINDS[kind].missing())]
    if missing or not faults or not server.binary().exists():
        print("\n".join(missing) or f"no such fault, or no {server.binary()}", file=sys.stderr)
        return 2
    brokers.DevBroker.binary = server.binary()
    with tempfile.TemporaryDirectory(prefix="stomp-wsgi-faults-") as scratch:
        directory = (chosen.logs or Path(scratch)).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        pool = Pool(Path(scratch))
        try:
            outcomes = report_on(faults, kinds, chosen, pool, directory)
        finally:
            pool.close()
    print(f"\n{table(outcomes)}\n\n{reasons(outcomes)}")
    return int(any(outcome.complaints for outcome in outcomes))


def report_on(
    faults: list[Fault], kinds: Sequence[str], chosen: argparse.Namespace, pool: Pool, directory: Path
) -> list[Outcome]:
    outcomes = []
    for kind, fault, reactor in itertools.product(kinds, faults, chosen.reactor or server.REACTORS):
        if kind not in fault.kinds:
            continue
        outcome = run(fault, kind, reactor, pool, directory, chosen.requests)
        outcomes.append(outcome)
        print("  ".join(outcome.row()), flush=True)
        for complaint in outcome.complaints:
            print(f"  {complaint}", flush=True)
        if outcome.complaints:
            for log in outcome.logs:
                print(indent(processes.tail(log, 20), "    "), flush=True)
    return outcomes


if __name__ == "__main__":
    sys.exit(main())

"""stomp-wsgi and its peers on one machine, in turn. `python peers.py --help`; the method is in README.md."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

import subjects
from subjects import Load, Measure, Subject

#: Against whom ratios are taken.
BASES = {"http": ("bjoern", "granian"), "broker": ("echo",)}


@dataclass
class Comparison:
    """One application under one load; in each round every server was measured once."""

    title: str
    in_flight: int
    bases: tuple[str, ...]
    measures: dict[str, list[Measure]]

    def median(self, name: str) -> Measure:
        rounds = self.measures[name]
        return Measure(*(median(getattr(one, field.name) for one in rounds) for field in fields(Measure)))

    def ratio(self, name: str, base: str, what: str) -> float:
        """The median of the rounds' ratios: what slows a whole round down leaves them as they are."""
        pairs = zip(self.measures[name], self.measures[base])
        return median(getattr(one, what) / getattr(other, what) for one, other in pairs if getattr(other, what))

    def spread(self, name: str) -> float:
        throughputs = [one.throughput for one in self.measures[name]]
        return (max(throughputs) - min(throughputs)) / median(throughputs)

    def table(self) -> str:
        bases = [base for base in self.bases if base in self.measures]
        rows = [["", "req/s", "spread", "p50 ms", "p99 ms", "CPU us", *(f"{w}/{b}" for b in bases for w in RATIOS)]]
        for name in self.measures:
            one = self.median(name)
            row = [name, f"{one.throughput:,.0f}", f"{self.spread(name):.0%}"]
            row += [f"{one.p50_us / 1e3:.2f}", f"{one.p99_us / 1e3:.2f}", f"{one.cpu_us:.1f}"]
            rows.append(row + [f"{self.ratio(name, base, what):.2f}" for base in bases for what in RATIOS.values()])
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
        return "\n".join([f"{self.title}, {self.in_flight} in flight", *lines])

    def as_json(self) -> dict:
        servers = {
            name: {"median": asdict(self.median(name)), "rounds": [asdict(one) for one in rounds]}
            | {f"{what}/{base}": self.ratio(name, base, what) for base in self.bases if base in self.measures
               for what in RATIOS.values()}
            for name, rounds in self.measures.items()
        }  # fmt: skip
        return {"title": self.title, "in_flight": self.in_flight, "servers": servers}


RATIOS = {"req/s": "throughput", "p99": "p99_us", "CPU": "cpu_us"}


class Run:
    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen = chosen
        self.complaints: list[str] = []
        self.notes: list[str] = []
        self.left_out: dict[str, str] = {}

    def compare(self, title: str, part: str, those: list[Subject]) -> list[Comparison]:
        chosen = self.chosen
        those = [one for one in those if any(text in one.name for text in chosen.server or [""])]
        self.left_out |= {one.name: one.missing for one in those if one.missing}
        those = [one for one in those if not one.missing]
        with contextlib.ExitStack() as stack:
            loads: dict[str, Load] = {}
            for one in those:
                with self.complaining(f"{title}, {one.name}"):
                    loads[one.name] = stack.enter_context(one.running())
            return [self.rounds(title, in_flight, part, loads) for in_flight in chosen.in_flight]

    def rounds(self, title: str, in_flight: int, part: str, loads: dict[str, Load]) -> Comparison:
        """Who fails is not asked again."""
        comparison = Comparison(title, in_flight, BASES[part], {name: [] for name in loads})
        for number in range(1, self.chosen.rounds + 1):
            what = f"{title}, {in_flight} in flight, round {number} of {self.chosen.rounds}"
            print(what, file=sys.stderr, flush=True)
            for name in list(loads):
                load = loads.pop(name)
                with self.complaining(f"{what}, {name}"):
                    measure = load(in_flight, self.chosen.seconds)
                    comparison.measures[name].append(measure)
                    # Back in line, behind the others.
                    loads[name] = load
                    if measure.errors:
                        self.notes.append(f"{what}, {name}: {measure.errors} errors")
        comparison.measures = {name: rounds for name, rounds in comparison.measures.items() if name in loads}
        return comparison

    @contextlib.contextmanager
    def complaining(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.complaints.append(f"{what}: {type(error).__name__}: {error}")

    def http(self, scratch: Path) -> list[Comparison]:
        found = []
        for app in self.chosen.app:
            those = subjects.http_subjects(app, self.chosen.reactor, scratch, self.chosen.warm_up)
            found += self.compare(f"HTTP peers with wrk, ours driven directly: {app}", "http", those)
        return found

    def broker(self, scratch: Path) -> list[Comparison]:
        if missing := subjects.Broker.missing():
            self.left_out["everything on ActiveMQ"] = missing
            return []
        broker = subjects.Broker(scratch / "activemq").start()
        try:
            those = subjects.broker_subjects(broker, self.chosen.reactor, scratch, self.chosen.warm_up)
            # Java is slow at first, and the broker is Java.
            with those[0].running() as echo:
                echo(subjects.WARM, self.chosen.broker_warm_up)
            return self.compare("on ActiveMQ: hello", "broker", those)
        finally:
            broker.close()


def machine() -> dict[str, object]:
    freeze = [subjects.PYTHON, "-m", "pip", "--disable-pip-version-check", "freeze"]
    return {
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "kernel": platform.release(),
        "peers": subprocess.run(freeze, capture_output=True, text=True).stdout.split(),
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compares stomp-wsgi with its peers, in interleaved rounds.")
    parser.add_argument("--part", action="append", choices=BASES, help="one (both)")
    parser.add_argument("--app", action="append", choices=("hello", "flask_app"), help="over HTTP, one (both)")
    parser.add_argument("--server", action="append", metavar="TEXT", help="those whose name has this in it (all)")
    parser.add_argument("--reactor", action="append", choices=subjects.server.REACTORS, help="of ours, one (all)")
    parser.add_argument("--in-flight", type=int, action="append", metavar="N", help="one (1, 32 and 256)")
    parser.add_argument("--rounds", type=int, default=7, help="of which the median counts (7)")
    parser.add_argument("--seconds", type=float, default=1, help="for each measurement (1)")
    parser.add_argument("--warm-up", type=float, default=2, help="seconds under load when a server has started (2)")
    parser.add_argument("--broker-warm-up", type=float, default=15, help="seconds of echo before the first round (15)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where every round goes, too")
    chosen = parser.parse_args()
    chosen.part = chosen.part or list(BASES)
    chosen.app = chosen.app or ["hello", "flask_app"]
    chosen.reactor = chosen.reactor or list(subjects.server.REACTORS)
    chosen.in_flight = chosen.in_flight or [1, 32, 256]
    return chosen


def main() -> int:
    chosen = arguments()
    for needed in (subjects.server.binary(), subjects.ECHO, subjects.PYTHON):
        if not needed.exists():
            print(f"no {needed}: make peers makes it", file=sys.stderr)
            return 2
    run, found = Run(chosen), []
    begun = machine()
    with tempfile.TemporaryDirectory(prefix="stomp-wsgi-peers-") as scratch:
        for part in chosen.part:
            found += getattr(run, part)(Path(scratch))
    found = [comparison for comparison in found if comparison.measures]
    if not found:
        run.complaints.append("nothing was compared: --help says what there is")
    print("\n\n".join(comparison.table() for comparison in found))
    left_out = [f"LEFT OUT: {name}: {why}" for name, why in run.left_out.items()]
    print("", *run.notes, *left_out, *run.complaints, sep="\n")
    if chosen.json:
        report = {"machine": begun, "left_out": run.left_out, "complaints": run.complaints, "notes": run.notes}
        chosen.json.write_text(json.dumps(report | {"comparisons": [one.as_json() for one in found]}, indent=1))
    return int(bool(run.complaints))


if __name__ == "__main__":
    sys.exit(main())

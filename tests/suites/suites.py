"""Other people's test suites, with every request sent as a message: `python suites.py --help`.

Each suite runs inside `stomp-wsgi serve` (see suite_host.py). A test that fails has to be named in
expected.py, with its reason; one that is named there has to fail.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))

import brokers  # noqa: E402
import processes  # noqa: E402
import server  # noqa: E402
from expected import SUITES, Selection, Suite  # noqa: E402
from job import Job, Report  # noqa: E402
from wire import MODES  # noqa: E402

CACHE = server.ROOT / ".cache" / "suites"
VENV = CACHE / "venv"
#: Seconds that a whole suite may take.
PATIENCE = 240.0
#: Where the suite runs as it is, in a plain process.
PLAIN = "plain"


@dataclass
class Outcome:
    """A suite that was run, and what is to be said about it."""

    suite: str
    reactor: str
    mode: str
    report: Report
    excused: dict[str, str]
    #: What is wrong; empty if nothing is.
    complaints: list[str]
    log: Path

    def row(self) -> list[str]:
        counts = Counter(self.report.outcomes.values())
        inherent = sum(self.report.outcomes.get(test) == "failed" for test in self.excused)
        cells = [counts["passed"], inherent, counts["failed"] - inherent, counts["skipped"], len(self.report.crossed)]
        return [self.suite, self.reactor, self.mode, *map(str, cells), f"{self.report.seconds:.1f}"]


COLUMNS = ["suite", "reactor", "mode", "passed", "failed, inherent", "unexpected", "skipped", "crossed", "seconds"]


def missing() -> str | None:
    """Why nothing can be run, or None."""
    if not any(CACHE.glob(".installed-*")):
        return "the suites are not there: tests/prepare.sh suites"
    if not server.binary().exists():
        return f"{server.binary()} is not there: cargo build"
    return None


def run(
    suite: Suite,
    selection: Selection,
    reactor: str,
    directory: Path,
    broker: brokers.Broker | None = None,
    mode: str = "property",
    reraise: bool = True,
) -> Outcome:
    """Runs a part of a suite on a reactor, or as it is."""
    name = f"{suite.name}-{reactor}-{mode}"
    job = Job(str(CACHE / suite.directory), list(selection.arguments), str(directory / f"{name}.json"))
    job.mode, job.reraise, job.lists = mode, reraise, list(suite.lists)
    command, excused = [str(VENV / "bin" / "python"), str(HERE / "suite_host.py")], {}
    if reactor != PLAIN:
        job.port, job.destination = broker.port, f"/queue/suite.{name}.{os.getpid()}"
        command = [str(server.binary()), "serve", "suite_host:app", "--broker", broker.uri, "--reactor", reactor]
        command += ["--destination", job.destination, "--venv", str(VENV), "--pythonpath", str(HERE)]
        excused = suite.excused(mode, reraise)
    log = directory / f"{name}.log"
    log.unlink(missing_ok=True)
    more = {"PYTHONPATH": str(HERE.parent / "interop"), "RUST_BACKTRACE": "1"} | job.environment()
    process = processes.spawn(command, log, processes.environment(**more), directory)
    complaints = ended(process)
    try:
        report = Report.read(Path(job.report))
    except FileNotFoundError:
        report = Report()
    complaints += judge(report, excused, selection, reactor)
    return Outcome(suite.name, reactor, mode, report, excused, complaints, log)


def ended(process: subprocess.Popen) -> list[str]:
    """Waits for a suite's process, which has to leave by itself and in good order."""
    try:
        status = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        processes.end(process, signal.SIGKILL)
        return [f"did not end within {PATIENCE:g} s"]
    processes.end(process)
    return [f"the process ended with {status}"] if status else []


def judge(report: Report, excused: dict[str, str], selection: Selection, reactor: str) -> list[str]:
    """What is wrong about a run."""
    # 1: some tests failed, which are looked at one by one.
    complaints = [] if report.status in (0, 1) else [f"pytest ended with {report.status}"]
    failed = {test for test, outcome in report.outcomes.items() if outcome == "failed"}
    for test in sorted(failed - set(excused)):
        complaints.append(f"failed: {test}\n{report.reasons.get(test, '')}")
    files = {test.partition("::")[0] for test in report.outcomes}
    for test in sorted(set(excused) - failed):
        if test.partition("::")[0] in files:
            outcome = report.outcomes.get(test, "is not there")
            complaints.append(f"{outcome}, and need not be excused any more: {test}")
    ran = sum(outcome != "skipped" for outcome in report.outcomes.values())
    if ran < selection.tests:
        complaints.append(f"{ran} tests ran, {selection.tests} were expected")
    if reactor != PLAIN and len(report.crossed) < selection.crossing:
        complaints.append(f"{len(report.crossed)} tests sent a request, {selection.crossing} were expected")
    return complaints


def table(outcomes: Iterable[Outcome]) -> str:
    rows = [COLUMNS, *(outcome.row() for outcome in outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs test suites of others, with every request sent as a message.")
    parser.add_argument("--suite", action="append", choices=SUITES, help="one of them (all)")
    parser.add_argument("--reactor", action="append", choices=server.REACTORS, help="one (thread-pool and mio)")
    parser.add_argument("--mode", action="append", choices=MODES, help="how a request travels (both)")
    parser.add_argument("--broker", choices=brokers.KINDS, default="dev", help="through which broker (dev)")
    parser.add_argument("--plain", action="store_true", help="run them as they are, too, and first")
    parser.add_argument("--sample", action="store_true", help="a part of each, as CI does")
    parser.add_argument(
        "--no-reraise",
        action="store_true",
        help="what an application raises stays there: the caller has the 500 and nothing else",
    )
    parser.add_argument("--logs", type=Path, help="where reports and logs go (a temporary directory)")
    return parser.parse_args()


def main() -> int:
    chosen = arguments()
    if why := missing():
        print(why, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="stomp-wsgi-suites-") as scratch:
        directory = chosen.logs or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        brokers.DevBroker.binary = server.binary()
        broker = brokers.KINDS[chosen.broker](Path(scratch) / "broker").start()
        try:
            return report_on(chosen, broker, directory.resolve())
        finally:
            broker.close()


def report_on(chosen: argparse.Namespace, broker: brokers.Broker, directory: Path) -> int:
    outcomes = []

    def one(suite: Suite, reactor: str, mode: str) -> None:
        selection = suite.sample if chosen.sample else suite.whole
        outcome = run(suite, selection, reactor, directory, broker, mode, not chosen.no_reraise)
        outcomes.append(outcome)
        print(" ".join(outcome.row()), flush=True)
        for complaint in outcome.complaints:
            print(f"  {complaint}", file=sys.stderr, flush=True)
        if outcome.complaints:
            print(f"  {outcome.log.name}:\n{processes.tail(outcome.log)}", file=sys.stderr, flush=True)

    for suite in [SUITES[name] for name in chosen.suite or SUITES]:
        if chosen.plain:
            one(suite, PLAIN, "-")
        for reactor in chosen.reactor or ("thread-pool", "mio"):
            for mode in chosen.mode or MODES:
                one(suite, reactor, mode)
    print("\n" + table(outcomes))
    return int(any(outcome.complaints for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())

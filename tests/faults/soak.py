"""Very many requests on one reactor: memory and descriptors must not grow. `python soak.py --help`.

To be run by hand, with a release build.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "interop")]

import brokers  # noqa: E402
import server  # noqa: E402
from stomp_client import Request  # noqa: E402

#: Requests between two samples.
ROUND = 5_000
#: What memory may grow by, from the second quarter of the samples to the last: a share, and MiB.
GROWTH, SLACK = 0.05, 2.0


@dataclass
class Sample:
    answered: int
    seconds: float
    memory: float
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int, answered: int, seconds: float) -> Sample:
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        return cls(answered, seconds, int(fields["VmRSS"].split()[0]) / 1024, descriptors, int(fields["Threads"]))

    def __str__(self) -> str:
        return (
            f"{self.answered:>9}  {self.seconds:>8.1f} s  {self.memory:>7.1f} MiB  "
            f"{self.descriptors:>4} descriptors  {self.threads:>3} threads"
        )


def complaints(samples: list[Sample]) -> list[str]:
    """What grew. The first quarter is left out: there caches and pools fill."""
    quarter = len(samples) // 4
    if quarter < 2:
        return ["too few samples to tell; more --requests"]
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    before, after = mean(s.memory for s in early), mean(s.memory for s in late)
    found = []
    if after > before * (1 + GROWTH) + SLACK:
        found.append(f"memory grew from {before:.1f} to {after:.1f} MiB")
    for what in ("descriptors", "threads"):
        first, last = max(getattr(s, what) for s in early), max(getattr(s, what) for s in late)
        if last > first:
            found.append(f"{what} grew from {first} to {last}")
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Sends very many requests, and watches memory and descriptors.")
    parser.add_argument("--requests", type=int, default=1_000_000, help="how many (1000000)")
    parser.add_argument("--reactor", choices=server.REACTORS, default="thread-pool", help="on which (thread-pool)")
    parser.add_argument("--broker", choices=brokers.KINDS, default="dev", help="through which (dev)")
    parser.add_argument("--every", type=int, default=10, help="print every so manieth sample (10)")
    return parser.parse_args()


def main() -> int:
    chosen = arguments()
    brokers.DevBroker.binary = server.binary()
    with tempfile.TemporaryDirectory(prefix="stomp-wsgi-soak-") as scratch:
        broker = brokers.KINDS[chosen.broker](Path(scratch) / "broker").start()
        options = ("--log-level", "warn")
        one = server.Server(Path(scratch), broker.port, chosen.reactor, "/queue/soak", options=options).start()
        try:
            samples = soak(one.wait_ready(), chosen.requests, chosen.every)
            status = one.stop()
        finally:
            one.kill()
            broker.close()
    found = complaints(samples) + ([f"the server ended with {status}"] if status else [])
    print("\n".join(found) or f"flat, over {samples[-1].answered} requests, all answered once")
    return int(bool(found))


def soak(one: server.Server, total: int, every: int) -> list[Sample]:
    body = b"x" * 256
    samples, begun, answered = [], time.monotonic(), 0
    while answered < total:
        count = min(ROUND, total - answered)
        jobs = (Request("POST", f"/echo/{n}", body, {}, f"{n}:".encode() + body) for n in range(count))
        # A requester of its own for each round, so that requesters come and go, too.
        with one.requester() as caller:
            caller.load(jobs, in_flight=64, linger=0.05).check()
        answered += count
        samples.append(Sample.of(one.process.pid, answered, time.monotonic() - begun))
        if len(samples) % every == 0 or answered == total:
            print(samples[-1], flush=True)
    return samples


if __name__ == "__main__":
    sys.exit(main())

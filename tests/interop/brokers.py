"""Which brokers the tests run against. `BROKERS=activemq-6,artemis` chooses, `python brokers.py` says which runs that takes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import processes
from activemq import ActiveMQ, IdentifyingActiveMQ, TlsActiveMQ
from artemis import Artemis
from broker import FETCHED, LOGIN, PASSCODE, Broker
from rabbitmq import RabbitMQ, declare
from stomp_client import Connection, Frame


class DevBroker(Broker):
    """Our own, in a process of its own."""

    kind = "dev"
    binary = Path("stomp-wsgi")
    #: The broker that it plays.
    dialect: str | None = None

    @classmethod
    def missing(cls) -> str | None:
        return None

    def command(self) -> tuple[list[str], dict[str, str]]:
        command = [str(self.binary), "broker", "--listen", f"127.0.0.1:{self.port}"]
        command += ["--dialect", self.dialect] if self.dialect else []
        return command, processes.environment()

    def depth(self, queue: str) -> int:
        """By a consumer that acknowledges nothing: what it was given goes back when it leaves.

        What another consumer holds unacknowledged stays unseen, so stop that one first.
        """
        with Connection("127.0.0.1", self.port) as look:
            look.confirmed(Frame("SUBSCRIBE", {"id": "look", "destination": queue, "ack": "client-individual"}))
            count = 0
            while True:
                try:
                    assert look.receive(0.3).command == "MESSAGE"
                except TimeoutError:
                    return count
                count += 1


#: What the tests run against where `BROKERS` does not say.
DEFAULT = "activemq-5,rabbitmq-3"
#: The releases of each family. Tests ask for a family; in one run one release plays it.
FAMILIES: dict[type[Broker], tuple[str, ...]] = {
    ActiveMQ: ("activemq-5", "activemq-6"),
    RabbitMQ: ("rabbitmq-3", "rabbitmq-4"),
    Artemis: ("artemis",),
    DevBroker: ("dev",),
}
NAMES = [name for names in FAMILIES.values() for name in names]


def rounds(names: str) -> list[list[str]]:
    """The runs that these releases take (or `all`), since a run has one of each family at most."""
    wanted = NAMES if names == "all" else [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in NAMES]:
        raise ValueError(f"BROKERS: no {', '.join(unknown)}; there are {', '.join(NAMES)}, and all")
    members = [[name for name in names if name in wanted] for names in FAMILIES.values()]
    return [[these[nth] for these in members if nth < len(these)] for nth in range(max(map(len, members), default=0))]


def choose(names: str) -> dict[str, type[Broker]]:
    """The brokers of one run by family, our own among them."""
    runs = rounds(names) or [[]]
    if len(runs) > 1:
        raise ValueError(f"BROKERS: one release of each family at a time, not {names}; `make` runs one after the other")
    for family, members in FAMILIES.items():
        family.name = next((name for name in members if name in runs[0]), members[0])
    return {family.kind: family for family in FAMILIES if family.name in runs[0] or family is DevBroker}


def others(names: str) -> str:
    """The releases that these names leave out, but for our own broker, which takes part in each run."""
    chosen = {name for run in rounds(names) for name in run} | {"dev"}
    return ",".join(name for name in NAMES if name not in chosen)


if __name__ == "__main__":
    # A line for each run: `make` sets BROKERS to one after the other. `brokers.py others` means what BROKERS leaves out.
    try:
        wanted = os.environ.get("BROKERS") or DEFAULT
        wanted = others(wanted) if sys.argv[1:] == ["others"] else wanted
        print("\n".join(",".join(names) for names in rounds(wanted)))
    except ValueError as error:
        sys.exit(str(error))
    sys.exit()


#: By family, the brokers of this run.
KINDS = choose(os.environ.get("BROKERS") or DEFAULT)
#: Those that are not our own.
REAL = tuple(kind for kind in KINDS if kind != DevBroker.kind)

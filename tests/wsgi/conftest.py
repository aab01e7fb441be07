"""One server for each reactor, on a broker that all share; and the table of what they conform to."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import brokers
import pytest
import server
from asking import Ask
from by_hand import ByHand
from statements import STATEMENTS

HERE = Path(__file__).parent
IDS = {statement.id for statement in STATEMENTS}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true", help="write the table of docs/wsgi.md")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory):
    brokers.DevBroker.binary = server.binary()
    broker = brokers.DevBroker(tmp_path_factory.mktemp("wsgi") / "broker").start()
    yield broker
    broker.close()


def start(
    broker: brokers.Broker, reactor: str, directory: Path, app: str, *options: object, variables: tuple[str, ...] = ()
) -> server.Server:
    queue = f"/queue/{directory.name}"
    one = server.Server(directory, broker.port, reactor, queue, app=app, chdir=HERE, options=options)
    one.command[:0] = ["env", *variables]
    return one.start().wait_ready("/")


@pytest.fixture(scope="session")
def lasting(broker: brokers.Broker, tmp_path_factory: pytest.TempPathFactory):
    """The server of each reactor that most tests ask, started when it is first asked for."""
    asking: dict[str, Ask] = {}

    def get(reactor: str) -> Ask:
        if reactor not in asking or not asking[reactor].server.running:
            asking[reactor] = Ask(start(broker, reactor, tmp_path_factory.mktemp(reactor), "application:app"))
        return asking[reactor]

    yield get
    for ask in asking.values():
        ask.server.kill()


@pytest.fixture
def ask(reactor: str, lasting):
    """Asks the server that all tests of this reactor share, and which survives them."""
    ask = lasting(reactor)
    ask.mark()
    yield ask
    assert ask.server.running, f"it ended with {ask.server.process.poll()}\n{ask.log()}"


@pytest.fixture
def serve(reactor: str, broker: brokers.Broker, tmp_path_factory: pytest.TempPathFactory):
    """Starts a server of the test's own."""
    started: list[server.Server] = []

    def with_options(*options: object, app: str = "application:app", variables: tuple[str, ...] = ()) -> Ask:
        started.append(start(broker, reactor, tmp_path_factory.mktemp(reactor), app, *options, variables=variables))
        return Ask(started[-1])

    yield with_options
    for one in started:
        one.kill()


@pytest.fixture
def by_hand(reactor: str, tmp_path_factory: pytest.TempPathFactory):
    """A server, and the test in the place of its broker."""
    broker, directory = ByHand(), tmp_path_factory.mktemp(reactor)
    one = server.Server(directory, broker.port, reactor, "/queue/by-hand", app="application:app", chdir=HERE).start()
    try:
        broker.connect()
        yield broker
    finally:
        one.kill()
        broker.close()


# What the tests said, for test_conformance.py.


class Run:
    """What became of the tests of this directory."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self.whole = True
        #: Statement, then reactor, then test to whether it passed.
        self.results: dict[str, dict[str, dict[str, bool]]] = defaultdict(lambda: defaultdict(dict))


RUN = pytest.StashKey[Run]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RUN] = Run()


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Run:
    return request.config.stash[RUN]


def statement_of(item: pytest.Item) -> str | None:
    """The statement in a test's name: E1 for test_e1_plain."""
    found = re.match(r"test_([a-z]\d+)_", item.name)
    return found and found[1].upper()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    run = config.stash[RUN]
    for item in items:
        if item.path.parent == HERE and item.path.name != "test_conformance.py":
            run.modules.add(item.path.name)
            if statement_of(item) not in IDS:
                raise pytest.UsageError(f"{item.nodeid} is named after no statement of {HERE / 'statements.py'}")
    # The table comes last, when there is something to put into it.
    items.sort(key=lambda item: item.path == HERE / "test_conformance.py")


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE:
            item.config.stash[RUN].whole = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    if (statement := statement_of(item)) and (reactor := item.callspec.params.get("reactor")):
        results = item.config.stash[RUN].results[statement][reactor]
        results[item.name] = results.get(item.name, True) and report.passed
        if report.failed and (one := item.funcargs.get("ask")):
            report.sections.append((one.server.log.name, one.log()))
    return report

"""Brokers and servers for the tests, and an end for all of them."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from pathlib import Path, PurePath

import brokers
import guarantees
import processes
import pytest
import server
from xdist.scheduler import LoadFileScheduling

REACTORS = server.REACTORS
_logs: list[Path] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", type=Path, metavar="FILE", help="note there what each test showed of which broker")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("record") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config.getoption("record")))
    for family in brokers.FAMILIES:
        config.addinivalue_line("markers", f"{family.kind}: needs the broker {family.kind}")
    brokers.DevBroker.binary = server.binary()


class Recorder:
    """Notes what tests have shown, by the broker that they ran against, for the table of docs/brokers.md."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.outcomes: dict[tuple[str, str], str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            outcome = "expected" if hasattr(report, "wasxfail") else report.outcome
            for kind in brokers.REAL:
                if kind in report.keywords:
                    self.outcomes[brokers.KINDS[kind].name, report.nodeid] = outcome

    def pytest_sessionfinish(self) -> None:
        guarantees.record(self.file, self.outcomes)


class Together(LoadFileScheduling):
    """Two processes share the tests: a file stays together, and so does wsgi/, for its table."""

    def _split_scope(self, nodeid: str) -> str:
        path = PurePath(nodeid.partition("::")[0])
        return "wsgi" if path.parent.name == "wsgi" else str(path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Together:
    return Together(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that name `kind` (or `real_kind`: not our own broker) or `reactor` run for each of them, unless they say of which."""
    said = {name for mark in metafunc.definition.iter_markers("parametrize") for name in named(mark.args[0])}
    wanted = set(metafunc.fixturenames) - said
    kinds = {kind: pytest.param(kind, marks=getattr(pytest.mark, kind)) for kind in brokers.KINDS}
    if "kind" in wanted:
        metafunc.parametrize("kind", kinds.values())
    if "real_kind" in wanted:
        metafunc.parametrize("real_kind", [kinds[kind] for kind in brokers.REAL])
    if "reactor" in wanted:
        metafunc.parametrize("reactor", REACTORS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests of brokers that `BROKERS` does not name."""
    others = {family.kind for family in brokers.FAMILIES} - brokers.KINDS.keys()
    left_out = [item for item in items if any(item.get_closest_marker(kind) for kind in others)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_report_header() -> str:
    return "brokers: " + ", ".join(cls.name for cls in brokers.KINDS.values())


def named(names: str | tuple[str, ...]) -> list[str]:
    """What `parametrize` takes for names."""
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


def need(kind: str) -> type[brokers.Broker]:
    """The class of this broker; the test is skipped without it, and on CI fails, unless tests/prepare.sh could not reach it."""
    if kind not in brokers.KINDS:
        pytest.skip(f"BROKERS does not name {kind}")
    cls = brokers.KINDS[kind]
    if why := cls.missing():
        out_of_reach = (brokers.FETCHED / f".out-of-reach-{cls.name}").exists()
        if not out_of_reach and os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(f"{why}; CI has to run against it", pytrace=False)
        pytest.skip(why)
    return cls


@pytest.fixture(scope="session")
def scratch() -> Path:
    """A directory for the whole run, with a short path and gone at the end."""
    path = Path(tempfile.mkdtemp(prefix="stomp-wsgi-tests-"))
    yield path
    processes.end_all()
    if not os.environ.get("KEEP_LOGS"):
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def new_broker(scratch: Path):
    """Makes a broker of this kind, not started yet."""
    made, numbers = [], itertools.count(1)

    def make(kind: str) -> brokers.Broker:
        broker = need(kind)(scratch / f"{kind}-{next(numbers)}")
        made.append(broker)
        return broker

    yield make
    for broker in made:
        broker.close()


@pytest.fixture(scope="session")
def shared_brokers(new_broker):
    """Started when first asked for, and shared by all tests that do no harm to them."""
    running: dict[str, brokers.Broker] = {}
    failed: dict[str, RuntimeError] = {}

    def get(kind: str) -> brokers.Broker:
        if kind in failed:  # once is enough to wait for it
            raise failed[kind]
        if kind not in running:
            try:
                running[kind] = new_broker(kind).start()
            except RuntimeError as error:
                failed[kind] = error
                raise
        return running[kind]

    return get


@pytest.fixture(scope="session")
def need_broker():
    return need


@pytest.fixture
def broker(kind: str, shared_brokers) -> brokers.Broker:
    found = shared_brokers(kind)
    _logs.append(found.log)
    return found


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """A destination of this test's own."""
    name = "".join(c if c.isalnum() else "." for c in request.node.name)
    return f"/queue/{name.strip('.')}.{os.getpid()}"


@pytest.fixture
def directory(scratch: Path) -> Path:
    """Where this test's server leaves its log and its records."""
    return Path(tempfile.mkdtemp(dir=scratch))


@pytest.fixture
def serve(directory: Path, queue: str):
    """Starts servers on a broker and waits until they answer; kills them at the end of the test."""
    started: list[server.Server] = []

    def start(broker: brokers.Broker, reactor: str, ready: str = "/ping", **options: object) -> server.Server:
        options = {"destination": queue} | options
        one = server.Server(directory, broker.port, reactor, **options)
        started.append(one)
        _logs.append(one.log)
        return one.start().wait_ready(ready)

    yield start
    for one in started:
        one.kill()


@pytest.fixture(autouse=True)
def _fresh_logs() -> None:
    _logs.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """A failure shows the last lines of what ran beside the test."""
    report = yield
    if report.failed:
        for log in dict.fromkeys(_logs):
            report.sections.append((f"{log.parent.name}/{log.name}", processes.tail(log)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for cls in brokers.KINDS.values():
        if why := cls.missing():
            terminalreporter.write_line(f"LEFT OUT, {cls.name}: {why}", yellow=True)

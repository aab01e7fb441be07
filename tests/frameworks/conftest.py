"""The example applications of tests/frameworks/apps/, each served on each reactor."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import processes
import pytest
import server
from server import ROOT, Server
from web_client import Client

APPS = Path(__file__).resolve().parent / "apps"
FRAMEWORKS = {
    "flask": "flask_app:app",
    "django": "django_site.wsgi:application",
    "falcon": "falcon_app:app",
    "bottle": "bottle_app:app",
    "pyramid": "pyramid_app:app",
    "fastapi": "fastapi_app:app",
    "plain": "plain_app:app",
}


@dataclass(frozen=True)
class Served:
    """An application under a server that runs, and a client of it."""

    server: Server
    client: Client
    #: How long to wait for what nobody answers, in seconds.
    patience: float = 10.0

    @property
    def download(self) -> bytes:
        """What /download sends."""
        return (self.server.directory / "download.bin").read_bytes()

    def log(self) -> str:
        return self.server.log.read_text(errors="replace")

    def wait_recorded(self, name: str, line: str) -> None:
        deadline = time.monotonic() + self.patience
        while line not in self.server.records(name):
            assert time.monotonic() < deadline, (self.server.records(name), processes.tail(self.server.log))
            time.sleep(0.01)


@pytest.fixture(scope="session")
def installed(scratch: Path) -> Path:
    """Where our package is installed, for what runs without the server."""
    directory = Path(tempfile.mkdtemp(dir=scratch))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    pip += ["--no-deps", "--no-build-isolation", "--target", str(directory), str(ROOT / "python")]
    subprocess.run(pip, check=True)
    return directory


@pytest.fixture(scope="session")
def database(scratch: Path, installed: Path) -> Path:
    """Django's, migrated as users do it, without the server."""
    directory = Path(tempfile.mkdtemp(dir=scratch))
    manage = [sys.executable, "-m", "django"]
    more = {"DJANGO_SETTINGS_MODULE": "django_site.settings", "PYTHONPATH": str(installed)}
    env = server.environment(directory) | more | {"DJANGO_SUPERUSER_PASSWORD": "lovelace"}
    subprocess.run([*manage, "migrate", "-v0"], cwd=APPS, env=env, check=True)
    user = ["createsuperuser", "--noinput", "--username", "ada", "--email", "ada@shop.example", "-v0"]
    subprocess.run([*manage, *user], cwd=APPS, env=env, check=True)
    return directory / "shop.sqlite3"


@pytest.fixture(scope="session")
def app_directory(scratch: Path, database: Path) -> Callable[[str], Path]:
    """Makes a directory for one run of an application, with what it needs."""

    def make(framework: str) -> Path:
        directory = Path(tempfile.mkdtemp(dir=scratch))
        (directory / "download.bin").write_bytes(random.Random(framework).randbytes(300_000))
        (directory / "static").mkdir()
        (directory / "static" / "site.css").write_text("body { color: teal }\n" * 5000)
        if framework == "django":
            shutil.copy(database, directory)
        return directory

    return make


@pytest.fixture(scope="session")
def serve_app(shared_brokers, app_directory: Callable[[str], Path]) -> Callable[..., Server]:
    """Serves an application on the development broker; the caller ends it."""

    def start(framework: str, reactor: str, app: str | None = None, **options: object) -> Server:
        """`app` is another than the framework's, but has what that one needs."""
        directory = app_directory(framework)
        broker = shared_brokers("dev")
        queue = f"/queue/{framework}.{directory.name}"
        one = Server(directory, broker.port, reactor, queue, app or FRAMEWORKS[framework], APPS, **options)
        return one.start().wait_ready("/hello/anybody")

    return start


@pytest.fixture(
    scope="session",
    params=[(framework, reactor) for framework in FRAMEWORKS for reactor in server.REACTORS],
    ids="-".join,
)
def running(request: pytest.FixtureRequest, serve_app) -> Iterator[Server]:
    """Each framework on each reactor, one after the other."""
    one = serve_app(*request.param)
    yield one
    assert one.stop() == 0, processes.tail(one.log)


@pytest.fixture
def served(running: Server) -> Iterator[Served]:
    """With a client of this test's own, which finds no replies of another's."""
    with running.requester() as requester:
        yield Served(running, Client(requester))


@pytest.fixture
def client(served: Served) -> Client:
    return served.client

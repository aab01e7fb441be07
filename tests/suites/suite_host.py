"""A test suite and the server of its applications in one process: `stomp-wsgi serve suite_host:app`.

The applications of a test are closures in it, so that server and tests have to share an interpreter. The
server imports this module; a thread of it waits until the server answers, runs pytest with the one function
replaced by which the suite calls an application, writes down what came out, and has the server stop.
`python suite_host.py` runs the same tests as they are.
"""

from __future__ import annotations

import copy
import os
import signal
import threading
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from wsgiref.validate import validator

import pytest
from job import Job, Report
from wire import NoReply, Wire

#: With so many requests unanswered, the server is dead, and waiting for it a waste.
PATIENCE = 3


class Recorder:
    """A pytest plugin: what became of each test."""

    def __init__(self, wire: Wire | None) -> None:
        self.report = Report()
        self._wire, self._sent, self._unanswered = wire, 0, 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Setting up and tearing down count as well: one bad phase is enough.
        known = self.report.outcomes.get(report.nodeid, "passed")
        self.report.outcomes[report.nodeid] = known if report.passed else report.outcome
        if report.failed:
            self._failed(report)
        if self._wire and self._wire.sent > self._sent:
            self._sent = self._wire.sent
            if report.nodeid not in self.report.crossed[-1:]:
                self.report.crossed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.report.outcomes[report.nodeid] = "failed"
            self._failed(report)

    def _failed(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        # What the server logged meanwhile is captured as if the test had written it.
        self.report.reasons[report.nodeid] = f"{report.longreprtext[-6000:]}\n{report.capstderr[-4000:]}".strip()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item):
        try:
            return (yield)
        except NoReply:
            self._unanswered += 1
            if self._unanswered >= PATIENCE:
                item.session.shouldstop = "the server does not answer"
            raise


def run(job: Job, wire: Wire | None = None) -> None:
    """Runs the suite and writes the report, whatever happens."""
    recorder, started = Recorder(wire), time.monotonic()
    report = recorder.report
    try:
        os.chdir(job.directory)
        # faulthandler wants a standard error that pytest takes away from it.
        arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--tb=short", *job.arguments]
        report.status = int(pytest.main(arguments, plugins=[recorder]))
    except BaseException:
        report.status = traceback.format_exc()
    report.seconds = time.monotonic() - started
    report.write(Path(job.report))


def replace_calls(wire: Wire) -> None:
    """Has the test clients of Falcon and of Werkzeug, which is Flask's, call applications by `wire`."""
    import falcon.testing.client
    import werkzeug.test

    # The validator goes where the application is, and there judges the server.
    validate = SimpleNamespace(validator=lambda app: wire.to(validator(app)))
    falcon.testing.client.wsgiref = SimpleNamespace(validate=validate)

    plain = werkzeug.test.Client.run_wsgi_app

    def run_wsgi_app(client: werkzeug.test.Client, *rest: object, **named: object):
        # Not the function of that name, by which Werkzeug calls applications inside of views, too.
        other = copy.copy(client)
        other.application = wire.to(client.application)
        return plain(other, *rest, **named)

    werkzeug.test.Client.run_wsgi_app = run_wsgi_app


def run_across(job: Job, wire: Wire) -> None:
    try:
        wire.wait_ready()
        replace_calls(wire)
        run(job, wire)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    run(Job.read())
else:
    _job = Job.read()
    _wire = Wire(_job)
    app = _wire.app
    threading.Thread(target=run_across, args=(_job, _wire), name="suite").start()

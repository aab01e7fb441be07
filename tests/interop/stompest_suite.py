"""Runs stompest's own integration tests against a broker: `python stompest_suite.py PORT REPORT`.

They come with the installed package and name one fixed port throughout. They are run as they are,
with that port replaced by PORT; REPORT gets one line of JSON, test name -> outcome.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
import unittest
from pathlib import Path

MODULE = "stompest.tests.sync_client_integration_test"
FIXED_PORT = "61613"


def load(port: int) -> type[unittest.TestCase]:
    import stompest.tests as package

    package.PORT = port
    package.LOGIN = package.PASSCODE = "guest"
    package.VIRTUALHOST = "/"
    source = Path(importlib.util.find_spec(MODULE).origin).read_text()
    assert FIXED_PORT in source
    module = types.ModuleType(MODULE)
    exec(compile(source.replace(FIXED_PORT, str(port)), MODULE, "exec"), module.__dict__)
    # The other class wants TLS, which neither broker offers here.
    return module.SimpleStompIntegrationTest


class Outcomes(unittest.TextTestResult):
    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.outcomes: dict[str, str] = {}

    def addSuccess(self, test):  # noqa: N802
        super().addSuccess(test)
        self.outcomes[test.id().rpartition(".")[2]] = "passed"

    def addFailure(self, test, err):  # noqa: N802
        super().addFailure(test, err)
        self.outcomes[test.id().rpartition(".")[2]] = "failed"

    def addError(self, test, err):  # noqa: N802
        super().addError(test, err)
        self.outcomes[test.id().rpartition(".")[2]] = "failed"

    def addSkip(self, test, reason):  # noqa: N802
        super().addSkip(test, reason)
        self.outcomes[test.id().rpartition(".")[2]] = f"skipped: {reason}"


def main(port: int, report: Path) -> None:
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(load(port))
    result = unittest.TextTestRunner(resultclass=Outcomes, verbosity=2).run(tests)
    report.write_text(json.dumps(result.outcomes))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))

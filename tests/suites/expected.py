"""The suites, and which of their tests cannot pass across the wire, each with its reason.

A test that fails and is not named here is a bug of the server; one that is named here and passes is to be
taken out.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Selection:
    """Some tests of a suite, and how many they are: none may get lost unseen."""

    #: For pytest.
    arguments: tuple[str, ...]
    #: At least so many pass as they are.
    passing: int
    #: At least so many send a request.
    crossing: int


@dataclass(frozen=True)
class Inherent:
    """Tests that fail for one reason."""

    reason: str
    tests: tuple[str, ...]
    modes: tuple[str, ...] = ("property", "structured")
    #: Whether they pass where the caller is given what the application raised.
    pass_reraised: bool = False


@dataclass(frozen=True)
class Suite:
    name: str
    #: Its directory, as it was unpacked.
    directory: str
    whole: Selection
    sample: Selection
    inherent: tuple[Inherent, ...] = field(default=())

    def excused(self, mode: str, reraise: bool) -> dict[str, str]:
        """Test -> why it fails."""
        return {
            test: group.reason
            for group in self.inherent
            if mode in group.modes and not (reraise and group.pass_reraised)
            for test in group.tests
        }


FALCON = Suite(
    "falcon",
    "falcon-4.4.0",
    whole=Selection(("tests", "-k", "not asgi"), 2400, 1000),
    sample=Selection(("tests", "-k", "not asgi"), 2400, 1000),
)

FLASK = Suite(
    "flask",
    "flask-3.1.3",
    whole=Selection(("tests",), 490, 100),
    sample=Selection(("tests",), 490, 100),
)

HTTPBIN = Suite(
    "httpbin",
    "httpbin-0.10.4",
    whole=Selection(("tests",), 70, 60),
    sample=Selection(("tests",), 70, 60),
)

SUITES = {suite.name: suite for suite in (FALCON, FLASK, HTTPBIN)}

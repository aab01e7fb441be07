"""What is to be run, and what came out: the letters between `suites.py` and the process of a suite."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

VARIABLE = "SUITE_JOB"


@dataclass
class Job:
    """What to run."""

    #: Where the suite was unpacked.
    directory: str
    #: For pytest.
    arguments: list[str]
    #: Where the report goes.
    report: str
    #: Of the broker; None runs the suite as it is.
    port: int | None = None
    destination: str = ""
    #: How a request travels, one of `wire.MODES`.
    mode: str = "property"
    #: Whether the caller is given what the application raised, once it was answered 500.
    reraise: bool = True
    #: Headers of responses to be taken apart, see `Suite.lists`.
    lists: list[str] = field(default_factory=list)
    #: Seconds that one request may take.
    timeout: float = 20.0

    @classmethod
    def read(cls) -> Job:
        return cls(**json.loads(os.environ[VARIABLE]))

    def environment(self) -> dict[str, str]:
        return {VARIABLE: json.dumps(asdict(self))}


@dataclass
class Report:
    """What came out."""

    #: Test -> passed, failed or skipped.
    outcomes: dict[str, str] = field(default_factory=dict)
    #: Why a test failed.
    reasons: dict[str, str] = field(default_factory=dict)
    #: Tests that sent at least one request.
    crossed: list[str] = field(default_factory=list)
    #: pytest's own exit status, or why there is none.
    status: int | str = "pytest did not run"
    seconds: float = 0.0

    @classmethod
    def read(cls, path: Path) -> Report:
        return cls(**json.loads(path.read_text()))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1))

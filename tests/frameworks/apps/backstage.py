"""What these applications share with the test that watches them, beside the messages."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

#: The test looks here for records, opens gates, and has left a file to download.
DIRECTORY = Path(os.environ.get("PROBE_DIR", "."))
DOWNLOAD = DIRECTORY / "download.bin"


def record(name: str, line: str) -> None:
    """One line, whole, whatever else writes to the file."""
    with (DIRECTORY / name).open("a") as file:
        file.write(f"{line}\n")


def gated(blocks: int) -> Iterator[bytes]:
    """Blocks that each but the first wait until the test has seen the one before it."""
    for n in range(blocks):
        gate, deadline = DIRECTORY / f"gate-{n}", time.monotonic() + 20
        while n > 0 and not gate.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody opened {gate}")
            time.sleep(0.005)
        yield f"block {n}\n".encode()
    record("finished", f"{blocks} blocks")

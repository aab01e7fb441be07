"""Child processes of the tests: each has a log, a pid of its own, and an end."""

from __future__ import annotations

import atexit
import ctypes
import os
import random
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_running: set[subprocess.Popen] = set()
_ports_given: set[int] = set()


def spawn(
    command: list[str],
    log: Path,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    stderr: int = subprocess.STDOUT,
    prepare: Callable[[], None] = lambda: None,
) -> subprocess.Popen:
    """Starts `command` with its output in `log`. It ends with us, however we end. The child runs `prepare` first.

    To be called from the main thread: the kernel ends the child when the thread that made it ends.
    """
    libc = ctypes.CDLL(None)

    def die_with_parent() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # A shell has the children that it runs in the background ignore it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        prepare()

    with log.open("ab") as out:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=stderr,
            env=env,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    _running.add(child)
    return child


def end(child: subprocess.Popen | None, how: int = signal.SIGTERM, timeout: float = 15.0) -> int | None:
    """Sends `how`, waits, and kills what is still there. The exit status."""
    if child is None:
        return None
    if child.poll() is None:
        child.send_signal(how)
        try:
            child.wait(timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    _running.discard(child)
    return child.returncode


def has_ended(pid: str) -> bool:
    """Also where nobody has taken note of it."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@atexit.register
def end_all() -> None:
    for child in list(_running):
        end(child, signal.SIGKILL)


def free_port() -> int:
    """A port of the loopback interface that nothing uses.

    Not one of those that the kernel gives to outgoing connections: a broker has to find its port free
    when it comes back.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        if port in _ports_given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports_given.add(port)
        return port


def tail(log: Path, lines: int = 40) -> str:
    """The last lines, without colours."""
    try:
        text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(errors="replace"))
        return "\n".join(text.splitlines()[-lines:])
    except OSError as error:
        return str(error)


def environment(**more: str) -> dict[str, str]:
    """Ours, without what would lead a child to another Python or another configuration."""
    dropped = ("PYTHONHOME", "PYTHONPATH", "RUST_LOG")
    return {k: v for k, v in os.environ.items() if k not in dropped and not k.startswith("STOMP_WSGI_")} | more

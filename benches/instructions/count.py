"""What the cases of cases.rs cost, in instructions, against limits.json: `python count.py --help`.

Callgrind counts the same on a fast machine and on a busy one. A case is run for some rounds, and for twice as many: the
difference is what those rounds cost, without the start of the process and of Python. Each runs in a process of its own, so
that none depends on what is measured besides.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIMITS = HERE / "limits.json"
#: What `make test` shows in the end.
LEFT_OUT = ROOT / ".cache" / "left-out"
#: A multiple of the messages that cases.rs has in a stream.
ROUNDS = 1000
#: How far a count may be off its limit, in percent.
TOLERANCE = 5.0
#: The cases that depend on the version of Python.
OF_PYTHON = "wsgi/"


def built() -> Path:
    command = ["cargo", "build", "--profile", "counts", "--package", "stomp-wsgi-instructions"]
    command += ["--message-format", "json-render-diagnostics"]
    # The interpreter whose name and library are used below.
    environ = os.environ | {"PYO3_PYTHON": getattr(sys, "_base_executable", sys.executable)}
    made = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
    if made.returncode:
        raise SystemExit("instructions: the cases were not built")
    messages = map(json.loads, made.stdout.splitlines())
    return Path(next(message["executable"] for message in messages if message.get("executable")))


def output(*command: str | Path) -> str:
    # Nothing of the caller's: no .valgrindrc, no virtual environment. And nothing that differs from run to run.
    environ = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR") or ""}
    environ |= {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(command, cwd="/", env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode:
        raise SystemExit(f"instructions: {' '.join(map(str, command))} failed ({run.returncode}):\n{run.stdout}")
    return run.stdout


def made_with() -> dict[str, str]:
    """What counts depend on, besides our code."""
    rustc = dict(line.split(": ", 1) for line in rust_version().splitlines() if ": " in line)
    options = re.findall(r"--(?:enable-optimizations|with-lto[=\w]*)", sysconfig.get_config_var("CONFIG_ARGS") or "")
    # memchr and libc choose by it; of the rest of the processor valgrind makes its own.
    wide = "avx2" in Path("/proc/cpuinfo").read_text()
    return {
        "rustc": f"rustc {rustc['release']} {rustc['host']}",
        "system": " ".join([*platform.libc_ver(), output("valgrind", "--version").strip(), *["avx2"] * wide]),
        "python": " ".join(["CPython", platform.python_version(), platform.python_compiler(), *options]),
    }


def rust_version() -> str:
    return subprocess.run(["rustc", "-vV"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def instructions(program: Path, case: str) -> int:
    """Of one round."""

    def collected(rounds: int) -> int:
        tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        found = re.search(r"Collected : (\d+)", text := output(*tool, program, case, str(rounds)))
        if not found:
            raise SystemExit(f"instructions: callgrind has counted nothing in {case}:\n{text}")
        return int(found[1])

    return round((collected(2 * ROUNDS) - collected(ROUNDS)) / ROUNDS)


def checked(counts: dict[str, int], now: dict[str, str], known: dict[str, dict[str, Any]]) -> int:
    """Prints how the counts, made with what is here now, stand to the limits; answers how many fail."""
    limits = known["limits"]
    others = {what: was for what, was in known["made with"].items() if now[what] != was}
    failed = 0
    print(f"{'case':<26} {'limit':>8} {'now':>8}")
    for case in limits | counts:
        limit, count = limits.get(case), counts.get(case)
        change = 100 * (count - limit) / limit if limit and count else None
        if change is None:
            verdict = "FAILED: no limit" if count else "FAILED: no such case"
        elif others.keys() - ({"python"} if not case.startswith(OF_PYTHON) else set()):
            verdict = "not checked"
        elif change > TOLERANCE:
            verdict = f"FAILED: more than {TOLERANCE:g} % above"
        else:
            verdict = f"more than {TOLERANCE:g} % below: lower the limit" if change < -TOLERANCE else ""
        failed += verdict.startswith("FAILED")
        shown = f"{case:<26} {limit or '-':>8} {count or '-':>8} {'' if change is None else f'{change:+.1f} %':>8}"
        print(f"{shown}  {verdict}".rstrip())
    for what, was in others.items():
        leave_out(f"limits of instructions{' with Python' * (what == 'python')}: made with {was}, here is {now[what]}")
    return failed


def leave_out(what: str) -> None:
    print(f"LEFT OUT: {what}", file=sys.stderr)
    LEFT_OUT.parent.mkdir(exist_ok=True)
    with LEFT_OUT.open("a") as file:
        print(what, file=file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="make the counts of now the limits")
    write = parser.parse_args().write
    program = built()
    cases = output(program).split()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = dict(zip(cases, pool.map(lambda case: instructions(program, case), cases)))
    if write:
        LIMITS.write_text(json.dumps({"made with": made_with(), "limits": counts}, indent=2) + "\n")
        print(LIMITS.read_text())
    elif failed := checked(counts, made_with(), json.loads(LIMITS.read_text())):
        raise SystemExit(
            f"instructions: {failed} failed. What a change costs on purpose becomes the limit by `make instructions-write`."
        )


if __name__ == "__main__":
    main()

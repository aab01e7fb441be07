"""An application that does to its process whatever applications do: prints, signals, threads, forks, exits."""

from __future__ import annotations

import asyncio
import atexit
import logging
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

from probe import DIRECTORY, record, text

logging.basicConfig(level=logging.INFO, format="%(levelname)s of the application: %(message)s")
print("imported")  # stays in the buffer: nothing flushes it before the end
if os.environ.get("UNRULY_EXIT"):
    sys.exit("the application does not want to")
atexit.register(record, "ended", "atexit")
atexit.register(print, "printed by atexit")
lock = threading.Lock()
local = threading.local()


def on_signal(number, frame):
    record("signals", signal.Signals(number).name)


def on_fork(number, frame):
    if os.fork() == 0:
        record("forked", str(os.getpid()))


def on_exit(number, frame):
    raise SystemExit


def on_wakeup_taken(number, frame):
    signal.set_wakeup_fd(-1)
    on_signal(number, frame)


async def takes_signals():
    """Takes the wake-up fd, and leaves none; takes a signal, and leaves it to the system's default."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, print)


_usr1 = {"fork": on_fork, "exit": on_exit, "wakeup": on_wakeup_taken, "none": None}
if (_handler := _usr1.get(os.environ.get("UNRULY_USR1"), on_signal)) is not None:
    signal.signal(signal.SIGUSR1, _handler)
for _name in filter(None, os.environ.get("UNRULY_HANDLES", "").split(",")):
    signal.signal(signal.Signals[_name], on_signal)
if os.environ.get("UNRULY_WAKEUP") == "asyncio":
    asyncio.run(takes_signals())
elif os.environ.get("UNRULY_WAKEUP") == "none":
    signal.set_wakeup_fd(-1)
if os.environ.get("UNRULY_TERM"):
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
if os.environ.get("UNRULY_DAEMON"):
    if os.fork():
        os._exit(0)
    record("daemon", str(os.getpid()))
if os.environ.get("UNRULY_SLOW"):
    record("begun", "import")
    deadline = time.monotonic() + 10
    while not (DIRECTORY / "signals").exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def app(environ, start_response):
    view = globals()["view_" + environ["PATH_INFO"].lstrip("/").replace("-", "_")]
    return view(environ, start_response)


def view_ping(environ, start_response):
    return text(start_response, "pong")


def view_print(environ, start_response):
    print("printed on stdout")
    print("printed on stderr", file=sys.stderr)
    print("printed on wsgi.errors", file=environ["wsgi.errors"])
    logging.info("logged")
    os.write(1, b"")
    return text(start_response, "printed")


def view_signal(environ, start_response):
    """Off the main thread Python refuses this, on every reactor alike."""
    try:
        signal.signal(signal.SIGUSR2, on_signal)
    except ValueError as error:
        return text(start_response, str(error))
    return text(start_response, "taken")


def view_kill_usr1(environ, start_response):
    os.kill(os.getpid(), signal.SIGUSR1)
    return text(start_response, "killed")


def view_threads(environ, start_response):
    """One thread to wait for, one that outlives the request, one that outlives everything."""
    results = []
    one = threading.Thread(target=lambda: results.append("joined"))
    one.start()
    one.join()
    threading.Thread(target=lambda: (time.sleep(0.5), record("ended", "thread"))).start()
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return text(start_response, results[0])


def view_subprocess(environ, start_response):
    code = "import signal, sys; print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, sys.prefix != sys.base_prefix)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return text(start_response, done.stdout.strip())


def view_subprocess_terminated(environ, start_response):
    child = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"], stdout=-1)
    child.stdout.readline()
    child.terminate()
    return text(start_response, str(child.wait(20)))


def view_multiprocessing(environ, start_response):
    with multiprocessing.get_context(environ["QUERY_STRING"]).Pool(2) as pool:
        return text(start_response, str(sum(pool.map(abs, [-1, -2, -3]))))


def fork(in_child):
    """The exit status of a child that leaves, or does not leave, the application in some way."""
    pid = os.fork()
    if pid == 0:
        return in_child()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def view_fork_exit(environ, start_response):
    return text(start_response, str(fork(lambda: sys.exit(7))))


def view_fork_os_exit(environ, start_response):
    return text(start_response, str(fork(lambda: os._exit(8))))


def view_fork_raise(environ, start_response):
    return text(start_response, str(fork(lambda: 1 / 0)))


def view_fork_return(environ, start_response):
    """The child goes on as if it were the server."""
    status = fork(lambda: "child")
    if status == "child":
        return text(start_response, "a reply of the child")
    return text(start_response, str(status))


def view_fork_stream(environ, start_response):
    """So does the child in the middle of a stream."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first "
    status = fork(lambda: "child")
    yield b"a block of the child" if status == "child" else str(status).encode()


def view_fork_errors(environ, start_response):
    """A child that writes on wsgi.errors, in the middle of its parent's line."""
    errors = environ["wsgi.errors"]
    errors.write("a line of two; ")

    def in_child():
        errors.write("a line of the child\n")
        os._exit(0)

    status = fork(in_child)
    errors.write("the end of it\n")
    return text(start_response, str(status))


def view_fork_close(environ, start_response):
    """What a child raises in close(), or after all of the body, is its own exit status."""
    start_response("200 OK", [("Content-Length", "1")])

    class Forking:
        def __iter__(self):
            yield b"x"
            record("statuses", str(fork(lambda: sys.exit(3))))

        def close(self):
            record("statuses", str(fork(lambda: sys.exit(4))))

    return Forking()


def view_fork_handler(environ, start_response):
    """A child has the handler that the application has set, as under any other server."""
    return text(start_response, str(fork(lambda: os._exit(signal.getsignal(signal.SIGTERM) is on_signal))))


def tcp_sockets():
    """Our file descriptors that are TCP sockets."""
    inodes = set()
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        with open(table) as lines:
            inodes.update(f"socket:[{line.split()[9]}]" for line in list(lines)[1:])
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found += [fd] * (os.readlink(f"/proc/self/fd/{fd}") in inodes)
        except FileNotFoundError:
            pass  # it was that of the directory
    return found


def view_fork_sockets(environ, start_response):
    """How many the server has, and how many a child of its, and a child of that."""
    grandchild = lambda: os._exit(fork(lambda: os._exit(len(tcp_sockets()))))  # noqa: E731
    numbers = [len(tcp_sockets()), fork(lambda: os._exit(len(tcp_sockets()))), fork(grandchild)]
    return text(start_response, " ".join(map(str, numbers)))


def view_exec_files(environ, start_response):
    """What a program that is started with all that it inherits has open, besides the standard three."""
    code = "import os; print(*(os.readlink(f'/proc/self/fd/{fd}') for fd in range(3, 256) if os.path.exists(f'/proc/self/fd/{fd}')))"
    done = subprocess.run([sys.executable, "-c", code], stdout=-1, text=True, check=True, close_fds=False)
    return text(start_response, f"[{done.stdout.strip()}]")


def view_fork_and_hang(environ, start_response):
    """Leaves a child behind; the next time there is an answer."""
    if (DIRECTORY / "forked").exists():
        return text(start_response, "at last")
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    record("forked", str(pid))
    time.sleep(60)


def view_child_signals(environ, start_response):
    """How children end that are sent these signals."""
    seen = []
    for name in environ["QUERY_STRING"].split(","):
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        os.kill(pid, signal.Signals[name])
        seen.append(os.WTERMSIG(os.waitpid(pid, 0)[1]))
    return text(start_response, ",".join(signal.Signals(number).name for number in seen))


def view_child_catches(environ, start_response):
    """Whether a child has a handler for this signal."""
    bit = 1 << (signal.Signals[environ["QUERY_STRING"]] - 1)

    def in_child():
        with open("/proc/self/status") as lines:
            caught = next(line.split()[1] for line in lines if line.startswith("SigCgt:"))
        os._exit(int(caught, 16) & bit != 0)

    return text(start_response, str(fork(in_child)))


def view_close_pairs(environ, start_response):
    """Closes what the server wakes itself by. (Of all that `os.closerange` would close, Rust's debug builds check some.)"""
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=int(name)) as one:
                if one.family != socket.AF_UNIX:
                    one.detach()
        except OSError:
            pass
    record("begun", "closed")
    time.sleep(3600)


def view_daemons(environ, start_response):
    """Processes that Python ends at its end, and this server when it ends by force."""
    for method in ("fork", "spawn"):
        child = multiprocessing.get_context(method).Process(target=time.sleep, args=(60,), daemon=True)
        child.start()
        record("daemons", str(child.pid))
    if environ["QUERY_STRING"] == "gil":
        # Longer than the server takes to note which children there are; then the GIL is held for hours.
        time.sleep(1.5)
        record("begun", "daemons")
        re.match(r"(a|a)*b", "a" * 64)
    record("begun", "daemons")
    time.sleep(3600)


def view_write_for_ever(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        while True:
            write(b"x" * 1000)
            time.sleep(0.001)
    except ConnectionAbortedError:
        record("ended", "writer")
        raise


def view_exit(environ, start_response):
    sys.exit(9)


def view_interrupt(environ, start_response):
    raise KeyboardInterrupt


class Closing:
    def __init__(self, error):
        self.error = error

    def __iter__(self):
        yield b"answered"

    def close(self):
        raise self.error


def view_close_raises(environ, start_response):
    start_response("200 OK", [])
    return Closing(ValueError("close() failed"))


def view_close_exits(environ, start_response):
    start_response("200 OK", [])
    return Closing(SystemExit(10))


def view_close_stdout(environ, start_response):
    sys.stdout.close()
    sys.stdin = None
    return text(start_response, "closed")


def view_recursion(environ, start_response):
    def deeper():
        return deeper()

    return deeper()


def view_deep(environ, start_response):
    """Python counts on the stack of a main thread."""
    sys.setrecursionlimit(20_000)
    nested = []
    for _ in range(14_999):
        nested = [nested]
    return text(start_response, str(len(repr(nested))))


def view_memory(environ, start_response):
    bytes(1 << 62)


def view_chdir(environ, start_response):
    os.chdir("/")
    return text(start_response, os.getcwd())


def view_sleep(environ, start_response):
    record("begun", "sleep")
    deadline = time.monotonic() + 20
    while not (DIRECTORY / "wake").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return text(start_response, "slept")


def view_hang(environ, start_response):
    record("begun", "hang")
    time.sleep(3600)

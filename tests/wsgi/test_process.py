"""What lasts in a process, on a thread, and for a request; what applications rely on though PEP 3333 is silent."""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

from application import Blocks, answer, notebook

_loads = sys.modules.setdefault("tests.loads", type(sys)("tests.loads")).__dict__
_loads[__name__] = _loads.get(__name__, 0) + 1


def loaded(environ, start_response):
    return answer(start_response, [_loads[__name__], os.getpid(), id(sys.modules[__name__])])


def test_x1_loaded_once(serve):
    ask = serve(app=f"{__name__}:loaded")
    first = ask(loaded).json
    assert first[:2] == [1, ask.server.process.pid]
    several = [ask.begin(loaded) for _ in range(12)]
    assert all(one.end().json == first for one in several)


def variables(environ, start_response):
    return answer(start_response, {k: v for k, v in environ.items() if isinstance(v, str)})


def test_x2_server_software(ask):
    name, _, version = ask(variables).json["SERVER_SOFTWARE"].partition("/")
    assert name == "stomp-wsgi"
    assert version.replace(".", "").isdigit()


def test_x3_remote(ask):
    environ = ask(variables).json
    assert environ["REMOTE_ADDR"] == ""
    assert not {"REMOTE_PORT", "REMOTE_HOST", "REMOTE_USER", "AUTH_TYPE"} & environ.keys()


_local = threading.local()


def counts(environ, start_response):
    """How often this thread was here, by threading.local."""
    _local.count = getattr(_local, "count", 0) + 1
    thread = threading.current_thread()
    return answer(start_response, [_local.count, threading.get_ident(), thread.name])


def test_x4_a_thread_remembers(serve):
    ask = serve("--threads", "1")
    seen = [ask(counts).json for _ in range(5)]
    assert [count for count, _, _ in seen] == [1, 2, 3, 4, 5]
    assert len({(ident, name) for _, ident, name in seen}) == 1


def test_x4_each_for_itself(ask, reactor):
    seen = [ask.begin(counts) for _ in range(40)]
    by_thread: dict[int, list[int]] = {}
    for one in seen:
        count, ident, _ = one.end().json
        by_thread.setdefault(ident, []).append(count)
    for numbers in by_thread.values():
        first = min(numbers)
        assert sorted(numbers) == list(range(first, first + len(numbers)))
    assert len(by_thread) <= (1 if reactor == "mio" else 4)


_var: contextvars.ContextVar[str] = contextvars.ContextVar("tests.var")


def remembers(environ, start_response):
    """Notes what the variable is in the call, in the iteration and in close(), and sets it each time."""
    note, token = notebook(environ), environ["HTTP_X_TOKEN"]

    def step(name: str) -> None:
        note([name, _var.get(None)])
        _var.set(f"{name} of {token}")

    class Result:
        def __iter__(self):
            step("iteration")
            yield b"x"
            step("later")

        def close(self) -> None:
            step("close")

    step("call")
    write = start_response("200 OK", [])
    write(b"w")
    return Result()


def test_x5_one_context_for_each_request(serve):
    ask = serve("--threads", "1")
    for stream in (False, True, False):
        notes = ask(remembers, stream=stream).notes
        values = [value and value.partition(" of ")[0] for _, value in notes]
        assert [name for name, _ in notes] == ["call", "iteration", "later", "close"]
        assert values == [None, "call", "iteration", "later"]


def fails_with_it_set(environ, start_response):
    """However it ends."""
    notebook(environ)(_var.get(None))
    _var.set("left behind")
    how = environ["QUERY_STRING"]
    if how == "call":
        raise LookupError
    if how == "exit":
        sys.exit()
    start_response("200 OK", [])
    return Blocks(environ, *[b"x"] * (how == "later"), None, error=LookupError())


def test_x5_however_it_ends(serve):
    ask = serve("--threads", "1")
    for how in ("call", "exit", "iteration", "later", "call"):
        for stream in (False, True):
            assert ask(fails_with_it_set, f"/?{how}", stream=stream).notes[0] is None


def runs_a_loop(environ, start_response):
    """asyncio copies the context of who calls it."""
    _var.set("outside")

    async def inside() -> str:
        before = _var.get()
        _var.set("inside")
        await asyncio.sleep(0)
        return before

    seen = asyncio.run(inside())
    copied = contextvars.copy_context().run(_var.get)
    return answer(start_response, [seen, _var.get(), copied])


def test_x5_contexts_within_it(ask):
    for _ in range(2):
        assert ask(runs_a_loop).json == ["outside", "outside", "outside"]


def keeps_a_token(environ, start_response):
    """A token is of use in its context, which is the same up to close()."""
    note, token = notebook(environ), _var.set("x")
    start_response("200 OK", [])
    try:
        yield b"x"
    finally:
        _var.reset(token)
        note("reset")


def test_x5_a_token_can_be_given_back(ask):
    for stream in (False, True):
        reply = ask(keeps_a_token, stream=stream)
        assert (reply.body, reply.notes, reply.broken) == (b"x", ["reset"], False)


#: What ends a process that minds nothing; some of them are the server's.
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)


def starts_processes(environ, start_response):
    """A program; a fork that is ended by a signal, as multiprocessing ends its own; and a pool."""
    told = [subprocess.run(["echo", "hello"], capture_output=True, text=True, timeout=10).stdout]
    for number in ENDING:
        child = os.fork()
        if child == 0:
            time.sleep(5)
            os._exit(0)
        os.kill(child, number)
        told.append(os.WTERMSIG(os.waitpid(child, 0)[1]))
    with multiprocessing.get_context("fork").Pool(1) as pool:
        told.append(pool.map(abs, [-1, -2]))
    return answer(start_response, told)


def test_x6_processes_of_the_application_s_own(ask):
    for _ in range(3):
        assert ask(starts_processes).json == ["hello\n", *ENDING, [1, 2]]

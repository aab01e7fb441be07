"""What a process that the application forks must not share with the server: connections, and handlers of signals.

The server's handlers of SIGINT and SIGTERM wake a thread that a child does not have, so that no SIGTERM would end it, and
multiprocessing, for one, would wait for ever. A child gets back what the application had set, or else the default. A signal
that comes before that waits for it. So do SIGTTIN and SIGTTOU, which only the system itself ignores where no shell would have
a process go on. Handlers of other signals see for themselves that they run in a child: they may be `faulthandler`'s, too.

An application may replace what it likes in `os` and `signal`, and may have a `signal.py` of its own. So what is needed here
is taken before the application is loaded, or from `_signal`, which is built in.
"""

import threading
from os import O_CLOEXEC, O_RDWR, close, devnull, dup2, open, register_at_fork
from sys import modules

_mask = threading.local()

#: What the application had for the signals that the program took from it.
handlers = {}

#: Signals that wait while a process forks.
held = set()


def watch(forked):
    """Calls `forked` in each process that is forked. It answers which file descriptors are to be closed there."""
    register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=lambda: _close(forked()))
    register_at_fork(after_in_child=_reset)


def _close(fds):
    """Closes our copies of the server's sockets, so that the parent's end is the end of its connections.

    Their numbers stay taken: whatever in here still has one must not get hold of a file that the child opens.
    """
    if not fds:
        return
    try:
        nothing = open(devnull, O_RDWR | O_CLOEXEC)
    except OSError:
        nothing = None
    for fd in fds:
        try:
            if nothing is None:
                close(fd)
            else:
                dup2(nothing, fd, inheritable=False)
        except OSError:
            # It is closed already.
            pass
    if nothing is not None:
        close(nothing)


def _block():
    # Not before it is needed: the module takes note of the handlers that there are when it is imported.
    import _signal

    _mask.before = _signal.pthread_sigmask(_signal.SIG_BLOCK, held | {_signal.SIGINT, _signal.SIGTERM})


def _unblock():
    import _signal

    _signal.pthread_sigmask(_signal.SIG_SETMASK, _mask.before)


def _reset():
    import _signal

    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGTTIN, _signal.SIGTTOU):
        if _signal.getsignal(number) in (None, _signal.SIG_DFL):
            _signal.signal(number, handlers.get(number) or _signal.SIG_DFL)
    _unblock()


def daemons():
    """The processes that multiprocessing has started, still knows of, and would terminate when Python ends."""
    process = modules.get("multiprocessing.process")
    # Not `active_children()`, which would take their exit statuses away from the application's threads.
    children = list(getattr(process, "_children", ()))
    return [child.pid for child in children if child.daemon and child._popen.returncode is None]

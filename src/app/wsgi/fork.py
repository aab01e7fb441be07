"""Processes that the application forks have the program's handlers of signals, but not the thread that these wake.

So no SIGTERM would end them, and multiprocessing, for one, would wait for ever. They get back what the application had
set, or else the default. A signal that comes before that waits for it.
"""

import os
import threading

_mask = threading.local()

#: What the application had for the signals that the program took from it.
handlers = {}


def watch(count):
    """Calls `count` in each process that is forked."""
    os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=count)
    os.register_at_fork(after_in_child=_reset)


def _block():
    # Not before it is needed: the module takes note of the handlers that there are when it is imported.
    import signal

    _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})


def _unblock():
    import signal

    signal.pthread_sigmask(signal.SIG_SETMASK, _mask.before)


def _reset():
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) in (None, signal.SIG_DFL):
            signal.signal(number, handlers.get(number) or signal.SIG_DFL)
    _unblock()

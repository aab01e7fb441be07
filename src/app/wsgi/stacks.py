"""What every Python thread is doing, for the log."""

import sys
import threading
import traceback

#: The innermost calls of each thread, and characters in all.
FRAMES, LONGEST = 30, 48 * 1024


def describe(ours):
    """The stacks of all threads but `ours`, the server's workers first."""
    # Not threading.enumerate(), which waits for a lock that a thread may hold for ever.
    names = {ident: thread.name for ident, thread in list(threading._active.items())}
    frames = {ident: frame for ident, frame in sys._current_frames().items() if ident != ours}

    def order(ident):
        name = names.get(ident, "")
        number = name.rpartition("-")[2]
        return not name.startswith("stomp-wsgi"), name.rstrip("0123456789"), int(number) if number.isdecimal() else 0

    text, left = [], len(frames)
    for ident in sorted(frames, key=order):
        stack = "".join(traceback.format_stack(frames[ident], FRAMES))
        text.append(f"thread {names.get(ident, 'of no name')} ({ident}), most recent call last:\n{stack}")
        left -= 1
        if sum(map(len, text)) > LONGEST:
            break
    text = "".join(text)[:LONGEST].rstrip()
    return f"{text}\n(and {left} more threads)" if left else text

"""What Python writes by itself: standard output at once, and standard error into the log where that is all of it."""

import io
import sys


def write_lines_at_once():
    """A pipe is a block buffer to Python, where what was printed would wait until the server ends."""
    try:
        sys.stdout.reconfigure(line_buffering=True)
    except (AttributeError, OSError, ValueError):
        pass  # None, closed, or not Python's own


def log_standard_error(stream, log):
    """Writes to `sys.stderr` go to `stream`; records that no handler of the application's takes go to `log`."""
    # Not before it is needed: with the plain log, nothing of logging is touched or imported.
    import logging

    class LastResort(logging.Handler):
        """In the place of logging's own, which writes the message alone to standard error."""

        def emit(self, record):
            try:
                exception = record.exc_text
                if record.exc_info and not exception:
                    exception = logging.Formatter().formatException(record.exc_info)
                told = [text for text in (exception, record.stack_info) if text]
                log(record.levelno, record.name, record.getMessage(), "\n".join(told) or None)
            except Exception:
                self.handleError(record)

    sys.stderr = StandardError(stream, sys.stderr)
    logging.lastResort = LastResort(logging.WARNING)


class StandardError(io.TextIOBase):
    """A text stream like any other, whose lines are events of the log. Its descriptor is that of the process."""

    name, mode, encoding, errors, newlines = "<stderr>", "w", "utf-8", "backslashreplace", None
    line_buffering, write_through = True, False

    def __init__(self, stream, original):
        self._stream, self._original = stream, original
        self.buffer = Octets(self)

    def write(self, text):
        return self._stream.write(text)

    def flush(self):
        self._stream.flush()

    def close(self):
        """Never: there is always more to come, as with the stream of which it takes the place."""
        self.flush()

    def fileno(self):
        if self._original is None:
            raise io.UnsupportedOperation("fileno")
        return self._original.fileno()

    def isatty(self):
        return False

    def writable(self):
        return True

    def reconfigure(self, **options):
        pass


class Octets(io.BufferedIOBase):
    """`sys.stderr.buffer`."""

    def __init__(self, text):
        self._text = text

    def write(self, octets):
        octets = bytes(octets)
        self._text.write(octets.decode("utf-8", "backslashreplace"))
        return len(octets)

    def flush(self):
        self._text.flush()

    def close(self):
        self.flush()

    def writable(self):
        return True

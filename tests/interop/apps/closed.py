"""An application that closes the standard streams as it is imported, as code that makes a daemon of itself does."""

from __future__ import annotations

import os

from probe import text

os.closerange(0, 3)


def app(environ, start_response):
    for fd in (1, 2):
        os.write(fd, b"printed\n")
    return text(start_response, "printed")

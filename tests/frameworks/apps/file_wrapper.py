"""The application that APP names, with a record of each file that it hands to the server."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable
from typing import Any

from backstage import record

_module, _, _attribute = os.environ["APP"].partition(":")
_app = getattr(importlib.import_module(_module), _attribute)


def app(environ: dict[str, Any], start_response: Callable) -> Iterable[bytes]:
    ours = environ["wsgi.file_wrapper"]

    def wrapper(file: Any, *size: int) -> Iterable[bytes]:
        record("files", file.name)
        return ours(file, *size)

    environ["wsgi.file_wrapper"] = wrapper
    return _app(environ, start_response)

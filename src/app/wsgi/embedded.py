"""Finds modules within the program, where they are not installed."""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec


class Embedded(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    """Modules by name, as source text; a name is a package's if others are below it.

    They have file names below that of the program, as modules in a zip file have; `linecache`, and so a
    traceback, asks `get_source` for their lines.
    """

    def __init__(self, program: str, sources: dict[str, str]) -> None:
        self.program, self.sources = program, sources

    def find_spec(self, fullname: str, path: list[str] | None = None, target: object = None) -> ModuleSpec | None:
        package = fullname.rpartition(".")[0]
        if fullname not in self.sources or (package and path != [self.path(package)]):
            # Or else a part of an installed package, which may be of another version.
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def is_package(self, fullname: str) -> bool:
        return any(name.startswith(f"{fullname}.") for name in self.sources)

    def get_source(self, fullname: str) -> str:
        try:
            return self.sources[fullname]
        except KeyError:
            raise ImportError(f"there is no module {fullname!r} in {self.program}", name=fullname) from None

    def get_filename(self, fullname: str) -> str:
        path = self.path(fullname)
        return os.path.join(path, "__init__.py") if self.is_package(fullname) else f"{path}.py"

    def path(self, fullname: str) -> str:
        return os.path.join(self.program, *fullname.split("."))


def register(program: str, sources: dict[str, str]) -> None:
    """Comes last, so that what is installed is found before it."""
    sys.meta_path.append(Embedded(program, sources))

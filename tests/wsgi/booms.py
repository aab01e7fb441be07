"""All kinds of things that are raised."""

from __future__ import annotations

import asyncio


class GreenletExit(BaseException):
    """As greenlet's, which is no Exception."""


class CannotBeSaid(Exception):
    def __str__(self) -> str:
        raise ValueError("not even this")

    __repr__ = __str__


def recursion(message: str) -> BaseException:
    """A real one, through Python."""

    def deeper():
        return deeper()

    deeper()
    raise AssertionError


def recursion_in_c(message: str) -> BaseException:
    """A real one, through frames of C."""

    class Deeper:
        def __eq__(self, other) -> bool:
            return [self] == [other, 1][:1] and max([self], key=lambda it: it == it)

    return Deeper() == Deeper()


def recursion_in_a_sort(message: str) -> BaseException:
    """A real one, through the largest frames of C. There is room for a thousand, as on CPython's own threads."""

    def deeper(item: int):
        return sorted([1, 2], key=deeper)

    return deeper(0)


BOOMS = {
    "RuntimeError": RuntimeError,
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "StopIteration": StopIteration,
    "CancelledError": asyncio.CancelledError,
    "GreenletExit": GreenletExit,
    "MemoryError": MemoryError,
    "CannotBeSaid": CannotBeSaid,
    "ExceptionGroup": lambda message: ExceptionGroup(message, [ValueError(1), OSError(2)]),
    "UnicodeError": lambda message: UnicodeError(f"{message} \udcff"),
    "RecursionError": recursion,
    "RecursionError in C": recursion_in_c,
    "RecursionError in a sort": recursion_in_a_sort,
}

"""What is told of a request once, when it is first asked about.

`functools.cached_property` does the same, and in Python 3.11 takes a lock for it that all requests of a process share:
the loop would wait for the threads that write the record. A request belongs to one thread at a time, so none is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class once(Generic[T]):
    """Turn a method into an attribute that is worked out when it is first read, and kept."""

    def __init__(self, tell: Callable[[Any], T]) -> None:
        self._tell = tell
        self.__doc__ = tell.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, asked: object, owner: type | None = None) -> T:
        told = asked.__dict__[self._name] = self._tell(asked)
        return told

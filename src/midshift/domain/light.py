"""Records that are made for every request: as frozen as others to whoever checks types, and a third of the price.

A frozen dataclass sets each field through `object.__setattr__`, which costs a request 0.1 µs a field. One of these is
a plain slotted dataclass: equality, hash, `dataclasses.replace` and JSON are the same, a type checker refuses to assign
to it, and at run time nobody does.
Elsewhere: whatever is made less often than a request is a frozen dataclass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def light(made: type[T]) -> type[T]:
    """Turn a class into such a record; in the place of `@dataclass(frozen=True, slots=True)`."""
    return dataclass(slots=True, unsafe_hash=True)(made)

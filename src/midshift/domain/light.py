"""Records that are made for every request, at the price of a tuple.

A frozen dataclass sets each field through `object.__setattr__`, which costs a request 0.1 µs a field, and a plain one
runs a line of Python for each. These are `msgspec.Struct`s: made, compared, hashed and written as JSON in C, and frozen
for whoever assigns as well as for whoever checks types. The collector does not look at them, so a record refers to
nothing that leads back to it.
Elsewhere: whatever is made less often than a request is a frozen dataclass, and needs nothing but the standard library.
"""

from __future__ import annotations

from typing import dataclass_transform

import msgspec
from msgspec.structs import replace as replaced

__all__ = ["Light", "replaced"]


@dataclass_transform(frozen_default=True)
class Light(msgspec.Struct, frozen=True, gc=False):
    """What such a record begins with. `replaced` gives a copy with some fields changed."""

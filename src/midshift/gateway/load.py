"""How much is under way at once, and the refusal of what would be too much.

Contract. A request has a place from before its body is read until its answer has left; the bytes of its body are held
for as long. What is beyond a limit is refused at once, asks no provider, and is told when to come again: 503 where the
whole gateway is full, 429 where it is one workload, so that one workload's crowd leaves room for the others. Requests
that wait for a provider's connections have limits of their own (`Upstream.max_connections`, `max_waiting`).
Elsewhere: the limits (settings), connections that say nothing (front), unseen answers (mirror).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Self

from msgspec import Struct

from midshift.gateway.counters import UNKNOWN
from midshift.gateway.intake import Refused
from midshift.gateway.settings import Limits

OVERLOADED = "overloaded"
MEMORY_FULL = "memory_full"
WORKLOAD_FULL = "workload_full"


class Load:
    """What is under way in one gateway."""

    __slots__ = ("by_workload", "held_bytes", "in_flight", "most_by_workload", "most_held_bytes", "most_in_flight")

    def __init__(self, limits: Limits) -> None:
        self.most_in_flight = limits.max_in_flight
        self.most_held_bytes = limits.max_held_bytes
        self.most_by_workload = limits.max_in_flight_per_workload
        self.in_flight = 0
        self.held_bytes = 0
        self.by_workload: defaultdict[str, int] = defaultdict(int)  # not a Counter: to set in one is twice as dear


class Place(Struct, eq=False):
    """One request's part of a load, and a context that gives all of it back, however far it came."""

    load: Load
    workload: str = UNKNOWN
    _held_bytes: int = 0
    _is_taken: bool = False
    _is_served: bool = False

    def __enter__(self) -> Self:
        return self

    def take(self, size: int = 0) -> None:
        """Come in, with as many bytes of the body as are there.

        Raises:
            Refused: where there is no room, for one more or for the bytes.
        """
        load = self.load
        if load.in_flight >= load.most_in_flight:
            message = "The gateway has as many requests under way as it takes. Try again in a moment."
            raise Refused(503, message, OVERLOADED)
        held_bytes = load.held_bytes + size
        if held_bytes > load.most_held_bytes:
            raise _memory_full()
        load.in_flight += 1
        load.held_bytes = held_bytes
        self._held_bytes = size
        self._is_taken = True

    def hold(self, more: int) -> None:
        """Hold so many bytes of the body more.

        Raises:
            Refused: if all bodies together would be larger than the gateway's memory for them.
        """
        load = self.load
        held_bytes = load.held_bytes + more
        if held_bytes > load.most_held_bytes:
            raise _memory_full()
        load.held_bytes = held_bytes
        self._held_bytes += more

    def serve(self, workload: str) -> None:
        """Say which workload it is for.

        Raises:
            Refused: if that one has as many requests under way as one workload may have.
        """
        self.workload = workload
        load = self.load
        under_way = load.by_workload[workload]
        if under_way >= load.most_by_workload:
            message = f"Workload {workload!r} has as many requests under way as it may have. Try again in a moment."
            raise Refused(429, message, WORKLOAD_FULL)
        load.by_workload[workload] = under_way + 1
        self._is_served = True

    def leave(self, *_: object) -> None:
        """Give back what was taken; a second time gives back nothing."""
        if not self._is_taken:
            return
        self._is_taken = False
        load = self.load
        load.in_flight -= 1
        load.held_bytes -= self._held_bytes
        if self._is_served:
            load.by_workload[self.workload] -= 1

    __exit__ = leave


def _memory_full() -> Refused:
    message = "The gateway holds as many bytes of requests as it takes. Try again in a moment."
    return Refused(503, message, MEMORY_FULL)

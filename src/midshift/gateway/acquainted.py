"""The units that a gateway has answered under a row: those whom a lease that has run out does not move yet.

What nobody watches must not get larger, and need not be torn away from those who are in the middle of it. Who is new
is a matter of this gateway alone: it asks nobody, and after a restart everybody is new to it. Both variants' units are
remembered, so that the two sides of a comparison lose the same. Memory is bounded: at most `2 * MOST` units a workload,
about 100 bytes each; who has not come for an hour or more is forgotten, and counts as new, which is the safe side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

MOST = 50_000
GENERATION = timedelta(hours=1)


@dataclass(slots=True)
class _Met:
    epoch: int
    until: datetime
    young: set[str] = field(default_factory=set)
    old: set[str] = field(default_factory=set)


class Acquainted:
    """Units by workload and epoch, in two generations: the older one goes when the younger one is full or old."""

    __slots__ = ("_by_workload",)

    def __init__(self) -> None:
        self._by_workload: dict[str, _Met] = {}

    def meet(self, workload: str, epoch: int, unit: str, now: datetime) -> None:
        """Remember a unit that is answered under the row of this epoch."""
        met = self._by_workload.get(workload)
        if met is None or met.epoch != epoch:
            met = self._by_workload[workload] = _Met(epoch, now + GENERATION)
        elif now > met.until or len(met.young) >= MOST:
            met.young, met.old, met.until = set(), met.young, now + GENERATION
        met.young.add(unit)

    def knows(self, workload: str, epoch: int, unit: str) -> bool:
        """Whether it was met under this very row, and not too long ago."""
        met = self._by_workload.get(workload)
        return met is not None and met.epoch == epoch and (unit in met.young or unit in met.old)

"""Which variant answers which request: the routing row, and the assignment that follows from it.

The row is all that gateway and controller share. Assignment is a pure function of (unit, salt, share): raising the
share only adds units, the same unit always gets the same answer, and a rollback (share 0, no candidate) overrides
everything at once because nothing else is remembered.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

BLOCKS = 256
"""Units are hashed into this many blocks, for standard errors that survive addition."""

_SCALE = float(1 << 64)


class Arm(StrEnum):
    """The two sides of a comparison."""

    INCUMBENT = "incumbent"
    CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class Route:
    """What every gateway serves for one workload: the routing row.

    `share` of the units get the candidate, `shadow_share` of the other requests are answered by it unseen. `epoch`
    rises with every change. `lease_until` is machine time: past it, gateways go home to the incumbent by themselves.

    Raises:
        ValueError: for a share outside 0..1, or traffic to a candidate that is not there.
    """

    workload: str
    incumbent: str
    epoch: int
    candidate: str | None = None
    share: float = 0.0
    shadow_share: float = 0.0
    salt: str = ""
    step: int = 0
    upgrade: str | None = None
    lease_until: datetime | None = None

    def __post_init__(self) -> None:
        if not (0.0 <= self.share <= 1.0 and 0.0 <= self.shadow_share <= 1.0):
            raise ValueError(f"shares lie in 0..1, got share {self.share} and shadow share {self.shadow_share}")
        if self.candidate is None and (self.share or self.shadow_share):
            raise ValueError(f"workload {self.workload!r}: a share of traffic for a candidate that is not there")

    def rolled_back(self) -> Route:
        """The incumbent everywhere, one epoch later."""
        return replace(self, candidate=None, share=0.0, shadow_share=0.0, epoch=self.epoch + 1, lease_until=None)


def position(unit: str, salt: str) -> float:
    """Where a unit lies in [0, 1), uniformly and for good: BLAKE2b over salt and unit."""
    return _digest(unit, f"assign:{salt}") / _SCALE


def assign(unit: str, route: Route) -> Arm:
    """The arm that serves a unit: the candidate for the first `share` of all positions."""
    if route.candidate is not None and position(unit, route.salt) < route.share:
        return Arm.CANDIDATE
    return Arm.INCUMBENT


def block(unit: str, salt: str) -> int:
    """The block of a unit, by a hash of its own, so that it says nothing about the arm."""
    return _digest(unit, f"block:{salt}") % BLOCKS


def _digest(unit: str, salt: str) -> int:
    digest = hashlib.blake2b(unit.encode("utf-8", "surrogatepass"), key=salt.encode()[:64], digest_size=8).digest()
    return int.from_bytes(digest, "big")

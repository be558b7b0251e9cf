"""Which variant answers which request: the routing row, and the assignment that follows from it.

The row is all that gateway and controller share. Assignment is a pure function of (unit, salt, share): raising the
share only adds units, the same unit always gets the same answer, and a rollback (share 0, no candidate) overrides
everything at once because nothing else is remembered. A ring is a named group of people who get the candidate at any
share, 0 included; nobody drew lots for it, so it is no part of a comparison.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

BLOCKS = 256
"""Units are hashed into this many blocks, for standard errors that survive addition."""

_SCALE = float(1 << 64)


class Arm(StrEnum):
    """The two sides of a comparison."""

    __hash__ = str.__hash__  # a key on the path of every request: Enum's own is a call of Python

    INCUMBENT = "incumbent"
    CANDIDATE = "candidate"


_INCUMBENT, _CANDIDATE = Arm  # an Enum's own name is a call of Python away from its class


@dataclass(frozen=True, slots=True)
class Other:
    """One more candidate, which answers a share of the requests unseen and is never served."""

    variant: str
    share: float


@dataclass(frozen=True, slots=True)
class Route:
    """What every gateway serves for one workload: the routing row.

    `share` of the units get the candidate, and so do the `rings`. Unseen second answers, each a share of the requests
    that it is drawn from:

        shadow_share   of those that the incumbent answers: the candidate answers as well
        others         the same for more candidates, on the same requests, so that all can be compared on them
        noise_share    of those that the incumbent answers: the incumbent answers once more
        pair_share     of all: the variant that does not answer answers as well (paired live samples)
        reverse_share  of those that the candidate answers: the incumbent answers as well

    `epoch` rises with every change. `lease_until` is machine time: past it, gateways by themselves give the
    candidate to nobody who is new to them, answer nothing unseen, and 50 minutes later go home to the incumbent.

    Raises:
        ValueError: for a share outside 0..1, traffic to a candidate that is not there, or another candidate that is
            there already.
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
    noise_share: float = 0.0
    pair_share: float = 0.0
    reverse_share: float = 0.0
    others: tuple[Other, ...] = ()
    rings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shares = {name.replace("_", " "): getattr(self, name) for name in SHARES}
        shares |= {f"other {one.variant}": one.share for one in self.others}
        for name, share in shares.items():
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"shares lie in 0..1, got {name} {share}")
        if self.candidate is None and (any(shares.values()) or self.rings):
            raise ValueError(f"workload {self.workload!r}: a share of traffic for a candidate that is not there")
        others = [one.variant for one in self.others]
        if len({self.incumbent, self.candidate, *others}) < 2 + len(others) and others:
            raise ValueError(f"workload {self.workload!r}: among the others {others!r} is one that is there already")

    @property
    def serves_candidate(self) -> bool:
        """Whether any user gets the candidate's answers."""
        return self.candidate is not None and (self.share > 0.0 or bool(self.rings))

    def rolled_back(self) -> Route:
        """The incumbent everywhere and nothing unseen, one epoch later.

        It belongs to no upgrade: what users get from then on is no evidence of the one that it ended.
        """
        return Route(self.workload, self.incumbent, self.epoch + 1)


SHARES = ("share", "shadow_share", "noise_share", "pair_share", "reverse_share")
"""The shares of a `Route`, by their names."""


def position(unit: str, salt: str) -> float:
    """Where a unit lies in [0, 1), uniformly and for good: BLAKE2b over salt and unit."""
    return _number(_begun(salt)[0](), _spelt(unit)) / _SCALE


def assign(unit: str, route: Route) -> Arm:
    """The arm that serves a unit: the candidate for the first `share` of all positions."""
    return placed(unit, route)[0]


def placed(unit: str, route: Route) -> tuple[Arm, int]:
    """The arm that serves a unit, and its block."""
    at, block_of_unit = _standing(unit, route.salt)
    is_served = at < route.share and route.candidate is not None
    return _CANDIDATE if is_served else _INCUMBENT, block_of_unit


def ring_of(member_of: Collection[str], route: Route) -> str:
    """The ring that gives a request the candidate, the row's first that it is a member of; empty where none does."""
    return next((ring for ring in route.rings if ring in member_of), "")


def block(unit: str, salt: str) -> int:
    """The block of a unit, by a hash of its own, so that it says nothing about the arm."""
    return _standing(unit, salt)[1]


@lru_cache(8192)
def _standing(unit: str, salt: str) -> tuple[float, int]:
    """Position and block of a unit: those who ask once ask again soon."""
    (for_arm, for_block), spelt = _begun(salt), _spelt(unit)
    return _number(for_arm(), spelt) / _SCALE, _number(for_block(), spelt) % BLOCKS


def _spelt(unit: str) -> bytes:
    return unit.encode("utf-8", "surrogatepass")


def _number(begun: hashlib.blake2b, spelt: bytes) -> int:
    begun.update(spelt)
    return int.from_bytes(begun.digest(), "big")


@lru_cache(64)
def _begun(salt: str) -> Sequence[Callable[[], hashlib.blake2b]]:
    """Makes the hashes for arm and block as far as they depend on the salt alone."""
    keys = f"assign:{salt}", f"block:{salt}"
    return [hashlib.blake2b(key=key.encode()[:64], digest_size=8).copy for key in keys]

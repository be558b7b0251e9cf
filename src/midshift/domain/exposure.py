"""What one request leaves behind: an exposure, and the sums that it adds to.

Every number is additive, so gateways merge by adding: per (upgrade, step, arm, slice, metric) and block of units the
count, the sum and the sum of squares. Arms are analysed as assigned; a candidate's failure that the incumbent
answered for is counted against the candidate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from midshift.domain.routing import Arm
from midshift.domain.suite import AGGREGATE


class Fate(StrEnum):
    """How a received request ended for the user."""

    INCUMBENT = "served_by_incumbent"
    CANDIDATE = "served_by_candidate"
    REFUSED = "refused"


class ShadowFate(StrEnum):
    """How the unseen second answer of an eligible request ended."""

    PAIRED = "paired"
    SKIPPED = "skipped"
    SHED = "shed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Exposure:
    """One received request. `assigned` is by hash, `fate` is what the user got; numbers are None where unknown."""

    request_id: str
    workload: str
    epoch: int
    fate: Fate
    assigned: Arm
    upgrade: str | None = None
    step: int = 0
    propensity: float = 0.0
    unit: str = ""
    block: int = 0
    slices: tuple[str, ...] = ()
    status: int = 0
    fell_back: bool = False
    shadow: ShadowFate | None = None
    latency_s: float | None = None
    first_byte_s: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    finish_reason: str | None = None
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class ShadowAnswer:
    """One side of a pair: the text (None where there was none), how it ended, and what it took."""

    text: str | None
    status: int
    latency_s: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Both answers to one request: the incumbent's, which the user got, and the candidate's, which nobody saw."""

    request_id: str
    workload: str
    upgrade: str
    candidate_id: str
    slices: tuple[str, ...]
    incumbent: ShadowAnswer
    candidate: ShadowAnswer


@dataclass(frozen=True, slots=True, order=True)
class SumKey:
    """What a sum is about. `slice` is `*` for all requests."""

    workload: str
    upgrade: str
    step: int
    arm: Arm
    slice: str
    metric: str
    block: int


@dataclass(slots=True)
class Sum:
    """Count, sum and sum of squares; merges by addition."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Take one more value into account."""
        self.n += 1
        self.total += value
        self.squares += value * value

    def merge(self, other: Sum) -> None:
        """Take another gateway's sum into account."""
        self.n += other.n
        self.total += other.total
        self.squares += other.squares


@dataclass(slots=True)
class Sums:
    """Many sums by key."""

    by_key: dict[SumKey, Sum] = field(default_factory=dict)

    def add(self, exposure: Exposure) -> None:
        """Add one exposure to every sum that it belongs to."""
        for key, value in contributions(exposure):
            self.by_key.setdefault(key, Sum()).add(value)

    def merge(self, other: Mapping[SumKey, Sum]) -> None:
        """Add another set of sums."""
        for key, value in other.items():
            self.by_key.setdefault(key, Sum()).merge(value)


def contributions(exposure: Exposure) -> Iterator[tuple[SumKey, float]]:
    """What one exposure adds: (key, value) for all requests and for each of its slices."""
    if exposure.upgrade is None:
        return
    measured = {
        "error": _failed(exposure),
        "latency_s": exposure.latency_s,
        "cost_usd": exposure.cost_usd,
        "tokens_out": None if exposure.tokens_out is None else float(exposure.tokens_out),
        "paired": None if exposure.shadow is None else float(exposure.shadow is ShadowFate.PAIRED),
    }
    for name in _unique((AGGREGATE, *exposure.slices)):
        for metric, value in measured.items():
            if value is not None:
                key = SumKey(
                    exposure.workload, exposure.upgrade, exposure.step, exposure.assigned, name, metric, exposure.block
                )
                yield key, value


def _failed(exposure: Exposure) -> float:
    return 1.0 if exposure.fell_back or exposure.status >= 500 or exposure.status == 0 else 0.0


def _unique(names: Iterable[str]) -> Iterator[str]:
    return iter(dict.fromkeys(names))

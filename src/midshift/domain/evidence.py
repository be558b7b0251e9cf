"""What the controller knows when it decides: plain numbers, so that every decision can be replayed from the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from midshift.domain.gate import Decision


@dataclass(frozen=True, slots=True)
class EvalEvidence:
    """The last eval of this candidate: its decision, and the critical slices on which nothing is shown."""

    candidate: str
    decision: Decision
    reason: str
    unproven: tuple[str, ...] = ()
    regressed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShadowEvidence:
    """What shadow traffic has covered, and the drift that it flagged (`kind:metric`)."""

    eligible: int
    paired: int
    flagged: tuple[str, ...] = ()

    @property
    def coverage(self) -> float | None:
        """Pairs as a share of eligible requests; None before the first."""
        return self.paired / self.eligible if self.eligible else None


@dataclass(frozen=True, slots=True)
class Guard:
    """One harm that is watched: how much worse the candidate is, bounded at every look at once.

    `harm` points in the bad direction (error rate up). None where too little has been seen: that is not zero.
    """

    name: str
    threshold: float
    harm: float | None = None
    low: float | None = None
    high: float | None = None
    n_incumbent: int = 0
    n_candidate: int = 0

    @property
    def is_proven(self) -> bool:
        """Whether harm is proven and beyond the threshold."""
        return self.low is not None and self.harm is not None and self.low > 0.0 and self.harm > self.threshold


@dataclass(frozen=True, slots=True)
class Promise:
    """One budget of the workload, and what the candidate took: the mean, or the quantile that the budget is about.

    `value` is None where nobody knows it; `unknown` counts the requests, of `n`, of which nobody does.
    """

    name: str
    limit: float
    unit: str
    value: float | None = None
    n: int = 0
    unknown: int = 0

    @property
    def is_kept(self) -> bool:
        """Whether it is known of every request, and within the budget. What is unknown is no saving."""
        return self.value is not None and self.unknown == 0 and self.value <= self.limit


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that one decision sees. `served` counts the candidate's requests since its step began."""

    eval: EvalEvidence | None = None
    shadow: ShadowEvidence | None = None
    guards: tuple[Guard, ...] = ()
    served: int = 0
    promises: tuple[Promise, ...] = ()


@dataclass(frozen=True, slots=True)
class Elapsed:
    """How long a state has lasted, of how long it must."""

    since: datetime
    now: datetime
    needed: timedelta

    @property
    def is_over(self) -> bool:
        """Whether it has lasted long enough."""
        return self.now - self.since >= self.needed

    def __str__(self) -> str:
        spent, needed = (value.total_seconds() / 86400.0 for value in (self.now - self.since, self.needed))
        return f"day {max(spent, 0.0):.1f} of {needed:.1f}"

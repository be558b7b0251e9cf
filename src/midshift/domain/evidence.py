"""What the controller knows when it decides: plain numbers, so that every decision can be replayed from the log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from midshift.domain.gate import Decision, Ruling
from midshift.domain.suite import AGGREGATE


@dataclass(frozen=True, slots=True)
class Basis:
    """What an eval rests on. It is evidence for an upgrade that rests on the same, and for no other.

    `cases` and `graders` are digests, of content and of the users' own code; `graders` is empty where the suite names
    none. `judges` are ids of variants in the order of the suite's judges; an empty one is not named, and may be any.
    `trials` is how often each case was put: more or fewer say the same less or more surely.
    """

    workload: str
    incumbent: str
    cases: str
    graders: str
    judges: tuple[str, ...]
    margins: str
    watched: str
    trials: int = 1

    def differs(self, now: Basis) -> tuple[str, ...]:
        """What of this is another than `now`, in words."""
        parts = {
            "workload": self.workload != now.workload,
            "incumbent": self.incumbent != now.incumbent,
            "cases": self.cases != now.cases,
            "graders": self.graders != now.graders,
            "judges": self._has_other_judges(now),
            f"margins ({self.margins} then, {now.margins} now)": self.margins != now.margins,
            f"watched slices ({self.watched or 'none'} then, {now.watched or 'none'} now)": self.watched != now.watched,
        }
        return tuple(name for name, is_other in parts.items() if is_other)

    def _has_other_judges(self, now: Basis) -> bool:
        if len(self.judges) != len(now.judges):
            return True
        return any(named not in ("", used) for used, named in zip(self.judges, now.judges, strict=True))


@dataclass(frozen=True, slots=True)
class EvalEvidence:
    """The last eval of this candidate: its decision, and the critical slices on which nothing is shown.

    `failed` is what else of it is not open: `*` for all cases together, and the codes of guards that block.
    `graded_by` are the users' own functions that graded, each as `module:function@SHA-256` of its code. `basis` is what
    it rests on; None in a rehearsal, where nothing else can be meant.
    """

    candidate: str
    decision: Decision
    reason: str
    unproven: tuple[str, ...] = ()
    regressed: tuple[str, ...] = ()
    graded_by: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    basis: Basis | None = None

    @property
    def to_waive(self) -> tuple[str, ...]:
        """What a forced upgrade has to waive by name before it goes on from a `stop`.

        An eval on record without the names of what failed, of an earlier midshift, failed as a whole.
        """
        return tuple(dict.fromkeys((*self.failed, *self.regressed))) or (AGGREGATE,)


def failed_in(ruling: Ruling, blocking: Iterable[str] = ()) -> tuple[str, ...]:
    """What `EvalEvidence.failed` keeps of a ruling, and of the codes of the guards that block."""
    return (*((AGGREGATE,) if ruling.uncleared else ()), *sorted(blocking))


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

    @property
    def is_ruled_out(self) -> bool:
        """Whether harm beyond the threshold is ruled out. Neither this nor `is_proven`: nobody can tell yet."""
        return self.high is not None and self.high <= self.threshold


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
    """Everything that one decision sees. `served` counts the candidate's requests since its step began.

    `eval_trouble` says why an eval on record counts as none; empty where there is no such eval.
    """

    eval: EvalEvidence | None = None
    shadow: ShadowEvidence | None = None
    guards: tuple[Guard, ...] = ()
    served: int = 0
    promises: tuple[Promise, ...] = ()
    eval_trouble: str = ""


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

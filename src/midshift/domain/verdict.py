"""What one score says about one slice: six outcomes, each with its evidence and a sentence.

The rule (docs/design/003-the-verdict-rule.md), with d = candidate - incumbent on the unit range, one-sided bounds
L and U at 1 - alpha, and margin m:

    SUPERIOR      L > 0
    PASS          L > -m
    FAIL          "not worse" is rejected (Holm over slices; unadjusted for all cases) and L <= -m
    INCONCLUSIVE  neither; also whenever there are fewer than five clusters
    NO_DATA       no case has the score for both variants
    ERROR         the evidence could not be computed

Absence of evidence is never success: there is no way to build a PASS without an interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from midshift.stats.interval import Interval

MIN_CLUSTERS = 5
"""Below this many independent clusters no bound is trusted."""


class Outcome(StrEnum):
    """The six things that a verdict can say."""

    SUPERIOR = "SUPERIOR"
    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NO_DATA = "NO_DATA"
    ERROR = "ERROR"

    @property
    def clears(self) -> bool:
        """Whether a gate on this outcome is open."""
        return self in (Outcome.SUPERIOR, Outcome.PASS)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict rests on, on the unit range.

    `p_not_worse` is the one-sided p-value against "not worse", `p_adjusted` the same after Holm over `family` slices
    (equal to it for all cases together). `needs_n` is how many cases in all would settle an open question with 80 %
    chance if there is no difference; None where nothing is open.
    """

    interval: Interval
    incumbent: float
    candidate: float
    margin: float
    p_not_worse: float
    p_adjusted: float
    family: int = 1
    needs_n: int | None = None

    @property
    def d(self) -> float:
        """The estimated difference, candidate minus incumbent."""
        return self.interval.estimate

    @property
    def leans_worse(self) -> bool:
        """Beyond the margin, and worse at one-sided p < 0.1: enough to re-tune, which is cheap and accuses nobody."""
        enough = self.interval.clusters >= MIN_CLUSTERS
        return enough and self.d < -self.margin and self.p_not_worse < 0.1


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome, the sentence that explains it, and its evidence (None only for NO_DATA and ERROR)."""

    outcome: Outcome
    reason: str
    evidence: Evidence | None = None

    def __post_init__(self) -> None:
        if (self.evidence is None) != (self.outcome in (Outcome.NO_DATA, Outcome.ERROR)):
            raise ValueError(f"a {self.outcome.value} verdict with evidence {self.evidence!r}")


def judge(evidence: Evidence) -> Verdict:
    """Apply the rule to one slice or to all cases."""
    low, high, margin = evidence.interval.low, evidence.interval.high, evidence.margin
    if evidence.interval.clusters < MIN_CLUSTERS:
        return Verdict(Outcome.INCONCLUSIVE, _too_few(evidence), evidence)
    if low > 0.0:
        return Verdict(Outcome.SUPERIOR, f"better by at least {points(low)}", evidence)
    if low > -margin:
        note = "proven worse, but within the margin; " if high < 0.0 else ""
        return Verdict(Outcome.PASS, f"{note}can rule out drops over {points(-low, up=True)}", evidence)
    if evidence.p_adjusted < evidence.interval.alpha:
        return Verdict(Outcome.FAIL, f"worse by {points(-evidence.d)}, at least {points(-high)}", evidence)
    return Verdict(Outcome.INCONCLUSIVE, _open_question(evidence), evidence)


def no_data(reason: str) -> Verdict:
    """Nothing to judge: not a pass, not a zero."""
    return Verdict(Outcome.NO_DATA, reason)


def confirmed(own: Verdict, worst_case: Verdict, what: str) -> Verdict:
    """`own`, if it stands when what is missing is read as the worst score; otherwise weaker.

    `worst_case` is the verdict on the repeated reading and `what` names what was missing. A gate that is open on one
    reading and not on the other is INCONCLUSIVE; better-than and not-worse-than agree on the weaker of the two.
    """
    if own.outcome is worst_case.outcome or own.outcome in (Outcome.INCONCLUSIVE, Outcome.NO_DATA, Outcome.ERROR):
        return own
    if own.outcome is Outcome.PASS and worst_case.outcome is Outcome.SUPERIOR:
        return own
    if own.outcome.clears and worst_case.outcome.clears:
        return replace(
            own, outcome=Outcome.PASS, reason=f"{own.reason}; only {worst_case.outcome} with {what} as worst"
        )
    reason = f"{own.outcome} as scored, {worst_case.outcome} with {what} as the worst score; {worst_case.reason}"
    return replace(own, outcome=Outcome.INCONCLUSIVE, reason=reason)


def points(fraction: float, up: bool = False) -> str:
    """A fraction of the range in words: `2.6 points`. `up` rounds away from zero, for promises about a bound."""
    value = math.ceil(fraction * 1000.0 - 1e-9) / 10.0 if up else fraction * 100.0
    return f"{value:.1f} point{'' if f'{value:.1f}' == '1.0' else 's'}"


def _too_few(evidence: Evidence) -> str:
    clusters = evidence.interval.clusters
    unit = "case" if clusters == evidence.interval.n else "cluster"
    return f"{clusters} {unit}{'' if clusters == 1 else 's'}: at least {MIN_CLUSTERS} independent ones are needed"


def _open_question(evidence: Evidence) -> str:
    low, high = evidence.interval.low, evidence.interval.high
    bound = f"can rule out drops over {points(-low, up=True)}"
    if high < 0.0 and evidence.family > 1:
        bound = f"{bound}; worse on its own, not after Holm over {evidence.family} slices"
    if evidence.needs_n is None or evidence.needs_n <= evidence.interval.n:
        return bound
    more = evidence.needs_n - evidence.interval.n
    return f"{bound}; {more:,} more case{'' if more == 1 else 's'} for {100 * evidence.margin:g}"

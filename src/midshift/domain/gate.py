"""From verdicts to what an upgrade does next: the decision table, as one pure function.

First that holds, over all gating scores:

    stop                  re-tuning ran, its budget is spent, and the retune condition still holds
    retune                all cases, or a critical slice, FAIL; or all cases lean worse beyond the margin
    collect_more          all cases are neither PASS nor SUPERIOR
    proceed               all cases and every slice PASS or SUPERIOR
    proceed_with_caution  else, listing each slice as regressed or unproven

A contract gates by all cases together and by any slice that FAILs: a contract slice that merely lacks cases is
settled by counting in shadow, and is not called unproven. A gate needs slices: without any, an aggregate can hide a
regression, and `proceed` is out of reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from midshift.domain.suite import Score, ScoreRole, Slice, SliceRole
from midshift.domain.verdict import Outcome, Verdict


class Decision(StrEnum):
    """What stage one says to do next."""

    PROCEED = "proceed"
    PROCEED_WITH_CAUTION = "proceed_with_caution"
    COLLECT_MORE = "collect_more"
    RETUNE = "retune"
    STOP = "stop"

    @property
    def severity(self) -> int:
        """Position from best (0) to worst; the worst over the scores is the decision."""
        return list(Decision).index(self)


class Retuning(StrEnum):
    """Whether stage two is still an answer."""

    NOT_RUN = "not_run"
    BUDGET_LEFT = "budget_left"
    BUDGET_SPENT = "budget_spent"


@dataclass(frozen=True, slots=True)
class SliceVerdict:
    """The verdict of one score on one slice."""

    slice: Slice
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ScoreVerdict:
    """The verdicts of one gating score: all cases together, and each slice."""

    score: Score
    aggregate: Verdict
    slices: tuple[SliceVerdict, ...]


@dataclass(frozen=True, slots=True)
class Ruling:
    """A decision with its reason, and the slices that it carries along, as (score, slice) pairs.

    `uncleared` are the scores whose gate on all cases together is not open.
    """

    decision: Decision
    reason: str
    regressed: tuple[tuple[str, str], ...] = ()
    unproven: tuple[tuple[str, str], ...] = ()
    uncleared: tuple[str, ...] = ()


def decide(scores: Sequence[ScoreVerdict], retuning: Retuning = Retuning.NOT_RUN) -> Ruling:
    """Fold the verdicts of all gating scores into one ruling: the worst one, with its reasons."""
    if not any(score.score.role is ScoreRole.QUALITY for score in scores):
        nothing = Ruling(Decision.COLLECT_MORE, "no score: drift alone cannot say whether answers got worse")
        return max([nothing, *(_of_score(score, retuning) for score in scores)], key=_severity)
    rulings = [_of_score(score, retuning) for score in scores]
    worst = max(rulings, key=_severity)
    if worst.decision is Decision.PROCEED and not any(score.slices for score in scores):
        return Ruling(Decision.PROCEED_WITH_CAUTION, "no slices: an aggregate can hide a regression in a part of it")
    reasons = [ruling.reason for ruling in rulings if ruling.decision is worst.decision and ruling.reason]
    return Ruling(
        worst.decision,
        "; ".join(dict.fromkeys(reasons)),
        tuple(item for ruling in rulings for item in ruling.regressed),
        tuple(item for ruling in rulings for item in ruling.unproven),
        tuple(name for ruling in rulings for name in ruling.uncleared),
    )


def _of_score(score: ScoreVerdict, retuning: Retuning) -> Ruling:
    regressed, unproven = _carried(score)
    decision, reason = _decision(score, retuning, regressed, unproven)
    name = score.score.name
    return Ruling(
        decision,
        reason,
        tuple((name, part) for part in regressed),
        tuple((name, part) for part in unproven),
        () if score.aggregate.outcome.clears else (name,),
    )


def _decision(
    score: ScoreVerdict, retuning: Retuning, regressed: Sequence[str], unproven: Sequence[str]
) -> tuple[Decision, str]:
    name, aggregate = score.score.name, score.aggregate
    why_retune = _why_retune(score)
    if why_retune and retuning is Retuning.BUDGET_SPENT:
        return Decision.STOP, f"re-tuning has spent its budget and {why_retune}"
    if why_retune:
        return Decision.RETUNE, why_retune
    if not aggregate.outcome.clears:
        return Decision.COLLECT_MORE, f"{name}: {aggregate.reason}"
    if not regressed and not unproven:
        return Decision.PROCEED, f"{name}: {aggregate.reason}"
    carried = [
        f"{kind}: {', '.join(names)}" for kind, names in (("regressed", regressed), ("unproven", unproven)) if names
    ]
    return Decision.PROCEED_WITH_CAUTION, f"{name}: {'; '.join(carried)}"


def _why_retune(score: ScoreVerdict) -> str:
    """The retune condition in words, or an empty string where it does not hold."""
    name, aggregate = score.score.name, score.aggregate
    failed = [part.slice.name for part in score.slices if _fails(part) and part.slice.role is SliceRole.CRITICAL]
    if aggregate.outcome is Outcome.FAIL:
        also = f"; also in {', '.join(failed)}" if failed else ""
        return f"{name}: {aggregate.reason}{also}"
    if failed:
        return f"{name}: regressed in {', '.join(failed)}"
    if aggregate.evidence is not None and aggregate.evidence.leans_worse:
        return f"{name}: leans worse beyond the margin; {aggregate.reason}"
    return ""


def _carried(score: ScoreVerdict) -> tuple[list[str], list[str]]:
    """The slices that regressed and, for quality scores, those that nothing is proven of yet."""
    regressed = [part.slice.name for part in score.slices if _fails(part)]
    if score.score.role is ScoreRole.CONTRACT:
        return regressed, []
    unproven = [part.slice.name for part in score.slices if not part.verdict.outcome.clears and not _fails(part)]
    return regressed, unproven


def _fails(part: SliceVerdict) -> bool:
    return part.verdict.outcome is Outcome.FAIL


def _severity(ruling: Ruling) -> int:
    return ruling.decision.severity

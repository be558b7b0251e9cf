"""The verdict on cases that nothing was fitted to: the rules of stage one, on the locked part of the suite.

Also the decision when no prompt was chosen: then the nearest one is judged on the select cases. That reading favours
the candidate, for its prompt was the best of many there; what fails even so is worse.
Elsewhere: the rules (evals.regression, domain.gate), who may say that a model is worse (`require_stage_two`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from midshift.domain.gate import Decision, Retuning, Ruling, ScoreVerdict, decide
from midshift.domain.suite import NO_MARGINS, Margin, Score, ScoreRole
from midshift.domain.verdict import MIN_CLUSTERS, Outcome
from midshift.errors import UsageError
from midshift.evals import contracts, regression
from midshift.evals.checking import DIFFERENT
from midshift.evals.regression import Rules
from midshift.evals.rows import Answer, Ledger, PairedRow
from midshift.evals.table import Table
from midshift.retune.measuring import ALPHA, Scored
from midshift.stats.interval import Method
from midshift.stats.power import cases_needed

_CLEARS = (Decision.PROCEED, Decision.PROCEED_WITH_CAUTION)
_CONTRACTS = frozenset((contracts.ANSWERED, contracts.JSON_VALID, contracts.SCHEMA))


@dataclass(frozen=True, slots=True)
class Gated:
    """The ruling, and what it rests on."""

    ruling: Ruling
    verdicts: tuple[ScoreVerdict, ...]


def gate(
    incumbent: Sequence[Scored],
    candidate: Sequence[Scored],
    margin: Margin,
    watch: frozenset[str],
    retuning: Retuning,
    own: Mapping[str, Margin] = NO_MARGINS,
    alpha: float = ALPHA,
    slices: Collection[str] = (),
) -> Gated:
    """Judge the candidate's answers against the incumbent's, as stage one does; the same cases on both sides.

    `slices` are all of the suite's: one that has no case here is unproven, and never silently left out.
    """
    table = Table(Ledger(unit="case", read=len(incumbent)))
    for old, new in zip(incumbent, candidate, strict=True):
        case = old.case
        table.append(
            PairedRow(
                place=case.place,
                id=case.id,
                incumbent=answer(old),
                candidate=answer(new),
                slices=case.slices,
                cluster=case.cluster,
                weight=case.weight,
                expects=case.expects,
            )
        )
    cases = table.finish()
    scores = [Score(name) for name in table.scores]
    verdicts = regression.verdicts(table, cases, scores, Rules(margin, alpha, watch, own))
    return Gated(with_unseen(decide(verdicts, retuning), verdicts, slices), tuple(verdicts))


def with_unseen(ruling: Ruling, verdicts: Sequence[ScoreVerdict], slices: Collection[str]) -> Ruling:
    """The ruling, with each slice that no case of the gate is in as unproven: nothing was shown of it."""
    quality = [score for score in verdicts if score.score.role is ScoreRole.QUALITY]
    judged = {part.slice.name for score in verdicts for part in score.slices}
    missing = sorted(set(slices) - judged)
    if not missing or not quality or ruling.decision not in _CLEARS:
        return ruling
    said = f"no case of {', '.join(map(repr, missing))} is left to judge by: unproven"
    unproven = tuple((score.score.name, name) for score in quality for name in missing)
    reason = "; ".join(part for part in (ruling.reason, said) if part)
    return replace(ruling, decision=Decision.PROCEED_WITH_CAUTION, reason=reason, unproven=ruling.unproven + unproven)


def cases_missing(verdicts: Sequence[ScoreVerdict], alpha: float = ALPHA) -> int | None:
    """How many more cases would settle what is open over all cases; None where more of them settle nothing.

    Where nothing can be told from the cases that are there, it is what a first look at a suite takes (evals.checking).
    """
    found = [_missing(score, alpha) for score in verdicts if not score.aggregate.outcome.clears]
    return max((number for number in found if number is not None), default=None)


def _missing(score: ScoreVerdict, alpha: float) -> int | None:
    evidence = score.aggregate.evidence
    if score.aggregate.outcome is Outcome.FAIL or (evidence is None and score.score.role is ScoreRole.CONTRACT):
        return None
    if evidence is not None and evidence.interval.clusters >= MIN_CLUSTERS:
        return None if evidence.needs_n is None else max(evidence.needs_n - evidence.interval.n, 1)
    return least_cases(Margin() if evidence is None else Margin(100 * evidence.margin), alpha)


def least_cases(margin: Margin, alpha: float = ALPHA) -> int:
    """Cases that show a margin to hold, if one in ten differs between the variants and none of it in the mean."""
    return cases_needed(math.sqrt(DIFFERENT), margin.fraction, alpha, Method.TANGO)


def require_stage_two(retuning: Retuning, decision: Decision) -> None:
    """Refuse the finding that a new model is worse as long as nobody has tuned its prompt.

    Raises:
        UsageError: unless re-tuning has spent its budget and the decision is to stop.
    """
    if retuning is not Retuning.BUDGET_SPENT or decision is not Decision.STOP:
        raise UsageError(
            f"found re-tuning {retuning.value!r} and the decision {decision.value!r}, expected 'budget_spent' and "
            "'stop': a model that was asked in another model's words is not worse, it is unknown. "
            "Type next: midshift retune WORKLOAD --to VARIANT_FILE --reflection PROVIDER/MODEL --max-usd X"
        )


def answer(one: Scored) -> Answer:
    """The answer with its scores; promises about its form are judged from the answer itself."""
    scores = {name: value for name, value in one.scores.items() if name not in _CONTRACTS}
    return replace(one.answer, scores=scores)

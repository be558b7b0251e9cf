"""The verdict on cases that nothing was fitted to: the rules of stage one, on the locked part of the suite.

Also the decision when no prompt was chosen: then the nearest one is judged on the select cases. That reading favours
the candidate, for its prompt was the best of many there; what fails even so is worse.
Elsewhere: the rules (evals.regression, domain.gate), who may say that a model is worse (`require_stage_two`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from midshift.domain.gate import Decision, Retuning, Ruling, ScoreVerdict, decide
from midshift.domain.suite import Margin, Score
from midshift.errors import UsageError
from midshift.evals import contracts, regression
from midshift.evals.regression import Rules
from midshift.evals.rows import Answer, Ledger, PairedRow
from midshift.evals.table import Table
from midshift.retune.measuring import ALPHA, Scored

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
) -> Gated:
    """Judge the candidate's answers against the incumbent's, as stage one does; the same cases on both sides."""
    table = Table(Ledger(unit="case", read=len(incumbent)))
    for old, new in zip(incumbent, candidate, strict=True):
        case = old.case
        table.append(
            PairedRow(
                place=case.place,
                id=case.id,
                incumbent=_answer(old),
                candidate=_answer(new),
                slices=case.slices,
                cluster=case.cluster,
                weight=case.weight,
                expects=case.expects,
            )
        )
    cases = table.finish()
    scores = [Score(name) for name in table.scores]
    verdicts = regression.verdicts(table, cases, scores, Rules(margin, ALPHA, watch))
    return Gated(decide(verdicts, retuning), tuple(verdicts))


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


def _answer(one: Scored) -> Answer:
    scores = {name: value for name, value in one.scores.items() if name not in _CONTRACTS}
    return replace(one.answer, scores=scores)

"""Stage one without files: both variants answer a suite that is in memory, and the gate of `compare` judges.

For rehearsals and stories. It buys as `midshift eval` does, on a ledger that ends with it.
Elsewhere: the command (eval), buying (buying).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from midshift.cli.buying import Shop, Terms, buy
from midshift.domain.evidence import EvalEvidence, failed_in
from midshift.domain.gate import decide
from midshift.domain.suite import Margin, Score
from midshift.domain.variant import Variant
from midshift.errors import UsageError
from midshift.evals import regression
from midshift.evals.grading import Grading
from midshift.evals.pairing import Plan, pairs, row
from midshift.evals.requests import Line
from midshift.evals.rows import Answer, PairedRow, Side
from midshift.evals.rows import Ledger as Troubles
from midshift.evals.suite_file import EvalCase
from midshift.evals.table import Table
from midshift.ports import Clock
from midshift.providers.http.messages import Transport
from midshift.providers.http.settings import Upstream
from midshift.providers.paid.buyer import OnUnknown
from midshift.providers.paid.pace import Limits
from midshift.providers.paid.till import Till
from midshift.providers.prices.book import PriceBook
from midshift.reports.comparison import Comparison
from midshift.shadow import drift
from midshift.shadow.columns import Columns
from midshift.stats.looks import Look
from midshift.store.ledger import Ledger

Grade = Callable[[EvalCase, Answer, Variant], Mapping[str, float]]

CONCURRENCY = 16
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Suite:
    """What an eval asks and how it grades; `model` is the id that the app sends, before a variant is rendered."""

    name: Path
    model: str
    cases: Sequence[EvalCase]
    grade: Grade
    margin: Margin = Margin()
    watch: frozenset[str] = frozenset()
    own_margins: Mapping[str, Margin] = field(default_factory=dict)


async def evaluate(
    suite: Suite,
    incumbent: Variant,
    candidate: Variant,
    transports: Mapping[str, Transport],
    clock: Clock,
    names: tuple[str, str],
) -> Comparison:
    """Run the suite on both and judge it, as `midshift compare` would judge the recorded answers.

    Raises:
        UsageError: if a variant's provider is not among `transports`.
    """
    variants = {Side.INCUMBENT: incumbent, Side.CANDIDATE: candidate}
    here = Upstream("http://127.0.0.1")
    lines = [Line.of(variant, here, suite.model, is_labelled=True) for variant in variants.values()]
    plan = Plan(suite.cases, 1, tuple({line.variant.id: line for line in lines}.values()))
    _require_known(plan, transports)

    def grade(case: EvalCase, answer: Answer, side: Side) -> Mapping[str, float]:
        return suite.grade(case, answer, variants[side])

    with Ledger() as calls:
        shop = Shop(calls, transports, Till(PriceBook(()), clock.now()), clock)
        await buy(plan, Grading(grade), shop, Terms(Limits(CONCURRENCY), on_unknown=OnUnknown.SKIP))
        rows = [row(pair) for pair in pairs(plan, plan.lines[-1], calls, Grading(grade))]
    return judged(rows, suite, names, clock.now())


def judged(rows: Sequence[PairedRow], suite: Suite, names: tuple[str, str], at: datetime) -> Comparison:
    """Verdicts, decision and drift of paired answers."""
    ledger = Troubles(unit="case", read=len(rows))
    table, columns = Table(ledger), Columns()
    for paired in rows:
        table.append(paired)
        columns.append(paired)
    cases = table.finish()
    rules = regression.Rules(suite.margin, ALPHA, suite.watch, suite.own_margins)
    verdicts = regression.verdicts(table, cases, [Score(name) for name in table.scores], rules)
    return Comparison(
        file=str(suite.name),
        incumbent=names[0],
        candidate=names[1],
        ruling=decide(verdicts),
        scores=verdicts,
        findings=drift.findings(columns, cases, table.ids.__getitem__),
        ledger=ledger,
        paired=int(cases.rows.size),
        without_slice=cases.without_slice,
        margin=suite.margin,
        alpha=ALPHA,
        look=Look(),
        weighted=cases.is_weighted,
        made_at=at,
        own_margins=suite.own_margins,
    )


def evidence_of(comparison: Comparison, candidate: Variant) -> EvalEvidence:
    """What the controller needs to know of an eval."""
    ruling = comparison.ruling
    return EvalEvidence(
        candidate=candidate.id,
        decision=ruling.decision,
        reason=ruling.reason,
        unproven=tuple(sorted({name for _, name in ruling.unproven})),
        regressed=tuple(sorted({name for _, name in ruling.regressed})),
        failed=failed_in(ruling),
    )


def _require_known(plan: Plan, transports: Mapping[str, Transport]) -> None:
    for name in {line.variant.provider for line in plan.lines} - set(transports):
        known = ", ".join(map(repr, sorted(transports))) or "none"
        raise UsageError(f"no address for provider {name!r}; known: {known}")

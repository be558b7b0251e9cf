"""Stage one over HTTP: both variants answer the suite at their provider, and the gate of `compare` judges."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from midshift.domain.evidence import EvalEvidence
from midshift.domain.gate import decide
from midshift.domain.rendering import render
from midshift.domain.suite import Margin, Score
from midshift.domain.variant import Variant
from midshift.errors import UsageError
from midshift.evals import regression, runner
from midshift.evals.rows import Answer, Ledger, PairedRow, Side, unanswered
from midshift.evals.suite_file import EvalCase
from midshift.evals.table import Table
from midshift.ports import Clock
from midshift.providers.http.messages import CallFailed, Request, Transport
from midshift.reports.comparison import Comparison
from midshift.shadow import drift
from midshift.shadow.columns import Columns
from midshift.stats.looks import Look
from midshift.wire.openai_chat import ChatRequest, read_answer

Grade = Callable[[EvalCase, Answer, Variant], Mapping[str, float]]

CONCURRENCY = 16
LARGEST_ANSWER = 64 << 20
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
    asks = {side: _asking(suite.model, variant, transports, clock) for side, variant in variants.items()}

    def grade(case: EvalCase, answer: Answer, side: Side) -> Mapping[str, float]:
        return suite.grade(case, answer, variants[side])

    rows = await runner.run(suite.cases, asks, grade, CONCURRENCY)
    return judged(rows, suite, names, clock.now())


def judged(rows: Sequence[PairedRow], suite: Suite, names: tuple[str, str], at: datetime) -> Comparison:
    """Verdicts, decision and drift of paired answers."""
    ledger = Ledger(unit="case", read=len(rows))
    table, columns = Table(ledger), Columns()
    for row in rows:
        table.append(row)
        columns.append(row)
    cases = table.finish()
    rules = regression.Rules(suite.margin, ALPHA, suite.watch)
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
    )


def _asking(model: str, variant: Variant, transports: Mapping[str, Transport], clock: Clock) -> runner.Ask:
    transport = transports.get(variant.provider)
    if transport is None:
        known = ", ".join(map(repr, sorted(transports))) or "none"
        raise UsageError(f"no address for provider {variant.provider!r}; known: {known}")

    async def ask(case: EvalCase) -> Answer:
        request = ChatRequest(_body(model, case))
        changes = render(request, variant)
        if changes is None:
            return Answer(None, failure="error")  # the prompt does not fit: this variant could not have answered
        headers = [(b"content-type", b"application/json"), (b"x-case-id", case.id.encode("ascii", "replace"))]
        started_s = clock.monotonic_s()
        try:
            sent = request.rewritten(changes)
            call = await transport.send(Request(sent.target, headers, sent.body), False)
            head = await call.head()
            body = await call.read(LARGEST_ANSWER)
            call.close()
        except CallFailed:
            return Answer(None, failure="error")
        return _answer(head.status, body, clock.monotonic_s() - started_s)

    return ask


def _body(model: str, case: EvalCase) -> bytes:
    content = {
        "model": model,
        "messages": [dict(message) for message in case.messages],
        "metadata": {"case_id": case.id},
    }
    return json.dumps(content).encode()


def _answer(status: int, body: bytes, latency_s: float) -> Answer:
    found = read_answer(body) if status == 200 else None
    if found is None:
        return Answer(None, failure="error")
    usage = found.usage
    numbers = (usage.tokens_in, usage.tokens_out, usage.reasoning_out, latency_s, None, usage.cost_usd)
    return Answer(
        found.text,
        failure=unanswered(found.text, int(found.finish_reason == "tool_calls"), False),
        numbers=tuple(math.nan if number is None else float(number) for number in numbers),
    )

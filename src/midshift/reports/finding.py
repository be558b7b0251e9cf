"""The finding of stage one as Markdown: that a candidate is worse, what was tried, and what it cost.

It is written when the decision is `stop`: re-tuning has spent its budget and the eval still fails. Elsewhere: the
finding of the re-tuning itself (retuning), who may write one (the commands).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from midshift.domain.gate import Retuning
from midshift.domain.suite import AGGREGATE, Margin
from midshift.reports import judging, words
from midshift.reports.bakeoff import Candidate
from midshift.reports.comparison import Comparison, Row, rows
from midshift.reports.text import visible

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~])")


@dataclass(frozen=True, slots=True)
class Tried:
    """What stage two did for a candidate. `record` is the file that says so; unknown costs are None."""

    retuning: Retuning
    record: str
    rounds: int
    prompts: int
    calls: int
    spent_usd: float | None
    ended: str = ""


def finding(found: Candidate, workload: str, day: date, tried: Tried, spent_usd: float | None) -> str:
    """The finding. `spent_usd` is what the eval cost in all, its judges included."""
    comparison, one = found.comparison, found.contender
    variant = f"{found.variant.provider}, {found.variant.model}"
    effort = f", effort {found.variant.effort}" if found.variant.effort else ""
    parts = [
        f"# Finding: {_said(one.name)} does worse on {_said(workload)}",
        f"**{_said(words.simulated_note(comparison), 400)}**" if comparison.is_simulated else "",
        f"{day:%d %B %Y}. Decision: **stop**. {_said(comparison.ruling.reason, 800)}",
        f"Candidate {_said(one.name)} ({_said(variant + effort)}), variant `{found.variant.id}`, against "
        f"{_said(comparison.incumbent)}; {comparison.paired:,} pairs, margin {comparison.margin}.",
        "\n".join(f"- **{_said(told, 400)}**" for told in comparison.taken_on),
        "## Verdicts",
        _table(comparison),
        "\n".join(f"- {_said(line.strip(), 400)}" for line in _seen(comparison)),
        "\n".join(f"- {_said(judging.words(note), 800)}" for note in comparison.judges),
        "## What was tried",
        f"Re-tuning: {tried.rounds} rounds, {tried.prompts} prompts scored, {tried.calls:,} calls, "
        f"{_usd(tried.spent_usd)}; it ended because: {_said(tried.ended) or 'all rounds were made'}. "
        f"On record in {_said(tried.record)}.",
        "## Cost",
        f"Per call: {_usd(one.economy.cost_usd)}. The eval, paid once: {_usd(spent_usd)}.",
        "\n".join(f"- {guard.code}: {_said(guard.words, 400)}" for guard in one.guards),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _seen(comparison: Comparison) -> list[str]:
    return [] if comparison.seen is None else words.seen_in_tuning(comparison.seen)


def _table(comparison: Comparison) -> str:
    head = f"| score | slice | n | {_said(comparison.incumbent)} | {_said(comparison.candidate)} | diff | m | verdict |"
    lines = (_line(row, comparison.margin_of(row.slice)) for row in rows(comparison))
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *lines])


def _line(row: Row, margin: Margin) -> str:
    return "| " + " | ".join(_cells(row, margin)) + " |"


def _cells(row: Row, margin: Margin) -> Iterator[str]:
    evidence, scale = row.verdict.evidence, row.score.range
    yield _said(row.score.name)
    yield "all cases" if row.slice == AGGREGATE else _said(row.slice)
    if evidence is None:
        yield from ("0", "unknown", "unknown", "unknown")
    else:
        interval = evidence.interval
        yield f"{interval.n:,}"
        yield words.score_value(row, evidence.incumbent)
        yield words.score_value(row, evidence.candidate)
        yield f"{words.score_change(interval.estimate, scale)} ({words.score_bounds(interval, scale)})"
    yield str(margin)
    yield row.verdict.outcome.value


def _usd(amount: float | None) -> str:
    return "cost unknown" if amount is None else f"{amount:.6g} USD"


def _said(text: str, longest: int = 200) -> str:
    """Foreign text on one line, with nothing that Markdown or a browser would act on."""
    return _SPECIAL.sub(r"\\\1", visible(text, longest))

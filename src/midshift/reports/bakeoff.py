"""A bake-off as a table for a terminal, and as `midshift.eval/1`: the comparison of each candidate with what it took.

Elsewhere: each comparison alone (comparison, terminal, html), who clears (domain.bakeoff).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from midshift.domain.bakeoff import Contender, Guarded, cheapest_clear, frontier
from midshift.domain.cost_split import CostSplit, Effects
from midshift.domain.suite import ScoreRole
from midshift.domain.variant import Variant
from midshift.reports import words
from midshift.reports.comparison import Comparison, document
from midshift.reports.text import visible

FORMAT = "midshift.eval/1"
_CAUSES = ("price", "caching", "mix", "input", "visible", "reasoning", "searches")


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One candidate of a bake-off: what was found, and in which file its pairs are."""

    contender: Contender
    variant: Variant
    comparison: Comparison
    split: CostSplit
    pairs: str
    finding: str | None = None
    """Where it is written that the candidate is worse, if that was found."""


@dataclass(frozen=True, slots=True, eq=False)
class Bakeoff:
    """Everything that a report of one eval shows. `spent_usd` is what it cost in all; None where that is unknown."""

    workload: str
    incumbent: Contender
    incumbent_variant: Variant
    candidates: Sequence[Candidate]
    calls: int
    bought: int
    spent_usd: float | None
    book: str
    files: Mapping[str, str] = field(default_factory=dict)
    python_graders: Mapping[str, str | None] = field(default_factory=dict)
    """The users' functions that graded, each with the SHA-256 of its code, None where that is unknown."""

    @property
    def contenders(self) -> list[Contender]:
        """All of them, the incumbent first."""
        return [self.incumbent, *(candidate.contender for candidate in self.candidates)]

    @property
    def cheapest(self) -> Contender | None:
        """The cheapest candidate that clears every gate."""
        return cheapest_clear([candidate.contender for candidate in self.candidates])


def quality(comparison: Comparison, is_candidate: bool) -> float | None:
    """The mean of the first quality score, in its own unit."""
    for score in comparison.scores:
        evidence = score.aggregate.evidence
        if score.score.role is ScoreRole.QUALITY and evidence is not None:
            share = evidence.candidate if is_candidate else evidence.incumbent
            return score.score.range.low + share * score.score.range.width
    return None


def as_document(found: Bakeoff) -> dict[str, Any]:
    """The JSON form, made of plain values; what is unknown is null."""
    unbeaten = frontier(found.contenders)
    return {
        "format": FORMAT,
        "workload": found.workload,
        "calls": found.calls,
        "bought": found.bought,
        "spent_usd": found.spent_usd,
        "price_book": found.book,
        "files": dict(found.files),
        "python_graders": dict(found.python_graders),
        "incumbent": {**_standing(found.incumbent, unbeaten), **_named(found.incumbent_variant)},
        "candidates": [
            {
                **_standing(candidate.contender, unbeaten),
                **_named(candidate.variant),
                "cost_split": asdict(candidate.split),
                "pairs": candidate.pairs,
                "finding": candidate.finding,
                "comparison": document(candidate.comparison),
            }
            for candidate in found.candidates
        ],
        "cheapest_clear": None if found.cheapest is None else found.cheapest.name,
    }


def _standing(one: Contender, unbeaten: frozenset[str]) -> dict[str, Any]:
    return {
        "name": one.name,
        "decision": None if one.decision is None else one.decision.value,
        "clears": one.clears,
        "quality": one.quality,
        "cost_usd_per_call": one.economy.cost_usd,
        "cost_unknown": one.economy.why,
        "latency_p50_s": one.economy.p50_s,
        "latency_p90_s": one.economy.p90_s,
        "latency_p99_s": one.economy.p99_s,
        "first_token_calls": one.economy.first_tokens,
        "first_token_p50_s": one.economy.first_token_p50_s,
        "first_token_p90_s": one.economy.first_token_p90_s,
        "on_frontier": one.name in unbeaten,
        "guards": [asdict(guard) for guard in one.guards],
        "over_budget": list(one.over),
    }


def _named(variant: Variant) -> dict[str, Any]:
    return {"id": variant.id, "provider": variant.provider, "model": variant.model, "effort": variant.effort}


def show(found: Bakeoff, console: Console) -> None:
    """Print the table, and what it comes to."""
    console.print(render(found))


def render(found: Bakeoff) -> RenderableType:
    """The bake-off as one renderable."""
    simulated = [one.comparison for one in found.candidates if one.comparison.is_simulated][:1]
    notes = [Text(visible(words.simulated_note(one), 400), "bold magenta") for one in simulated]
    return Group(*notes, _table(found), *_lines(found))


def _table(found: Bakeoff) -> Table:
    unbeaten = frontier(found.contenders)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("variant", overflow="fold")
    is_timed = any(one.economy.first_tokens for one in found.contenders)
    first = ("1st token p50", "1st token p90") if is_timed else ()
    for heading in ("quality", *first, "p50", "p90", "p99", "USD a call", "frontier"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("decision")
    for one in found.contenders:
        took = one.economy
        table.add_row(
            visible(one.name, 60),
            _number(one.quality, "{:.4g}"),
            *(_number(value, "{:.2f} s") for value in (took.first_token_p50_s, took.first_token_p90_s) if is_timed),
            _number(took.p50_s, "{:.2f} s"),
            _number(took.p90_s, "{:.2f} s"),
            _number(took.p99_s, "{:.2f} s"),
            _number(took.cost_usd, "{:.6f}"),
            "●" if one.name in unbeaten else "",
            _decision(one),
        )
    return table


def _decision(one: Contender) -> Text:
    if one.decision is None:
        return Text("serves today", "dim")
    if one.clears:
        return Text(f"✔ {words.TITLES[one.decision]}", "green")
    return Text(words.TITLES[one.decision], "yellow" if one.decision.severity < 3 else "bold red")


def _lines(found: Bakeoff) -> Iterator[Text]:
    for candidate in found.candidates:
        one = candidate.contender
        for guard in one.guards:
            yield _guard(one, guard)
        for said in one.over:
            yield Text(f"✖ {visible(one.name, 60)}: {said}", "red")
        yield Text(f"{visible(one.name, 60)}: {_why_cost(candidate.split)}", "dim")
    if any(one.economy.why for one in found.contenders):
        yield Text(f"unknown costs: {next(one.economy.why for one in found.contenders if one.economy.why)}", "yellow")
    best = found.cheapest
    if best is None:
        yield Text("no candidate of known cost clears every gate", "bold")
    else:
        yield Text(f"the cheapest that clears every gate: {visible(best.name, 60)}", "bold")
    for name, version in sorted(found.python_graders.items()):
        yield Text(f"graded by {visible(name, 200)}, version {(version or 'unknown')[:12]}", "dim")
    spent = "unknown" if found.spent_usd is None else f"{found.spent_usd:.4f} USD"
    yield Text(f"{found.calls:,} calls, {found.bought:,} of them bought now; cost in all: {spent}", "dim")


def _guard(one: Contender, guard: Guarded) -> Text:
    said = f"{guard.code} {visible(one.name, 60)}: {guard.words}"
    if guard.blocks:
        return Text(f"✖ {said}", "bold red")
    return Text(f"⚠ {said}; overridden by {visible(guard.overridden, 400)}", "yellow")


def _why_cost(split: CostSplit) -> str:
    """The difference in cost by its causes, the largest first."""
    if split.incumbent_usd is None or split.candidate_usd is None or split.effects_usd is None:
        return f"why it costs differently is unknown: {split.why}"
    causes = sorted(_causes(split, split.effects_usd), key=lambda item: -abs(item[0]))
    told = ", ".join(f"{name} {usd:+.6f}" for usd, name in causes if f"{abs(usd):.6f}" != "0.000000")
    return f"{split.candidate_usd - split.incumbent_usd:+.6f} USD a call: {told or 'no difference'}"


def _causes(split: CostSplit, effects: Effects) -> Iterator[tuple[float, str]]:
    """Every cause once: tokens as tokenizer and text, where characters were measured."""
    for name in _CAUSES:
        wording = {"input": split.of_input_usd, "visible": split.of_visible_usd}.get(name)
        if wording is None:
            yield getattr(effects, name), name
        else:
            yield wording.tokenizer, f"{name} tokenizer"
            yield wording.text, f"{name} text"


def _number(value: float | None, form: str) -> str:
    return "unknown" if value is None else form.format(value)

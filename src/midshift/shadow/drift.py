"""From columns to findings: what changed, by how much, and whether chance explains it.

Each finding compares the two variants on the same cases in one slice. Its p-value is the sign-flip test of "nothing
changed" (by cluster where there are clusters); findings are flagged where that survives Holm over the whole table, so
the chance of even one false flag between two equal variants is at most alpha. The interval is two-sided at 1 - alpha
and not adjusted: it says how large the change is, the flag says whether there is one.

Nothing here judges: a flagged drift may be an improvement. Shares are fractions of one, other values have the unit
that their metric's name ends in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from midshift.domain.suite import AGGREGATE
from midshift.evals.rows import Side
from midshift.evals.table import Cases
from midshift.shadow.columns import Columns, Floats, FrequentLines, Ints, SideColumns
from midshift.shadow.features import Form
from midshift.stats import multiplicity, paired, quantile, signflip
from midshift.stats.interval import Interval

ALPHA = 0.05
EXAMPLES = 3
_LINES_SHOWN = 3
_LINE_SHARE = 0.05


class Kind(StrEnum):
    """The families of drift."""

    LENGTH = "length"
    JSON = "json"
    FENCE = "fence"
    EMPTY = "empty"
    REFUSAL = "refusal"
    OPENING = "opening"
    CLOSING = "closing"
    LATENCY = "latency"
    COST = "cost"
    TOKENS = "tokens"


class Unit(StrEnum):
    """What a metric counts; decides how a person reads it."""

    SHARE = "share"
    CHARS = "chars"
    WORDS = "words"
    SECONDS = "s"
    USD = "usd"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class Finding:
    """One metric in one slice. `p` is two-sided; `p_adjusted` the same after Holm over the whole table."""

    kind: Kind
    metric: str
    unit: Unit
    slice: str
    incumbent: float
    candidate: float
    interval: Interval
    p: float
    p_adjusted: float
    family: int
    examples: tuple[str, ...]

    @property
    def flagged(self) -> bool:
        """Whether the change survives the controlled test."""
        return self.p_adjusted < ALPHA

    @property
    def delta(self) -> float:
        """Candidate minus incumbent."""
        return self.interval.estimate

    @property
    def reason(self) -> str:
        """Why it is flagged or not, in a sentence."""
        p = f"p = {self.p_adjusted:.2g}" if self.p_adjusted >= 0.001 else "p < 0.001"
        chance = f"{p} after Holm over {self.family} comparisons"
        if self.flagged:
            return f"more than chance: {chance}"
        if not self.interval.bounded:
            return f"too few differing pairs to bound it: {chance}"
        return f"inside the noise: {chance}"


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """One metric's two columns over the kept rows, and how to compare them."""

    kind: Kind
    metric: str
    unit: Unit
    incumbent: Floats
    candidate: Floats
    quantile: float | None = None


def findings(columns: Columns, cases: Cases, name_of: Callable[[int], str]) -> list[Finding]:
    """Every metric that the data hold, for all cases and for each slice; `name_of` gives a row's case id."""
    parts = [(AGGREGATE, np.ones(cases.rows.size, bool)), *cases.slices()]
    found: list[list[Finding]] = [[] for _ in parts]
    for metric in _metrics(columns, cases):  # one metric's columns at a time: a million rows have many metrics
        for into, (label, mask) in zip(found, parts, strict=True):
            finding = _compare(metric, label, mask, cases, name_of)
            if finding is not None:
                into.append(finding)
    return _with_adjusted([finding for part in found for finding in part])


def _metrics(columns: Columns, cases: Cases) -> Iterator[_Measured]:
    incumbent, candidate = columns.sides[Side.INCUMBENT], columns.sides[Side.CANDIDATE]
    rows = cases.rows

    def pair(read: Callable[[SideColumns], Floats]) -> tuple[Floats, Floats]:
        return read(incumbent)[rows], read(candidate)[rows]

    def share(kind: Kind, form: Form) -> _Measured:
        return _Measured(
            kind, str(form.name).lower(), Unit.SHARE, *pair(lambda side: side.has(form).astype(np.float64))
        )

    def numbers(name: str) -> tuple[Floats, Floats]:
        return pair(lambda side: side.number(name))

    chars = pair(lambda side: np.array(side.chars, np.float64))
    yield _Measured(Kind.LENGTH, "chars", Unit.CHARS, *chars)
    yield _Measured(Kind.LENGTH, "words", Unit.WORDS, *pair(lambda side: np.array(side.words, np.float64)))
    yield _Measured(Kind.LENGTH, "median_chars", Unit.CHARS, *chars, 0.5)
    yield share(Kind.JSON, Form.JSON_VALID)
    yield share(Kind.FENCE, Form.CODE_FENCE)
    yield share(Kind.EMPTY, Form.EMPTY)
    yield share(Kind.EMPTY, Form.BLOCKED)
    yield share(Kind.REFUSAL, Form.REFUSAL_LIKE)
    yield share(Kind.OPENING, Form.PREAMBLE)
    yield from _line_metrics(Kind.OPENING, columns.openings, incumbent.opening, candidate.opening, rows)
    yield share(Kind.CLOSING, Form.CLOSING_OFFER)
    yield from _line_metrics(Kind.CLOSING, columns.closings, incumbent.closing, candidate.closing, rows)
    for name in ("latency_s", "ttft_s"):
        yield _Measured(Kind.LATENCY, f"{name}_mean", Unit.SECONDS, *numbers(name))
        for q, label in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99")):
            yield _Measured(Kind.LATENCY, f"{name}_{label}", Unit.SECONDS, *numbers(name), q)
    yield _Measured(Kind.COST, "cost_usd", Unit.USD, *numbers("cost_usd"))
    for name in ("tokens_in", "tokens_out", "tokens_reasoning"):
        yield _Measured(Kind.TOKENS, name, Unit.TOKENS, *numbers(name))


def _line_metrics(
    kind: Kind, lines: FrequentLines, incumbent: Sequence[int], candidate: Sequence[int], rows: Ints
) -> Iterator[_Measured]:
    """The lines that most answers of either side share: has the candidate lost one, or brought one?

    Lines are chosen by how often they occur on both sides together, which says nothing about the direction, so the
    test of the direction stays exact.
    """
    before, after = np.array(incumbent, np.int64)[rows], np.array(candidate, np.int64)[rows]
    keys, counts = np.unique(np.concatenate([before, after]), return_counts=True)
    order = sorted(zip(counts.tolist(), keys.tolist(), strict=True), reverse=True)
    common = [key for count, key in order if key in lines.text and count >= max(5, 2 * _LINE_SHARE * rows.size)]
    for key in common[:_LINES_SHOWN]:
        yield _Measured(
            kind, f"line: {lines.text[key]}", Unit.SHARE, (before == key).astype(float), (after == key).astype(float)
        )


def _compare(
    metric: _Measured, label: str, mask: NDArray[np.bool_], cases: Cases, name_of: Callable[[int], str]
) -> Finding | None:
    usable = mask & ~np.isnan(metric.incumbent) & ~np.isnan(metric.candidate)
    incumbent, candidate = metric.incumbent[usable], metric.candidate[usable]
    if incumbent.size == 0 or (metric.unit is Unit.SHARE and not incumbent.any() and not candidate.any()):
        return None
    clusters = None if cases.are_independent else cases.cluster[usable]
    if metric.quantile is not None:
        before, after = (quantile.nearest_rank(side, metric.quantile) for side in (incumbent, candidate))
        interval = quantile.shift(incumbent, candidate, metric.quantile, ALPHA / 2, clusters)
        p = quantile.p_shift(incumbent, candidate, metric.quantile, clusters)
    else:
        before, after = float(incumbent.mean()), float(candidate.mean())
        interval, p = _mean_change(metric.unit, incumbent, candidate, clusters)
    return Finding(
        kind=metric.kind,
        metric=metric.metric,
        unit=metric.unit,
        slice=label,
        incumbent=before,
        candidate=after,
        interval=interval,
        p=p,
        p_adjusted=1.0,
        family=0,
        examples=_examples(candidate - incumbent, interval.estimate, cases.rows[usable], name_of),
    )


def _mean_change(unit: Unit, incumbent: Floats, candidate: Floats, clusters: Ints | None) -> tuple[Interval, float]:
    change = candidate - incumbent
    sums, sizes = paired.by_cluster(change, np.ones_like(change), clusters)
    if unit is Unit.SHARE:
        interval = paired.difference(paired.paired_sample(incumbent, candidate, clusters), ALPHA / 2)
    else:
        interval = signflip.mean_shift(sums, sizes, change.size, ALPHA / 2)
    return interval, signflip.p_two_sided(sums)


def _examples(change: Floats, delta: float, rows: Ints, name_of: Callable[[int], str]) -> tuple[str, ...]:
    """The cases that show the change best: the largest differences in its direction, earliest first among equals."""
    directed = change if delta >= 0.0 else -change
    if directed.size > EXAMPLES:
        threshold = np.partition(directed, -EXAMPLES)[-EXAMPLES]
        likely = np.flatnonzero(directed >= threshold)
    else:
        likely = np.arange(directed.size)
    best = likely[np.argsort(-directed[likely], kind="stable")][:EXAMPLES]
    return tuple(name_of(int(rows[index])) for index in best if directed[index] > 0.0)


def _with_adjusted(found: Sequence[Finding]) -> list[Finding]:
    adjusted = multiplicity.holm([finding.p for finding in found])
    return [replace(finding, p_adjusted=p, family=len(found)) for finding, p in zip(found, adjusted, strict=True)]

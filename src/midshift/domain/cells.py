"""One cell of the sums, held so that adding a request to it is cheap: every number at a place of its own.

By value it is what `domain.exposure.contributions` says, metric by metric, added one after the other. A metric that is
0 or 1 is a count of ones, whose square is the same; `feedback_rate` gets nothing but zeros here.
Elsewhere: which requests belong to a cell (domain.sums), its row in the store, with a column for each number
(store.schema): one more here is one more there, by a migration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import TypeAlias

from midshift.domain.exposure import Exposure, ShadowFate

Line: TypeAlias = tuple[str, int, float, float]
"""A metric with its count, its sum and its sum of squares."""

COUNTS = (
    *("requests", "errors", "said", "usage_unknown", "cost_unknown", "shadowed", "paired"),
    *("latencies", "ttfts", "costs", "ins", "outs"),
)
"""What a cell counts: requests, and those of them that something is true of or known of."""

SUMS = ("latency_s", "ttft_s", "cost_usd", "tokens_in", "tokens_out")
"""What it adds up, over those of which it is known."""

SQUARES = tuple([f"{name}2" for name in SUMS])
"""The sums of the same numbers squared."""

NUMBERS = (*COUNTS, *SUMS, *SQUARES)
"""All numbers of a cell, in the order in which they are kept."""


_PAIRED = ShadowFate.PAIRED


class Cell:
    """What requests that count for the same add up to. Plain numbers, all additive."""

    __slots__ = NUMBERS

    def __init__(self) -> None:
        self.requests = self.errors = self.said = self.usage_unknown = self.cost_unknown = 0
        self.shadowed = self.paired = self.latencies = self.ttfts = self.costs = self.ins = self.outs = 0
        self.latency_s = self.latency_s2 = self.ttft_s = self.ttft_s2 = self.cost_usd = self.cost_usd2 = 0.0
        self.tokens_in = self.tokens_in2 = self.tokens_out = self.tokens_out2 = 0.0

    def add(self, exposure: Exposure, ttft_s: float | None) -> None:
        """Take one more request into account; None is not known, and adds nothing. `ttft_s` is of streams alone."""
        latency_s, cost_usd = exposure.latency_s, exposure.cost_usd
        tokens_in, tokens_out = exposure.tokens_in, exposure.tokens_out
        self.requests += 1
        if exposure.has_failed:
            self.errors += 1
        if exposure.usage_unknown is not None:
            self.said += 1
            if exposure.usage_unknown:
                self.usage_unknown += 1
            if cost_usd is None:
                self.cost_unknown += 1
        if exposure.shadow is not None:
            self.shadowed += 1
            if exposure.shadow is _PAIRED:
                self.paired += 1
        if latency_s is not None:
            self.latencies += 1
            self.latency_s += latency_s
            self.latency_s2 += latency_s * latency_s
        if ttft_s is not None:
            self.ttfts += 1
            self.ttft_s += ttft_s
            self.ttft_s2 += ttft_s * ttft_s
        if cost_usd is not None:
            self.costs += 1
            self.cost_usd += cost_usd
            self.cost_usd2 += cost_usd * cost_usd
        if tokens_in is not None:
            self.ins += 1
            self.tokens_in += tokens_in
            self.tokens_in2 += tokens_in * tokens_in
        if tokens_out is not None:
            self.outs += 1
            self.tokens_out += tokens_out
            self.tokens_out2 += tokens_out * tokens_out

    def lines(self) -> Iterator[Line]:
        """The metrics that something was added to, by name."""
        if self.said:
            ones = float(self.cost_unknown)
            yield "cost_unknown", self.said, ones, ones
        if self.costs:
            yield "cost_usd", self.costs, self.cost_usd, self.cost_usd2
        ones = float(self.errors)
        yield "error", self.requests, ones, ones
        yield "feedback_rate", self.requests, 0.0, 0.0
        if self.latencies:
            yield "latency_s", self.latencies, self.latency_s, self.latency_s2
        if self.shadowed:
            ones = float(self.paired)
            yield "paired", self.shadowed, ones, ones
        if self.ins:
            yield "tokens_in", self.ins, self.tokens_in, self.tokens_in2
        if self.outs:
            yield "tokens_out", self.outs, self.tokens_out, self.tokens_out2
        if self.ttfts:
            yield "ttft_s", self.ttfts, self.ttft_s, self.ttft_s2
        if self.said:
            ones = float(self.usage_unknown)
            yield "usage_unknown", self.said, ones, ones


numbers = attrgetter(*NUMBERS)
"""All numbers of a cell: counts, sums, squares."""


def cell_of(found: Iterable[float]) -> Cell:
    """The cell that has these numbers.

    Raises:
        ValueError: if there are more of them, or fewer.
    """
    cell = Cell()
    for name, value in zip(NUMBERS, found, strict=True):
        setattr(cell, name, int(value) if name in COUNTS else value)
    return cell

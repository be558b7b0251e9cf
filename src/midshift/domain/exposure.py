"""What one request leaves behind: an exposure, and the sums that it adds to.

Every number is additive, so gateways merge by adding: per (upgrade, step, arm, slice, metric) and block of units the
count, the sum and the sum of squares, and counts in buckets for the quantiles. Arms are analysed as assigned; a
candidate's failure that the incumbent answered for is counted against the candidate. What is unknown is counted as
such (`usage_unknown`, `cost_unknown`), so that whoever looks at costs sees how much of them is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

from midshift.domain.histogram import Histogram, bucket_of
from midshift.domain.routing import Arm
from midshift.domain.suite import AGGREGATE
from midshift.domain.unseen import PairKind


class Fate(StrEnum):
    """How a received request ended for the user."""

    INCUMBENT = "served_by_incumbent"
    CANDIDATE = "served_by_candidate"
    REFUSED = "refused"


class ShadowFate(StrEnum):
    """How an unseen second answer that was wanted ended."""

    PAIRED = "paired"
    SKIPPED = "skipped"
    SHED = "shed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Exposure:
    """One received request. `assigned` is by hash, `fate` is what the user got; numbers are None where unknown.

    A member of a `ring` got the candidate without drawing lots and is in no sum. `unnamed`: nothing in the request
    named its unit, so it was one by itself. `stayed`: what it holds of an earlier answer kept it with the variant that
    gave that answer; it counts for the arm that it was assigned to all the same.
    `shadow` is about the candidate's unseen answer in shadow alone, which coverage is counted by; the other kinds of
    unseen answers leave it None.

    `request_id` is the token that the app was given. `at` is machine time, None in records of earlier versions.
    `variant` is the one that answered, `model` what the provider says has answered, `wire` the app's. The token counts
    by kind are parts of `tokens_in` and `tokens_out` as in `usage.Usage`. `cost_usd` was priced by `price_book`, None
    where the provider said it. `fell_back_reason` is why the incumbent answered for a candidate. `usage_unknown` is
    None where there was no answer whose usage could be known.
    """

    request_id: str
    workload: str
    epoch: int
    fate: Fate
    assigned: Arm
    upgrade: str | None = None
    step: int = 0
    propensity: float = 0.0
    unit: str = ""
    block: int = 0
    slices: tuple[str, ...] = ()
    status: int = 0
    fell_back: bool = False
    shadow: ShadowFate | None = None
    latency_s: float | None = None
    first_byte_s: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    finish_reason: str | None = None
    streamed: bool = False
    ring: str = ""
    unnamed: bool = False
    stayed: bool = False
    at: datetime | None = None
    variant: str = ""
    model: str | None = None
    wire: str = ""
    fell_back_reason: str = ""
    cached_in: int | None = None
    cache_write_in: int | None = None
    cache_write_long_in: int | None = None
    reasoning_out: int | None = None
    audio_in: int | None = None
    cached_audio_in: int | None = None
    audio_out: int | None = None
    searches: int | None = None
    service_tier: str | None = None
    price_book: str | None = None
    usage_unknown: bool | None = None


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """What drift asks of a text, where the text itself is not kept.

    `form` are the bits of `shadow.features.Form`. `opening` and `closing` are its first and last line as keyed
    digests: equal lines have equal digests, and a digest says nothing without the key.
    """

    chars: int
    words: int
    form: int
    opening: str
    closing: str


@dataclass(frozen=True, slots=True)
class ShadowAnswer:
    """One side of a pair: the text (None where there was none), how it ended, and what it took.

    `tools` is a JSON list of the tool calls, each with name and arguments as the model wrote them. `first_byte_s` is
    known of streams. `cached_in` and `cache_write_in` are parts of `tokens_in`, `reasoning_out` is of `tokens_out`.
    `features` is what is left where the text is not kept.
    """

    text: str | None
    status: int
    latency_s: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    finish_reason: str | None = None
    tools: str | None = None
    first_byte_s: float | None = None
    cached_in: int | None = None
    cache_write_in: int | None = None
    reasoning_out: int | None = None
    features: TextFeatures | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one request, of which the user saw one; `seen` is the side of it.

    The sides are the variants, whichever was seen. Of a `NOISE` pair both are the incumbent's: `incumbent` is the one
    that the user got, `candidate` the unseen one, and `candidate_id` is the incumbent's own id, so whoever looks for
    the pairs of a candidate never meets them. `propensity` is the chance with which such a request got this unseen
    answer: weigh by its inverse to speak of all of them. `stripped` says that the unseen request went without what
    only the model that made it can read (thinking, encrypted reasoning).
    """

    request_id: str
    workload: str
    upgrade: str
    candidate_id: str
    slices: tuple[str, ...]
    incumbent: ShadowAnswer
    candidate: ShadowAnswer
    kind: PairKind = PairKind.SHADOW
    seen: Arm = Arm.INCUMBENT
    propensity: float = 1.0
    step: int = 0
    unit: str = ""
    stripped: bool = False

    @property
    def size(self) -> int:
        """How many characters the answers have, for whoever bounds what waits."""
        return sum(len(text or "") for side in (self.incumbent, self.candidate) for text in (side.text, side.tools))

    at: datetime | None = None


@dataclass(frozen=True, slots=True, order=True)
class SumKey:
    """What a sum is about. `slice` is `*` for all requests."""

    workload: str
    upgrade: str
    step: int
    arm: Arm
    slice: str
    metric: str
    block: int


@dataclass(slots=True)
class Sum:
    """Count, sum and sum of squares; merges by addition."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Take one more value into account."""
        self.n += 1
        self.total += value
        self.squares += value * value

    def merge(self, other: Sum) -> None:
        """Take another gateway's sum into account."""
        self.n += other.n
        self.total += other.total
        self.squares += other.squares


@dataclass(frozen=True, slots=True, order=True)
class HistogramKey:
    """What a histogram is about: as for a sum, without blocks."""

    workload: str
    upgrade: str
    step: int
    arm: Arm
    slice: str
    metric: str


_Cell: TypeAlias = tuple[str, str, int, Arm, str, int]
"""Workload, upgrade, step, arm, slice and block of a sum: all of its key but the metric."""


@dataclass(slots=True)
class Sums:
    """Many sums and histograms by key. Held by cell: adding is on the path of a request."""

    _cells: dict[_Cell, dict[str, Sum]] = field(default_factory=dict)
    _counts: dict[tuple[str, str, int, Arm, str], dict[str, Histogram]] = field(default_factory=dict)

    @property
    def by_key(self) -> dict[SumKey, Sum]:
        """The sums."""
        return {
            SumKey(workload, upgrade, step, arm, part, metric, block): value
            for (workload, upgrade, step, arm, part, block), cell in self._cells.items()
            for metric, value in cell.items()
        }

    @property
    def histograms(self) -> dict[HistogramKey, Histogram]:
        """The histograms."""
        return {
            HistogramKey(*about, metric): counts
            for about, cell in self._counts.items()
            for metric, counts in cell.items()
        }

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added."""
        return not self._cells

    def add(self, exposure: Exposure) -> None:
        """Add one exposure to everything that it belongs to."""
        measured = _measured(exposure)
        if exposure.upgrade is None or not measured:
            return
        buckets = [(metric, bucket_of(measured[metric])) for metric in IN_HISTOGRAMS if metric in measured]
        for name in _unique((AGGREGATE, *exposure.slices)):
            about = (exposure.workload, exposure.upgrade, exposure.step, exposure.assigned, name)
            cell = self._cells.setdefault((*about, exposure.block), {})
            for metric, value in measured.items():
                if (found := cell.get(metric)) is None:
                    found = cell[metric] = Sum()
                found.n += 1  # as `Sum.add` has it; a call for each number would double what a request costs here
                found.total += value
                found.squares += value * value
            counts = self._counts.setdefault(about, {})
            for metric, bucket in buckets:
                if (histogram := counts.get(metric)) is None:
                    histogram = counts[metric] = Histogram()
                histogram.buckets[bucket] += 1

    def merge(
        self, other: Mapping[SumKey, Sum], histograms: Mapping[HistogramKey, Histogram] = MappingProxyType({})
    ) -> None:
        """Add another set of sums."""
        for key, value in other.items():
            cell = self._cells.setdefault((key.workload, key.upgrade, key.step, key.arm, key.slice, key.block), {})
            cell.setdefault(key.metric, Sum()).merge(value)
        for name, buckets in histograms.items():
            counts = self._counts.setdefault((name.workload, name.upgrade, name.step, name.arm, name.slice), {})
            counts.setdefault(name.metric, Histogram()).merge(buckets.buckets)


IN_HISTOGRAMS = frozenset({"latency_s", "ttft_s"})
"""The metrics whose quantiles are asked for."""


def contributions(exposure: Exposure) -> Iterator[tuple[SumKey, float]]:
    """What one exposure adds: (key, value) for all requests and for each of its slices.

    Every one of them adds to `error`, so its count is that of all requests. `feedback_rate` is counted here with 0 and
    gets its ones from `feedback`. `ttft_s` is of streams alone: any other answer comes as a whole.
    """
    if exposure.upgrade is None:
        return
    for name in _unique((AGGREGATE, *exposure.slices)):
        for metric, value in _measured(exposure).items():
            key = SumKey(
                exposure.workload, exposure.upgrade, exposure.step, exposure.assigned, name, metric, exposure.block
            )
            yield key, value


def _measured(exposure: Exposure) -> dict[str, float]:
    """The metrics of one exposure that are known; none where it is no part of a comparison."""
    if exposure.upgrade is None or exposure.ring:
        return {}
    unknown = exposure.usage_unknown
    measured = {
        "error": _failed(exposure),
        "latency_s": exposure.latency_s,
        "ttft_s": exposure.first_byte_s if exposure.streamed else None,
        "cost_usd": exposure.cost_usd,
        "cost_unknown": None if unknown is None else float(exposure.cost_usd is None),
        "usage_unknown": None if unknown is None else float(unknown),
        "tokens_in": None if exposure.tokens_in is None else float(exposure.tokens_in),
        "tokens_out": None if exposure.tokens_out is None else float(exposure.tokens_out),
        "paired": None if exposure.shadow is None else float(exposure.shadow is ShadowFate.PAIRED),
        "feedback_rate": 0.0,
    }
    return {metric: value for metric, value in measured.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Credit:
    """What a request was served as: all that late feedback needs in order to count for the step that served it.

    `upgrade` is None where nothing of it counts in a comparison: without one, and for a ring.
    """

    workload: str
    upgrade: str | None
    step: int
    arm: Arm
    slices: tuple[str, ...]
    block: int


def feedback_sums(credit: Credit, satisfaction: float | None, has_ticket: bool) -> dict[SumKey, Sum]:
    """What one feedback adds: itself to the reply rate, whose count is the requests', and what it says.

    `satisfaction` lies in 0..1; None for a feedback that is only a ticket.
    """
    if credit.upgrade is None:
        return {}
    given = {"feedback_rate": Sum(0, 1.0, 1.0)}
    if satisfaction is not None:
        given["satisfaction"] = Sum(1, satisfaction, satisfaction * satisfaction)
    if has_ticket:
        given["ticket_rate"] = Sum(0, 1.0, 1.0)
    return {
        SumKey(credit.workload, credit.upgrade, credit.step, credit.arm, name, metric, credit.block): replace(value)
        for name in _unique((AGGREGATE, *credit.slices))
        for metric, value in given.items()
    }


def _failed(exposure: Exposure) -> float:
    return 1.0 if exposure.fell_back or exposure.status >= 500 or exposure.status == 0 else 0.0


def _unique(names: Iterable[str]) -> Iterator[str]:
    return iter(dict.fromkeys(names))

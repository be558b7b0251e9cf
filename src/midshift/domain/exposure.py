"""What one request leaves behind: an exposure, and the sums that it adds to.

Every number is additive, so gateways merge by adding: per (upgrade, step, arm, slice, metric) and block of units the
count, the sum and the sum of squares, and counts in buckets for the quantiles. Arms are analysed as assigned; a
candidate's failure that the incumbent answered for is counted against the candidate. What is unknown is counted as
such (`usage_unknown`, `cost_unknown`), so that whoever looks at costs sees how much of them is not there.
Elsewhere: adding many of them up (sums).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from midshift.domain.light import Light
from midshift.domain.routing import Arm
from midshift.domain.suite import AGGREGATE
from midshift.domain.unseen import PairKind


class Fate(StrEnum):
    """How a received request ended for the user."""

    __hash__ = str.__hash__  # a key on the path of every request: Enum's own is a call of Python

    INCUMBENT = "served_by_incumbent"
    CANDIDATE = "served_by_candidate"
    REFUSED = "refused"


class ShadowFate(StrEnum):
    """How an unseen second answer that was wanted ended."""

    __hash__ = str.__hash__  # a key on the path of every request: Enum's own is a call of Python

    PAIRED = "paired"
    SKIPPED = "skipped"
    SHED = "shed"
    FAILED = "failed"


class Exposure(Light):
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

    @property
    def has_failed(self) -> bool:
        """Whether it counts as an error of the arm that it was assigned to."""
        return self.fell_back or self.status >= 500 or self.status == 0


class TextFeatures(Light):
    """What drift asks of a text, where the text itself is not kept.

    `form` are the bits of `shadow.features.Form`. `opening` and `closing` are its first and last line as keyed
    digests: equal lines have equal digests, and a digest says nothing without the key.
    """

    chars: int
    words: int
    form: int
    opening: str
    closing: str


class ShadowAnswer(Light):
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


class Pair(Light):
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
        one, other = self.incumbent, self.candidate
        return len(one.text or "") + len(one.tools or "") + len(other.text or "") + len(other.tools or "")

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


IN_HISTOGRAMS = frozenset({"latency_s", "ttft_s"})
"""The metrics whose quantiles are asked for."""


def contributions(exposure: Exposure) -> Iterator[tuple[SumKey, float]]:
    """What one exposure adds: (key, value) for all requests and for each of its slices.

    Every one of them adds to `error`, so its count is that of all requests. `feedback_rate` is counted here with 0 and
    gets its ones from `feedback`. `ttft_s` is of streams alone: any other answer comes as a whole.
    """
    if exposure.upgrade is None:
        return
    for name in parts(exposure.slices):
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
        "error": float(exposure.has_failed),
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


class Credit(Light):
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
        for name in parts(credit.slices)
        for metric, value in given.items()
    }


def parts(slices: Iterable[str]) -> Iterable[str]:
    """What a request with these slices counts for: all requests, and each slice once."""
    return dict.fromkeys((AGGREGATE, *slices))

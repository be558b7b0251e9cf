"""From what came of a request to its exposure.

Elsewhere: what it adds to the sums (domain.exposure), where it goes (recorder).
"""

from __future__ import annotations

from datetime import datetime

from midshift.domain.exposure import Exposure, Fate, ShadowFate
from midshift.domain.usage import Usage
from midshift.gateway.job import Job, Outcome

CLIENT_LEFT = 499
_LONGEST_NAME = 200
_REFUSED = Fate.REFUSED


def exposure_of(
    job: Job, outcome: Outcome, shadow: ShadowFate | None, cost_usd: float | None, price_book: str, at: datetime
) -> Exposure:
    """All numbers about one request. `price_book` is where `cost_usd` is from, unless the provider billed it."""
    route, fate, usage = job.serving.route, outcome.fate, outcome.answer.usage
    made = Exposure(job.id, job.workload.name, route.epoch, fate, job.assigned)
    made.upgrade = None if fate is _REFUSED else route.upgrade  # no variant is to blame
    made.step = route.step
    made.propensity = 1.0 if job.ring else route.share
    made.unit = job.unit
    made.block = job.block
    made.slices = job.slices
    made.shadow = shadow
    made.streamed = job.request.stream
    made.ring = job.ring
    made.unnamed = job.unnamed
    made.stayed = job.stayed
    made.at = at
    made.wire = job.wire
    made.cost_usd = cost_usd
    made.price_book = (price_book or None) if cost_usd is not None and usage.cost_usd is None else None
    made.usage_unknown = is_unknown(usage) if outcome.is_answered or outcome.left else None
    _take_outcome(made, outcome)
    _take_usage(made, usage)
    return made


def _take_outcome(made: Exposure, outcome: Outcome) -> None:
    answer = outcome.answer
    made.status = CLIENT_LEFT if outcome.left else outcome.status
    made.fell_back = bool(outcome.fell_back)
    made.fell_back_reason = outcome.fell_back
    made.latency_s = outcome.latency_s
    made.first_byte_s = outcome.first_byte_s
    made.finish_reason = answer.finish_reason
    made.variant = outcome.by.id if outcome.by is not None else ""
    made.model = answer.model[:_LONGEST_NAME] if answer.model else None


def _take_usage(made: Exposure, usage: Usage) -> None:
    made.tokens_in = usage.tokens_in
    made.tokens_out = usage.tokens_out
    made.cached_in = usage.cached_in
    made.cache_write_in = usage.cache_write_in
    made.cache_write_long_in = usage.cache_write_long_in
    made.reasoning_out = usage.reasoning_out
    made.audio_in = usage.audio_in
    made.cached_audio_in = usage.cached_audio_in
    made.audio_out = usage.audio_out
    made.searches = usage.searches
    made.service_tier = usage.service_tier


def is_unknown(usage: Usage) -> bool:
    """Whether a provider that answered kept to itself what it counted: its cost cannot be known then."""
    return usage.tokens_in is None or usage.tokens_out is None

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
    route, fate, answer, by = job.serving.route, outcome.fate, outcome.answer, outcome.by
    usage, model = answer.usage, answer.model
    is_heard = outcome.is_answered or outcome.left
    return Exposure(  # in the order of its fields: forty of them by name would cost each request 2 µs
        job.id,
        job.workload.name,
        route.epoch,
        fate,
        job.assigned,
        None if fate is _REFUSED else route.upgrade,  # no variant is to blame
        route.step,
        1.0 if job.ring else route.share,
        job.unit,
        job.block,
        job.slices,
        CLIENT_LEFT if outcome.left else outcome.status,
        outcome.fell_back != "",
        shadow,
        outcome.latency_s,
        outcome.first_byte_s,
        usage.tokens_in,
        usage.tokens_out,
        cost_usd,
        answer.finish_reason,
        job.request.stream,
        job.ring,
        job.unnamed,
        job.stayed,
        at,
        "" if by is None else by.id,
        model[:_LONGEST_NAME] if model else None,
        job.wire,
        outcome.fell_back,
        usage.cached_in,
        usage.cache_write_in,
        usage.cache_write_long_in,
        usage.reasoning_out,
        usage.audio_in,
        usage.cached_audio_in,
        usage.audio_out,
        usage.searches,
        usage.service_tier,
        (price_book or None) if cost_usd is not None and usage.cost_usd is None else None,
        is_unknown(usage) if is_heard else None,
    )


def is_unknown(usage: Usage) -> bool:
    """Whether a provider that answered kept to itself what it counted: its cost cannot be known then."""
    return usage.tokens_in is None or usage.tokens_out is None

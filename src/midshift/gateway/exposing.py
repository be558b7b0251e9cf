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


def exposure_of(
    job: Job, outcome: Outcome, shadow: ShadowFate | None, cost_usd: float | None, price_book: str, at: datetime
) -> Exposure:
    """All numbers about one request. `price_book` is where `cost_usd` is from, unless the provider billed it."""
    route, usage = job.serving.route, outcome.answer.usage
    return Exposure(
        request_id=job.id,
        workload=job.workload.name,
        epoch=route.epoch,
        fate=outcome.fate,
        assigned=job.assigned,
        upgrade=None if outcome.fate is Fate.REFUSED else route.upgrade,  # no variant is to blame
        step=route.step,
        propensity=1.0 if job.ring else route.share,
        unit=job.unit,
        block=job.block,
        slices=job.slices,
        status=CLIENT_LEFT if outcome.left else outcome.status,
        fell_back=bool(outcome.fell_back),
        fell_back_reason=outcome.fell_back,
        shadow=shadow,
        latency_s=outcome.latency_s,
        first_byte_s=outcome.first_byte_s,
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        cached_in=usage.cached_in,
        cache_write_in=usage.cache_write_in,
        cache_write_long_in=usage.cache_write_long_in,
        reasoning_out=usage.reasoning_out,
        audio_in=usage.audio_in,
        cached_audio_in=usage.cached_audio_in,
        audio_out=usage.audio_out,
        searches=usage.searches,
        service_tier=usage.service_tier,
        cost_usd=cost_usd,
        price_book=(price_book or None) if cost_usd is not None and usage.cost_usd is None else None,
        finish_reason=outcome.answer.finish_reason,
        streamed=job.request.stream,
        ring=job.ring,
        unnamed=job.unnamed,
        stayed=job.stayed,
        at=at,
        variant=outcome.by.id if outcome.by is not None else "",
        model=outcome.answer.model[:_LONGEST_NAME] if outcome.answer.model else None,
        wire=job.wire.value,
        usage_unknown=is_unknown(usage) if outcome.is_answered or outcome.left else None,
    )


def is_unknown(usage: Usage) -> bool:
    """Whether a provider that answered kept to itself what it counted: its cost cannot be known then."""
    return usage.tokens_in is None or usage.tokens_out is None

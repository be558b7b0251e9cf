"""From what came of a request, for the user and unseen, to the two sides of a pair.

A body that is no answer, although its status said so, counts as 502, seen or unseen. A candidate that could not answer
the user, so that the incumbent did, has failed on its side: leaving such requests out would make it look better the
worse it is. That holds for our own limits too, a pool that was full (`busy`) or a field without words (`uncarried`): a
slow candidate fills its pool, what is left out is the busy hours, and at the next step its users would meet the same.
So a gate may conclude that this candidate cannot serve this traffic as it is set up here, and not that its answers are
worse; the reason stands in each exposure and in `fell_back_total`.
Elsewhere: asking unseen (mirror), asking for the user (relay).
"""

from __future__ import annotations

from dataclasses import dataclass

from midshift.domain.exposure import Pair, ShadowAnswer
from midshift.domain.routing import Arm
from midshift.domain.unseen import Unseen
from midshift.domain.variant import Variant
from midshift.gateway.job import Job, Outcome
from midshift.gateway.settings import Pricing
from midshift.providers.http.messages import Failure
from midshift.wire.protocol import WireName
from midshift.wire.translation.tool_calls import tool_calls
from midshift.wire.wires import WIRES

CLIENT_LEFT = 499

_CALLS_TOOLS = (b"tool", b"function")
_FAILURES = {failure.value: failure.status for failure in Failure} | {"breaker": 503, "uncarried": 400}


@dataclass(frozen=True, slots=True)
class Received:
    """An answer as it came, on `wire`; `body` is None where there was none."""

    wire: WireName
    status: int
    body: bytes | None = None
    latency_s: float | None = None
    first_byte_s: float | None = None


def side(variant: Variant, received: Received, streamed: bool, pricing: Pricing) -> ShadowAnswer:
    """One side of a pair."""
    body = received.body if received.status == 200 else None
    spoken = WIRES[received.wire]
    answer = None if body is None else spoken.read_stream(body) if streamed else spoken.read_answer(body)
    if answer is None or body is None:
        status = 502 if received.status == 200 else received.status
        return ShadowAnswer(None, status, received.latency_s, first_byte_s=received.first_byte_s)
    usage = answer.usage
    has_calls = any(mark in body for mark in _CALLS_TOOLS)
    return ShadowAnswer(
        text=answer.text,
        status=200,
        latency_s=received.latency_s,
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        cost_usd=pricing(variant, usage),
        finish_reason=answer.finish_reason,
        tools=tool_calls(received.wire, body, streamed) if has_calls else None,
        first_byte_s=received.first_byte_s,
        cached_in=usage.cached_in,
        cache_write_in=usage.cache_write_in,
        reasoning_out=usage.reasoning_out,
    )


def seen_side(job: Job, outcome: Outcome, pricing: Pricing) -> ShadowAnswer:
    """What the variant of the request's arm answered the user."""
    served = job.serving.candidate if job.chosen is Arm.CANDIDATE else job.serving.incumbent
    assert served is not None
    if outcome.left:
        return ShadowAnswer(None, CLIENT_LEFT, outcome.latency_s)
    if job.chosen is Arm.CANDIDATE and (outcome.by is None or outcome.by.id != served.id):
        return ShadowAnswer(None, _status_of(outcome), outcome.latency_s)
    first_byte_s = outcome.first_byte_s if job.request.stream else None
    received = Received(outcome.body_wire, outcome.status, outcome.body, outcome.latency_s, first_byte_s)
    return side(served.variant, received, job.request.stream, pricing)


def pair_of(job: Job, wanted: Unseen, seen: ShadowAnswer, unseen: ShadowAnswer, stripped: bool) -> Pair:
    """Both sides under one request id."""
    is_reversed = job.chosen is Arm.CANDIDATE
    candidate = job.serving.candidate
    candidate_id = candidate.id if is_reversed and candidate is not None else wanted.variant
    return Pair(
        request_id=job.id,
        workload=job.workload.name,
        upgrade=job.serving.route.upgrade or "",
        candidate_id=candidate_id,
        slices=job.slices,
        incumbent=unseen if is_reversed else seen,
        candidate=seen if is_reversed else unseen,
        kind=wanted.kind,
        seen=job.chosen,
        propensity=wanted.propensity,
        step=job.serving.route.step,
        unit=job.unit,
        stripped=stripped,
    )


def _status_of(outcome: Outcome) -> int:
    """How a candidate failed that the incumbent answered for."""
    if outcome.fell_back.isdecimal():
        return int(outcome.fell_back)
    if outcome.fell_back:
        return _FAILURES.get(outcome.fell_back, 502)
    return outcome.status if outcome.status != 200 else 502  # both refused: the request's own fault

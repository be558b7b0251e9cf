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

from midshift.domain.exposure import Pair, ShadowAnswer
from midshift.domain.light import Light
from midshift.domain.routing import Arm
from midshift.domain.unseen import Unseen
from midshift.domain.variant import Variant
from midshift.gateway.job import Job, Outcome
from midshift.gateway.settings import Pricing
from midshift.providers.http.messages import Failure
from midshift.wire.protocol import Answer, WireName
from midshift.wire.translation.tool_calls import tool_calls
from midshift.wire.wires import WIRES

CLIENT_LEFT = 499
_CANDIDATE = Arm.CANDIDATE

_FAILURES = {failure.value: failure.status for failure in Failure} | {"breaker": 503, "uncarried": 400}


class Received(Light):
    """An answer as it came, on `wire`; `body` is None where there was none."""

    wire: WireName
    status: int
    body: bytes | None = None
    latency_s: float | None = None
    first_byte_s: float | None = None


def unseen_side(variant: Variant, received: Received, streamed: bool, pricing: Pricing) -> ShadowAnswer:
    """What a variant answered that nobody saw."""
    body, wire = received.body, WIRES[received.wire]
    if body is None or received.status != 200:
        return _failed(received.status, received.latency_s, received.first_byte_s)
    answer = wire.read_stream(body) if streamed else wire.read_answer(body)
    if answer is None:
        return _failed(received.status, received.latency_s, received.first_byte_s)
    tools, cost_usd = tool_calls(answer, received.wire, body, streamed), pricing(variant, answer.usage)
    return _side(answer, tools, cost_usd, received.latency_s, received.first_byte_s)


def seen_side(job: Job, outcome: Outcome, pricing: Pricing) -> ShadowAnswer:
    """What the variant of the request's arm answered the user."""
    is_candidates = job.chosen is _CANDIDATE
    served = job.serving.candidate if is_candidates else job.serving.incumbent
    assert served is not None
    if outcome.left:
        return ShadowAnswer(None, CLIENT_LEFT, outcome.latency_s)
    if is_candidates and (outcome.by is None or outcome.by.id != served.id):
        return ShadowAnswer(None, _status_of(outcome), outcome.latency_s)
    streamed = job.request.stream
    first_byte_s = outcome.first_byte_s if streamed else None
    answer = outcome.said(streamed)
    if answer is None:
        return _failed(outcome.status, outcome.latency_s, first_byte_s)
    tools = tool_calls(answer, outcome.body_wire, outcome.body or b"", streamed)
    cost_usd = pricing(served.variant, answer.usage) if streamed else outcome.cost_usd(pricing)
    return _side(answer, tools, cost_usd, outcome.latency_s, first_byte_s)


def pair_of(job: Job, wanted: Unseen, seen: ShadowAnswer, unseen: ShadowAnswer, stripped: bool) -> Pair:
    """Both sides under one request id."""
    route, candidate, candidate_id = job.serving.route, job.serving.candidate, wanted.variant
    incumbents, candidates = seen, unseen
    if job.chosen is _CANDIDATE:
        incumbents, candidates = unseen, seen
        candidate_id = candidate_id if candidate is None else candidate.id
    return Pair(  # in the order of its fields, as all that is made for each request
        job.id,
        job.workload.name,
        route.upgrade or "",
        candidate_id,
        job.slices,
        incumbents,
        candidates,
        wanted.kind,
        job.chosen,
        wanted.propensity,
        route.step,
        job.unit,
        stripped,
    )


def _side(
    answer: Answer, tools: str | None, cost_usd: float | None, latency_s: float | None, first_byte_s: float | None
) -> ShadowAnswer:
    """A side that answered: what it says, and what it took."""
    usage = answer.usage
    return ShadowAnswer(
        text=answer.text,
        status=200,
        latency_s=latency_s,
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        cost_usd=cost_usd,
        finish_reason=answer.finish_reason,
        tools=tools,
        first_byte_s=first_byte_s,
        cached_in=usage.cached_in,
        cache_write_in=usage.cache_write_in,
        reasoning_out=usage.reasoning_out,
    )


def _failed(status: int, latency_s: float | None, first_byte_s: float | None) -> ShadowAnswer:
    """A side without an answer; one that said that it was one has failed as a gateway does."""
    return ShadowAnswer(None, 502 if status == 200 else status, latency_s, first_byte_s=first_byte_s)


def _status_of(outcome: Outcome) -> int:
    """How a candidate failed that the incumbent answered for."""
    if outcome.fell_back.isdecimal():
        return int(outcome.fell_back)
    if outcome.fell_back:
        return _FAILURES.get(outcome.fell_back, 502)
    return outcome.status if outcome.status != 200 else 502  # both refused: the request's own fault

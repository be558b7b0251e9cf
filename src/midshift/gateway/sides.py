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
from midshift.domain.light import light
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

_FAILURES = {failure.value: failure.status for failure in Failure} | {"breaker": 503, "uncarried": 400}


@light
class Received:
    """An answer as it came, on `wire`; `body` is None where there was none."""

    wire: WireName
    status: int
    body: bytes | None = None
    latency_s: float | None = None
    first_byte_s: float | None = None

    def said(self, streamed: bool) -> Answer | None:
        """What it says; None where it is no answer."""
        if self.body is None or self.status != 200:
            return None
        wire = WIRES[self.wire]
        return wire.read_stream(self.body) if streamed else wire.read_answer(self.body)


def unseen_side(variant: Variant, received: Received, streamed: bool, pricing: Pricing) -> ShadowAnswer:
    """What a variant answered that nobody saw."""
    answer = received.said(streamed)
    if answer is None:
        return _failed(received.status, received.latency_s, received.first_byte_s)
    tools = tool_calls(received.wire, received.body or b"", streamed)
    cost_usd = pricing(variant, answer.usage)
    return _side(answer, tools, cost_usd, received.latency_s, received.first_byte_s)


def seen_side(job: Job, outcome: Outcome, pricing: Pricing) -> ShadowAnswer:
    """What the variant of the request's arm answered the user."""
    served = job.serving.candidate if job.chosen is Arm.CANDIDATE else job.serving.incumbent
    assert served is not None
    if outcome.left:
        return ShadowAnswer(None, CLIENT_LEFT, outcome.latency_s)
    if job.chosen is Arm.CANDIDATE and (outcome.by is None or outcome.by.id != served.id):
        return ShadowAnswer(None, _status_of(outcome), outcome.latency_s)
    streamed = job.request.stream
    first_byte_s = outcome.first_byte_s if streamed else None
    answer = outcome.said(streamed)
    if answer is None:
        return _failed(outcome.status, outcome.latency_s, first_byte_s)
    tools = tool_calls(outcome.body_wire, outcome.body or b"", streamed)
    cost_usd = pricing(served.variant, answer.usage) if streamed else outcome.cost_usd(pricing)
    return _side(answer, tools, cost_usd, outcome.latency_s, first_byte_s)


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

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
    return _failed(received) if answer is None else _side(received, answer, streamed, pricing(variant, answer.usage))


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
    received = Received(outcome.body_wire, outcome.status, outcome.body, outcome.latency_s, first_byte_s)
    answer = outcome.said(streamed)
    if answer is None:
        return _failed(received)
    cost_usd = pricing(served.variant, answer.usage) if streamed else outcome.cost_usd(pricing)
    return _side(received, answer, streamed, cost_usd)


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


def _side(received: Received, answer: Answer, streamed: bool, cost_usd: float | None) -> ShadowAnswer:
    """A side that answered: what was received, and what it says."""
    usage = answer.usage
    return ShadowAnswer(
        text=answer.text,
        status=200,
        latency_s=received.latency_s,
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        cost_usd=cost_usd,
        finish_reason=answer.finish_reason,
        tools=tool_calls(received.wire, received.body or b"", streamed),
        first_byte_s=received.first_byte_s,
        cached_in=usage.cached_in,
        cache_write_in=usage.cache_write_in,
        reasoning_out=usage.reasoning_out,
    )


def _failed(received: Received) -> ShadowAnswer:
    """A side without an answer."""
    status = 502 if received.status == 200 else received.status
    return ShadowAnswer(None, status, received.latency_s, first_byte_s=received.first_byte_s)


def _status_of(outcome: Outcome) -> int:
    """How a candidate failed that the incumbent answered for."""
    if outcome.fell_back.isdecimal():
        return int(outcome.fell_back)
    if outcome.fell_back:
        return _FAILURES.get(outcome.fell_back, 502)
    return outcome.status if outcome.status != 200 else 502  # both refused: the request's own fault

"""What apps ask beside answers, of which no variant hears: which models there are, and what is not served here.

Elsewhere: requests for an answer (app), the shape of an error or of a list of models on each wire (wire).
"""

from __future__ import annotations

from midshift.gateway.answering import JSON, answer, refuse
from midshift.gateway.exchange import Exchange
from midshift.gateway.intake import Intake, Refused
from midshift.wire.paths import Asked, Operation, wire_of
from midshift.wire.protocol import Problem, WireName
from midshift.wire.wires import WIRES

_SERVED = (
    "POST /v1/chat/completions, /v1/responses, /v1/messages, /v1beta/models/MODEL:generateContent, GET /v1/models and "
    "POST /api/v1/feedback"
)
_NO_REALTIME = (
    "Realtime sessions are not served by this gateway. Point the client's realtime URL at the provider itself."
)
_NO_WEBSOCKETS = "WebSockets are not served by this gateway. Ask over HTTP, and for a stream with server-sent events."


async def answer_models(exchange: Exchange, asked: Asked, intake: Intake) -> None:
    """What a client that lists models sees: the names that workloads claim."""
    wire = WIRES[asked.wire]
    try:
        exchange.head.once(intake.shown)
        if asked.operation is Operation.LIST_MODELS:
            body = wire.models_body(sorted(intake.claims))
        else:
            intake.claimed(asked.model)
            body = wire.model_body(asked.model)
    except Refused as refused:
        await refuse(exchange, asked.wire, refused.problem)
    else:
        await answer(exchange, 200, JSON, body)


async def refuse_realtime(exchange: Exchange, wire: WireName) -> None:
    """Sessions that would go past every rule of this gateway."""
    await refuse(exchange, wire, Problem(501, _NO_REALTIME, "not_supported"))


async def refuse_unserved(exchange: Exchange) -> None:
    """A path that is none of ours."""
    head = exchange.head
    wire = wire_of(head.path, head.found)
    if b"sec-websocket-key" in head.found:
        await refuse(exchange, wire, Problem(501, _NO_WEBSOCKETS, "not_supported"))
        return
    message = f"{head.method} {head.path} is not served here. This gateway serves {_SERVED}."
    await refuse(exchange, wire, Problem(404, message, "not_found"))

"""Answers that no provider gives: whole, small, and ours.

Elsewhere: answers of providers on their way to the app (reply), what a refusal looks like on each wire (wire).
"""

from __future__ import annotations

from midshift.gateway.exchange import Exchange
from midshift.gateway.headers import COME_AGAIN
from midshift.wire.protocol import Problem, WireName
from midshift.wire.wires import WIRES

JSON = (b"content-type", b"application/json")
TEXT = (b"content-type", b"text/plain; charset=utf-8")


async def refuse(exchange: Exchange, wire: WireName, problem: Problem, *more: tuple[bytes, bytes]) -> None:
    """An error in the shape that the vendor's clients raise."""
    if problem.status in (429, 503):
        more = (*more, COME_AGAIN)
    await answer(exchange, problem.status, JSON, WIRES[wire].error_body(problem), *more)


async def answer(
    exchange: Exchange, status: int, kind: tuple[bytes, bytes], body: bytes, *more: tuple[bytes, bytes]
) -> None:
    """Head and body."""
    await exchange.answer(status, [kind, (b"content-length", b"%d" % len(body)), *more], body)

"""Answers that no provider gives: whole, small, and ours.

Elsewhere: answers of providers on their way to the app (reply), what a refusal looks like on each wire (wire).
"""

from __future__ import annotations

from midshift.gateway.headers import COME_AGAIN
from midshift.gateway.reply import Send
from midshift.wire.protocol import Problem, WireName
from midshift.wire.wires import WIRES

JSON = (b"content-type", b"application/json")
TEXT = (b"content-type", b"text/plain; charset=utf-8")


async def refuse(send: Send, wire: WireName, problem: Problem, *more: tuple[bytes, bytes]) -> None:
    """An error in the shape that the vendor's clients raise."""
    if problem.status in (429, 503):
        more = (*more, COME_AGAIN)
    await answer(send, problem.status, JSON, WIRES[wire].error_body(problem), *more)


async def answer(send: Send, status: int, kind: tuple[bytes, bytes], body: bytes, *more: tuple[bytes, bytes]) -> None:
    """Head and body."""
    lines = [kind, (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body, "more_body": False})

"""A provider, a ledger and a clock without sockets, files and waiting."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from midshift.domain.cost import Rates, UnitPrices
from midshift.domain.paid_call import CallKey
from midshift.domain.variant import Variant
from midshift.providers.http.messages import Call, CallFailed, Ended, Failure, Head, Headers, Request
from midshift.providers.http.settings import Timeouts
from midshift.providers.paid.buyer import Order
from midshift.providers.paid.desk import Sleep
from midshift.providers.paid.till import Till
from midshift.providers.prices.book import Priced, Unpriced
from midshift.testing import ManualClock
from midshift.wire.protocol import WireName

VARIANT = Variant("acme", "model")
START = datetime(2026, 1, 1, tzinfo=UTC)
USD_IN, USD_OUT = Decimal(1), Decimal(10)


def answer(text: str = "Hello", tokens_in: int = 10, tokens_out: int = 5) -> bytes:
    """A chat completion."""
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return json.dumps({"id": "c-1", "model": "model-0101", "choices": choices, "usage": usage}).encode()


@dataclass
class Reply:
    """What the provider does with a request: a status, or a failure before (`unsent`) or after the request is sent."""

    status: int = 200
    body: bytes = field(default_factory=answer)
    headers: Headers = ()
    fails: Failure | None = None
    unsent: bool = False
    chunks: Sequence[tuple[float, bytes]] = ()
    """An answer as it comes: after how many seconds more, and what."""


class FakeCall:
    """Implements `Call` on a reply that is there."""

    def __init__(self, reply: Reply, clock: ManualClock | None = None) -> None:
        self._reply = reply
        self._clock = clock
        self._chunks = list(reply.chunks)

    async def head(self) -> Head:
        """See `Call`."""
        if self._reply.fails is not None:
            raise CallFailed(self._reply.fails)
        return Head(self._reply.status, self._reply.headers)

    def hurry(self, patience_s: float) -> None:
        """See `Call`."""

    async def chunk(self) -> bytes:
        """See `Call`."""
        if not self._chunks:
            return b""
        wait_s, chunk = self._chunks.pop(0)
        if self._clock is not None:
            self._clock.advance(wait_s)
        if not chunk:
            raise CallFailed(Failure.BROKEN)
        return chunk

    async def forward(self, take: Callable[[bytes], bool]) -> None:
        """See `Call`."""
        take(self._reply.body)

    def resume(self) -> None:
        """See `Call`."""

    def at_hand(self, limit: int) -> bytes:
        """See `Call`."""
        return b""

    def when_over(self, limit: int, told: Callable[[Ended], None]) -> None:
        """See `Call`."""
        told(self._reply.fails or (Head(self._reply.status, self._reply.headers), self._reply.body))

    async def read(self, limit: int) -> bytes:
        """See `Call`."""
        return self._reply.body

    def close(self) -> None:
        """See `Call`."""


class FakeTransport:
    """Implements `Transport`: gives the replies in turn, the last one for ever; keeps when it was asked."""

    def __init__(self, clock: ManualClock, *replies: Reply) -> None:
        self.asked: list[float] = []
        self.sent: list[tuple[bool, Timeouts | None]] = []
        self._clock = clock
        self._replies = list(replies) or [Reply()]

    def begin(self, request: Request, streamed: bool, timeouts: Timeouts | None = None) -> Call | None:
        """See `Transport`: nothing is at once."""
        return None

    async def send(self, request: Request, streamed: bool, timeouts: Timeouts | None = None) -> Call:
        """See `Transport`."""
        self.asked.append(self._clock.monotonic_s())
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if reply.unsent:
            raise CallFailed(Failure.UNREACHABLE)
        self.sent.append((streamed, timeouts))
        return FakeCall(reply, self._clock)

    def close(self) -> None:
        """See `Transport`."""


def sleeping(clock: ManualClock) -> tuple[Sleep, list[float]]:
    """A sleep that moves the clock, and the list of how long it slept."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.advance(seconds)

    return sleep, slept


class FixedBook:
    """Implements `Book`: one price for everything, or none."""

    id = "fixed"

    def __init__(self, prices: UnitPrices | None = None) -> None:
        self._prices = prices

    def prices(self, provider: str, model: str, at: datetime, tier: str | None = None) -> Priced | Unpriced:
        """See `Book`."""
        if self._prices is None:
            return Unpriced(provider, model, tier, "nobody knows")
        return Priced(provider, model, tier, self._prices, "test", "1", model)


def till(is_known: bool = True) -> Till:
    """Prices of a dollar and ten a million tokens, or none."""
    return Till(FixedBook(UnitPrices(Rates(USD_IN, USD_OUT)) if is_known else None), START)


def order(number: int = 1, tokens_out: int | None = 100, body: bytes = b"x" * 1000) -> Order:
    """One call to buy; by `till` it costs at most 0.002 USD."""
    request = Request("/chat/completions", (), body)
    return Order(CallKey(VARIANT.id, f"request-{number}"), VARIANT, WireName.OPENAI_CHAT, request, tokens_out)


def lines(**named: str) -> Sequence[tuple[bytes, bytes]]:
    """Header lines."""
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]

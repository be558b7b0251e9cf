"""One provider, asked within its limits, and asked again where that is safe.

Contract. At most `concurrency` calls are under way; each waits for its turn once (pace) and while the provider wants to
be left alone. A refusal that may pass, and a request that was not sent, are tried again (backoff). A request that was
sent and not answered may have been served: it is UNKNOWN at once, and whoever wants it again pays again.
Elsewhere: what is asked (Order), what it costs, and that it is written down before (buyer).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from midshift.domain.paid_call import Ending
from midshift.ports import Clock
from midshift.providers.http.messages import Call, CallFailed, Failure, Head, Request, Transport
from midshift.providers.http.settings import Timeouts
from midshift.providers.paid.backoff import RETRIED, Backoff, told_s
from midshift.providers.paid.listening import Ear
from midshift.providers.paid.pace import Limits, Pace
from midshift.providers.paid.refusals import Speaks, speaks

LARGEST_ANSWER = 64 << 20
BACKOFF = Backoff()
_SAID_BYTES = 4096

Sleep: TypeAlias = Callable[[float], Awaitable[None]]
Luck: TypeAlias = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Heard:
    """A whole answer of the provider, whatever its status; header names in lower case.

    `first_token_s` is after how long its first token was there, where the answer came as a stream.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    latency_s: float
    turned_away: int
    first_token_s: float | None = None

    @property
    def said(self) -> str:
        """How its body begins, as text: what it says about itself where it is no answer."""
        return self.body[:_SAID_BYTES].decode("utf-8", "replace")

    @property
    def is_stream(self) -> bool:
        """Whether it came as a stream: a server may not care that it was asked for one."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() == "text/event-stream"


@dataclass(frozen=True, slots=True)
class Listening:
    """How an answer is heard as it comes: an ear for each try, and limits of time in place of the upstream's own."""

    ear: Callable[[], Ear]
    timeouts: Timeouts


@dataclass(frozen=True, slots=True)
class Unheard:
    """No answer: FAILED (nothing was served) or UNKNOWN (it may have been), with the reason for people."""

    ending: Ending
    detail: str
    turned_away: int


class Desk:
    """Asks one provider. `sleep` waits and `luck` gives numbers in 0..1, so that a test does neither.

    `told` hears for how many seconds the provider is left alone, and the status that it had answered with.
    """

    def __init__(
        self,
        transport: Transport,
        limits: Limits,
        clock: Clock,
        luck: Luck,
        sleep: Sleep = asyncio.sleep,
        backoff: Backoff = BACKOFF,
        told: Callable[[float, int | None], None] | None = None,
    ) -> None:
        self._transport = transport
        self._limits = limits
        self._clock = clock
        self._luck = luck
        self._sleep = sleep
        self._backoff = backoff
        self._told = told
        self._pace = Pace(limits, clock.monotonic_s())
        self._places = asyncio.Semaphore(limits.concurrency)

    @property
    def limits(self) -> Limits:
        """What the provider is asked at most."""
        return self._limits

    async def ask(self, request: Request, tokens: int, listening: Listening | None = None) -> Heard | Unheard:
        """Send a request of about so many tokens, and again as long as that is safe and promises something."""
        async with self._places:
            await self._turn(tokens)
            tried = 0
            while True:
                tried += 1
                found = await self._asked(request, tried - 1, listening)
                wait_s = self._pause(found, tried)
                if wait_s is None:
                    return _given_up(found) if isinstance(found, Heard) else found
                if wait_s < 0.0:
                    return found
                self._pace.leave_alone(self._clock.monotonic_s() + wait_s)
                if self._told is not None:
                    self._told(wait_s, found.status if isinstance(found, Heard) else None)
                await self._turn(tokens)

    def counted(self, estimated: int, tokens: int | None) -> None:
        """What the tokens of an answer really were, for the pace of the next."""
        self._pace.correct(estimated, tokens)

    async def _turn(self, tokens: int) -> None:
        wait_s = self._pace.take(tokens, self._clock.monotonic_s())
        if wait_s > 0.0:
            await self._sleep(wait_s)
        while (silence_s := self._pace.silence_s(self._clock.monotonic_s())) > 0.0:
            await self._sleep(silence_s)

    async def _asked(self, request: Request, turned_away: int, listening: Listening | None) -> Heard | Unheard:
        started_s = self._clock.monotonic_s()
        try:
            timeouts = None if listening is None else listening.timeouts
            call = await self._transport.send(request, listening is not None, timeouts)
        except CallFailed as failed:  # not one byte is on the wire
            return Unheard(Ending.FAILED, str(failed), turned_away)
        first_token_s: float | None = None
        try:
            head = await call.head()
            if listening is not None and head.status == 200:
                body, first_at_s = await self._listened(call, listening.ear())
                first_token_s = None if first_at_s is None else first_at_s - started_s
            else:
                body = await call.read(LARGEST_ANSWER)
        except CallFailed as failed:
            return Unheard(Ending.UNKNOWN, str(failed), turned_away)
        finally:
            call.close()
        latency_s = self._clock.monotonic_s() - started_s
        return Heard(head.status, _named(head), body, latency_s, turned_away, first_token_s)

    async def _listened(self, call: Call, ear: Ear) -> tuple[bytes, float | None]:
        """All of a stream, and the moment at which its first token was there."""
        chunks, size, first_at_s = list[bytes](), 0, None
        while chunk := await call.chunk():
            chunks.append(chunk)
            size += len(chunk)
            if size > LARGEST_ANSWER:
                raise CallFailed(Failure.TOO_LARGE)
            if first_at_s is None and ear(chunk):
                first_at_s = self._clock.monotonic_s()
        return b"".join(chunks), first_at_s

    def _pause(self, found: Heard | Unheard, tried: int) -> float | None:
        """How long to wait before the next try; below 0 for none, because this is the answer; None to give up."""
        if isinstance(found, Unheard):
            is_over, told = found.ending is Ending.UNKNOWN, None
        else:
            may_pass = found.status in RETRIED and speaks(found.status, found.said) is Speaks.PASSING
            is_over, told = not may_pass, told_s(found.headers, self._clock.machine_now())
        return -1.0 if is_over else self._backoff.wait_s(tried, told, self._luck())


def _given_up(heard: Heard) -> Unheard:
    return Unheard(Ending.FAILED, f"status {heard.status}, {heard.turned_away + 1} times", heard.turned_away + 1)


def _named(head: Head) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}

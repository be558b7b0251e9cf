"""The way back to the app: one head, then the body, with the times at which they left."""

from __future__ import annotations

from collections.abc import Callable

from midshift.gateway import headers
from midshift.gateway.exchange import Exchange
from midshift.gateway.job import Outcome
from midshift.gateway.route import ServedVariant, Serving
from midshift.ports import Clock


class Reply:
    """The way back to the app: one head, then the body. `more` sends a part; it says whether the app takes more now."""

    __slots__ = ("_clock", "_exchange", "_job_id", "_outcome", "_started_s", "is_begun", "more")

    def __init__(self, exchange: Exchange, job_id: str, outcome: Outcome, clock: Clock, started_s: float) -> None:
        self._exchange = exchange
        self._job_id = job_id.encode()
        self._outcome = outcome
        self._clock = clock
        self._started_s = started_s
        self.is_begun = False
        self.more = exchange.more

    async def whole(self, status: int, lines: headers.Lines, body: bytes, serving: Serving, by: ServedVariant) -> None:
        """Send an answer that is there as a whole; one of the lines says how long it is."""
        if self.is_paused:
            await self.drained()
        self.send_whole(status, lines, body, serving, by)

    def send_whole(self, status: int, lines: headers.Lines, body: bytes, serving: Serving, by: ServedVariant) -> None:
        """The same at once: for an app that takes more, as it does unless the reply `is_paused`."""
        if body:
            self._outcome.first_byte_s = self._clock.monotonic_s() - self._started_s
        self._exchange.send(status, self._head(status, lines, serving, by), body)

    async def begin(self, status: int, lines: headers.Lines, serving: Serving, by: ServedVariant) -> None:
        """Send the head of an answer whose parts follow."""
        self.more = self._first  # no sooner: a reply that holds its own method waits for the collector
        await self._exchange.begin(status, self._head(status, lines, serving, by))

    def _first(self, data: bytes) -> bool:
        """Send the first part, which is timed; those behind it go straight to the exchange."""
        self._outcome.first_byte_s = self._clock.monotonic_s() - self._started_s
        self.more = self._exchange.more
        return self._exchange.more(data)

    @property
    def is_paused(self) -> bool:
        """Whether the app has yet to take what was sent; `drained` waits for it."""
        return self._exchange.is_paused

    async def drained(self) -> None:
        """Wait until the app takes more."""
        await self._exchange.drained()

    def tell_when_writable(self, writable: Callable[[], None] | None) -> None:
        """Call this whenever the app takes more again."""
        self._exchange.tell_when_writable(writable)

    def end(self, data: bytes = b"") -> None:
        """Send the last of it."""
        if data and self._outcome.first_byte_s is None:
            self._outcome.first_byte_s = self._clock.monotonic_s() - self._started_s
        self._exchange.end(data)

    def _head(self, status: int, lines: headers.Lines, serving: Serving, by: ServedVariant) -> headers.Lines:
        ours = [*lines, (b"x-midshift-request-id", self._job_id), (b"x-midshift-variant", by.short_id)]
        if serving.route.upgrade is not None:
            ours.append((b"x-midshift-step", b"%d" % serving.route.step))
        outcome = self._outcome
        if outcome.stripped:
            ours.append((b"x-midshift-state", b"stripped"))
        self.is_begun = True
        outcome.status = status
        outcome.is_answered = status == 200
        outcome.by = by
        return ours

"""The way back to the app: one head, then the body, with the times at which they left."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from msgspec import Struct

from midshift.domain.exposure import Fate
from midshift.gateway import headers
from midshift.gateway.answering import JSON
from midshift.gateway.exchange import Exchange
from midshift.gateway.job import Job, Outcome
from midshift.gateway.route import ServedVariant
from midshift.ports import Clock
from midshift.wire.protocol import Problem
from midshift.wire.wires import WIRES


def _unbegun(data: bytes) -> bool:
    raise AssertionError("the head of an answer comes before its parts")


class Reply(Struct, eq=False):
    """The way back to the app: one head, then the body. `more` sends a part of an answer that is begun; it says whether
    the app takes more now.

    What is answered is `job`, and what comes of it `outcome`. As these, it is made for every request.
    """

    exchange: Exchange
    job: Job
    outcome: Outcome
    clock: Clock
    more: Callable[[bytes], bool] = _unbegun

    async def whole(self, status: int, lines: headers.Lines, body: bytes, by: ServedVariant) -> None:
        """Send an answer that is there as a whole; one of the lines says how long it is."""
        if self.is_paused:
            await self.drained()
        self.send_whole(status, lines, body, by)

    def send_whole(self, status: int, lines: headers.Lines, body: bytes, by: ServedVariant) -> None:
        """The same at once: for an app that takes more, as it does unless the reply `is_paused`."""
        if body:
            self.outcome.first_byte_s = self.clock.monotonic_s() - self.job.started_s
        self.exchange.send(status, self._head(status, lines, by), body)

    async def begin(self, status: int, lines: headers.Lines, by: ServedVariant) -> None:
        """Send the head of an answer whose parts follow."""
        self.more = self._first  # no sooner: a reply that holds its own method waits for the collector
        await self.exchange.begin(status, self._head(status, lines, by))

    def _first(self, data: bytes) -> bool:
        """Send the first part, which is timed; those behind it go straight to the exchange."""
        self.outcome.first_byte_s = self.clock.monotonic_s() - self.job.started_s
        self.more = self.exchange.more
        return self.exchange.more(data)

    @property
    def is_begun(self) -> bool:
        """Whether anything of the answer was sent."""
        return self.exchange.is_begun

    @property
    def is_paused(self) -> bool:
        """Whether the app has yet to take what was sent; `drained` waits for it."""
        return self.exchange.connection.is_write_paused

    async def drained(self) -> None:
        """Wait until the app takes more."""
        await self.exchange.drained()

    async def drained_for(self, status: int, by: ServedVariant) -> None:
        """The same for an answer that is there: who gave it stays on the record, also where the app leaves now."""
        outcome = self.outcome
        outcome.status, outcome.is_answered, outcome.by = status, status == 200, by
        await self.drained()

    def tell_when_writable(self, writable: Callable[[], None] | None) -> None:
        """Call this whenever the app takes more again."""
        self.exchange.tell_when_writable(writable)

    def end(self, data: bytes = b"") -> None:
        """Send the last of it."""
        if data and self.outcome.first_byte_s is None:
            self.outcome.first_byte_s = self.clock.monotonic_s() - self.job.started_s
        self.exchange.end(data)

    def _head(self, status: int, lines: headers.Lines, by: ServedVariant) -> headers.Lines:
        job, outcome = self.job, self.outcome
        route = job.serving.route
        ours = [*lines, (b"x-midshift-request-id", job.id.encode()), *_labels(by.short_id, route.upgrade, route.step)]
        if outcome.stripped:
            ours.append((b"x-midshift-state", b"stripped"))
        outcome.status, outcome.is_answered, outcome.by = status, status == 200, by
        return ours


async def cut_short(reply: Reply, problem: Problem) -> None:
    """End a request that this gateway could not serve, so that the app does not take it for served."""
    job, outcome, wire = reply.job, reply.outcome, WIRES[reply.job.wire]
    outcome.status = problem.status
    if reply.is_begun and not job.request.stream:
        raise ConnectionAbortedError("an answer with a length can only be ended early by closing")
    if reply.is_begun:
        reply.end(wire.error_event(problem))
        return
    outcome.fate = Fate.REFUSED
    body = wire.error_body(problem)
    lines = [JSON, (b"content-length", b"%d" % len(body)), *([headers.COME_AGAIN] if problem.status == 503 else [])]
    by = outcome.by or job.serving.incumbent  # whoever gave the answer that is not sent: its tokens have its price
    await reply.whole(problem.status, lines, body, by)


@lru_cache(1024)
def _labels(variant: bytes, upgrade: str | None, step: int) -> tuple[tuple[bytes, bytes], ...]:
    """What is said of every answer of a variant at a step."""
    named = (b"x-midshift-variant", variant)
    return (named,) if upgrade is None else (named, (b"x-midshift-step", b"%d" % step))

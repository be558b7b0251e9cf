"""The way back to the app: one head, then the body, with the times at which they left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from midshift.gateway import headers
from midshift.gateway.job import Outcome
from midshift.gateway.presence import Connection
from midshift.gateway.route import ServedVariant, Serving
from midshift.ports import Clock

Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]


class Reply:
    """The way back to the app: one head, then the body."""

    __slots__ = ("_clock", "_connection", "_job_id", "_outcome", "_send", "_started_s", "is_begun")

    def __init__(
        self,
        send: Send,
        job_id: str,
        outcome: Outcome,
        clock: Clock,
        started_s: float,
        connection: Connection | None = None,
    ) -> None:
        self._send = send
        self._connection = connection
        self._job_id = job_id.encode()
        self._outcome = outcome
        self._clock = clock
        self._started_s = started_s
        self.is_begun = False

    async def begin(self, status: int, lines: headers.Lines, serving: Serving, by: ServedVariant) -> None:
        """Send the head."""
        await self._send(
            {"type": "http.response.start", "status": status, "headers": self._head(status, lines, serving, by)}
        )

    async def whole(self, status: int, lines: headers.Lines, body: bytes, serving: Serving, by: ServedVariant) -> None:
        """Send an answer that is there as a whole; one of the lines says how long it is."""
        if self._connection is None:
            await self.begin(status, lines, serving, by)
            await self.end(body)
            return
        self._outcome.first_byte_s = self._clock.monotonic_s() - self._started_s if body else None
        await self._connection.answer(status, self._head(status, lines, serving, by), body)

    def _head(self, status: int, lines: headers.Lines, serving: Serving, by: ServedVariant) -> headers.Lines:
        ours = [(b"x-midshift-request-id", self._job_id), (b"x-midshift-variant", by.short_id)]
        if serving.route.upgrade is not None:
            ours.append((b"x-midshift-step", b"%d" % serving.route.step))
        if self._outcome.stripped:
            ours.append((b"x-midshift-state", b"stripped"))
        self.is_begun = True
        self._outcome.status = status
        self._outcome.is_answered = status == 200
        self._outcome.by = by
        return [*lines, *ours]

    async def more(self, data: bytes) -> None:
        """Send a part of the body."""
        if self._outcome.first_byte_s is None:
            self._outcome.first_byte_s = self._clock.monotonic_s() - self._started_s
        if self._connection is not None:
            await self._connection.more(data)
        else:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last of it."""
        if data and self._outcome.first_byte_s is None:
            self._outcome.first_byte_s = self._clock.monotonic_s() - self._started_s
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

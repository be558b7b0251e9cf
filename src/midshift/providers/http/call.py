"""One request on the wire and its answer: the connection pushes, one reader pulls, and the limits of time hold.

Elsewhere: reading the wire (connection), choosing the connection (pool).
"""

from __future__ import annotations

import asyncio

from midshift.providers.http.connection import Connection
from midshift.providers.http.messages import CallFailed, Failure, Head
from midshift.providers.http.settings import Timeouts

_SLICE = 256 * 1024
HIGH_WATER = 256 * 1024


class OpenCall:
    """Implements `Call`. The connection pushes, one reader pulls."""

    __slots__ = (
        "_begun",
        "_buffer",
        "_buffered",
        "_connection",
        "_first_byte_at",
        "_head",
        "_idle_s",
        "_last_at",
        "_loop",
        "_over",
        "_reading_paused",
        "_timer",
        "_total_at",
        "_waiter",
        "_why",
        "_write_paused",
        "is_written",
    )

    def __init__(self, connection: Connection, timeouts: Timeouts, total_at: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._head: Head | None = None
        self._begun = False
        self._over = False
        self._why: Failure | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._reading_paused = False
        self._write_paused = False
        self.is_written = False
        self._total_at = total_at
        self._idle_s = timeouts.idle_s
        self._last_at = self._loop.time()
        self._first_byte_at = self._last_at + timeouts.first_byte_s
        self._timer = self._loop.call_at(min(self._first_byte_at, total_at), self._expired)
        connection.call = self

    async def write(self, head: bytes, body: bytes) -> None:
        """Send the request; a large body in slices, as fast as the server takes them."""
        transport = self._connection.transport
        if transport is None:
            raise CallFailed(Failure.BROKEN)
        if len(body) <= _SLICE:
            transport.write(head + body)
            self.is_written = True
        else:
            transport.write(head)
            self.is_written = await self._write_slices(transport, body)

    async def head(self) -> Head:
        """See `Call`."""
        while self._head is None:
            self._raise_failure()
            await self._pushed()
        return self._head

    async def chunk(self) -> bytes:
        """See `Call`."""
        while not self._buffer:
            self._raise_failure()
            if self._over:
                return b""
            await self._pushed()
        taken = self._buffer[0] if len(self._buffer) == 1 else b"".join(self._buffer)
        self._buffer.clear()
        self._buffered = 0
        self._resume_reading()
        return taken

    async def read(self, limit: int) -> bytes:
        """See `Call`."""
        chunks = []
        size = 0
        while taken := await self.chunk():
            chunks.append(taken)
            size += len(taken)
            if size > limit:
                raise CallFailed(Failure.TOO_LARGE)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def close(self) -> None:
        """See `Call`."""
        if not self._over:
            self.failed(Failure.BROKEN)
            self._connection.call = None
            self._connection.abort()

    def began(self, head: Head) -> None:
        """The head has come."""
        self._head = head
        self._wake()

    def more(self, data: bytes) -> None:
        """A part of the body has come."""
        self._buffer.append(data)
        self._buffered += len(data)
        self._last_at = self._loop.time()
        if not self._begun:
            self._begun = True
            self._timer.cancel()
            self._timer = self._loop.call_at(min(self._total_at, self._last_at + self._idle_s), self._expired)
        if self._buffered > HIGH_WATER and not self._reading_paused and self._connection.transport is not None:
            self._reading_paused = True
            self._connection.transport.pause_reading()
        self._wake()

    def completed(self) -> None:
        """The answer is whole."""
        self._over = True
        self._timer.cancel()
        self._resume_reading()
        self._wake()

    def failed(self, why: Failure) -> None:
        """There will be no more."""
        self._why = why
        self.completed()

    def writable(self, is_writable: bool) -> None:
        """The system's buffer is full, or no longer."""
        self._write_paused = not is_writable
        self._wake()

    async def _write_slices(self, transport: asyncio.Transport, body: bytes) -> bool:
        for begin in range(0, len(body), _SLICE):
            while self._write_paused and not self._over:
                await self._pushed()
            if self._over or self._head is not None:
                return False  # the server has answered without reading on: what it says is the answer
            transport.write(body[begin : begin + _SLICE])
        return True

    def _raise_failure(self) -> None:
        if self._why is not None:
            raise CallFailed(self._why)

    async def _pushed(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self._last_at = self._loop.time()
            if self._connection.transport is not None:
                self._connection.transport.resume_reading()

    def _expired(self) -> None:
        """One timer for all limits: it looks which of them is over, and else waits for the next."""
        now = self._loop.time()
        if not self._begun:
            limit_at, why = self._first_byte_at, Failure.FIRST_BYTE_TIMEOUT
        elif self._reading_paused:  # it is our reader that is slow
            limit_at, why = now + self._idle_s, Failure.IDLE_TIMEOUT
        else:
            limit_at, why = self._last_at + self._idle_s, Failure.IDLE_TIMEOUT
        if now >= self._total_at:
            self._time_out(Failure.TOTAL_TIMEOUT)
        elif now >= limit_at:
            self._time_out(why)
        else:
            self._timer = self._loop.call_at(min(self._total_at, limit_at), self._expired)

    def _time_out(self, why: Failure) -> None:
        self.failed(why)
        self._connection.call = None
        self._connection.abort()

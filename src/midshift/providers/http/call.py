"""One request on the wire and its answer: the connection pushes, one reader pulls or is handed the parts, in time.

Contract. A body beyond 64 KB goes in slices of 256 KB that are not copied, each when the server has taken most of
the one before; an answer that refuses it ends the sending. Of an answer at most 256 KB and one read of the socket
wait for a slow reader: then the server waits as well, and its silence is not held against it.
Elsewhere: reading the wire (connection), choosing the connection (pool), when limits are looked at (watching), which
they are (terms).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from midshift.providers.http.connection import Connection
from midshift.providers.http.messages import CallFailed, Ended, Failure, Head
from midshift.providers.http.outbox import Outbox
from midshift.providers.http.terms import Terms

HIGH_WATER = 256 * 1024
LARGE = 64 * 1024
_SLICE = 256 * 1024


@dataclass(slots=True)
class _Handing:
    """Whoever is handed the parts as they come, and what came of it."""

    take: Callable[[bytes], bool]
    error: Exception | None = None


class OpenCall:
    """Implements `Call`, the connection's `Receiver`, and the watch's `Watched`."""

    __slots__ = (
        "_began_at",
        "_buffer",
        "_buffered",
        "_connection",
        "_enough",
        "_handing",
        "_head",
        "_hurried_at",
        "_last_at",
        "_loop",
        "_moving",
        "_over",
        "_reading_paused",
        "_sent_at",
        "_take",
        "_terms",
        "_unsent",
        "_wakes",
        "_why",
        "has_body",
        "is_written",
    )

    def __init__(self, connection: Connection, terms: Terms, began_at: float, now: float, has_body: bool) -> None:
        """A call that began at `began_at`, and has its connection now; both are times of the loop."""
        self._connection = connection
        self._terms = terms
        self._loop = terms.loop
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._enough = 0  # bytes that may wait before the reader is woken
        self._head: Head | None = None
        self._over = False
        self._why: Failure | None = None
        self._wakes: Callable[[], object] | None = None  # whoever waits, once
        self._handing: _Handing | None = None
        self._take: Callable[[bytes], bool] | None = None  # its own, while it wants more
        self._reading_paused = False
        self._unsent: bytes | None = None
        self._moving: asyncio.Task[None] | None = None
        self.is_written = False
        self.has_body = has_body
        self._began_at = began_at
        self._hurried_at: float | None = None  # when it has to be over, where that is sooner than for others
        self._last_at = 0.0  # no part has come yet
        self._sent_at = now
        soonest_at = now + terms.soonest_s
        terms.watch.begin(self, soonest_at if began_at == now else min(soonest_at, self._total()[0]))
        connection.call = self

    def write(self, request: bytes) -> None:
        """Send a whole request, or its head.

        Raises:
            CallFailed: if the connection is closed.
        """
        if self._connection.transport is None:
            raise CallFailed(Failure.BROKEN)
        self._connection.transport.write(request)
        self.is_written = True

    def write_soon(self, request: bytes, outbox: Outbox) -> None:
        """Send a whole request at the end of this turn, unless nobody waits for its answer by then.

        Where the connection closes before that, it goes on another: the server has seen nothing of it.

        Raises:
            CallFailed: if the connection is closed.
        """
        if self._connection.transport is None:
            raise CallFailed(Failure.BROKEN)
        self._unsent = request
        outbox.put(self._write_now, request)

    @property
    def is_unsent(self) -> bool:
        """Whether nothing of it was sent, and it can go elsewhere."""
        return self._unsent is not None

    async def write_large(self, head: bytes, body: bytes) -> None:
        """Send a request whose body is large, as fast as the server takes it.

        Raises:
            CallFailed: if the connection is closed before the first byte.
        """
        self.write(head)
        self.is_written = False
        view = memoryview(body)
        for begin in range(0, len(body), _SLICE):
            while self._connection.is_write_paused and not self._is_refused():
                await self._pushed()
            if self._is_refused() or self._connection.transport is None:
                return  # what the server says is the answer; the connection is in the middle of a request
            self._connection.transport.write(view[begin : begin + _SLICE])
            self._sent_at = self._loop.time()
        self.is_written = True
        if not self._over:
            self._terms.watch.begin(self, self._sent_at + self._terms.first_byte_s)

    async def head(self) -> Head:
        """See `Call`."""
        while self._head is None:
            if self._why is not None:
                raise CallFailed(self._why)
            await self._pushed()
        return self._head

    def hurry(self, patience_s: float) -> None:
        """See `Call`."""
        until = self._loop.time() + patience_s
        if until < self._total()[0] and not self._over:
            self._hurried_at = until
            self._terms.watch.begin(self, until)

    async def chunk(self) -> bytes:
        """See `Call`."""
        while not self._buffer:
            if self._why is not None:
                raise CallFailed(self._why)
            if self._over:
                return b""
            await self._pushed()
        return self._taken()

    def at_hand(self, limit: int) -> bytes:
        """See `Call`."""
        return self._taken() if self._over and self._why is None and self._buffered <= limit else b""

    async def read(self, limit: int) -> bytes:
        """See `Call`."""
        if not self._over:
            if self._declared() > limit:
                raise self._given_up(Failure.TOO_LARGE)
            await self._all_up_to(limit)
        if self._buffered > limit:
            raise self._given_up(Failure.TOO_LARGE)
        if self._why is not None:
            raise CallFailed(self._why)
        return self._taken() if self._buffer else b""

    def when_over(self, limit: int, told: Callable[[Ended], None]) -> None:
        """See `Call`."""
        if self._over or (self._head is not None and (self._buffered > limit or self._declared() > limit)):
            told(self._ended(limit))
            return
        self._enough = limit
        if self._reading_paused:
            self._resume_reading()
        self._wakes = partial(self._loop.call_soon, self.when_over, limit, told)

    async def forward(self, take: Callable[[bytes], bool]) -> None:
        """See `Call`."""
        self._handing = handing = _Handing(take)
        self._take = take
        try:
            if self._buffer:
                self._hand(take, self._taken())
            while self._buffer or not self._over:
                await self._pushed()
        finally:
            self._handing = self._take = None
        if handing.error is not None:
            raise handing.error
        if self._why is not None:
            raise CallFailed(self._why)

    def resume(self) -> None:
        """See `Call`."""
        handing = self._handing
        if handing is not None and self._take is None:
            self._take = handing.take
            if self._buffer:
                self._hand(handing.take, self._taken())
                self._wake()

    def close(self) -> None:
        """See `Call`."""
        self._unsent = None
        if self._moving is not None:
            self._moving.cancel()
        if not self._over:
            self._connection.owner.left()
            self._break_off(Failure.BROKEN)

    def began(self, head: Head) -> None:
        """See `Receiver`."""
        self._head = head
        self._wake()

    def more(self, data: bytes) -> None:
        """See `Receiver`."""
        self._last_at = self._loop.time()
        if self._take is not None:
            self._hand(self._take, data)
            return
        self._buffer.append(data)
        self._buffered = buffered = self._buffered + len(data)
        if buffered > self._enough:
            if self._wakes is not None:
                self._wake()
            if buffered > HIGH_WATER:
                self._pause_reading()

    def completed(self, rest: bytes) -> bool:
        """See `Receiver`."""
        if rest and self._take is None:
            self._buffer.append(rest)
            self._buffered += len(rest)
        elif rest and self._take is not None:
            self._hand(self._take, rest)
            if self._over:  # whoever takes has closed it
                return False
        self._over = True
        self._terms.watch.end(self)
        if self._reading_paused:
            self._resume_reading()
        if self._wakes is not None:
            self._wake()
        return self.is_written

    def failed(self, why: Failure) -> None:
        """See `Receiver`."""
        if why is Failure.BROKEN and self._unsent is not None:
            self._moving = self._loop.create_task(self._move(self._unsent))
            self._unsent = None
        else:
            self._why = why
            self.completed(b"")

    def resumed(self) -> None:
        """See `Receiver`."""
        self._wake()

    def look_at(self, now: float) -> float:
        """See `Watched`. At least every `idle_s`, so that no progress has to say that it was made."""
        limit_at, _ = self._limit()
        return min(limit_at, self._total()[0], now + self._terms.timeouts.idle_s)

    def expire(self, now: float) -> None:
        """See `Watched`."""
        total_at, late = self._total()
        self._given_up(late if now >= total_at else self._limit()[1])

    def _is_refused(self) -> bool:
        """Over, or answered with something that makes the rest of the body needless: an error, a redirect."""
        return self._over or (self._head is not None and self._head.status >= 300)

    def _declared(self) -> int:
        """How long the answer says that it is, if it does; the parser has read it as a number before."""
        return int(self._head.value(b"content-length") or 0) if self._head is not None else 0

    def _ended(self, limit: int) -> Ended:
        """What there is to say of an answer that is over, or is to be."""
        if not self._over or self._buffered > limit:
            return self._given_up(Failure.TOO_LARGE).failure
        if self._why is not None or self._head is None:
            return self._why or Failure.BROKEN
        return self._head, self._taken() if self._buffer else b""

    async def _all_up_to(self, limit: int) -> None:
        """Wait until the answer is over or beyond the limit, which is all of it that may wait here meanwhile."""
        self._enough = limit
        self._resume_reading()
        try:
            while not self._over and self._buffered <= limit:
                await self._pushed()
        finally:
            self._enough = 0

    def _hand(self, take: Callable[[bytes], bool], data: bytes) -> None:
        """Give a part to whoever takes."""
        try:
            if not take(data):
                self._take = None
        except Exception as error:  # noqa: BLE001 - it is not the server's, and not the loop's: `forward` raises it
            if self._handing is not None:
                self._handing.error = error
            self.close()

    def _taken(self) -> bytes:
        taken = b"".join(self._buffer)  # of one part: itself
        self._buffer.clear()
        self._buffered = 0
        if self._reading_paused:
            self._resume_reading()
        return taken

    def _write_now(self, request: bytes) -> None:
        transport = self._connection.transport
        if self._connection.call is self and transport is not None and not transport.is_closing():
            self._unsent = None
            transport.write(request)
            self.is_written = True

    async def _move(self, request: bytes) -> None:
        """Send the request, of which nothing was sent yet, on another connection."""
        owner = self._connection.owner
        try:
            connection = await owner.another(self._terms.timeouts)
            if self._over:  # its time was up meanwhile
                owner.released(connection, is_reusable=True)
                return
            self._connection = connection
            connection.call = self
            self.write(request)
        except CallFailed as failed:
            if not self._over:
                self.failed(failed.failure)

    def _pushed(self) -> asyncio.Future[None]:
        """What is done when the connection says something next."""
        waiter = self._loop.create_future()
        self._wakes = partial(_wake, waiter)
        return waiter

    def _wake(self) -> None:
        wakes = self._wakes
        if wakes is not None:
            self._wakes = None
            wakes()

    def _pause_reading(self) -> None:
        if not self._reading_paused and self._connection.transport is not None:
            self._reading_paused = True
            self._connection.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self._last_at = self._loop.time()
            if self._connection.transport is not None:
                self._connection.transport.resume_reading()

    def _limit(self) -> tuple[float, Failure]:
        """When the present state has lasted too long, and what that is called."""
        terms = self._terms
        if self.is_written and not self._last_at:
            return self._sent_at + terms.first_byte_s, Failure.FIRST_BYTE_TIMEOUT
        if self.is_written and self._reading_paused:  # it is our reader that is slow
            return self._total()
        return max(self._sent_at, self._last_at) + terms.timeouts.idle_s, Failure.IDLE_TIMEOUT

    def _total(self) -> tuple[float, Failure]:
        """When there is no time left at all, and what that is called."""
        if self._hurried_at is not None:
            return self._hurried_at, Failure.FIRST_BYTE_TIMEOUT
        return self._began_at + self._terms.timeouts.total_s, Failure.TOTAL_TIMEOUT

    def _given_up(self, why: Failure) -> CallFailed:
        self._connection.owner.failed(why)
        if not self._over:
            self._break_off(why)
        return CallFailed(why)

    def _break_off(self, why: Failure) -> None:
        self.failed(why)
        self._connection.call = None
        self._connection.abort()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():  # nobody has given up to wait
        waiter.set_result(None)

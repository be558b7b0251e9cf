"""One connection of an app over its life: which request is answered, and how slow the app may be.

Contract. What cannot be read is answered with why, before anybody is asked, and the connection closed. A head is
bounded in time, a body in time per byte, an app that does not take its answer is let go, and so is one that asks
nothing for long. Requests that come at once are answered in their order, and what is wrong with one is said after the
answers before it. An app that closes its side has left: nobody can tell one that still listens. What an app still sends
to a connection that is closed is thrown away for a moment (RFC 9112, 9.6): a reset would take the answer from it.
Elsewhere: requests in bytes (inbound), one request and its answer (exchange), whoever answers it (workers), how large a
body may be (intake), how many requests (load), the socket (server).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import cast

from midshift.gateway.exchange import HIGH_WATER, Exchange, head_and
from midshift.gateway.heads import Head
from midshift.gateway.inbound import Inbound, Wrong
from midshift.gateway.settings import Limits
from midshift.gateway.workers import App, Workers
from midshift.providers.http.outbox import Outbox

KEEP_ALIVE_S = 75.0
LINGERS_S = 2.0
MOST_WAITING = 8
"""So many requests may wait behind the one that is being answered, before the app is not read from."""

_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_CLOSES = (b"connection", b"close")


class _Phase(Enum):
    IDLE = "between two requests"
    HEAD = "in a head"
    BODY = "in a body"
    DEAF = "behind what cannot be read, which is said when its turn has come"
    LINGERING = "closed for writing"


_IDLE, _HEAD, _BODY, _DEAF, _LINGERING = _Phase


@dataclass(slots=True)
class Listener:
    """What the connections of one address share. `count` is told why one was closed, in a word."""

    app: App
    limits: Limits
    count: Callable[[str], None]
    connections: set[Front] = field(default_factory=set)
    outbox: Outbox = field(default_factory=Outbox)
    workers: Workers = field(init=False)

    def __post_init__(self) -> None:
        self.workers = Workers(self.app)


class Front(asyncio.Protocol):
    """A connection. Implements `exchange.Connection` and `inbound.Requests`."""

    __slots__ = (
        "_coming",
        "_drained",
        "_has_unsent",
        "_inbound",
        "_is_leaving",
        "_is_read_paused",
        "_limits",
        "_listener",
        "_loop",
        "_phase",
        "_refusal",
        "_serving",
        "_since_s",
        "_size",
        "_transport",
        "_unsent",
        "_waiting",
        "is_write_paused",
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._limits = listener.limits
        self._loop = asyncio.get_running_loop()
        self._inbound = Inbound(self, listener.limits.max_head_bytes)
        self._transport: asyncio.Transport | None = None
        self._phase = _HEAD  # whoever connects is expected to ask
        self._since_s = self._loop.time()
        self._size = 0  # of a body, so far
        self._unsent = (0, 0.0)
        self._has_unsent = False  # an answer that waits for the end of this turn
        self._refusal: tuple[HTTPStatus, str] | None = None
        self._is_leaving = False
        self._coming: Exchange | None = None
        self._serving: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._is_read_paused = False
        self._drained: list[asyncio.Future[None]] = []
        self.is_write_paused = False

    # What the socket says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._listener.connections.add(self)
        if len(self._listener.connections) > self._limits.max_connections:
            self._listener.count("too_many_connections")
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.connections.discard(self)
        self.resume_writing()
        if self._serving is not None:
            self._serving.lost()
        self._waiting.clear()
        self._coming = self._serving = None
        self._inbound.close()

    def pause_writing(self) -> None:
        self.is_write_paused = True

    def resume_writing(self) -> None:
        self.is_write_paused = False
        drained, self._drained = self._drained, []
        for waiter in drained:
            if not waiter.done():
                waiter.set_result(None)
        if self._serving is not None:
            self._serving.writable()

    def data_received(self, data: bytes) -> None:
        if self._phase is _DEAF or self._phase is _LINGERING:
            return
        try:
            self._inbound.feed(data)
        except Wrong as wrong:
            self._turn_away(wrong.status, wrong.why)

    # What the requests are

    def request_came(self, head: Head, body: bytes) -> None:
        """See `inbound.Requests`. As the three below do it, in one step where nothing has to wait."""
        length = len(body)
        if self._serving is None and length <= HIGH_WATER:
            self._phase = _IDLE
            self._serve(Exchange(self, head, length, body))
        else:
            self.head_came(head, length)
            self.body_came(body)
            self.whole_came()

    def some_came(self) -> None:
        """See `inbound.Requests`."""
        if self._phase is _IDLE:
            self._begin(_HEAD)

    def head_came(self, head: Head, length: int | None) -> None:
        """See `inbound.Requests`."""
        if self._phase is _DEAF:
            return
        self._begin(_BODY)
        self._coming = exchange = Exchange(self, head, length)
        if self._serving is None:
            self._serve(exchange)
        else:
            self._waiting.append(exchange)
            if len(self._waiting) >= MOST_WAITING:  # no sooner: of a socket that is not read, nobody hears its end
                self.pause_reading()

    def body_came(self, body: bytes) -> None:
        """See `inbound.Requests`."""
        self._size += len(body)
        coming = self._coming
        if coming is not None:
            coming.feed(body)
            if coming.is_full and coming is not self._serving:
                self._turn_back(coming)

    def whole_came(self) -> None:
        """See `inbound.Requests`."""
        if self._phase is not _DEAF:
            self._phase = _IDLE
            if self._coming is not None:
                self._coming.complete()
                self._coming = None

    # What an exchange wants

    def write(self, data: bytes) -> None:
        """See `exchange.Connection`."""
        if self._has_unsent:
            self._listener.outbox.flush()
        transport = self._transport  # once a part of a stream: as `_send`, without a call
        if transport is not None and self._phase is not _LINGERING and not transport.is_closing():
            transport.write(data)

    def write_soon(self, data: bytes) -> None:
        """See `exchange.Connection`."""
        self._has_unsent = True
        self._listener.outbox.put(self._send, data)

    async def drained(self) -> None:
        """See `exchange.Connection`."""
        while self.is_write_paused:  # also of a connection that closes when all is sent: losing it ends the pause
            waiter = self._loop.create_future()
            self._drained.append(waiter)
            await waiter

    def pause_reading(self) -> None:
        """See `exchange.Connection`."""
        if not self._is_read_paused and self._transport is not None:
            self._is_read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See `exchange.Connection`. Not as long as many requests wait: one read may bring thousands of them."""
        if self._is_read_paused and self._transport is not None and len(self._waiting) < MOST_WAITING:
            self._is_read_paused = False
            self._transport.resume_reading()

    def is_closing(self) -> bool:
        """See `exchange.Connection`."""
        transport = self._transport
        return transport is None or self._phase is _LINGERING or transport.is_closing()

    def close(self) -> None:
        """See `exchange.Connection`."""
        self._send_what_waits()
        if self._phase is not _IDLE:
            self._linger()
        elif self._transport is not None:
            self._transport.close()

    def ended(self) -> None:
        """See `exchange.Connection`."""
        self._serving = None
        if self._phase is not _LINGERING:
            self._since_s = self._loop.time()
        if (self._waiting or self._is_read_paused or self._refusal is not None) and not self.is_closing():
            self._go_on()

    # What the server wants

    def shutdown(self) -> None:
        """Have no request follow the next one; the one under way is answered first."""
        self._is_leaving = True
        if self._serving is not None:
            self._serving.keeps_alive = False

    def leave(self) -> None:
        """Close, unless a request is under way."""
        if self._serving is None and self._phase is not _LINGERING:
            self._linger()

    @property
    def unsent(self) -> int:
        """How many bytes of answers the app has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def look(self, now_s: float) -> None:
        """Close a connection that is slower than it may be. Called now and then."""
        waits_s = now_s - self._since_s
        if self._is_stalled(now_s):
            self._listener.count("reader_stalled")
            self.abort()
        elif self._phase is _LINGERING:
            if self.unsent:  # the app has not taken its answer: nothing of the moment is over
                self._since_s = now_s
            elif waits_s > LINGERS_S:
                self.abort()
        elif self._is_read_paused or self.is_closing():
            return
        elif self._phase is _BODY:
            if waits_s > self._limits.body_s + self._size / self._limits.slowest_body:
                self._turn_away(HTTPStatus.REQUEST_TIMEOUT, "body_timeout")
        elif self._serving is not None:
            return  # what comes behind it has time
        elif self._phase is _HEAD and waits_s > self._limits.head_s:
            self._turn_away(HTTPStatus.REQUEST_TIMEOUT, "head_timeout")
        elif self._phase is _IDLE and waits_s > KEEP_ALIVE_S:
            self.close()

    def _send_what_waits(self) -> None:
        if self._has_unsent:
            self._listener.outbox.flush()

    def _send(self, data: bytes) -> None:
        transport = self._transport
        self._has_unsent = False
        if transport is not None and self._phase is not _LINGERING and not transport.is_closing():
            transport.write(data)

    def _turn_back(self, coming: Exchange) -> None:
        """Let a large request that waits behind another be sent again on a new connection (RFC 9112, 9.3.2).

        Nobody reads a socket whose data has to wait, and so nobody would hear that the app has left.
        """
        self._waiting.remove(coming)
        self._coming = None
        before = self._waiting[-1] if self._waiting else self._serving
        if before is not None:
            before.keeps_alive = False
        self._phase = _DEAF
        self.resume_reading()

    def _serve(self, exchange: Exchange) -> None:
        self._serving = exchange
        if self._is_leaving:
            exchange.keeps_alive = False
        self._listener.workers.answer(exchange)

    def _go_on(self) -> None:
        """To what has come behind the request that was answered."""
        following = self._waiting.popleft() if self._waiting else None
        self.resume_reading()
        if following is not None:
            self._serve(following)
        elif self._refusal is not None:
            self._refuse(*self._refusal)

    def _begin(self, phase: _Phase) -> None:
        self._phase, self._since_s, self._size = phase, self._loop.time(), 0

    def _is_stalled(self, now_s: float) -> bool:
        """Whether the app has taken nothing for long of what waits for it here."""
        unsent = self.unsent
        if not unsent or unsent != self._unsent[0]:
            self._unsent = (unsent, now_s)
        return now_s - self._unsent[1] > self._limits.stall_s

    def _linger(self) -> None:
        """Close for writing, and throw away what still comes."""
        self._send_what_waits()
        if self._transport is not None and not self.is_closing():
            self._begin(_LINGERING)
            self._waiting.clear()
            self.resume_reading()
            with suppress(OSError):  # it is gone already, which `connection_lost` will say
                self._transport.write_eof()

    def _turn_away(self, status: HTTPStatus, why: str) -> None:
        """Say what is wrong, and close; behind requests that came whole, when these are answered."""
        if self.is_closing():
            return
        self._listener.count(why)
        if self._waiting and not self._waiting[-1].is_whole:
            self._waiting.pop()
        if self._serving is None or not self._serving.is_whole:
            self._refuse(status, why)
        else:
            self._refusal = status, why
            self._phase = _DEAF

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        """Say what is wrong, where that cannot be taken for a part of an answer, and close."""
        if self._serving is None or not self._serving.is_begun:
            text = f"{status.phrase} ({why})\n".encode()
            self.write(head_and(status, (_TEXT, (b"content-length", b"%d" % len(text)), _CLOSES), b"", text))
        self._linger()
        if self._serving is not None:
            self._serving.lost()

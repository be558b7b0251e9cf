"""One connection of an app: HTTP/1.1 on httptools, with the limits of size and time.

Contract. What can be read in two ways is answered with 400 and the connection closed, before anybody is asked: a
length that stands beside chunks, two lengths, bad sizes of chunks (llhttp refuses these), no host or two. A head is
bounded in bytes and time, a body in time per byte, an app that does not take its answer is let go, and so is one that
asks nothing for long. Trailers are dropped. Requests that come at once are answered in their order, and what is wrong
with one is said after the answers before it. Nobody is upgraded: a request that offers another protocol is served on
this one (RFC 9110, 7.8), as clients in Java that offer HTTP/2 expect. An app that closes its side has left: nobody can
tell one that still listens. What an app still sends to a connection that is closed is thrown away for a moment (RFC
9112, 9.6): a reset would take the answer from it.
Elsewhere: one request and its answer (exchange), how large a body may be (intake), how many requests (load), the socket
(server).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import TypeAlias, cast

import httptools

from midshift.gateway.exchange import Exchange, head
from midshift.gateway.headers import Lines
from midshift.gateway.settings import Limits

LOG = logging.getLogger(__name__)

KEEP_ALIVE_S = 75.0
LINGERS_S = 2.0
MOST_WAITING = 8
"""So many requests may wait behind the one that is being answered, before the app is not read from."""

App: TypeAlias = Callable[[Exchange], Awaitable[None]]
"""Whoever answers the requests of a listener."""

_OF_AN_UPGRADE = (b"connection", b"upgrade", b"http2-settings")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_CLOSES = (b"connection", b"close")
_FAILED = b"Internal Server Error\n"


class _Phase(Enum):
    IDLE = "between two requests"
    HEAD = "in a head"
    BODY = "in a body"
    DEAF = "behind what cannot be read, which is said when its turn has come"
    LINGERING = "closed for writing"


_LINGERING = _Phase.LINGERING


class _TurnedAway(Exception):
    """Leaves the parser, which stops by it."""


@dataclass(slots=True)
class Listener:
    """What the connections of one address share. `count` is told why one was closed, in a word."""

    app: App
    limits: Limits
    count: Callable[[str], None]
    connections: set[Front] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Front(asyncio.Protocol):
    """A connection. Implements `exchange.Connection`."""

    __slots__ = (
        "_coming",
        "_drained",
        "_in_head",
        "_is_read_paused",
        "_limits",
        "_lines",
        "_listener",
        "_loop",
        "_parser",
        "_phase",
        "_plain_head",
        "_refusal",
        "_serving",
        "_since_s",
        "_size",
        "_transport",
        "_unsent",
        "_url",
        "_waiting",
        "_why",
        "is_write_paused",
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._limits = listener.limits
        self._loop = asyncio.get_running_loop()
        self._parser = _parser(self)
        self._transport: asyncio.Transport | None = None
        self._phase = _Phase.HEAD  # whoever connects is expected to ask
        self._since_s = self._loop.time()
        self._size = 0
        self._unsent = (0, 0.0)
        self._why = (HTTPStatus.BAD_REQUEST, "malformed")
        self._refusal: tuple[HTTPStatus, str] | None = None
        self._plain_head: bytes | None = None
        self._url = b""
        self._lines: Lines = []
        self._in_head = True
        self._coming: Exchange | None = None
        self._serving: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._is_read_paused = False
        self._drained: asyncio.Future[None] | None = None
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
        del self._parser  # all of these hold this one too: the collector, which comes seldom, would have to find them

    def pause_writing(self) -> None:
        self.is_write_paused = True

    def resume_writing(self) -> None:
        self.is_write_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._serving is not None:
            self._serving.writable()

    def data_received(self, data: bytes) -> None:
        if self._phase is _Phase.DEAF or self._phase is _Phase.LINGERING:
            return
        if self._phase is _Phase.IDLE:
            self._begin(_Phase.HEAD)
        self._size += len(data)
        rest = data
        try:
            while rest:
                rest = self._parsed(rest)
        except httptools.HttpParserError:
            self._turn_away(*self._why)
        else:
            if self._phase is _Phase.HEAD and self._size > self._limits.max_head_bytes:
                self._turn_away(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")

    def _parsed(self, data: bytes) -> bytes:
        """What is to be read anew, as from a request that offers nothing: llhttp gives no body to one that does."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            plain, self._plain_head = self._plain_head, None
            if plain is None or plain.startswith(b"CONNECT "):
                raise httptools.HttpParserError from None
            self._parser = _parser(self)
            self._begin(_Phase.HEAD)
            return plain + data[upgrade.args[0] :]
        return b""

    # What the parser finds

    def on_message_begin(self) -> None:
        self._url, self._lines, self._in_head = b"", [], True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # not a trailer
            self._lines.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        version = parser.get_http_version()
        self._check_head(version)
        if parser.should_upgrade():
            self._plain_head = self._head_without_upgrade()
            return
        self._in_head = False
        self._begin(_Phase.BODY)
        is_old = version == "1.0"
        method = parser.get_method().decode("ascii")
        keeps_alive = not is_old and parser.should_keep_alive()
        self._coming = exchange = Exchange(self, method, self._url, self._lines, keeps_alive, is_old)
        if self._serving is None:
            self._serve(exchange)
        else:
            self._waiting.append(exchange)
            if len(self._waiting) >= MOST_WAITING:  # no sooner: of a socket that is not read, nobody hears its end
                self.pause_reading()

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._coming is not None:
            self._coming.feed(body)

    def on_message_complete(self) -> None:
        if self._plain_head is None:
            self._phase = _Phase.IDLE
            if self._coming is not None:
                self._coming.complete()

    # What an exchange wants

    def write(self, data: bytes) -> None:
        """See `exchange.Connection`."""
        transport = self._transport  # once a part of a stream: `is_closing`, without a call
        if transport is not None and self._phase is not _LINGERING and not transport.is_closing():
            transport.write(data)

    async def drained(self) -> None:
        """See `exchange.Connection`."""
        while self.is_write_paused and not self.is_closing():
            self._drained = self._loop.create_future()
            try:
                await self._drained
            finally:
                self._drained = None

    def pause_reading(self) -> None:
        """See `exchange.Connection`."""
        if not self._is_read_paused and self._transport is not None:
            self._is_read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See `exchange.Connection`."""
        if self._is_read_paused and self._transport is not None:
            self._is_read_paused = False
            self._transport.resume_reading()

    def is_closing(self) -> bool:
        """See `exchange.Connection`."""
        return self._transport is None or self._phase is _Phase.LINGERING or self._transport.is_closing()

    def close(self) -> None:
        """See `exchange.Connection`."""
        if self._phase is not _Phase.IDLE:
            self._linger()
        elif self._transport is not None:
            self._transport.close()

    def ended(self) -> None:
        """See `exchange.Connection`."""
        self._serving = None
        if self._phase is not _Phase.LINGERING:
            self._since_s = self._loop.time()
        if self.is_closing():
            return
        self.resume_reading()
        if self._waiting:
            self._serve(self._waiting.popleft())
        elif self._refusal is not None:
            self._refuse(*self._refusal)

    # What the server wants

    def shutdown(self) -> None:
        """Take no further request; the one under way is answered first."""
        if self._serving is not None:
            self._serving.keeps_alive = False
        elif self._phase is not _Phase.LINGERING:
            self.close()

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
        elif self._phase is _Phase.LINGERING and waits_s > LINGERS_S:
            self.abort()
        elif self._is_read_paused or self.is_closing():
            return
        elif self._phase is _Phase.BODY:
            if waits_s > self._limits.body_s + self._size / self._limits.slowest_body:
                self._turn_away(HTTPStatus.REQUEST_TIMEOUT, "body_timeout")
        elif self._serving is not None:
            return  # what comes behind it has time
        elif self._phase is _Phase.HEAD and waits_s > self._limits.head_s:
            self._turn_away(HTTPStatus.REQUEST_TIMEOUT, "head_timeout")
        elif self._phase is _Phase.IDLE and waits_s > KEEP_ALIVE_S:
            self.close()

    def _serve(self, exchange: Exchange) -> None:
        self._serving = exchange
        task = self._loop.create_task(self._answered(exchange))
        self._listener.tasks.add(task)
        task.add_done_callback(self._listener.tasks.discard)

    async def _answered(self, exchange: Exchange) -> None:
        """Whatever happens, the app gets an answer or its connection ends: none may take half of one for whole."""
        try:
            await self._listener.app(exchange)
        except (Exception, asyncio.CancelledError) as error:
            LOG.error("a request failed: %s", type(error).__name__, exc_info=error)
        if exchange.is_ended or self.is_closing():
            return
        if exchange.is_begun:
            self.close()
        else:
            lines = [_TEXT, (b"content-length", b"%d" % len(_FAILED))]
            await exchange.answer(HTTPStatus.INTERNAL_SERVER_ERROR, lines, _FAILED)

    def _begin(self, phase: _Phase) -> None:
        self._phase, self._since_s, self._size = phase, self._loop.time(), 0

    def _check_head(self, version: str) -> None:
        """Refuse what llhttp takes and the standard does not (RFC 9112, 2.3, 3.2 and 5.4)."""
        hosts, size = 0, len(self._url)
        for name, value in self._lines:
            hosts += name == b"host"
            size += len(name) + len(value)
        if version not in ("1.1", "1.0"):
            self._why = (HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "malformed")
        elif size > self._limits.max_head_bytes:
            self._why = (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
        elif hosts == 1 or (hosts == 0 and version == "1.0"):
            return
        raise _TurnedAway

    def _head_without_upgrade(self) -> bytes:
        closes = any(name == b"connection" and b"close" in value.lower() for name, value in self._lines)
        lines = [b"%b: %b\r\n" % line for line in self._lines if line[0] not in _OF_AN_UPGRADE]
        version = self._parser.get_http_version().encode()
        start = b"%b %b HTTP/%b\r\n" % (self._parser.get_method(), self._url, version)
        return b"".join((start, *lines, b"connection: close\r\n" if closes else b"", b"\r\n"))

    def _is_stalled(self, now_s: float) -> bool:
        """Whether the app has taken nothing for long of what waits for it here."""
        unsent = self.unsent
        if not unsent or unsent != self._unsent[0]:
            self._unsent = (unsent, now_s)
        return now_s - self._unsent[1] > self._limits.stall_s

    def _linger(self) -> None:
        """Close for writing, and throw away what still comes."""
        if self._transport is not None and not self.is_closing():
            self._begin(_Phase.LINGERING)
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
            self._phase = _Phase.DEAF

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        """Say what is wrong, where that cannot be taken for a part of an answer, and close."""
        if self._serving is None or not self._serving.is_begun:
            text = f"{status.phrase} ({why})\n".encode()
            self.write(head(status, (_TEXT, (b"content-length", b"%d" % len(text)), _CLOSES)) + b"\r\n" + text)
        self._linger()
        if self._serving is not None:
            self._serving.lost()


def _parser(front: Front) -> httptools.HttpRequestParser:
    """What comes behind a request that closes is left unread; else its answer could not be sent."""
    parser = httptools.HttpRequestParser(front)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser

"""One connection of an app: uvicorn's HTTP/1.1 on httptools, with the limits that it leaves to others.

Contract. What can be read in two ways is answered with 400 and the connection closed, before anybody is asked: a
length that stands beside chunks, two lengths, bad sizes of chunks (llhttp refuses these), no host or two. A head is
bounded in bytes and time, a body in time per byte, and an app that does not take its answer is let go. Trailers are
dropped. Nobody is upgraded: a request that offers another protocol is served on this one (RFC 9110, 7.8), as clients
in Java that offer HTTP/2 expect.
Elsewhere: how large a body may be (intake), how many requests (load), the socket (server).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from http import HTTPStatus
from typing import cast

import httptools
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from midshift.gateway.headers import Lines
from midshift.gateway.presence import CONNECTION
from midshift.gateway.settings import Limits

_VERSIONS = ("1.1", "1.0")
_OF_AN_UPGRADE = (b"connection", b"upgrade", b"http2-settings")


class _Phase(Enum):
    IDLE = "between two requests"
    HEAD = "in a head"
    BODY = "in a body"


class _TurnedAway(Exception):
    """Leaves the parser, which stops by it."""


class _Nowhere:
    """Where trailers go."""

    @staticmethod
    def append(_line: tuple[bytes, bytes]) -> None:
        """Let it fall."""


class Exchange:
    """One request on a connection and its answer. Implements `presence.Connection`."""

    __slots__ = ("_cycle", "_front")

    def __init__(self, front: Front, cycle: RequestResponseCycle) -> None:
        self._front = front
        self._cycle = cycle

    async def answer(self, status: int, lines: Lines, body: bytes) -> None:
        """See `Connection`. Head and body in one packet, where two messages of ASGI are two."""
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        cycle.response_started = cycle.response_complete = True
        head = b"".join([b"%b: %b\r\n" % line for line in lines])
        closing = b"" if cycle.keep_alive else b"connection: close\r\n"
        cycle.transport.write(b"%b%b%b\r\n%b" % (STATUS_LINE[status], head, closing, body))
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()

    async def more(self, data: bytes) -> None:
        """See `Connection`."""
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if not cycle.disconnected:
            cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def tell_when_left(self, left: Callable[[], None] | None) -> None:
        """See `Connection`."""
        self._front.tell_when_left(left)


class Front(HttpToolsProtocol):
    """A connection. `count` is told why one was closed, in a word."""

    def __init__(self, config: Config, state: ServerState, limits: Limits, count: Callable[[str], None]) -> None:
        super().__init__(config, state, {})
        self._limits = limits
        self._count = count
        self._phase = _Phase.HEAD  # whoever connects is expected to ask
        self._since_s = 0.0
        self._size = 0
        self._unsent = (0, 0.0)
        self._why = (HTTPStatus.BAD_REQUEST, "malformed")
        self._plain_head: bytes | None = None
        self._tell_left: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since_s = self.loop.time()
        if len(self.connections) > self._limits.max_connections:
            self._count("too_many_connections")
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._tell_left is not None:
            self._tell_left()

    def tell_when_left(self, left: Callable[[], None] | None) -> None:
        """One request is served at a time, so one wants to be told."""
        self._tell_left = left
        if left is None:
            return
        self.flow.resume_reading()  # a socket that nobody reads never says that it was closed
        if self.transport.is_closing():
            self.loop.call_soon(left)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._phase is _Phase.IDLE:
            self._begin(_Phase.HEAD)
        self._size += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._turn_away(*self._why)
        else:
            if self._phase is _Phase.HEAD and self._size > self._limits.max_head_bytes:
                self._turn_away(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")

    def on_headers_complete(self) -> None:
        self._check_head()
        if self.parser.should_upgrade():
            self._plain_head = self._head_without_upgrade()
            return
        self._begin(_Phase.BODY)
        scope = cast("dict[str, object]", self.scope)
        super().on_headers_complete()
        scope[CONNECTION] = Exchange(self, self.cycle)
        self.headers = _Nowhere()  # type: ignore[assignment]  # the scope keeps the list that it has

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._plain_head is None:
            self._phase = _Phase.IDLE
            super().on_message_complete()

    def look(self, now_s: float) -> None:
        """Close a connection that is slower than it may be. Called now and then."""
        waits_s = now_s - self._since_s
        if self._is_stalled(now_s):
            self._count("reader_stalled")
            self.transport.abort()
        elif self.flow.read_paused or self.transport.is_closing():
            return
        elif self._phase is _Phase.HEAD and waits_s > self._limits.head_s:
            self._turn_away(HTTPStatus.REQUEST_TIMEOUT, "head_timeout")
        elif self._phase is _Phase.BODY and waits_s > self._limits.body_s + self._size / self._limits.slowest_body:
            self._turn_away(HTTPStatus.REQUEST_TIMEOUT, "body_timeout")

    def _begin(self, phase: _Phase) -> None:
        self._phase = phase
        self._since_s = self.loop.time()
        self._size = 0

    def _check_head(self) -> None:
        """Refuse what llhttp takes and the standard does not (RFC 9112, 2.3, 3.2 and 5.4)."""
        hosts, size = 0, len(self.url)
        for name, value in self.headers:
            hosts += name == b"host"
            size += len(name) + len(value)
        version = self.parser.get_http_version()
        if version not in _VERSIONS:
            self._why = (HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "malformed")
        elif size > self._limits.max_head_bytes:
            self._why = (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
        elif hosts == 1 or (hosts == 0 and version == "1.0"):
            return
        raise _TurnedAway

    def _head_without_upgrade(self) -> bytes:
        closes = any(name == b"connection" and b"close" in value.lower() for name, value in self.headers)
        lines = [b"%b: %b\r\n" % line for line in self.headers if line[0] not in _OF_AN_UPGRADE]
        start = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        return b"".join((start, *lines, b"connection: close\r\n" if closes else b"", b"\r\n"))

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Read the request again as one that offers nothing: llhttp gives no body to one that does."""
        head, self._plain_head = self._plain_head, None
        if head is None or head.startswith(b"CONNECT "):
            self._turn_away(HTTPStatus.BAD_REQUEST, "malformed")
            return
        self.parser = httptools.HttpRequestParser(self)
        self._begin(_Phase.HEAD)
        self.data_received(head + rest)

    def _is_stalled(self, now_s: float) -> bool:
        """Whether the app has taken nothing for long of what waits for it here."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent[0]:
            self._unsent = (unsent, now_s)
        return now_s - self._unsent[1] > self._limits.stall_s

    def _turn_away(self, status: HTTPStatus, why: str) -> None:
        """Say what is wrong, where that cannot be taken for a part of an answer, and close."""
        if self.transport.is_closing():
            return
        self._count(why)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            text = f"{status.phrase} ({why})\n".encode()
            self.transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%b" % (status, status.phrase.encode(), len(text), text)
            )
        self.transport.close()

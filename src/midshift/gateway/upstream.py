"""The way to a provider: pooled HTTP/1.1 on httptools, behind two small protocols.

Contract. A call is on the wire when `send` returns; it ends in a whole answer, in `CallFailed`, or by `close`, which
closes the connection if the answer is not whole: nobody pays for what nobody reads. A pooled connection that the
server has closed is exchanged for another as long as no byte of the request was sent; after that a request is never
sent again, since nobody can tell whether it was served. A reader that is slow slows the server down. TLS is 1.2 or
newer, verified against the system's authorities.
Elsewhere: which request to which provider (relay), limits and addresses (settings).
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol, TypeAlias, cast
from urllib.parse import urlsplit

import httptools

from midshift.gateway.settings import Timeouts, Upstream

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

_SLICE = 256 * 1024
_HIGH_WATER = 256 * 1024
_LONGEST_HEAD = 256 * 1024


class Failure(StrEnum):
    """Why there is no answer, or not all of it."""

    UNREACHABLE = "unreachable"
    BUSY = "busy"
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    BROKEN = "broken"
    TOO_LARGE = "too_large"

    @property
    def status(self) -> int:
        """The HTTP status that tells a client the same."""
        if self is Failure.BUSY:
            return 503
        return 504 if self.value.endswith("_timeout") else 502


class CallFailed(Exception):
    """A provider gave no answer, or broke it off."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: a path below the upstream's base URL, header lines, and the body."""

    path: str
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """How an answer begins; header names are in lower case."""

    status: int
    headers: Headers

    def value(self, name: bytes) -> bytes:
        """The first header of that name, or nothing."""
        return next((value for key, value in self.headers if key == name), b"")


class Call(Protocol):
    """One request that is on the wire, and its answer as it comes. All but `close` raise CallFailed."""

    async def head(self) -> Head:
        """Status and headers, as soon as they are there."""
        ...

    async def chunk(self) -> bytes:
        """What has come since the last time, at least one byte; nothing at the end."""
        ...

    async def read(self, limit: int) -> bytes:
        """All that is left; TOO_LARGE beyond the limit."""
        ...

    def close(self) -> None:
        """Let go: a whole answer's connection is kept for the next call, any other is closed at once."""
        ...


class Transport(Protocol):
    """Whatever brings a request to one provider."""

    async def send(self, request: Request, streamed: bool) -> Call:
        """Send a request; returns when it is on the wire.

        Raises:
            CallFailed: if it is not.
        """
        ...

    def close(self) -> None:
        """Close every connection, also those in use."""
        ...


class Pool:
    """Implements `Transport` for one provider: keep-alive, and no more connections than its limit."""

    def __init__(self, upstream: Upstream, api_key: str | None) -> None:
        parts = urlsplit(upstream.base_url)
        secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if secure else 80)
        self._tls = _tls(upstream) if secure else None
        self._prefix = parts.path.rstrip("/")
        self._fixed = _fixed_head(parts.netloc, api_key)
        self._streamed = upstream.timeouts
        self._whole = replace(upstream.timeouts, first_byte_s=upstream.timeouts.total_s)
        self._limit = upstream.max_connections
        self._keep_alive_s = upstream.keep_alive_s
        self._all: set[_Connection] = set()
        self._idle: deque[_Connection] = deque()
        self._opening = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def send(self, request: Request, streamed: bool) -> Call:
        """See `Transport`."""
        timeouts = self._streamed if streamed else self._whole
        total_at = asyncio.get_running_loop().time() + timeouts.total_s
        connection = await self._connection(timeouts)
        call = _Call(connection, timeouts, total_at)
        try:
            await call.write(self._head(request), request.body)
        except BaseException:
            call.close()
            raise
        return call

    def close(self) -> None:
        """See `Transport`."""
        for connection in list(self._all):
            connection.abort()

    def opened(self, connection: _Connection) -> None:
        """Count a connection that is there."""
        self._all.add(connection)

    def released(self, connection: _Connection, reusable: bool) -> None:
        """Take back a connection whose answer is over."""
        if reusable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
            self._close_the_old(connection.idle_since)
        else:
            connection.abort()
        self._wake()

    def lost(self, connection: _Connection) -> None:
        """Forget a connection that is closed."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake()

    async def _connection(self, timeouts: Timeouts) -> _Connection:
        connection = self._pooled()
        if connection is not None:
            return connection
        try:
            async with asyncio.timeout(timeouts.connect_s):
                await self._turn()
                return self._pooled() or await self._opened()
        except TimeoutError:
            raise CallFailed(Failure.BUSY if self._is_full() else Failure.CONNECT_TIMEOUT) from None
        except OSError:
            raise CallFailed(Failure.UNREACHABLE) from None

    def _pooled(self) -> _Connection | None:
        """The connection that was used last and is still open; what the server has closed is dropped on the way."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if now - connection.idle_since < self._keep_alive_s and not connection.is_stale():
                return connection
            connection.abort()
        return None

    async def _opened(self) -> _Connection:
        self._opening += 1
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self),
                self._host,
                self._port,
                ssl=self._tls,
                server_hostname=self._host if self._tls else None,
            )
        except BaseException:
            self._opening -= 1
            self._wake()
            raise
        self._opening -= 1
        return connection

    async def _turn(self) -> None:
        """Wait until a connection is free, or may be opened."""
        while self._is_full() and not self._idle:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except BaseException:
                if turn.done() and not turn.cancelled():
                    self._wake()  # it was our turn, and we left: it is the next one's
                else:
                    self._waiting.remove(turn)
                raise

    def _is_full(self) -> bool:
        return len(self._all) + self._opening >= self._limit

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _close_the_old(self, now: float) -> None:
        while self._idle and now - self._idle[0].idle_since > self._keep_alive_s:
            self._idle.popleft().abort()

    def _head(self, request: Request) -> bytes:
        lines = b"".join(b"%b: %b\r\n" % line for line in request.headers)
        return b"POST %b HTTP/1.1\r\n%b%bcontent-length: %d\r\n\r\n" % (
            f"{self._prefix}{request.path}".encode(),
            self._fixed,
            lines,
            len(request.body),
        )


class _Connection(asyncio.Protocol):
    """One connection: bytes in, callbacks of the parser out to the call that has it."""

    def __init__(self, pool: Pool) -> None:
        self.idle_since = 0.0
        self.call: _Call | None = None
        self.transport: asyncio.Transport | None = None
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._readable = select.poll()
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._in_head = True
        self._until_eof = False
        self._interim = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.call is None:
            self.abort()  # nobody asked: whatever it is, the next answer would be read wrongly
            return
        self._head_bytes += len(data) if self._in_head else 0
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._broken()
        else:
            if self._in_head and self._head_bytes > _LONGEST_HEAD:
                self._broken()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        call, self.call = self.call, None
        if call is not None:
            if error is None and self._until_eof and not self._in_head:
                call.completed()
            else:
                call.failed(Failure.BROKEN)
        self._pool.lost(self)

    def pause_writing(self) -> None:
        if self.call is not None:
            self.call.writable(False)

    def resume_writing(self) -> None:
        if self.call is not None:
            self.call.writable(True)

    def on_message_begin(self) -> None:
        self._headers = []
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # not a trailer
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        self._interim = status < 200
        if self._interim or self.call is None:
            return
        self._in_head = False
        names = {name for name, _ in self._headers}
        self._until_eof = not names & {b"content-length", b"transfer-encoding"} and status not in (204, 304)
        self.call.began(Head(status, self._headers))

    def on_body(self, body: bytes) -> None:
        if self.call is not None:
            self.call.more(body)

    def on_message_complete(self) -> None:
        if self._interim:
            return
        call, self.call = self.call, None
        self._head_bytes = 0
        self._in_head = True
        if call is not None:
            call.completed()
            self._pool.released(self, reusable=self._parser.should_keep_alive() and call.is_written)

    def is_stale(self) -> bool:
        """Whether the server has closed, or said something that nobody asked for. Asks the system, not the loop:
        the loop may not have heard of it yet.
        """
        return self.transport is None or self.transport.is_closing() or bool(self._readable.poll(0))

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if self.transport is not None:
            self.transport.abort()

    def _broken(self) -> None:
        call, self.call = self.call, None
        if call is not None:
            call.failed(Failure.BROKEN)
        self.abort()


class _Call:
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

    def __init__(self, connection: _Connection, timeouts: Timeouts, total_at: float) -> None:
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
        if self._buffered > _HIGH_WATER and not self._reading_paused and self._connection.transport is not None:
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


def _tls(upstream: Upstream) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=upstream.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _fixed_head(netloc: str, api_key: str | None) -> bytes:
    """The lines that are the same in every request; answers come uncompressed, so that their usage can be read."""
    key = f"authorization: Bearer {api_key}\r\n" if api_key is not None else ""
    return f"host: {netloc}\r\n{key}accept-encoding: identity\r\n".encode()

"""The way to a provider: pooled HTTP/1.1 on httptools, behind two small protocols.

Contract. A call is on the wire when `send` returns; it ends in a whole answer, in `CallFailed`, or by `close`, which
closes the connection if the answer is not whole: nobody pays for what nobody reads. A pooled connection that the
server has closed is exchanged for another as long as no byte of the request was sent; after that a request is never
sent again, since nobody can tell whether it was served. A reader that is slow slows the server down. TLS is 1.2 or
newer, verified against the system's authorities.
Elsewhere: which request to which provider (gateway), limits and addresses (settings).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import replace
from urllib.parse import urlsplit

from midshift.providers.http.call import OpenCall
from midshift.providers.http.connection import Connection
from midshift.providers.http.messages import Call, CallFailed, Failure, Request
from midshift.providers.http.settings import Timeouts, Upstream


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
        self._all: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._opening = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def send(self, request: Request, streamed: bool) -> Call:
        """See `Transport`."""
        timeouts = self._streamed if streamed else self._whole
        total_at = asyncio.get_running_loop().time() + timeouts.total_s
        connection = await self._connection(timeouts)
        call = OpenCall(connection, timeouts, total_at)
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

    def opened(self, connection: Connection) -> None:
        """Count a connection that is there."""
        self._all.add(connection)

    def released(self, connection: Connection, reusable: bool) -> None:
        """Take back a connection whose answer is over."""
        if reusable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
            self._close_the_old(connection.idle_since)
        else:
            connection.abort()
        self._wake()

    def lost(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake()

    async def _connection(self, timeouts: Timeouts) -> Connection:
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

    def _pooled(self) -> Connection | None:
        """The connection that was used last and is still open; what the server has closed is dropped on the way."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if now - connection.idle_since < self._keep_alive_s and not connection.is_stale():
                return connection
            connection.abort()
        return None

    async def _opened(self) -> Connection:
        self._opening += 1
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self),
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
        return b"%b %b HTTP/1.1\r\n%b%bcontent-length: %d\r\n\r\n" % (
            request.method.encode(),
            f"{self._prefix}{request.target}".encode(),
            self._fixed,
            lines,
            len(request.body),
        )


def _tls(upstream: Upstream) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=upstream.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _fixed_head(netloc: str, api_key: str | None) -> bytes:
    """The lines that are the same in every request; answers come uncompressed, so that their usage can be read."""
    key = f"authorization: Bearer {api_key}\r\n" if api_key is not None else ""
    return f"host: {netloc}\r\n{key}accept-encoding: identity\r\n".encode()

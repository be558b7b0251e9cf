"""The way to one provider: pooled HTTP/1.1 on httptools, behind two small protocols.

Contract. A call is on the wire when `begin` or `send` returns, or at the end of that turn of the loop; it ends in a
whole answer, in `CallFailed`, or by `close`, which closes the connection if the answer is not whole: nobody pays for
what nobody reads. A pooled connection that the server has closed is exchanged for another as long as no byte of the
request was sent; after that a request is never sent again, since nobody can tell whether it was served. Calls beyond
the limit of connections wait in one line, first come, first served, for `connect_s` at most; calls beyond the line are
told BUSY at once. Whenever a call is given up, its place is free again. Both sides are slowed down by the other: a slow
reader stops the server, a slow server stops the writer.
Elsewhere: which request to which provider (gateway), limits and addresses (settings), bytes (connection, call),
sockets (dial), when limits of time are looked at (watching).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from midshift.providers.http import dial
from midshift.providers.http.call import LARGE, OpenCall
from midshift.providers.http.connection import Connection
from midshift.providers.http.messages import Call, CallFailed, Failure, Request
from midshift.providers.http.outbox import Outbox
from midshift.providers.http.proxies import proxy_for
from midshift.providers.http.settings import Timeouts, Upstream
from midshift.providers.http.terms import Terms
from midshift.providers.http.tls import Contexts
from midshift.providers.http.watching import Watch
from midshift.providers.http.writing import Writer

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """What a pool did since it was made, and what it holds now: `open` (of them `idle`) and `waiting`.

    `opened` and `reused` count connections given to calls, `aborted` calls that were let go before their answer was
    whole, `failures` those that failed.
    """

    opened: int
    reused: int
    aborted: int
    failures: Mapping[Failure, int]
    open: int
    idle: int
    waiting: int


class Pool:
    """Implements `Transport` for one provider: keep-alive, and no more connections than its limit.

    The environment says which proxy is in between (see `proxies`) and whom to trust (see `tls`). Pools of one process
    may share `contexts` of the same environment; authorities are loaded anew otherwise. A pool belongs to the event
    loop on which it is first used.

    Raises:
        ConfigError: if the environment names no proxy where it should, or nobody to trust.
    """

    def __init__(
        self,
        upstream: Upstream,
        api_key: str | None = None,
        environment: Mapping[str, str] = NOTHING,
        contexts: Contexts | None = None,
    ) -> None:
        self._way = _way(upstream, environment, contexts or Contexts(environment))
        self._writer = Writer(upstream.base_url, upstream.lines_with(api_key), self._way)
        self._timeouts = upstream.timeouts
        self._limit = upstream.max_connections
        self._longest_line = upstream.max_waiting
        self._keep_alive_s = upstream.keep_alive_s
        self._all: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._taken = 0  # places: connections that are open, being opened, or promised to somebody in line
        self._line: deque[asyncio.Future[Connection | None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None  # that of its connections, once there are any
        self._terms: list[Terms | None] = [None, None]  # of the last call that was no stream, and of the last that was
        self._watch = Watch()
        self._outbox = Outbox()
        self._is_closed = False
        self._opened = 0
        self._reused = 0
        self._aborted = 0
        self._failures: Counter[Failure] = Counter()

    def begin(self, request: Request, streamed: bool, timeouts: Timeouts | None = None) -> Call | None:
        """See `Transport`."""
        if not self._idle or len(request.body) > LARGE:
            return None
        head = self._writer.head(request)
        limits, terms = timeouts or self._timeouts, self._terms[streamed]
        if terms is None or terms.timeouts is not limits:
            self._terms[streamed] = terms = self._terms_of(limits, streamed)
        now = terms.loop.time()
        connection = self._pooled(now)
        if connection is None:
            return None
        call = OpenCall(connection, terms, now, now, request.method != "HEAD")
        try:
            call.write_soon(head + request.body, self._outbox)
        except BaseException:
            call.close()
            raise
        return call

    async def send(self, request: Request, streamed: bool, timeouts: Timeouts | None = None) -> Call:
        """See `Transport`."""
        begun = self.begin(request, streamed, timeouts)
        if begun is not None:
            return begun
        terms = self._terms_of(timeouts or self._timeouts, streamed)
        head = self._writer.head(request)
        began_at = terms.loop.time()
        connection = await self.another(terms.timeouts)
        call = OpenCall(connection, terms, began_at, terms.loop.time(), request.method != "HEAD")
        try:
            if len(request.body) <= LARGE:
                call.write_soon(head + request.body, self._outbox)
            else:
                await call.write_large(head, request.body)
        except BaseException:
            call.close()
            raise
        return call

    def close(self) -> None:
        """See `Transport`."""
        self._is_closed = True
        self._watch.close()
        for connection in list(self._all):
            connection.break_off()

    def counts(self) -> PoolCounts:
        """What it did, and what it holds."""
        return PoolCounts(
            self._opened,
            self._reused,
            self._aborted,
            {failure: self._failures[failure] for failure in Failure},
            len(self._all),
            len(self._idle),
            len(self._line),
        )

    def opened(self, connection: Connection) -> None:
        """See `Owner`."""
        self._loop = asyncio.get_running_loop()
        self._opened += 1
        self._all.add(connection)
        if self._is_closed:  # it was on its way
            connection.abort()

    def released(self, connection: Connection, is_reusable: bool) -> None:
        """See `Owner`."""
        if not is_reusable or self._is_closed:
            connection.abort()
        elif not (self._line and self._give(connection)):
            connection.idle_since = now = (self._loop or asyncio.get_running_loop()).time()
            idle = self._idle
            idle.append(connection)
            while now - idle[0].idle_since > self._keep_alive_s:
                idle.popleft().abort()

    def lost(self, connection: Connection) -> None:
        """See `Owner`."""
        if connection in self._all:
            self._all.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._free_place()

    async def another(self, limits: Timeouts) -> Connection:
        """See `Owner`."""
        return self._pooled(asyncio.get_running_loop().time()) or await self._connected(limits)

    def failed(self, why: Failure) -> None:
        """See `Owner`."""
        self._failures[why] += 1

    def left(self) -> None:
        """See `Owner`."""
        self._aborted += 1

    def _terms_of(self, timeouts: Timeouts, streamed: bool) -> Terms:
        return Terms.of(asyncio.get_running_loop(), self._watch, timeouts, streamed)

    def _pooled(self, now: float) -> Connection | None:
        """The connection that was used last and is still open; what the server has closed is dropped on the way."""
        while self._idle:
            connection = self._idle.pop()
            if now - connection.idle_since < self._keep_alive_s and not connection.is_stale():
                self._reused += 1
                return connection
            connection.abort()
        return None

    async def _connected(self, limits: Timeouts) -> Connection:
        """A connection that had to be waited for, or to be opened."""
        is_in_line = self._taken >= self._limit
        try:
            async with asyncio.timeout(min(limits.connect_s, limits.total_s)):
                given = await self._turn() if is_in_line else self._place()
                is_in_line = False
                return given or await self._open()
        except CallFailed as failed:
            raise self._counted(failed) from None
        except TimeoutError:
            why = Failure.BUSY if is_in_line else Failure.CONNECT_TIMEOUT
            raise self._counted(CallFailed(why, f"after {limits.connect_s:g} s")) from None
        except (OSError, UnicodeError) as error:  # a name that is none is an error of its encoding
            raise self._counted(CallFailed(Failure.UNREACHABLE, str(error))) from None

    def _counted(self, failed: CallFailed) -> CallFailed:
        self.failed(failed.failure)
        return failed

    def _place(self) -> Connection | None:
        """Take a place: there is no connection yet."""
        self._taken += 1
        return None

    async def _open(self) -> Connection:
        """A new connection, at a place that was taken for it."""
        connection = Connection(self)
        try:
            if self._is_closed:
                raise ConnectionAbortedError("the pool is closed")
            await dial.connect(self._way, connection)
        except BaseException:
            if connection.was_made:
                self.lost(connection)  # nobody else may say so: uvloop lets go of a new one without a word
            else:
                self._free_place()
            connection.abort()
            raise
        return connection

    async def _turn(self) -> Connection | None:
        """Wait in line for a connection, or for a place (None)."""
        if len(self._line) >= self._longest_line:
            raise CallFailed(Failure.BUSY, f"{len(self._line)} calls wait for a connection already")
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            given = await turn
        except asyncio.CancelledError:
            self._leave_line(turn)
            raise
        if given is None or not given.is_stale():
            self._reused += given is not None
            return given
        if given in self._all:  # its place is ours
            self._all.discard(given)
            given.abort()
        else:
            self._place()  # it closed just now: there may be one connection more for a while, and nobody waits twice
        return None

    def _leave_line(self, turn: asyncio.Future[Connection | None]) -> None:
        """Give up a turn; if it had come already, it is the next one's."""
        if turn.cancelled():
            with suppress(ValueError):  # it was passed by in this very turn of the loop
                self._line.remove(turn)
        elif (given := turn.result()) is None:
            self._free_place()
        elif given in self._all:
            self.released(given, is_reusable=True)

    def _give(self, given: Connection | None) -> bool:
        """Give a connection or a place to whoever is first in line."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(given)
                return True
        return False

    def _free_place(self) -> None:
        if not self._give(None):
            self._taken -= 1


def _way(upstream: Upstream, environment: Mapping[str, str], contexts: Contexts) -> dial.Way:
    parts = urlsplit(upstream.base_url)
    is_secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if is_secure else 80)
    proxy = proxy_for(parts.scheme, host, port, environment)
    needs_tls = is_secure or (proxy is not None and proxy.is_secure)
    return dial.Way(host, port, is_secure, contexts.trusting(upstream.ca_file) if needs_tls else None, proxy)

"""One connection: bytes from the socket through the parser to the call that has it.

Elsewhere: who waits for the answer (call), who keeps the connection (pool).
"""

from __future__ import annotations

import asyncio
import select
from typing import Protocol, cast

import httptools

from midshift.providers.http.messages import Failure, Head

_LONGEST_HEAD = 256 * 1024


class Receiver(Protocol):
    """Whoever an answer is for."""

    is_written: bool

    def began(self, head: Head) -> None:
        """The head has come."""
        ...

    def more(self, data: bytes) -> None:
        """A part of the body has come."""
        ...

    def completed(self) -> None:
        """The answer is whole."""
        ...

    def failed(self, why: Failure) -> None:
        """There will be no more."""
        ...

    def writable(self, is_writable: bool) -> None:
        """The system's buffer is full, or no longer."""
        ...


class Owner(Protocol):
    """Whoever keeps connections."""

    def opened(self, connection: Connection) -> None:
        """Count a connection that is there."""
        ...

    def released(self, connection: Connection, reusable: bool) -> None:
        """Take back a connection whose answer is over."""
        ...

    def lost(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        ...


class Connection(asyncio.Protocol):
    """One connection: bytes in, callbacks of the parser out to the call that has it."""

    def __init__(self, pool: Owner) -> None:
        self.idle_since = 0.0
        self.call: Receiver | None = None
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

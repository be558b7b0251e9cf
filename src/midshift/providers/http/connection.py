"""One connection: bytes from the socket through the parser to the call that has it.

Contract. What one read has brought is parsed first, and handed over then: all that is there of the body as one part.
What comes after an answer belongs to nobody: the connection is closed, and never gives it to the next call.
What brings nothing for long (a head, trailers, extensions of chunks beyond 256 KB) is broken off. An answer whose end
is the end of the connection is whole if the server closed and did not reset; over TLS nobody can tell that from
somebody who cuts the line, which is why no answer of a known length is taken for whole before it is.
Elsewhere: who waits for the answer (call), who keeps the connection (pool).
"""

from __future__ import annotations

import asyncio
import select
from typing import Protocol, cast

import httptools

from midshift.providers.http.messages import Failure, Head
from midshift.providers.http.settings import Timeouts

_LONGEST_BARREN = 256 * 1024


class Receiver(Protocol):
    """Whoever an answer is for. `has_body` is false for HEAD, whose answer ends with its head."""

    has_body: bool

    @property
    def is_unsent(self) -> bool:
        """Whether nothing was sent yet, and it can be sent on another connection."""
        ...

    def began(self, head: Head) -> None:
        """The head has come."""
        ...

    def more(self, data: bytes) -> None:
        """A part of the body has come, and the answer is not whole yet."""
        ...

    def completed(self, rest: bytes) -> bool:
        """The answer is whole: `rest` is what was not there of the body, if anything.

        Answers whether the whole request was sent, so that the connection can take another.
        """
        ...

    def failed(self, why: Failure) -> None:
        """There will be no more."""
        ...

    def resumed(self) -> None:
        """The system takes bytes again."""
        ...


class Owner(Protocol):
    """Whoever keeps connections."""

    def opened(self, connection: Connection) -> None:
        """Count a connection that is there."""
        ...

    def released(self, connection: Connection, is_reusable: bool) -> None:
        """Take back a connection whose answer is over."""
        ...

    def lost(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        ...

    async def another(self, limits: Timeouts) -> Connection:
        """A connection for a call whose own closed before anything was sent.

        Raises:
            CallFailed: if there is none.
        """
        ...

    def failed(self, why: Failure) -> None:
        """Count a call that failed."""
        ...

    def left(self) -> None:
        """Count a call that was let go before its answer was whole."""
        ...


class Connection(asyncio.Protocol):
    """A connection over its life: idle, or with one call; between them lies a whole answer."""

    __slots__ = (
        "_barren",
        "_head",
        "_headers",
        "_keeps_alive",
        "_parser",
        "_parts",
        "_readable",
        "call",
        "idle_since",
        "is_write_paused",
        "on_body",
        "owner",
        "transport",
        "was_made",
    )

    def __init__(self, owner: Owner) -> None:
        self.idle_since = 0.0
        self.call: Receiver | None = None
        self.transport: asyncio.Transport | None = None
        self.is_write_paused = False
        self.was_made = False
        self.owner = owner
        self._parts: list[bytes] = []  # of a body, which this read has brought
        self.on_body = self._parts.append
        self._parser = httptools.HttpResponseParser(self)
        self._readable = select.poll()
        self._headers: list[tuple[bytes, bytes]] = []  # as they come: of a head, and then of the trailers behind it
        self._head: Head | None = None  # of the answer that is coming, once it is there
        self._barren = 0
        self._keeps_alive: bool | None = None  # whether the server does, once its answer is whole

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.was_made = True
        self.owner.opened(self)

    def data_received(self, data: bytes) -> None:
        call, parts = self.call, self._parts
        if call is None:
            self.abort()  # nobody asked: whatever it is, the next answer would be read wrongly
            return
        is_broken = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            is_broken = True
        body = b"".join(parts)  # of one part: itself
        parts.clear()
        if self._keeps_alive is not None:
            is_reusable = self._keeps_alive and not is_broken
            self._keeps_alive = None
            self._barren = 0
            is_sent = call.completed(body)
            if self.call is call:  # whoever has taken the body has not let go of it
                self.call = self._head = None
                self.owner.released(self, is_reusable and is_sent and not self.is_write_paused)
            return
        if body:
            self._barren = 0
            call.more(body)
        else:
            self._barren += len(data)
            is_broken = is_broken or self._barren > _LONGEST_BARREN
        if is_broken:
            self.break_off()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        call, self.call = self.call, None
        if call is not None:
            if error is None and self._ends_with_connection():
                call.completed(b"")
            else:
                if not call.is_unsent:
                    self.owner.failed(Failure.BROKEN)
                call.failed(Failure.BROKEN)
        self.owner.lost(self)
        del self._parser  # each holds the other: the collector, which comes seldom, would have to find them

    def pause_writing(self) -> None:
        self.is_write_paused = True

    def resume_writing(self) -> None:
        self.is_write_paused = False
        if self.call is not None:
            self.call.resumed()

    # What the parser finds. What is raised here ends it, and with it the connection.

    def on_message_begin(self) -> None:
        self._headers = []
        if self._keeps_alive is not None:
            raise ValueError("another answer, right behind ours")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status, call = self._parser.get_status_code(), self.call
        if 200 <= status < 600 and call is not None:
            self._head = head = Head(status, self._headers)
            self._headers = []
            call.began(head)
            if not call.has_body:
                self._keeps_alive = False
                raise ValueError("the body that the head speaks of does not come")
        elif not 100 <= status < 200:
            raise ValueError(f"{status} is no status (RFC 9110, 15)")

    def on_message_complete(self) -> None:
        if self._head is not None:  # without one it was an interim answer: 103 Early Hints
            self._keeps_alive = self._parser.should_keep_alive()

    def is_stale(self) -> bool:
        """Whether the server has closed, or said something that nobody asked for.

        Asks the system, since the loop may not have heard of it yet. That costs half a microsecond, and is done
        however short the connection was idle: a server that closes without having said so does it right behind its
        answer, which is when a busy pool uses the connection again.
        """
        return self.transport is None or self.transport.is_closing() or bool(self._readable.poll(0))

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if self.transport is not None:
            self.transport.abort()

    def _ends_with_connection(self) -> bool:
        """An answer that has begun, and says neither how long it is nor that it comes in chunks."""
        if self._head is None:
            return False
        return not {b"content-length", b"transfer-encoding"} & {name for name, _ in self._head.headers}

    def break_off(self) -> None:
        """Close at once; a call that is under way has failed, also one whose answer would end with the connection."""
        call, self.call = self.call, None
        if call is not None:
            self.owner.failed(Failure.BROKEN)
            call.failed(Failure.BROKEN)
        self.abort()

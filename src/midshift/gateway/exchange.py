"""One request of an app on its connection, and the way back: the body as it comes, an answer whole or in parts.

Contract. The request's parts come in the order in which they were sent, and are held once; beyond 64 KB that nobody has
taken the app is not read from. An answer is written once: whole, or begun, continued and ended. Where its head names no
length it goes in chunks, to clients of HTTP/1.0 up to the end of the connection. To an app that is gone nothing is
written, and nobody waits for it.
Elsewhere: reading requests off the socket (front), who answers (app, admin).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol

from msgspec import Struct

from midshift.gateway.heads import Head

HIGH_WATER = 64 * 1024

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus}
_COLON = b": "
_CLOSES = b"connection: close\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n"
_WITHOUT_A_BODY = (204, 304)


class ClientLeft(Exception):
    """The app closed its connection."""


class Connection(Protocol):
    """What an exchange needs of the connection that it is on."""

    is_write_paused: bool

    def write(self, data: bytes) -> None:
        """Send, unless the app is gone."""
        ...

    def write_soon(self, data: bytes) -> None:
        """Send at the end of this turn of the loop, or before what is sent or closed sooner."""
        ...

    async def drained(self) -> None:
        """Wait until the app has taken most of what was sent, or is gone."""
        ...

    def pause_reading(self) -> None:
        """Read nothing more for now."""
        ...

    def resume_reading(self) -> None:
        """Read on."""
        ...

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        ...

    def close(self) -> None:
        """Close when all is sent."""
        ...

    def ended(self) -> None:
        """The answer is complete: on to the next request."""
        ...


class Exchange(Struct, eq=False):
    """One request and its answer. `length` is how long its body says that it is, None where it comes in chunks.

    `body` is all of it, where it came together with the head. `task` is what answers, where a worker does.

    As a context, it runs its block as long as the app is there: when that leaves before its answer is complete, the
    block is cancelled and ends in silence, and `was_cancelled` says so. Once. It is made for every request: a struct,
    whose fields are set in C.
    """

    connection: Connection
    head: Head
    length: int | None
    body: bytes | None = None  # empty when it was taken
    task: asyncio.Task[None] | None = None
    keeps_alive: bool = True
    is_whole: bool = False
    is_begun: bool = False
    is_ended: bool = False
    was_cancelled: bool = False
    _is_chunked: bool = False
    _was_told_to_continue: bool = False
    _parts: list[bytes] = []  # where it comes one by one
    _size: int = 0  # of these
    _has_left: bool = False
    _waiter: asyncio.Future[None] | None = None
    _cancels: asyncio.Task[Any] | None = None
    _writable: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self.keeps_alive = self.head.keeps_alive
        self.is_whole = self.body is not None

    # The request, for whoever answers it

    async def part(self) -> bytes:
        """What has come of the body since the last time; nothing at its end.

        Raises:
            ClientLeft: if it never comes whole.
        """
        while not (self._parts or self.is_whole or self._has_left):
            await self._more_of_it()
        if self._has_left:
            raise ClientLeft
        whole = self.taken()
        return self._joined() if whole is None else whole

    def taken(self) -> bytes | None:
        """The rest of the body at once, if all of it is there; None where its parts have to be waited for."""
        if not self.is_whole or self._has_left:
            return None
        body = self.body
        if body is None:
            return self._joined()
        self.body = b""
        return body

    @property
    def is_full(self) -> bool:
        """Whether as much of the body has come as may wait."""
        return self._size > HIGH_WATER

    @property
    def is_taken(self) -> bool:
        """Whether all of the body has come and was taken."""
        return self.is_whole and not (self.body or self._parts)

    def __enter__(self) -> None:
        self._cancels = self.task or asyncio.current_task()
        connection = self.connection
        connection.resume_reading()  # a socket that nobody reads never says that it was closed
        if self._has_left or connection.is_closing():
            asyncio.get_running_loop().call_soon(self._cancel)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._cancels = None
        if not self.was_cancelled:
            return False
        task = self.task or asyncio.current_task()
        return task is not None and task.uncancel() == 0 and kind is asyncio.CancelledError

    # The answer

    async def answer(self, status: int, lines: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole answer, in one packet where it fits. One of the lines says how long it is."""
        if self.is_paused:
            await self.drained()
        self.send(status, lines, body)

    def send(self, status: int, lines: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """The same at once: for an app that takes more, as it does unless the answer `is_paused`."""
        self._begin()
        if status in _WITHOUT_A_BODY:  # and without a length (RFC 9110, 8.6)
            lines, body = [line for line in lines if line[0] != b"content-length"], b""
        elif self.head.method == "HEAD":
            body = b""
        whole = head_and(status, lines, b"" if self.keeps_alive else _CLOSES, body)
        if len(whole) > HIGH_WATER:
            self.connection.write(whole)
        else:
            self.connection.write_soon(whole)
        self._end()

    async def begin(self, status: int, lines: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the head of an answer whose parts follow."""
        if self.is_paused:
            await self.drained()
        self._begin()
        has_body = self.head.method != "HEAD" and status not in _WITHOUT_A_BODY
        if has_body and not any(name == b"content-length" for name, _ in lines):
            self._is_chunked = not self.head.is_old
            self.keeps_alive = self.keeps_alive and not self.head.is_old
        own = (_CHUNKED if self._is_chunked else b"") + (b"" if self.keeps_alive else _CLOSES)
        self.connection.write(head_and(status, lines, own, b""))

    def more(self, data: bytes) -> bool:
        """Send a part, which is not empty; whether the app takes more now. It may be sent more in any case."""
        connection = self.connection
        connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)
        return not connection.is_write_paused

    @property
    def is_paused(self) -> bool:
        """Whether the app has yet to take what was sent; `drained` waits for it."""
        return self.connection.is_write_paused

    async def drained(self) -> None:
        """Wait until the app takes more."""
        if self.connection.is_write_paused:
            await self.connection.drained()

    def tell_when_writable(self, writable: Callable[[], None] | None) -> None:
        """Call this whenever the app takes more again, after `more` has said that it does not."""
        self._writable = writable

    def end(self, data: bytes = b"") -> None:
        """Send the last of it."""
        if data:
            self.more(data)
        if self._is_chunked:
            self.connection.write(b"0\r\n\r\n")
        self._end()

    def _begin(self) -> None:
        """A body that has not come will not be read, and an app that waited to send it may send what it likes: what
        comes next on this connection is no request for sure."""
        self.is_begun = True
        if not self.is_whole:
            self.keeps_alive = False

    def _end(self) -> None:
        connection = self.connection
        self.is_ended = True
        self._parts.clear()
        if not self.keeps_alive:
            connection.close()
        connection.ended()

    # What the connection says

    def feed(self, data: bytes) -> None:
        """A part of the body has come. After the answer nobody wants it."""
        if self.is_ended:
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER:
            self.connection.pause_reading()
        self._wake()

    def complete(self) -> None:
        """All of the body has come."""
        self.is_whole = True
        self._wake()

    def lost(self) -> None:
        """The app is gone, or is taken for gone. Once."""
        if self._has_left:
            return
        self._has_left = True
        self._wake()
        self.writable()
        self._cancel()

    def writable(self) -> None:
        """The app takes more."""
        if self._writable is not None:
            self._writable()

    def _cancel(self) -> None:
        task, self._cancels = self._cancels, None
        if task is not None and not self.is_ended:
            self.was_cancelled = True
            task.cancel()

    def _joined(self) -> bytes:
        """The parts that have come since the last time."""
        taken = b"".join(self._parts)  # of one part: itself
        self._parts.clear()
        if self._size > HIGH_WATER:
            self.connection.resume_reading()
        self._size = 0
        return taken

    async def _more_of_it(self) -> None:
        if self.head.expects_continue and not self._was_told_to_continue:
            self._was_told_to_continue = True
            self.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.connection.resume_reading()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def head_and(status: int, lines: Sequence[tuple[bytes, bytes]], own: bytes, body: bytes) -> bytes:
    """The head of an answer, with lines of our own that are spelled and ended, and what there is of the body."""
    start = _STATUS_LINES.get(status) or b"HTTP/1.1 %d " % status
    return b"\r\n".join([start, *map(_COLON.join, lines), own, body])

"""What is said to a provider and what comes back, and the two protocols between: Transport and Call.

Elsewhere: limits and addresses (settings), what keeps these promises over sockets (pool).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol, TypeAlias

from midshift.domain.light import Light
from midshift.providers.http.settings import Timeouts

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


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
    """A provider gave no answer, or broke it off; `detail` is for people, and holds no secret."""

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(f"{failure.value}: {detail}" if detail else failure.value)
        self.failure = failure
        self.detail = detail


class Request(Light):
    """What is sent: a target below the upstream's base URL (it may carry a query), header lines, and the body.

    `host`, the key, `accept-encoding` and `content-length` are added on the way. Nothing else is.
    """

    target: str
    headers: Headers
    body: bytes = b""
    method: str = "POST"


class Head(Light):
    """How an answer begins; header names are in lower case."""

    status: int
    headers: Headers

    def value(self, name: bytes) -> bytes:
        """The first header of that name, or nothing."""
        for key, value in self.headers:
            if key == name:
                return value
        return b""


Ended: TypeAlias = tuple[Head, bytes] | Failure
"""A whole answer, or why there is none."""


class Call(Protocol):
    """One request that is on the wire, and its answer as it comes. What is awaited may raise CallFailed."""

    async def head(self) -> Head:
        """Status and headers, as soon as they are there."""
        ...

    def hurry(self, patience_s: float) -> None:
        """Wait no longer than this, from now on, for the end of the answer: it fails with FIRST_BYTE_TIMEOUT."""
        ...

    async def chunk(self) -> bytes:
        """What has come since the last time, at least one byte; nothing at the end."""
        ...

    async def forward(self, take: Callable[[bytes], bool]) -> None:
        """Hand over each part as it comes, the first at once if it is there; `take` says whether it wants more now.

        After False, `resume` goes on; meanwhile parts wait as they do for `chunk`. `take` is called where the bytes
        are read, without a task in between: what it does is short, and what it raises is raised here, and ends the
        call. Returns at the end of the answer, when all of it was handed over.
        """
        ...

    def resume(self) -> None:
        """Go on to hand over, after `take` wanted no more; nothing otherwise."""
        ...

    def at_hand(self, limit: int) -> bytes:
        """All that is left, where it has come; nothing where `read` has to wait for it, or has to say what is wrong."""
        ...

    async def read(self, limit: int) -> bytes:
        """All that is left; TOO_LARGE beyond the limit, at once where the answer says how long it is.

        The parts are joined once, at the end: for that moment the answer is in memory twice.
        """
        ...

    def when_over(self, limit: int, told: Callable[[Ended], None]) -> None:
        """Tell once how it ended, in the place of `head` and `read`, for whoever has no task that could wait for them.

        Tells as soon as it is over, or is to be: beyond the limit, or closed. At once where that is known by now; else
        in a turn of the loop of its own.
        """
        ...

    def close(self) -> None:
        """Let go: a whole answer's connection is kept for the next call, any other is closed at once."""
        ...


class Transport(Protocol):
    """Whatever brings a request to one provider."""

    def begin(self, request: Request, streamed: bool, timeouts: Timeouts | None = None) -> Call | None:
        """As `send`, where nothing has to be waited for; None where something has, and nothing was done.

        Raises:
            UsageError: as `send`.
        """
        ...

    async def send(self, request: Request, streamed: bool, timeouts: Timeouts | None = None) -> Call:
        """Send a request; it is on the wire when this turn of the loop ends.

        `timeouts` stand in for the upstream's own.

        Raises:
            CallFailed: if it is not.
            UsageError: for a target or a header that would be read as more than one.
        """
        ...

    def close(self) -> None:
        """Close every connection, also those in use."""
        ...

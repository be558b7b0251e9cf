"""What is said to a provider and what comes back, and the two protocols between: Transport and Call.

Elsewhere: limits and addresses (settings), the connections behind the protocols (pool, connection, call).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

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
    """A provider gave no answer, or broke it off."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: a target below the upstream's base URL (it may carry a query), header lines, and the body."""

    target: str
    headers: Headers
    body: bytes = b""
    method: str = "POST"


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

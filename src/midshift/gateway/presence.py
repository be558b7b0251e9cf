"""Whether the app is still there to hear its answer.

A connection of `front` says so itself, which costs a request nothing; behind any other ASGI server a task waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol

from midshift.gateway.headers import Lines
from midshift.gateway.intake import Receive
from midshift.gateway.job import Outcome

CONNECTION = "midshift.connection"
"""Where in a scope a `Connection` stands."""


class Connection(Protocol):
    """What an app has asked one request on: what ASGI has no words for, or only dear ones."""

    async def answer(self, status: int, lines: Lines, body: bytes) -> None:
        """Send a whole answer, in one piece. One of the lines says how long it is."""
        ...

    async def more(self, data: bytes) -> None:
        """Send a part of an answer that has begun, and whose head names no length; nothing is not a part."""
        ...

    def tell_when_left(self, left: Callable[[], None] | None) -> None:
        """Call this once when it is closed, at once if it is already; None is for nobody any more."""
        ...


class WhileClientStays:
    """Runs its block as long as the app is there: when it leaves, the block is cancelled and ends in silence."""

    __slots__ = ("_connection", "_outcome", "_receive", "_serving", "_tasks", "_watching")

    def __init__(self, tasks: asyncio.TaskGroup, scope: Mapping[str, Any], receive: Receive, outcome: Outcome) -> None:
        self._tasks = tasks
        self._connection: Connection | None = scope.get(CONNECTION)
        self._receive = receive
        self._outcome = outcome
        self._serving: asyncio.Task[Any] | None = None
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._serving = asyncio.current_task()
        if self._connection is not None:
            self._connection.tell_when_left(self._left)
        else:
            self._watching = self._tasks.create_task(self._watch())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        serving, self._serving = self._serving, None
        if self._connection is not None:
            self._connection.tell_when_left(None)
        if self._watching is not None:
            self._watching.cancel()
        has_left = self._outcome.left
        self._outcome.left = has_left and not self._outcome.is_whole  # clients close when they have read the last event
        if not has_left or serving is None:
            return False
        return serving.uncancel() == 0 and kind is asyncio.CancelledError

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left()

    def _left(self) -> None:
        if self._serving is not None:  # else it is the server that says the answer is over
            self._outcome.left = True
            self._serving.cancel()

"""Whether the app is still there to hear its answer."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from midshift.gateway.intake import Receive
from midshift.gateway.job import Outcome


class WhileClientStays:
    """Runs its block as long as the app is there: when it leaves, the block is cancelled and ends in silence."""

    __slots__ = ("_outcome", "_receive", "_serving", "_tasks", "_watching")

    def __init__(self, tasks: asyncio.TaskGroup, receive: Receive, outcome: Outcome) -> None:
        self._tasks = tasks
        self._receive = receive
        self._outcome = outcome
        self._serving: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> None:
        self._serving = asyncio.current_task()
        self._watching = self._tasks.create_task(self._watch())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        serving, self._serving = self._serving, None
        self._watching.cancel()
        if not self._outcome.left or serving is None:
            return False
        return serving.uncancel() == 0 and kind is asyncio.CancelledError

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._serving is not None:  # else it is the server that says the answer is over
            self._outcome.left = True
            self._serving.cancel()

"""Whether the app is still there to hear its answer."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from midshift.gateway.exchange import Exchange
from midshift.gateway.job import Outcome


class WhileClientStays:
    """Runs its block as long as the app is there: when it leaves, the block is cancelled and ends in silence."""

    __slots__ = ("_exchange", "_outcome", "_serving")

    def __init__(self, exchange: Exchange, outcome: Outcome) -> None:
        self._exchange = exchange
        self._outcome = outcome
        self._serving: asyncio.Task[Any] | None = None

    def __enter__(self) -> None:
        self._serving = self._exchange.task or asyncio.current_task()
        self._exchange.tell_when_left(self._left)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        serving, self._serving = self._serving, None
        self._exchange.tell_when_left(None)
        outcome = self._outcome
        if not outcome.left:
            return False
        outcome.left = not outcome.is_whole  # clients close when they have read the last event
        return serving is not None and serving.uncancel() == 0 and kind is asyncio.CancelledError

    def _left(self) -> None:
        if self._serving is not None and not self._outcome.left and not self._exchange.is_ended:
            self._outcome.left = True
            self._serving.cancel()

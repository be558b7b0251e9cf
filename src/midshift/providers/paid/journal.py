"""Entries of the ledger from many coroutines, as few commits.

What is written while a commit is under way waits for the next one: the busier, the more of them share one. A coroutine
goes on when its own entries outlive a crash. Elsewhere: the file (ports.PaidCalls).
"""

from __future__ import annotations

import asyncio

from midshift.domain.paid_call import Intent, Settled
from midshift.ports import PaidCalls


class Journal:
    """Writes for the coroutines of one event loop."""

    def __init__(self, calls: PaidCalls) -> None:
        self._calls = calls
        self._entries: list[Intent | Settled] = []
        self._turn: asyncio.Future[None] | None = None
        self._is_writing = False

    async def write(self, entry: Intent | Settled) -> None:
        """Returns when the entry is durable.

        Raises:
            StoreError: if it cannot be written.
        """
        if self._turn is None:
            loop = asyncio.get_running_loop()
            self._turn = loop.create_future()
            if not self._is_writing:
                loop.call_soon(self._send)  # so that all that is ready in this turn of the loop goes along
        self._entries.append(entry)
        await asyncio.shield(self._turn)

    def _send(self) -> None:
        entries, turn = self._entries, self._turn
        if turn is None:
            return
        self._entries, self._turn, self._is_writing = [], None, True
        loop = asyncio.get_running_loop()

        def done(failure: Exception | None) -> None:
            loop.call_soon_threadsafe(self._written, turn, failure)

        self._calls.write(entries, done)

    def _written(self, turn: asyncio.Future[None], failure: Exception | None) -> None:
        self._is_writing = False
        if failure is None:
            turn.set_result(None)
        else:
            turn.set_exception(failure)
        self._send()

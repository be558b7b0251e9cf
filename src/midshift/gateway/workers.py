"""Who answers the requests of a listener: tasks, each of which waits for another request when it has answered one.

To make a task for each request, and to let go of it, costs as much as to read the request.
Contract. A request is begun at the next turn of the loop. Whatever happens, the app gets an answer or its connection
ends: none may take half of one for whole. Whoever waits holds nothing of a request that it has answered.
Elsewhere: which request is answered when (front), what is answered (app, admin).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeAlias, cast

from midshift.gateway.answering import TEXT, answer
from midshift.gateway.exchange import Exchange

LOG = logging.getLogger(__name__)

App: TypeAlias = Callable[[Exchange], Awaitable[None]]
"""Whoever answers the requests of a listener. It sets no context variable: the next request would find it set."""

MOST_IDLE = 256
"""So many wait for requests: after a rush, those that it took beyond them end."""

_FAILED = b"Internal Server Error\n"


class Workers:
    """Tasks that answer requests; `tasks` are all that there are."""

    __slots__ = ("_app", "_idle", "_most_idle", "tasks")

    def __init__(self, app: App) -> None:
        self._app = app
        self._idle: list[asyncio.Future[Exchange]] = []
        self._most_idle = MOST_IDLE
        self.tasks: set[asyncio.Task[None]] = set()

    def answer(self, exchange: Exchange) -> None:
        """Have a request answered by whoever waited last, or by somebody new."""
        while self._idle:
            turn = self._idle.pop()
            if not turn.done():  # nobody has cancelled its task
                turn.set_result(exchange)
                return
        task = asyncio.get_running_loop().create_task(self._work(exchange))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def stop(self) -> None:
        """Let those end who have nothing to do, and the others when they have answered."""
        self._most_idle = 0
        for turn in self._idle:
            turn.cancel()

    async def _work(self, exchange: Exchange) -> None:
        task, loop = cast("asyncio.Task[None]", asyncio.current_task()), asyncio.get_running_loop()
        while True:
            exchange.task = task
            try:
                await self._app(exchange)
            except (Exception, asyncio.CancelledError) as error:
                if not exchange.is_ended:
                    LOG.error("a request failed: %s", type(error).__name__, exc_info=error)
            if not exchange.is_ended and not exchange.connection.is_closing():
                await _give_up(exchange)
            del exchange
            if len(self._idle) >= self._most_idle or task.cancelling():
                return
            turn: asyncio.Future[Exchange] = loop.create_future()
            self._idle.append(turn)
            exchange = await turn
            del turn


async def _give_up(exchange: Exchange) -> None:
    if exchange.is_begun:
        exchange.connection.close()
    else:
        await answer(exchange, HTTPStatus.INTERNAL_SERVER_ERROR, TEXT, _FAILED)

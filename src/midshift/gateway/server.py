"""Listening, and stopping without dropping anybody.

In a process of its own, a gateway is `run(gateway)`: it ends on SIGTERM or SIGINT, once the requests under way are
answered. Inside another program it is `async with serving(gateway) as listening`.
Elsewhere: who connects (accepting), a connection (front), a request on it (exchange).
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvloop

from midshift.gateway.accepting import Accepting
from midshift.gateway.admin import AdminPort
from midshift.gateway.app import Gateway
from midshift.gateway.front import Front, Listener
from midshift.gateway.settings import Limits
from midshift.gateway.workers import App
from midshift.ports import Clock

COLLECTED_AFTER = (20_000, 10, 10)
"""Requests leave hardly any cycles behind: to look for some after each 700 objects took a twentieth of the time."""

CANCELLED_WITHIN_S = 5.0
LOOKS_EVERY_S = 0.01
"""How often it is asked whether an app has taken the rest of its answer, while the gateway stops."""

SWITCH_S = 0.0005
"""How long the thread of the record may keep a request waiting; 10 times as long by default."""

TURNS_TO_READ = 3

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a gateway can be reached; `admin_port` is None without an admin port."""

    host: str
    port: int
    admin_port: int | None = None


def run(gateway: Gateway, clock: Clock, listening: Callable[[Listening], None] = lambda _: None) -> None:
    """Serve until SIGTERM or SIGINT. `listening` is called once requests are answered."""
    uvloop.run(_until_stopped(gateway, clock, listening))


@asynccontextmanager
async def serving(gateway: Gateway, clock: Clock) -> AsyncIterator[Listening]:
    """Serve as long as the block lasts; leaving it lets the requests under way finish."""
    settings = gateway.settings
    async with gateway:
        limits, count = settings.limits, gateway.counters.count_turned_away
        front, admin, admin_port = _Address(gateway, limits, count), None, None
        try:
            if settings.admin is not None:
                admin = _Address(AdminPort(gateway, settings.admin, clock), limits, count)
                admin_port = await admin.listen(settings.admin.host, settings.admin.port)
            port = await front.listen(settings.host, settings.port)
            gateway.routes.opened()
            yield Listening(settings.host, port, admin_port)
        finally:
            gateway.is_draining = True
            await front.drain(settings.drain_s)
            if admin is not None:
                await admin.drain(1.0)


async def _until_stopped(gateway: Gateway, clock: Clock, listening: Callable[[Listening], None]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    async with serving(gateway, clock) as where:
        gc.collect()
        gc.freeze()  # what is there now stays: a collection need not look at it again
        gc.set_threshold(*COLLECTED_AFTER)
        sys.setswitchinterval(SWITCH_S)
        listening(where)
        await stopping.wait()
        for number in _SIGNALS:  # the second one ends the process at once, as if nobody listened
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)


class _Address:
    """One application on one address."""

    def __init__(self, app: App, limits: Limits, count: Callable[[str], None]) -> None:
        self._listener = Listener(app, limits, count)
        self._accepting = Accepting(self._connection)
        self._looking: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int) -> int:
        """Begin to listen; returns the port, which the system chose if 0 was asked for."""
        found = await self._accepting.listen(host, port)
        self._look()
        return found

    async def drain(self, patience_s: float) -> None:
        """Take no new request, let those under way finish, and cancel what takes longer."""
        await self._accepting.stop()
        for connection in list(self._listener.connections):
            connection.shutdown()
        for _ in range(TURNS_TO_READ):  # what apps have sent already is answered
            await asyncio.sleep(0)
        for connection in list(self._listener.connections):
            connection.leave()
        if self._looking is not None:
            self._looking.cancel()
        until_s = asyncio.get_running_loop().time() + patience_s
        self._listener.workers.stop()
        if self._listener.workers.tasks:
            _, late = await asyncio.wait(set(self._listener.workers.tasks), timeout=patience_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=CANCELLED_WITHIN_S)
        self._listener.outbox.flush()
        await self._emptied(until_s)
        for connection in list(self._listener.connections):
            connection.abort()

    async def _emptied(self, until_s: float) -> None:
        """Wait until every app has taken what was sent, or is gone."""
        loop = asyncio.get_running_loop()
        connections = self._listener.connections
        while any(one.unsent for one in connections) and loop.time() < until_s:  # noqa: ASYNC110 - plain numbers
            await asyncio.sleep(LOOKS_EVERY_S)

    def _connection(self) -> Front:
        return Front(self._listener)

    def _look(self) -> None:
        """Close what is too slow; one timer for all connections, so that no request has to set any."""
        loop = asyncio.get_running_loop()
        for connection in list(self._listener.connections):
            connection.look(loop.time())
        self._looking = loop.call_later(self._listener.limits.look_every_s, self._look)

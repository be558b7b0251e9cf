"""Listening, and stopping without dropping anybody: uvicorn's HTTP protocol on a loop that is ours.

In a process of its own, a gateway is `run(gateway)`: it ends on SIGTERM or SIGINT, once the requests under way are
answered. Inside another program it is `async with serving(gateway) as listening`. uvicorn's own `Server` is left out:
it takes over signals, and polls ten times a second for what an event says at once.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import uvloop
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from midshift.gateway.admin import AdminPort
from midshift.gateway.app import Gateway
from midshift.ports import Clock

KEEP_ALIVE_S = 75
BACKLOG = 2048


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
        front, admin, admin_port = _Listener(gateway), None, None
        try:
            if settings.admin is not None:
                admin = _Listener(AdminPort(gateway, settings.admin, clock))
                admin_port = await admin.listen(settings.admin.host, settings.admin.port)
            port = await front.listen(settings.host, settings.port)
            yield Listening(settings.host, port, admin_port)
        finally:
            gateway.is_draining = True
            await front.drain(settings.drain_s)
            if admin is not None:
                await admin.drain(1.0)


async def _until_stopped(gateway: Gateway, clock: Clock, listening: Callable[[Listening], None]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with serving(gateway, clock) as where:
        gc.collect()
        gc.freeze()  # what is there now stays: a collection need not look at it again
        listening(where)
        await stopping.wait()


class _Listener:
    """One application on one address."""

    def __init__(self, app: Any) -> None:
        self._config = Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self._config.load()
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Begin to listen; returns the port, which the system chose if 0 was asked for."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, host, port, backlog=BACKLOG)
        return cast("int", self._server.sockets[0].getsockname()[1])

    async def drain(self, patience_s: float) -> None:
        """Take no new request, let those under way finish, and cancel what takes longer."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            _, late = await asyncio.wait(set(self._state.tasks), timeout=patience_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        for connection in list(self._state.connections):
            connection.transport.abort()

    def _protocol(self) -> HttpToolsProtocol:
        return HttpToolsProtocol(self._config, self._state, {})

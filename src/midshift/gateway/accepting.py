"""Taking in the connections of apps: all that wait, at each turn of the loop.

An event loop on libuv takes in one connection a turn. A turn of a busy gateway is milliseconds, so where every app
connects anew at once, after a deploy or a broken line, the last of them would wait for seconds.
Elsewhere: a connection (front), when to stop (server).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

LOG = logging.getLogger(__name__)

BACKLOG = 2048
AT_ONCE = 256
"""So many at a turn, so that those who are connected have theirs."""

AGAIN_S = 0.5
"""When to try again where the system has no file, or no memory, for one more."""


class Accepting:
    """Listens on one address; `made` makes the protocol of each connection."""

    def __init__(self, made: Callable[[], asyncio.Protocol]) -> None:
        self._made = made
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int) -> int:
        """Begin; returns the port, which the system chose if 0 was asked for.

        Raises:
            OSError: if the address is none of this machine's, or in use.
        """
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                self._bind(socket.socket(family, socket.SOCK_STREAM), address)
        except OSError as error:
            self._close()
            raise OSError(error.errno, f"cannot listen on {host} port {port}: {error.strerror}") from None
        self._watch()
        return int(self._sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Listen no more. Who has connected by now is taken in: to them, this gateway was there."""
        if self._again is not None:
            self._again.cancel()
        for listening in self._sockets:
            self._loop.remove_reader(listening.fileno())
            while self._take(listening):
                pass
        self._close()
        if self._opening:
            await asyncio.wait(set(self._opening))

    def _bind(self, listening: socket.socket, address: tuple[object, ...]) -> None:
        self._sockets.append(listening)
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listening.family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)

    def _close(self) -> None:
        for listening in self._sockets:
            listening.close()
        self._sockets.clear()

    def _watch(self) -> None:
        for listening in self._sockets:
            self._loop.add_reader(listening.fileno(), self._take, listening)

    def _take(self, listening: socket.socket) -> bool:
        """Take in those who wait; whether there may be more of them."""
        for _ in range(AT_ONCE):
            try:
                connected, _ = listening.accept()
            except BlockingIOError:
                return False
            except ConnectionAbortedError:  # who waited is gone
                continue
            except OSError as error:
                self._pause(error)
                return False
            task = self._loop.create_task(self._open(connected))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        return True

    async def _open(self, connected: socket.socket) -> None:
        try:
            connected.setblocking(False)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(self._made, connected)
        except OSError as error:  # who connected is gone
            LOG.debug("a connection was lost before it was open: %s", error)
            connected.close()

    def _pause(self, error: OSError) -> None:
        """Take in nobody for a moment: the system has nothing left to take them in with."""
        LOG.warning("no connection can be taken in (%s); trying again in %g s", error.strerror, AGAIN_S)
        for listening in self._sockets:
            self._loop.remove_reader(listening.fileno())
        self._again = self._loop.call_later(AGAIN_S, self._watch)

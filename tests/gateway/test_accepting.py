"""Taking in connections: nobody waits for a turn of the loop behind somebody else."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from midshift.gateway.accepting import AT_ONCE, Accepting

TURNS = 20


class Met(asyncio.Protocol):
    """A connection that says that it is there."""

    def __init__(self, there: list[asyncio.BaseTransport]) -> None:
        self._there = there

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say it."""
        self._there.append(transport)


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Accepting, int, list[asyncio.BaseTransport]]]:
    """An address, its port, and who is there."""
    there: list[asyncio.BaseTransport] = []
    accepting = Accepting(lambda: Met(there))
    port = await accepting.listen("127.0.0.1", 0)
    try:
        yield accepting, port, there
    finally:
        await accepting.stop()
        for transport in there:
            transport.close()


def callers(port: int, count: int) -> list[socket.socket]:
    """So many who have connected, as far as their own system says."""
    return [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]


async def turns() -> None:
    """Let the loop turn as often as a few callbacks need."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def test_all_who_wait_are_taken_in_at_once() -> None:
    """One a turn would let the last of a thousand wait for seconds, after a deploy of a busy gateway."""
    async with listening() as (_, port, there):
        waiting = callers(port, 5 * TURNS)

        await turns()

        assert 5 * TURNS == len(there)
        for one in waiting:
            one.close()


async def test_who_has_connected_before_the_end_is_taken_in() -> None:
    """To them the gateway was there: a reset would be an error that a user sees, at each deploy."""
    async with listening() as (accepting, port, there):
        waiting = callers(port, AT_ONCE + 3)

        await accepting.stop()

        assert AT_ONCE + 3 == len(there)
        with pytest.raises(ConnectionRefusedError):
            callers(port, 1)
        for one in waiting:
            one.close()


class Starved:
    """A socket of a process that may open no file more."""

    def accept(self) -> tuple[socket.socket, object]:
        """Refuse."""
        raise OSError(errno.EMFILE, "Too many open files")

    def fileno(self) -> int:
        """None of its own."""
        return -1


async def test_without_files_left_the_gateway_pauses_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """A loop that asks again at each turn would have no time for those who are connected."""
    async with listening() as (accepting, port, there):
        accepting._take(Starved())  # type: ignore[arg-type]
        waiting = callers(port, 1)
        await turns()
        assert [] == there
        assert "Too many open files" in caplog.text

        accepting._watch()  # what the timer does
        await turns()
        assert 1 == len(there)
        waiting[0].close()


async def test_an_address_in_use_is_an_error_of_the_system() -> None:
    """Whoever starts a second gateway on one port has to hear of it."""
    async with listening() as (_, port, there):
        with pytest.raises(OSError, match="in use"):
            await Accepting(lambda: Met(there)).listen("127.0.0.1", port)

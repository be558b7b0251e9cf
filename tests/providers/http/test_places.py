"""The places of a pool: whatever becomes of a call, its place is free again, on any loop that runs it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeAlias

import pytest
import uvloop

from midshift.providers.http.connection import Connection
from midshift.providers.http.messages import CallFailed, Request
from midshift.providers.http.pool import Pool
from midshift.providers.http.settings import Timeouts, Upstream
from tests.providers.http.authority import Authority
from tests.providers.http.test_pool import ANSWER, BODY, a_pool, ask, plain
from tests.servers import Exchange, FakeProvider, silent

LOOPS = pytest.mark.parametrize("run", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
Run: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]


class LeftAtOnce(Pool):
    """A pool whose caller is gone in the turn of the loop in which its connection is there."""

    caller: asyncio.Task[bytes] | None = None

    def opened(self, connection: Connection) -> None:
        super().opened(connection)
        if self.caller is not None:
            self.caller.cancel()


@LOOPS
@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "TLS"])
def test_a_call_that_is_given_up_as_its_connection_opens_gives_its_place_back(
    run: Run, is_secure: bool, authority: Authority
) -> None:
    """uvloop then lets go of the connection without a word: so many apps that leave would close a provider for good."""

    async def scenario() -> None:
        options = {"ssl": authority.server_context("IP:127.0.0.1")} if is_secure else {}
        async with FakeProvider(plain).running(**options) as provider:
            url = provider.base_url.replace("http:", "https:" if is_secure else "http:")
            pool = LeftAtOnce(Upstream(url, max_connections=2, ca_file=authority.ca_file))
            for _ in range(2):
                async with asyncio.TaskGroup() as tasks:
                    pool.caller = tasks.create_task(ask(pool))
                assert pool.caller.cancelled()
            pool.caller = None
            assert [ANSWER] * 3 == list(await asyncio.gather(*[ask(pool) for _ in range(3)]))

            assert (2, 2, 4) == (pool.counts().open, pool._taken, pool.counts().opened)
            pool.close()
            await gone(pool)

    run(scenario())


class Unwritable:
    """A transport that takes nothing any more."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.abort = transport.abort

    def write(self, data: bytes) -> None:
        raise ZeroDivisionError

    def is_closing(self) -> bool:
        return False


@LOOPS
def test_a_call_that_cannot_be_written_gives_its_place_back(run: Run) -> None:
    """An error of the loop's, or of ours: so many of them as there are places would close a provider for good."""

    async def scenario() -> None:
        async with a_pool(plain, max_connections=1) as (pool, _):
            await ask(pool)
            (connection,) = pool._all
            assert connection.transport is not None
            unwritable: Any = Unwritable(connection.transport)
            connection.transport = unwritable
            with pytest.raises(ZeroDivisionError):
                pool.begin(Request("/x", [], BODY), streamed=False)

            await gone(pool)
            assert ANSWER == await ask(pool)

    run(scenario())


@LOOPS
def test_who_leaves_the_line_as_its_turn_comes_leaves_it_like_anybody_else(run: Run) -> None:
    """An error of ours would be an answer of 500, where the incumbent could have answered."""

    async def scenario() -> None:
        async with a_pool(silent, max_connections=1, timeouts=Timeouts(connect_s=60.0)) as (pool, provider):
            async with asyncio.TaskGroup() as tasks:
                await pool.send(Request("/x", [], BODY), streamed=False)
                leaving, staying = [tasks.create_task(pool.send(Request("/x", [], BODY), False)) for _ in range(2)]
                await provider.asked.wait()
                (connection,) = pool._all
                leaving.cancel()
                connection.abort()
                pool.lost(connection)  # in the same turn, as the loop may well say it

            assert leaving.cancelled()
            staying.result().close()
            await gone(pool)

    run(scenario())


@LOOPS
@pytest.mark.parametrize("seed", range(4))
def test_after_all_calls_are_over_every_place_is_back(run: Run, seed: int) -> None:
    """Whatever becomes of them, and in whichever turn of the loop: one place lost an hour is an outage in a week."""
    dice = random.Random(seed)

    async def some_turns(most: int) -> None:
        for _ in range(dice.randrange(most)):
            await asyncio.sleep(0)

    async def script(exchange: Exchange) -> None:
        await some_turns(8)
        match dice.randrange(8):
            case 0:
                exchange.cut()
            case 1:
                await exchange.begin_stream()
                await exchange.chunk(b"half")
                exchange.cut()
            case 2:
                await exchange.answer(ANSWER)
                exchange.cut()
            case 3:
                await exchange.answer(ANSWER, lines=[("connection", "close")])
                raise ConnectionResetError
            case 4:
                await silent(exchange)
            case _:
                await exchange.answer(bytes(dice.choice((1, 300_000))), dice.choice((200, 500)))

    async def caller(pool: Pool) -> None:
        with suppress(CallFailed):
            await ask(pool, bytes(dice.choice((1, 100_000))), dice.random() < 0.5)

    async def leaving(call: asyncio.Task[None]) -> None:
        await some_turns(40)
        call.cancel()

    async def scenario() -> None:
        limits = Timeouts(connect_s=0.002, first_byte_s=0.01, total_s=0.02)
        async with a_pool(script, max_connections=3, max_waiting=10, timeouts=limits) as (pool, _):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(200):
                    call = tasks.create_task(caller(pool))
                    if dice.random() < 0.5:
                        tasks.create_task(leaving(call))
                    await some_turns(4)

            for connection in pool._all - set(pool._idle):
                assert connection.transport is None or connection.transport.is_closing()
            pool.close()
            await gone(pool)

    run(scenario())


async def gone(pool: Pool) -> None:
    """Until a pool holds nothing, when every place of it must be free; one that is lost never comes back."""
    for _ in range(1000):
        if pool.counts().open == 0:
            break
        await asyncio.sleep(0)
    assert (0, 0, 0, 0) == (pool.counts().open, pool.counts().idle, pool.counts().waiting, pool._taken)

"""Tasks that answer one request after the other."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from midshift.gateway.exchange import Exchange
from midshift.gateway.heads import Head
from midshift.gateway.workers import MOST_IDLE, App, Workers
from tests.gateway.fakes import FakeConnection

LINES = [(b"content-length", b"2")]


def a_request(connection: FakeConnection | None = None) -> Exchange:
    """One that has come whole."""
    return Exchange(connection or FakeConnection(), Head("POST", b"/", [(b"host", b"x")]), 0, b"")


def answering(seen: list[asyncio.Task[None] | None]) -> App:
    """Answers, and keeps who did."""

    async def answer(exchange: Exchange) -> None:
        seen.append(asyncio.current_task())
        await exchange.answer(200, LINES, b"ok")

    return answer


async def turns(number: int = 3) -> None:
    """Let whatever is ready run."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_whoever_has_answered_answers_the_next_request() -> None:
    """To make a task costs as much as to read a request."""
    seen = list[asyncio.Task[None] | None]()
    workers = Workers(answering(seen))
    for _ in range(3):
        workers.answer(a_request())
        await turns()

    assert 3 == len(seen)
    assert 1 == len(set(seen)) == len(workers.tasks)


async def test_requests_at_the_same_time_do_not_wait_for_each_other() -> None:
    """An answer may take minutes."""
    begun = list[Exchange]()

    async def think(exchange: Exchange) -> None:
        begun.append(exchange)
        await asyncio.Event().wait()

    workers = Workers(think)
    for _ in range(3):
        workers.answer(a_request())
    await turns()

    assert 3 == len(begun) == len(workers.tasks)


async def test_a_request_is_begun_no_sooner_than_at_the_next_turn() -> None:
    """Whoever reads requests off a socket reads on first."""
    seen = list[asyncio.Task[None] | None]()
    workers = Workers(answering(seen))
    for number in range(2):
        workers.answer(a_request())
        assert number == len(seen)
        await turns()


async def test_of_a_request_that_was_answered_nothing_is_held() -> None:
    """A connection may be idle for a minute behind its answer, and its request is megabytes."""
    workers = Workers(answering([]))
    for _ in range(2):
        workers.answer(exchange := a_request())
        connection = weakref.ref(exchange.connection)
        del exchange
        gc.disable()
        try:
            await turns()
            assert connection() is None
        finally:
            gc.enable()


async def test_a_request_that_fails_is_answered_and_ends_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The next one is answered by the same task."""

    async def fail(_: Exchange) -> None:
        raise ZeroDivisionError

    workers = Workers(fail)
    for _ in range(2):
        workers.answer(a_request(connection := FakeConnection()))
        await turns()
        assert connection.written.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")

    assert ["a request failed: ZeroDivisionError"] * 2 == caplog.messages
    assert 1 == len(workers.tasks)


async def test_an_answer_that_breaks_off_ends_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody may take half of one for whole."""

    async def break_off(exchange: Exchange) -> None:
        await exchange.begin(200, [])
        raise ZeroDivisionError

    Workers(break_off).answer(a_request(connection := FakeConnection()))
    await turns()

    assert connection.is_closed
    assert 1 == len(caplog.messages)


async def test_an_app_that_leaves_takes_nothing_from_the_next_request() -> None:
    """What was cancelled for one request is not cancelled for another."""
    ended = list[bool]()

    async def think(exchange: Exchange) -> None:
        with exchange:
            await asyncio.sleep(0 if ended else 60)
        ended.append(exchange.was_cancelled)
        if not exchange.was_cancelled:
            await exchange.answer(200, LINES, b"ok")

    workers = Workers(think)
    workers.answer(left := a_request(gone := FakeConnection()))
    await turns()
    gone.close()
    left.lost()
    await turns()
    workers.answer(a_request(connection := FakeConnection()))
    await turns(4)

    assert [True, False] == ended
    assert connection.written.endswith(b"ok")
    assert 1 == len(workers.tasks)


@pytest.mark.parametrize("given", [False, True], ids=["idle", "given a request"])
async def test_whoever_is_cancelled_ends_and_is_given_nothing_more(given: bool) -> None:
    """A gateway that stops cancels what takes too long; a task that goes on would keep it."""
    seen = list[asyncio.Task[None] | None]()
    workers = Workers(answering(seen))
    workers.answer(a_request())
    await turns()
    (cancelled,) = workers.tasks
    if given:
        workers.answer(a_request())
    cancelled.cancel()
    await turns()
    assert cancelled.cancelled()

    workers.answer(a_request())
    await turns()
    assert 2 == len(seen) == len(set(seen))


async def test_whoever_is_cancelled_while_it_answers_gives_up_that_request_and_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The app hears of it."""

    async def think(_: Exchange) -> None:
        await asyncio.Event().wait()

    workers = Workers(think)
    workers.answer(a_request(connection := FakeConnection()))
    await turns()
    for task in workers.tasks:
        task.cancel()
    await turns()

    assert connection.written.startswith(b"HTTP/1.1 500 ")
    assert ["a request failed: CancelledError"] == caplog.messages
    assert set() == workers.tasks


async def test_who_has_nothing_to_do_ends_when_they_stop_and_the_others_when_they_have_answered() -> None:
    """Whoever stops waits for all of them, and no longer than for the answers."""
    go = asyncio.Event()
    seen = list[asyncio.Task[None] | None]()

    async def answer_then(exchange: Exchange) -> None:
        if exchange.keeps_alive:
            await go.wait()
        await answering(seen)(exchange)

    workers = Workers(answer_then)
    quick = a_request()
    quick.keeps_alive = False
    workers.answer(quick)
    workers.answer(a_request())
    await turns()
    workers.stop()
    await turns()
    assert 1 == len(workers.tasks)

    go.set()
    await turns()
    assert (2, set()) == (len(seen), workers.tasks)


async def test_after_a_rush_only_so_many_wait() -> None:
    """Each that waits is memory."""
    workers = Workers(answering([]))
    for _ in range(MOST_IDLE + 10):
        workers.answer(a_request())
    await turns()

    assert MOST_IDLE == len(workers.tasks)

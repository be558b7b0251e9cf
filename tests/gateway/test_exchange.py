"""One request and its answer, on a connection that keeps what was written."""

from __future__ import annotations

import asyncio

import pytest

from midshift.gateway.exchange import HIGH_WATER, ClientLeft, head_and
from midshift.gateway.exchange import Exchange as GatewayExchange
from midshift.gateway.front import Front, Listener
from midshift.gateway.heads import Head
from midshift.gateway.settings import Limits
from tests.gateway.fakes import FakeConnection, FakeTransport
from tests.gateway.test_front import a_request

LINES = [(b"content-length", b"2")]


class SlowConnection(FakeConnection):
    """One whose app takes nothing until somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_write_paused = True

    async def drained(self) -> None:
        """As soon as it is asked."""
        self.is_write_paused = False


def an_exchange(body: bytes | None = None, connection: FakeConnection | None = None) -> GatewayExchange:
    """One for a request whose body has come, or not yet."""
    return GatewayExchange(connection or FakeConnection(), Head("POST", b"/", [(b"host", b"x")]), None, body)


def test_a_body_that_is_there_is_taken_once() -> None:
    """Whoever has to wait for one takes the other way; a body that is handed out twice is held twice."""
    exchange = an_exchange(b"hello")

    assert (b"hello", b"") == (exchange.taken(), exchange.taken())
    assert exchange.is_taken


async def test_a_body_that_came_in_parts_is_taken_when_all_of_it_is_there() -> None:
    """Half of one is no body."""
    exchange = an_exchange()
    exchange.feed(b"hel")
    assert exchange.taken() is None

    exchange.feed(b"lo")
    exchange.complete()
    assert b"hello" == exchange.taken()
    assert b"" == await exchange.part()


async def test_of_an_app_that_has_left_nothing_is_taken() -> None:
    """Nobody would read the answer."""
    exchange = an_exchange(b"hello")
    exchange.lost()

    assert exchange.taken() is None
    with pytest.raises(ClientLeft):
        await exchange.part()


async def test_an_answer_waits_for_an_app_that_takes_nothing() -> None:
    """What is sent meanwhile is memory; who does not want to wait in a coroutine asks before."""
    connection = SlowConnection()
    exchange = an_exchange(b"", connection)
    assert exchange.is_paused

    await exchange.answer(200, LINES, b"ok")
    assert not connection.is_write_paused
    assert b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" == connection.written


@pytest.mark.parametrize(
    ("status", "lines", "expected"),
    [
        (404, LINES, b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno"),
        (299, [], b"HTTP/1.1 299 \r\n\r\nno"),
    ],
)
def test_a_head_has_the_words_of_its_status_if_there_are_any(
    status: int, lines: list[tuple[bytes, bytes]], expected: bytes
) -> None:
    """RFC 9112, 4: the blank behind the number stays, also where nothing follows it."""
    assert expected == head_and(status, lines, b"", b"no")


def test_an_answer_before_the_body_has_come_ends_the_connection() -> None:
    """Nobody knows whether what comes next is the rest of it."""
    connection = FakeConnection()
    an_exchange(None, connection).send(200, LINES, b"ok")

    assert connection.written.endswith(b"\r\nconnection: close\r\n\r\nok")
    assert connection.is_closed


@pytest.mark.parametrize(("size", "paused"), [(HIGH_WATER, []), (HIGH_WATER + 1, ["pause_reading"])])
async def test_a_large_body_in_one_piece_holds_the_app_up_until_it_is_taken(size: int, paused: list[str]) -> None:
    """Also under a head that is known, whose usual body waits for nothing."""
    taken = list[bytes]()

    async def take(exchange: GatewayExchange) -> None:
        taken.append(await exchange.part())
        await exchange.answer(200, LINES, b"ok")

    front, transport = Front(listener := Listener(take, Limits(), list[str]().append)), FakeTransport()
    front.connection_made(transport)
    front.data_received(a_request("content-length: 1", tail=b"x"))
    await _over(listener)
    front.data_received(a_request(f"content-length: {size}", tail=b"y" * size))
    assert paused == transport.done[1:]

    await _over(listener)
    assert [b"x", b"y" * size] == taken
    assert ("resume_reading" in transport.done) is bool(paused)


async def _over(listener: Listener) -> None:
    """The requests under way are answered, and nobody keeps anything of them."""
    listener.workers.stop()
    for _ in range(3):
        await asyncio.sleep(0)
    assert set() == listener.workers.tasks

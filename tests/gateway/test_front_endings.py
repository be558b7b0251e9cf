"""How a connection ends, and requests behind each other: an answer that was given is one that the app can read."""

from __future__ import annotations

import asyncio
import json

import pytest

from midshift.gateway.exchange import Exchange as GatewayExchange
from midshift.gateway.front import KEEP_ALIVE_S, LINGERS_S, MOST_WAITING, Front, Listener
from midshift.gateway.heads import Head
from midshift.gateway.settings import Limits
from tests.gateway.fakes import Exchange, FakeConnection, FakeTransport, a_question, a_stage, answering, silent
from tests.gateway.test_front import BODY, CHAT, LENGTH, a_request, sent

HEALTH = "GET /healthz HTTP/1.1"
OFFER = ("connection: Upgrade", "upgrade: h2c")


async def test_an_app_that_still_sends_can_read_why_it_was_refused() -> None:
    """A reset takes the answer from it: it sees a broken connection, and sends all of it again."""
    size = 32 << 20
    async with a_stage(max_body_bytes=1000) as stage:
        data = a_request(f"content-length: {size}", "connection: close", tail=b"x" * size)
        found = await sent(stage, data)

        assert found.startswith(b"HTTP/1.1 413 ")
        assert b"request_too_large" in found
        assert [] == stage.old.seen


async def test_an_app_that_is_told_that_it_cannot_be_read_may_still_be_sending() -> None:
    """The same for what is found in the middle of a body."""
    async with a_stage() as stage:
        found = await sent(stage, a_request("transfer-encoding: chunked", tail=b"zz\r\n" + b"x" * (32 << 20)))

        assert found.startswith(b"HTTP/1.1 400 ")
        assert {"malformed": 1} == stage.gateway.counters.turned_away


async def test_what_comes_behind_a_body_that_nobody_asked_for_is_no_request() -> None:
    """An app that waits for 100 Continue and is refused may send its body, or its next request: who guesses wrong
    takes a user's text for a request."""
    refused = a_request("expect: 100-continue", "content-length: 999999999", tail=b"")
    async with a_stage() as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(refused)
        first = await reader.readuntil(b"\r\n\r\n")
        writer.write(a_request(LENGTH))
        rest = await reader.read()
        writer.close()

        assert first.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nconnection: close\r\n" in first
        assert b"HTTP/1.1 " not in rest
        assert [] == stage.old.seen


async def test_http_1_0_is_told_nothing_in_between() -> None:
    """RFC 9110, 10.1.1: it would take 100 Continue for its answer."""
    start = CHAT.replace("1.1", "1.0")
    async with a_stage() as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(a_request("expect: 100-continue", LENGTH, start=start, tail=b""))
        while not stage.gateway.load.in_flight:  # noqa: ASYNC110 - a plain number
            await asyncio.sleep(0)
        writer.write(BODY)

        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()


@pytest.mark.parametrize("more", [b"\x00\r\n\r\n", a_request("content-length: 1, 1"), b"POST / HTTP/9.9\r\n\r\n"])
async def test_what_is_wrong_with_a_request_is_said_after_the_answer_before_it(more: bytes) -> None:
    """The first request is somebody's, and paid for; a 400 in its place would be taken for its answer."""
    async with a_stage() as stage:
        found = await sent(stage, a_request(LENGTH) + more)
        await stage.settled()

        assert [b"200", b"400"] == [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]]
        assert [200] == [exposure.status for exposure in stage.exposures]
        assert {"malformed": 1} == stage.gateway.counters.turned_away


@pytest.mark.parametrize("more", [b"\r\n", b"POST /v1/cha"])
async def test_what_comes_behind_a_request_takes_no_time_from_its_answer(more: bytes) -> None:
    """Old clients send an empty line behind a body; models think for longer than a head may take."""
    limits, go_on = Limits(head_s=0.02), asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await go_on.wait()
        await answering("late")(exchange)

    async with a_stage(late, limits=limits) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(a_request(LENGTH))
        await stage.old.asked.wait()
        writer.write(more)
        await asyncio.sleep(8 * limits.look_every_s)
        go_on.set()

        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        assert {} == stage.gateway.counters.turned_away
        writer.close()


async def test_an_app_that_leaves_is_heard_although_a_later_request_waits() -> None:
    """Of a socket that is not read nobody hears its end, and the provider goes on for nobody."""
    async with a_stage(silent) as stage:
        _, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(a_request(LENGTH))
        await stage.old.asked.wait()
        writer.write(a_request(LENGTH))
        await asyncio.sleep(0.01)
        writer.transport.abort()

        await stage.old.left.wait()
        await stage.settled()
        assert [499] == [exposure.status for exposure in stage.exposures]


async def test_any_number_of_requests_at_once_is_answered_in_order() -> None:
    """Each of them in turn, whether it offers another protocol or not."""
    many = 20 * MOST_WAITING
    data = (a_request(start=HEALTH, tail=b"") + a_request(*OFFER, start=HEALTH, tail=b"")) * many
    async with a_stage() as stage:
        found = await sent(stage, data + a_request("connection: close", start="GET /other HTTP/1.1", tail=b""))

        assert 2 * many == found.count(b"HTTP/1.1 200 OK\r\n")
        assert 1 == found.partition(b"HTTP/1.1 404 ")[2].count(b"connection: close\r\n")


async def test_a_flood_of_requests_waits_where_it_came_from() -> None:
    """Each that waits here is memory, and the app can send them faster than anybody answers."""
    front = Front(Listener(_thinking, Limits(), list[str]().append))
    front.connection_made(transport := FakeTransport())
    for _ in range(3):
        front.data_received(a_request(start=HEALTH, tail=b"") * MOST_WAITING)
        front.resume_reading()
    assert "resume_reading" not in transport.done
    for task in list(front._listener.workers.tasks):
        task.cancel()


async def test_what_comes_behind_a_request_that_closes_is_left_unread() -> None:
    """Also where it had to be read twice."""
    async with a_stage() as stage:
        found = await sent(stage, a_request("connection: Upgrade, close", "upgrade: h2c", LENGTH) + b"and more")

        assert found.startswith(b"HTTP/1.1 200 ")
        assert {} == stage.gateway.counters.turned_away


async def test_an_app_that_closes_its_side_has_left() -> None:
    """Nobody can tell one that still listens from one that is gone, and an answer for nobody is paid for."""
    async with a_stage(silent) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(a_request(LENGTH))
        await stage.old.asked.wait()
        writer.write_eof()

        assert b"" == await reader.read()
        await stage.old.left.wait()
        await stage.settled()
        assert [499] == [exposure.status for exposure in stage.exposures]
        writer.close()


async def test_a_large_request_behind_another_does_not_hide_that_its_app_has_left() -> None:
    """Its body would have to wait, the socket would not be read, and the provider would go on for nobody."""
    large = json.dumps(a_question("x" * 1_000_000)).encode()
    async with a_stage(silent) as stage:
        _, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(a_request(LENGTH))
        await stage.old.asked.wait()
        writer.write(a_request(f"content-length: {len(large)}", tail=large))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()

        await stage.old.left.wait()
        await stage.settled()
        assert [499] == [exposure.status for exposure in stage.exposures]


async def test_a_large_request_behind_another_is_to_be_sent_again() -> None:
    """The answer before it says that the connection ends, and so it is known not to have been served."""
    large = json.dumps(a_question("x" * 1_000_000)).encode()
    async with a_stage() as stage:
        more = a_request(f"content-length: {len(large)}", tail=large) + a_request(start=HEALTH, tail=b"")
        found = await sent(stage, a_request(LENGTH) + more)

        assert 1 == found.count(b"HTTP/1.1 200 OK\r\n")
        assert 1 == len(stage.old.seen)


async def test_an_app_that_has_not_taken_its_answer_is_not_cut_off_when_its_connection_ends() -> None:
    """What is left over behind a request costs it a moment; its answer may take as long as any other."""
    front, transport = Front(Listener(_thinking, Limits(), list[str]().append)), FakeTransport()
    front.connection_made(transport)
    front.data_received(b"no request at all\r\n\r\n")
    now_s, transport.unsent = asyncio.get_running_loop().time(), 1000
    for number in range(4):
        transport.unsent -= 1  # it takes something each time
        front.look(now_s + number * 2 * LINGERS_S)
    assert "abort" not in transport.done

    transport.unsent = 0
    front.look(now_s + 8 * LINGERS_S)
    assert ["write", "write_eof", "abort"] == transport.done


async def test_an_answer_that_waits_for_the_end_of_the_turn_goes_before_what_is_said_at_once() -> None:
    """Answers to requests behind each other are told apart by nothing but their order."""
    front, transport = Front(Listener(_thinking, Limits(), list[str]().append)), Told()
    front.connection_made(transport)
    front.write_soon(b"first")
    front.write(b"second")
    front.write_soon(b"third")
    front.close()

    assert [b"first", b"second", b"third"] == transport.said
    assert ["write", "write", "write", "write_eof"] == transport.done


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_can_have_no_body_says_no_length(status: int) -> None:
    """RFC 9110, 8.6: of a 204 it is forbidden, of a 304 it would be the length of another answer."""
    connection = FakeConnection()
    exchange = GatewayExchange(connection, Head("GET", b"/", []), None)
    exchange.complete()
    await exchange.answer(status, [(b"date", b"now"), (b"content-length", b"0")], b"")

    assert connection.written.endswith(b"\r\ndate: now\r\n\r\n")


class Told(FakeTransport):
    """Keeps what was said as well."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[object] = []

    def write(self, data: object) -> None:
        """Keep it."""
        super().write(data)
        self.said.append(data)


async def test_an_app_that_never_stops_sending_is_cut_off() -> None:
    """It would hold a connection for as long as it likes."""

    async def nobody(_: GatewayExchange) -> None:
        raise AssertionError("nothing can be read of it")

    turned_away = list[str]()
    front, transport = Front(Listener(nobody, Limits(), turned_away.append)), FakeTransport()
    front.connection_made(transport)
    now_s = asyncio.get_running_loop().time()
    for _ in range(3):
        front.data_received(b"no request at all\r\n\r\n")
        front.look(now_s + LINGERS_S / 2)
    assert ["write", "write_eof"] == transport.done

    front.look(now_s + LINGERS_S + 1.0)

    assert ["write", "write_eof", "abort"] == transport.done
    assert ["malformed"] == turned_away


async def test_a_connection_is_not_idle_while_its_request_is_answered() -> None:
    """A model that thinks for two minutes is waited for, whatever a connection without a request may take."""
    front, transport = Front(listener := Listener(_thinking, Limits(), list[str]().append)), FakeTransport()
    front.connection_made(transport)
    front.data_received(a_request(LENGTH))
    await asyncio.sleep(0)

    front.look(asyncio.get_running_loop().time() + 2 * KEEP_ALIVE_S)

    assert [] == transport.done
    for task in list(listener.workers.tasks):
        task.cancel()
    await asyncio.wait(listener.workers.tasks)


async def _thinking(_: GatewayExchange) -> None:
    await asyncio.Event().wait()

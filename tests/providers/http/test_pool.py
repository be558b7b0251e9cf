"""The way to a provider, over real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from midshift.errors import UsageError
from midshift.providers.http import call as calls
from midshift.providers.http.messages import CallFailed, Failure, Request
from midshift.providers.http.pool import Pool
from midshift.providers.http.settings import Timeouts, Upstream
from tests.servers import Exchange, FakeProvider, Script, cutting, silent

BODY = b'{"model":"m"}'
ANSWER = b'{"choices":[]}'
SHORT_S = 0.05


@asynccontextmanager
async def a_pool(script: Script, **options: Any) -> AsyncIterator[tuple[Pool, FakeProvider]]:
    """A provider with a pool before it."""
    async with FakeProvider(script).running() as provider:
        pool = Pool(Upstream(provider.base_url, **options), "sk-key")
        try:
            yield pool, provider
        finally:
            pool.close()
            await asyncio.sleep(0)  # connections hear of it in the next turn of the loop


async def ask(pool: Pool, body: bytes = BODY, streamed: bool = False) -> bytes:
    """One call, read to its end."""
    call = await pool.send(Request("/chat/completions", [], body), streamed)
    try:
        return await call.read(1 << 30)
    finally:
        call.close()


async def why(pool: Pool, streamed: bool = True) -> Failure:
    """How a call fails."""
    with pytest.raises(CallFailed) as failed:
        await ask(pool, streamed=streamed)
    return failed.value.failure


async def plain(exchange: Exchange) -> None:
    """A whole answer."""
    await exchange.answer(ANSWER)


async def test_a_request_goes_below_the_base_url_with_its_key_and_its_headers() -> None:
    """Base URLs end where the vendor's paths begin; answers come uncompressed, so that usage can be read."""
    async with a_pool(plain) as (pool, provider):
        call = await pool.send(Request("/chat/completions", [(b"x-one", b"1")], BODY), streamed=False)
        await call.read(1 << 20)

        seen = provider.seen[0]
        assert ("POST", "/v1/chat/completions", BODY) == (seen.method, seen.path, seen.body)
        assert {
            "host": f"127.0.0.1:{provider.port}",
            "authorization": "Bearer sk-key",
            "accept-encoding": "identity",
            "x-one": "1",
            "content-length": str(len(BODY)),
        } == seen.headers


async def test_a_connection_is_kept_for_the_next_call() -> None:
    """A handshake costs more than the gateway adds otherwise."""
    async with a_pool(plain) as (pool, provider):
        assert [ANSWER] * 3 == [await ask(pool) for _ in range(3)]
        assert 1 == provider.connections


async def test_a_connection_that_was_idle_for_long_is_not_used_again() -> None:
    """The longer it was idle, the likelier the server closes it just when the next request is on its way."""
    async with a_pool(plain, keep_alive_s=0.0) as (pool, provider):
        await ask(pool)
        await ask(pool)

        assert 2 == provider.connections


async def test_a_stale_connection_is_exchanged_and_the_request_is_served_once() -> None:
    """Servers close idle connections whenever they like; no user should see that."""
    async with a_pool(plain) as (pool, provider):
        await ask(pool)
        provider.left.clear()
        provider.close_connections()
        await provider.left.wait()

        assert ANSWER == await ask(pool)
        assert (2, 2) == (provider.connections, len(provider.seen))


def cut(provider: FakeProvider) -> None:
    """End all connections in this very moment: to close them takes a turn of the loop."""
    for writer in list(provider._open):
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as raw:
            raw.shutdown(socket.SHUT_RDWR)


async def test_a_request_whose_connection_closes_before_it_is_sent_goes_on_another() -> None:
    """All but the first of a turn wait for its end; a server that closes in that moment has seen nothing of them."""
    async with a_pool(plain) as (pool, provider):
        await asyncio.gather(*[ask(pool) for _ in range(3)])
        async with asyncio.TaskGroup() as tasks:
            sent = tasks.create_task(why(pool))
            asking = [tasks.create_task(ask(pool)) for _ in range(2)]
            asyncio.get_running_loop().call_soon(cut, provider)

        assert [Failure.BROKEN, ANSWER, ANSWER] == [sent.result(), *[task.result() for task in asking]]
        assert 1 == pool.counts().failures[Failure.BROKEN]
        assert pool.counts().open == pool.counts().idle


async def test_a_request_that_can_go_on_no_other_connection_says_why() -> None:
    """A provider that has gone altogether, or a gateway that stops."""
    async with a_pool(plain) as (pool, provider):
        await asyncio.gather(*[ask(pool) for _ in range(2)])
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(why(pool)) for _ in range(2)]
            asyncio.get_running_loop().call_soon(cut, provider)
            asyncio.get_running_loop().call_soon(pool.close)

        assert [Failure.BROKEN, Failure.UNREACHABLE] == [task.result() for task in asking]
        assert (0, 0) == (pool.counts().open, pool.counts().waiting)


async def test_a_request_that_was_sent_is_never_sent_again() -> None:
    """Nobody can tell whether a server that broke off had served it: it may cost twice, or do something twice."""

    async def once_then_cut(exchange: Exchange) -> None:
        await (plain if len(provider.seen) == 1 else cutting)(exchange)

    async with a_pool(once_then_cut) as (pool, provider):
        await ask(pool)

        assert Failure.BROKEN is await why(pool)
        assert 2 == len(provider.seen)


async def test_bytes_that_nobody_asked_for_are_not_the_next_answer() -> None:
    """Read as an answer, they would be somebody else's."""

    async def talkative(exchange: Exchange) -> None:
        await exchange.answer(ANSWER)
        if len(provider.seen) == 1:
            await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")

    async with a_pool(talkative) as (pool, provider):
        assert [ANSWER] * 2 == [await ask(pool) for _ in range(2)]


async def test_closing_a_call_closes_its_connection() -> None:
    """A model that is not told goes on writing, and is paid for it."""

    async with a_pool(stalling) as (pool, provider):
        call = await pool.send(Request("/x", [], BODY), streamed=True)
        assert b"data: 1\n\n" == await call.chunk()

        call.close()

        assert await provider.was_left()


async def test_cancelling_a_call_closes_its_connection() -> None:
    """Whatever a task was waiting for when its user left."""
    async with a_pool(silent) as (pool, provider):
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(ask(pool))
            await provider.asked.wait()
            asking.cancel()

        assert asking.cancelled()
        assert await provider.was_left()


async def test_a_call_past_the_limit_waits_for_a_connection() -> None:
    """A provider's limit is better met here than there."""
    go_on = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await go_on.wait()
        await plain(exchange)

    async with a_pool(slow, max_connections=1) as (pool, provider):
        async with asyncio.TaskGroup() as tasks:
            first, second = tasks.create_task(ask(pool)), tasks.create_task(ask(pool))
            await provider.asked.wait()
            go_on.set()

        assert [ANSWER] * 2 == [first.result(), second.result()]
        assert 1 == provider.connections


async def test_a_call_that_waits_too_long_for_a_connection_says_busy() -> None:
    """It never reached the provider, which is not the provider's fault."""
    async with a_pool(silent, max_connections=1, timeouts=Timeouts(connect_s=SHORT_S)) as (pool, provider):
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(ask(pool))
            await provider.asked.wait()

            assert Failure.BUSY is await why(pool)
            assert 503 == Failure.BUSY.status
            first.cancel()


async def test_a_place_in_the_line_that_is_given_up_goes_to_the_next() -> None:
    """Otherwise one user who leaves would cost everybody behind a connection."""
    go_on = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await go_on.wait()
        await plain(exchange)

    async with a_pool(slow, max_connections=1) as (pool, provider):
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(ask(pool))
            await provider.asked.wait()
            leaving = tasks.create_task(ask(pool))
            staying = tasks.create_task(ask(pool))
            await asyncio.sleep(0)
            leaving.cancel()
            go_on.set()

        assert ANSWER == first.result() == staying.result()


async def test_a_provider_that_is_not_there_is_unreachable() -> None:
    """Said at once, not after a timeout."""
    async with a_pool(plain) as (_, provider):
        port = provider.port
    pool = Pool(Upstream(f"http://127.0.0.1:{port}/v1"), None)

    assert Failure.UNREACHABLE is await why(pool)
    assert 502 == Failure.UNREACHABLE.status


async def test_a_handshake_that_never_ends_is_a_connect_timeout() -> None:
    """A balancer that accepts and says nothing looks like this."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = Pool(Upstream(f"https://127.0.0.1:{port}", timeouts=Timeouts(connect_s=SHORT_S)), None)

    assert Failure.CONNECT_TIMEOUT is await why(pool)
    server.close()


async def test_a_stream_without_a_first_byte_is_a_first_byte_timeout() -> None:
    """Also when its head came at once: users wait for words, not for headers."""

    async def head_only(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await silent(exchange)

    for script in (silent, head_only):
        async with a_pool(script, timeouts=Timeouts(first_byte_s=SHORT_S)) as (pool, provider):
            assert Failure.FIRST_BYTE_TIMEOUT is await why(pool)
            await provider.left.wait()


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_call_has_the_limits_that_it_came_with_and_none_of_the_call_before_it(streamed: bool) -> None:
    """Calls of one connection share what is worked out of their limits, as long as these are the same."""

    go_on = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await go_on.wait()
        await plain(exchange)

    async def begun(pool: Pool, limits: Timeouts | None) -> object:
        call = pool.begin(Request("/x", [], BODY), streamed, limits)
        assert call is not None
        try:
            return await call.read(1 << 20)
        except CallFailed as failed:
            return failed.failure

    async with a_pool(slow) as (pool, _):
        go_on.set()
        await asyncio.gather(*[ask(pool, streamed=streamed) for _ in range(2)])
        assert ANSWER == await begun(pool, None)

        go_on.clear()
        assert Failure.TOTAL_TIMEOUT is await begun(pool, Timeouts(total_s=SHORT_S))

        asyncio.get_running_loop().call_later(1.5 * SHORT_S, go_on.set)
        assert ANSWER == await begun(pool, None)


async def test_an_answer_that_is_not_streamed_may_take_until_the_end_for_its_first_byte() -> None:
    """It has no first byte before it is whole."""
    go_on = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await go_on.wait()
        await plain(exchange)

    async with a_pool(slow, timeouts=Timeouts(first_byte_s=SHORT_S)) as (pool, _):
        asyncio.get_running_loop().call_later(2 * SHORT_S, go_on.set)

        assert ANSWER == await ask(pool, streamed=False)


async def stalling(exchange: Exchange) -> None:
    """A stream that begins and does not go on."""
    await exchange.begin_stream()
    await exchange.chunk(b"data: 1\n\n")
    await silent(exchange)


async def test_a_stream_that_stalls_is_an_idle_timeout() -> None:
    """Without it, a silent server holds a connection for ever."""
    async with a_pool(stalling, timeouts=Timeouts(idle_s=SHORT_S)) as (pool, provider):
        assert Failure.IDLE_TIMEOUT is await why(pool)
        await provider.left.wait()


async def test_a_call_that_goes_on_for_too_long_is_a_total_timeout() -> None:
    """A byte a second defeats every other limit."""

    async def dripping(exchange: Exchange) -> None:
        await exchange.begin_stream()
        while True:
            await exchange.chunk(b"data: 1\n\n")
            await asyncio.sleep(SHORT_S / 10)

    async with a_pool(dripping, timeouts=Timeouts(total_s=SHORT_S, idle_s=SHORT_S)) as (pool, provider):
        assert Failure.TOTAL_TIMEOUT is await why(pool)
        assert 504 == Failure.TOTAL_TIMEOUT.status
        await provider.left.wait()


async def test_a_slow_reader_slows_the_server_down_and_is_no_idle_server() -> None:
    """A gateway must not hold for a slow app what a fast model writes."""
    size = 20 << 20

    async def fast(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        await exchange.send(bytes(size))

    limits = Timeouts(idle_s=SHORT_S)
    async with a_pool(fast, timeouts=limits) as (pool, _), a_pool(stalling, timeouts=limits) as (other, _):
        call: Any = await pool.send(Request("/x", [], BODY), streamed=True)
        await call.head()
        assert Failure.IDLE_TIMEOUT is await why(other)  # so the same time has passed here

        assert call._buffered < 2 * calls.HIGH_WATER
        assert size == len(await call.read(1 << 30))


async def test_a_body_may_be_in_chunks_with_trailers_or_end_with_the_connection() -> None:
    """HTTP/1.1 has three ways to say where a body ends."""

    async def in_chunks(exchange: Exchange) -> None:
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        await exchange.send(head + b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nx-late: 1\r\n\r\n")

    async def to_the_end(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
        raise ConnectionResetError

    for script in (in_chunks, to_the_end):
        async with a_pool(script) as (pool, _):
            assert [b"abc", b"abc"] == [await ask(pool), await ask(pool)]


async def test_an_interim_answer_is_not_the_answer() -> None:
    """103 and 100 come before it, from proxies that are in between."""

    async def hinting(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        await plain(exchange)

    async with a_pool(hinting) as (pool, provider):
        assert [ANSWER] * 2 == [await ask(pool) for _ in range(2)]
        assert 1 == provider.connections


@pytest.mark.parametrize(
    "sent",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nsh",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-pad: " + b"y" * 300_000,
        b"",
    ],
    ids=["not HTTP", "cut body", "cut chunk", "another protocol", "endless head", "nothing"],
)
async def test_what_is_no_whole_answer_is_broken(sent: bytes) -> None:
    """Half an answer must never look like a whole one."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(sent)
        raise ConnectionResetError

    async with a_pool(script) as (pool, _):
        assert Failure.BROKEN is await why(pool)


async def test_an_answer_that_ends_with_its_connection_is_not_whole_because_we_close_it() -> None:
    """A gateway that stops would pass half of it on, and keep it as evidence."""

    async def half(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of")
        await silent(exchange)

    async with a_pool(half) as (pool, _):
        call = await pool.send(Request("/x", [], BODY), streamed=True)
        assert b"half of" == await call.chunk()
        pool.close()

        with pytest.raises(CallFailed, match="broken"):
            await call.chunk()
        assert 1 == pool.counts().failures[Failure.BROKEN]


async def test_a_large_body_arrives_whole() -> None:
    """Pictures and documents make requests of tens of megabytes."""
    body = bytes(range(256)) * 4096 * 8

    async with a_pool(plain) as (pool, provider):
        await ask(pool, body)
        await ask(pool, body)

        assert [body, body] == [seen.body for seen in provider.seen]
        assert 1 == provider.connections


async def test_a_server_that_answers_before_it_has_read_all_is_heard() -> None:
    """413 comes early, and says what to do; the rest of the body would be read as the next request."""
    answered = asyncio.Event()

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
        await answered.wait()
        writer.close()

    server = await asyncio.start_server(early, "127.0.0.1", 0)
    pool = Pool(Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), None)
    call = await pool.send(Request("/x", [], bytes(64 << 20)), streamed=False)

    assert 413 == (await call.head()).status
    assert b"big" == await call.read(100)
    assert not pool._idle
    answered.set()
    server.close()


async def test_an_answer_beyond_its_limit_is_not_read_on() -> None:
    """A server in trouble may send anything."""
    async with a_pool(plain) as (pool, _):
        call = await pool.send(Request("/x", [], BODY), streamed=False)

        with pytest.raises(CallFailed, match="too_large"):
            await call.read(10)
        call.close()


async def test_a_request_may_be_of_any_method_and_carry_a_query() -> None:
    """Models are listed with GET, and files are deleted."""
    async with a_pool(plain) as (pool, provider):
        call = await pool.send(Request("/models?limit=1", [], method="GET"), streamed=False)
        await call.read(100)

        seen = provider.seen[0]
        assert ("GET", "/v1/models?limit=1", False) == (seen.method, seen.path, "content-length" in seen.headers)


async def test_the_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    """The parser does not know what was asked, and would wait for it."""

    async def head_of(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")

    async with a_pool(head_of) as (pool, provider):
        for _ in range(2):
            call = await pool.send(Request("/x", [], method="HEAD"), streamed=False)
            assert (b"100", b"") == ((await call.head()).value(b"content-length"), await call.read(100))

        assert 2 == provider.connections


async def test_limits_of_time_may_be_given_with_a_call() -> None:
    """A query for prices has less patience than a model has thoughts."""
    async with a_pool(silent, timeouts=Timeouts(first_byte_s=60.0)) as (pool, _):
        call = await pool.send(Request("/x", []), True, Timeouts(first_byte_s=SHORT_S))
        with pytest.raises(CallFailed, match="first_byte_timeout"):
            await call.head()


async def test_those_who_wait_are_served_in_the_order_in_which_they_came() -> None:
    """A connection that is free goes to the first in line, and not to whoever asks in that moment."""
    go_on = asyncio.Event()
    served: list[bytes] = []

    async def slow(exchange: Exchange) -> None:
        await go_on.wait()
        served.append(exchange.seen.body)
        await plain(exchange)

    async with a_pool(slow, max_connections=1) as (pool, provider):

        async def twice(name: bytes) -> None:
            await ask(pool, name + b" first")
            await ask(pool, name + b" again")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(twice(b"a"))
            await provider.asked.wait()
            for name in (b"b", b"c"):
                tasks.create_task(twice(name))
                await asyncio.sleep(0)
            assert 2 == pool.counts().waiting
            go_on.set()

        assert [name + turn for turn in (b" first", b" again") for name in (b"a", b"b", b"c")] == served
        assert (1, 5, 0, 1) == (pool.counts().opened, pool.counts().reused, pool.counts().waiting, provider.connections)


async def test_who_does_not_fit_in_the_line_is_told_at_once() -> None:
    """A line without end only moves the failure to where it costs more."""
    async with a_pool(silent, max_connections=1, max_waiting=1) as (pool, provider):
        async with asyncio.TaskGroup() as tasks:
            held = [tasks.create_task(ask(pool))]
            await provider.asked.wait()
            held.append(tasks.create_task(ask(pool)))
            await asyncio.sleep(0)

            assert Failure.BUSY is await why(pool)
            for task in held:
                task.cancel()

        assert 0 == pool.counts().waiting


async def test_a_connection_that_fails_to_open_gives_its_place_to_the_next() -> None:
    """Otherwise a provider that was away for a minute would stay away until a restart."""
    async with a_pool(plain) as (_, provider):
        port = provider.port
    pool = Pool(Upstream(f"http://127.0.0.1:{port}/v1", max_connections=1))

    assert [Failure.UNREACHABLE] * 3 == list(await asyncio.gather(*[why(pool) for _ in range(3)]))
    assert 3 == pool.counts().failures[Failure.UNREACHABLE]


async def test_a_connection_given_to_a_waiting_call_may_have_been_closed_meanwhile() -> None:
    """The first in line still is: it gets a new one."""

    async def last(exchange: Exchange) -> None:
        await exchange.answer(ANSWER)
        raise ConnectionResetError  # and closes without having said so

    async with a_pool(last, max_connections=1) as (pool, provider):
        answers = await asyncio.gather(*[ask(pool) for _ in range(4)])

        assert [ANSWER] * 4 == answers
        assert (4, 4) == (provider.connections, len(provider.seen))


async def test_a_turn_that_comes_to_somebody_who_leaves_is_the_next_ones() -> None:
    """A connection, or a place for one: lost, it would be lost for good."""
    async with a_pool(plain, max_connections=1) as (pool, _):
        async with asyncio.TaskGroup() as tasks:
            call = await pool.send(Request("/x", [], BODY), streamed=False)
            leaving, staying = tasks.create_task(ask(pool)), tasks.create_task(ask(pool))
            await call.read(100)  # its connection is the first one's now, who has not heard of it
            leaving.cancel()
        assert ANSWER == staying.result()

        async with asyncio.TaskGroup() as tasks:
            await pool.send(Request("/x", [], BODY), streamed=False)
            leaving, staying = tasks.create_task(ask(pool)), tasks.create_task(ask(pool))
            await asyncio.sleep(0)
            (connection,) = pool._all
            connection.abort()
            pool.lost(connection)
            leaving.cancel()
        assert ANSWER == staying.result()


async def test_a_pool_counts_what_it_does() -> None:
    """Metrics are made of it."""

    async def script(exchange: Exchange) -> None:
        await (cutting if exchange.seen.body == b"cut" else plain)(exchange)

    async with a_pool(script) as (pool, _):
        await ask(pool)
        await ask(pool)
        with pytest.raises(CallFailed):
            await ask(pool, b"cut")
        (await pool.send(Request("/x", [], BODY), streamed=True)).close()
        await asyncio.sleep(0)

        counts = pool.counts()
        assert (2, 2, 1) == (counts.opened, counts.reused, counts.aborted)
        assert {Failure.BROKEN: 1} == {why: count for why, count in counts.failures.items() if count}
        assert (0, 0, 0) == (counts.open, counts.idle, counts.waiting)


async def test_a_pool_that_is_closed_ends_what_waits_and_opens_nothing() -> None:
    """A process that stops must not wait for its own line."""
    async with a_pool(silent, max_connections=1) as (pool, provider):
        async with asyncio.TaskGroup() as tasks:
            first, second = tasks.create_task(why(pool)), tasks.create_task(why(pool))
            await provider.asked.wait()
            pool.close()

        assert (Failure.BROKEN, Failure.UNREACHABLE) == (first.result(), second.result())
        assert Failure.UNREACHABLE is await why(pool)
        assert 1 == provider.connections


async def test_an_answer_that_says_it_is_too_long_is_not_read_at_all() -> None:
    """Its first megabytes would be read for nothing."""

    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        await silent(exchange)

    async with a_pool(endless) as (pool, provider):
        call = await pool.send(Request("/x", [], BODY), streamed=False)
        await call.head()
        with pytest.raises(CallFailed, match="too_large"):
            await call.read(1 << 20)

        await provider.left.wait()
        assert 1 == pool.counts().failures[Failure.TOO_LARGE]


@asynccontextmanager
async def a_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], **options: Any
) -> AsyncIterator[Pool]:
    """A server of one connection that reads by itself, with a pool before it."""
    left = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            left.set()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=4096)
    pool = Pool(Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", **options))
    try:
        yield pool
    finally:
        pool.close()
        server.close()
        await left.wait()
        await asyncio.sleep(0)


async def test_a_server_that_reads_slowly_stops_the_writer() -> None:
    """A body is in memory once: what the server does not take is not handed to the transport, and never copied."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    size = 64 << 20

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        await go_on.wait()
        left = size
        while left:
            left -= len(await reader.read(1 << 20))
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")

    async with a_server(slow) as pool:
        body = bytes(size)
        tracemalloc.start()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(ask(pool, body))
            await begun.wait()
            for _ in range(100):
                await asyncio.sleep(0)
            handed = sum(one.transport.get_write_buffer_size() for one in pool._all if one.transport is not None)
            go_on.set()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert b"" == asking.result()
        assert 0 < handed < 1 << 20
        assert peak < 8 << 20


async def test_a_server_that_stops_reading_is_an_idle_timeout() -> None:
    """It never got the request, so it cannot be late with the answer."""
    done = asyncio.Event()

    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()

    async with a_server(stuck, timeouts=Timeouts(idle_s=SHORT_S)) as pool:
        with pytest.raises(CallFailed, match="idle_timeout"):
            await ask(pool, bytes(64 << 20), streamed=True)
        done.set()


async def test_a_server_that_has_read_a_large_body_owes_its_first_byte_in_time() -> None:
    """The time for it begins with the end of the body, even if that was longer in coming than it is."""
    size, go_on = 16 << 20, asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asyncio.get_running_loop().call_later(2 * SHORT_S, go_on.set)
        await go_on.wait()
        await reader.readexactly(size)
        await reader.read()  # until the other side has closed

    async with a_server(mute, timeouts=Timeouts(first_byte_s=SHORT_S)) as pool:
        with pytest.raises(CallFailed, match="first_byte_timeout"):
            await ask(pool, bytes(size), streamed=True)


@pytest.mark.parametrize("size", [1000, 64 << 20])
async def test_a_refusal_before_the_end_of_the_body_is_heard_also_when_the_server_closes(size: int) -> None:
    """It says what is wrong: too large, no key."""

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbig")

    async with a_server(early) as pool:
        call = await pool.send(Request("/x", [], bytes(size)), streamed=False)

        assert (413, b"big") == ((await call.head()).status, await call.read(100))
        call.close()
        assert 0 == pool.counts().idle


async def test_a_refusal_ends_the_sending_before_it_is_whole() -> None:
    """The server reads no more, so the body would never be sent."""
    go_on = asyncio.Event()

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nb")
        await go_on.wait()
        writer.write(b"ig")

    async with a_server(early) as pool:
        call = await pool.send(Request("/x", [], bytes(64 << 20)), streamed=False)
        assert 413 == (await call.head()).status
        go_on.set()
        assert b"big" == await call.read(100)


@pytest.mark.slow
async def test_a_server_that_takes_its_time_but_goes_on_is_not_late() -> None:
    """Neither with reading, nor with an answer that it owes only when it has read all."""
    size = 64 << 20

    async def steady(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(4):
            await asyncio.sleep(0.1)  # what takes time is the very point
            for _ in range(16):
                await reader.readexactly(1 << 20)
        await asyncio.sleep(0.1)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nall")
        await reader.read()

    async with a_server(steady, timeouts=Timeouts(idle_s=0.35, first_byte_s=0.35)) as pool:
        assert b"all" == await ask(pool, bytes(size), streamed=True)


async def test_an_answer_that_begins_before_the_body_is_whole_does_not_end_the_sending() -> None:
    """A server may stream what it has understood so far."""
    size = 8 << 20

    async def echoing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await reader.readexactly(size)
        writer.write(b"3\r\nall\r\n0\r\n\r\n")
        await reader.read()

    async with a_server(echoing) as pool:
        assert b"all" == await ask(pool, bytes(size))
        assert 1 == pool.counts().idle


async def test_a_call_begins_at_once_where_nothing_has_to_be_waited_for() -> None:
    """A connection that is idle, and a body that goes out in one piece."""
    async with a_pool(plain) as (pool, provider):
        request = Request("/chat/completions", [], BODY)
        assert pool.begin(request, streamed=False) is None
        assert ANSWER == await ask(pool)

        assert pool.begin(Request("/x", [], bytes(calls.LARGE + 1)), streamed=False) is None
        begun = pool.begin(request, streamed=False)
        assert begun is not None
        assert pool.begin(request, streamed=False) is None
        assert ANSWER == await begun.read(1 << 20)
        assert (1, 2) == (provider.connections, len(provider.seen))


async def test_what_is_no_request_takes_no_connection() -> None:
    """It would be open, and nobody's, for ever."""
    async with a_pool(plain) as (pool, _):
        await ask(pool)
        with pytest.raises(UsageError):
            pool.begin(Request("/\n", [], BODY), streamed=False)

        assert (1, 1) == (pool.counts().idle, pool.counts().open)


async def test_a_stale_connection_begins_nothing() -> None:
    """`send` opens another, and waits for it."""
    async with a_pool(plain) as (pool, provider):
        await ask(pool)
        cut(provider)

        assert pool.begin(Request("/x", [], BODY), streamed=False) is None
        assert ANSWER == await ask(pool)

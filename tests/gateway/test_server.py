"""Listening, and stopping without dropping anybody."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import cast

import pytest

from midshift.domain.exposure import Exposure, Fate
from midshift.domain.variant import Variant
from tests.gateway.fakes import (
    DONE_EVENT,
    NEW,
    OLD,
    App,
    Exchange,
    FakeProvider,
    FullConnection,
    Script,
    Stage,
    a_question,
    a_route,
    a_stage,
    an_exchange_on,
    answering,
    event,
    priced_apart,
    silent,
)
from tests.gateway.test_front import LENGTH, a_request

PROGRAM = """
import sys, time
from datetime import UTC, datetime
from midshift.domain.suite import Slice
from midshift.domain.variant import Variant
from midshift.domain.workload import Workload
from midshift.gateway.app import Gateway
from midshift.gateway.server import run
from midshift.gateway.settings import GatewaySettings
from midshift.providers.http.settings import Upstream

class Clock:
    def now(self): return datetime.now(UTC)
    machine_now = now
    def monotonic_s(self): return time.monotonic()

workload = Workload("support", ("old-model",), Variant("p", "old-model"), (Slice("all"),))
settings = GatewaySettings("g", (workload,), {"p": Upstream(sys.argv[1])}, b"0123456789abcdef", port=0)
clock = Clock()
run(Gateway(settings, clock=clock), clock, lambda where: print(where.port, flush=True))
print(sorted({"numpy", "scipy", "sqlalchemy", "duckdb", "midshift.stats"} & set(sys.modules)), flush=True)
"""


def in_two_steps(go_on: asyncio.Event) -> Script:
    """A stream that stops half-way, until it may go on."""

    async def script(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.chunk(event("Hel"))
        await go_on.wait()
        await exchange.chunk(event("lo.", finish="stop"))
        await exchange.chunk(DONE_EVENT)
        await exchange.end_stream()

    return script


async def test_an_answer_under_way_is_finished_when_the_gateway_stops() -> None:
    """A deploy of the gateway must not be seen by anybody."""
    go_on = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        async with a_stage(in_two_steps(go_on)) as stage:
            asking = stage.app.asking(a_question(stream=True))
            answer = await asking.__aenter__()
            assert event("Hel") == await answer.chunk()
            reading = tasks.create_task(answer.read())
            asyncio.get_running_loop().call_soon(go_on.set)  # when leaving this block has begun to wait

    assert event("lo.", finish="stop") + DONE_EVENT == reading.result()
    assert [200] == [exposure.status for exposure in stage.sink.exposures]
    await asking.__aexit__(None, None, None)


async def stalling(exchange: Exchange) -> None:
    """A stream that begins and does not go on."""
    await exchange.begin_stream()
    await exchange.chunk(event("Hel"))
    await silent(exchange)


@pytest.mark.parametrize("script", [silent, stalling])
async def test_an_answer_that_takes_longer_than_the_drain_is_ended_with_an_error(script: Script) -> None:
    """A gateway that cannot be stopped cannot be deployed; what it was doing is counted, and blamed on no variant."""
    async with a_stage(new=script, route=a_route(), drain_s=0.02) as stage:
        asking = stage.app.sent(a_question(stream=True))
        reader, _ = await asking.__aenter__()
        await stage.new.asked.wait()

    assert b"gateway_stopped" in await reader.read()
    await stage.new.left.wait()
    assert stage.gateway.counters.reconciles
    assert 0 == stage.gateway.counters.in_flight
    found = stage.sink.exposures[0]
    assert 503 == found.status
    assert (found.upgrade is None) == (found.fate is Fate.REFUSED)
    await asking.__aexit__(None, None, None)


async def stopped_while_it_waits(stage: Stage, stream: bool) -> tuple[bytes, Exposure]:
    """What an app gets whose answer waited for it, when its gateway stopped, and the record of that."""
    connection = FullConnection()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(stage.gateway(an_exchange_on(connection, stream)))
        await connection.is_awaited.wait()
        stage.gateway.is_draining = True
        serving.cancel()
        connection.take()
    [found] = stage.exposures
    return connection.written, found


@pytest.mark.parametrize(("share", "by", "cost_usd"), [(0.0, OLD, 0.25), (1.0, NEW, 0.5)])
async def test_an_answer_that_was_there_when_the_gateway_stopped_is_on_the_record(
    share: float, by: Variant, cost_usd: float
) -> None:
    """It waited for the app to take the one before it; somebody has paid for it, though nobody got it."""
    async with a_stage(route=a_route(share), pricing=priced_apart) as stage:
        written, found = await stopped_while_it_waits(stage, stream=False)

    assert written.startswith(b"HTTP/1.1 503 ")
    assert (Fate.REFUSED, 503, None) == (found.fate, found.status, found.upgrade)
    assert (by.id, 3, cost_usd) == (found.variant, found.tokens_out, found.cost_usd)


@pytest.mark.parametrize("share", [0.0, 1.0])
async def test_a_stream_whose_head_was_not_sent_is_refused_as_a_whole(share: float) -> None:
    """An event without a head before it would be read as a part of the answer that the app has yet to take."""
    async with a_stage(route=a_route(share)) as stage:
        written, found = await stopped_while_it_waits(stage, stream=True)

    assert written.startswith(b"HTTP/1.1 503 ")
    assert "gateway_stopped" == json.loads(written.partition(b"\r\n\r\n")[2])["error"]["code"]
    assert (Fate.REFUSED, 503) == (found.fate, found.status)


async def test_a_gateway_that_stops_waits_until_its_answers_were_taken() -> None:
    """What the gateway has sent the app does not have yet: of a large answer over a thin line it is half."""
    text = "x" * 8_000_000
    async with asyncio.TaskGroup() as tasks:
        async with a_stage(answering(text), drain_s=5.0) as stage:
            asking = stage.app.sent(a_question())
            reader, writer = await asking.__aenter__()
            cast("asyncio.ReadTransport", writer.transport).pause_reading()
            while not stage.gateway.counters.received or stage.gateway.counters.in_flight:  # noqa: ASYNC110 - numbers
                await asyncio.sleep(0)
            loop = asyncio.get_running_loop()
            loop.call_soon(cast("asyncio.ReadTransport", writer.transport).resume_reading)  # when leaving has begun
            reading = tasks.create_task(reader.readexactly(len(text)))

    assert len(text) == len(reading.result())
    await asking.__aexit__(None, None, None)


async def test_a_request_that_was_sent_before_a_gateway_stops_is_answered() -> None:
    """On a connection that was open too: its bytes have come, only nobody has looked yet."""
    async with asyncio.TaskGroup() as tasks:
        async with a_stage() as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
            request = a_request(LENGTH)
            writer.write(request)
            await reader.readuntil(b'"usage"')
            raw = writer.get_extra_info("socket").dup()
            await asyncio.sleep(0.01)
            raw.send(request)  # and the gateway is told to stop before its loop turns
        answer = tasks.create_task(reader.read())
        raw.close()

    assert 1 == answer.result().count(b"HTTP/1.1 200 OK\r\n")
    assert 1 == answer.result().count(b"\r\nconnection: close\r\n")
    assert 2 == len(stage.sink.exposures)
    writer.close()


async def test_a_body_that_does_not_come_in_time_before_the_end_is_asked_for_again() -> None:
    """The request was never served: another gateway can."""
    async with a_stage(drain_s=0.02) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf")
        while not stage.gateway.load.in_flight:  # noqa: ASYNC110 - a plain number
            await asyncio.sleep(0)

    found = await reader.read()
    writer.close()
    assert found.startswith(b"HTTP/1.1 503 ")
    assert b"gateway_stopped" in found
    assert stage.gateway.counters.reconciles
    assert {("", "stopped"): 1} == stage.gateway.counters.refused


async def test_a_gateway_that_stops_is_not_ready() -> None:
    """Balancers look elsewhere before the port is closed."""
    async with a_stage() as stage:
        stage.gateway.is_draining = True

        assert [200, 503] == [(await stage.app.ask(path=path, method="GET")).status for path in ("/healthz", "/readyz")]


@pytest.mark.slow
async def test_a_process_ends_on_sigterm_when_its_answers_are_whole_and_loads_no_numerics() -> None:
    """The very thing that an orchestrator does, and the memory that it pays for."""
    go_on = asyncio.Event()
    async with FakeProvider(in_two_steps(go_on)).running() as provider:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, provider.base_url, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        app = App(int(await process.stdout.readline()))
        async with app.asking(a_question(stream=True)) as answer:
            assert event("Hel") == await answer.chunk()

            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionError):
                while True:  # until nobody new is let in
                    await app.ask(path="/healthz", method="GET")
            go_on.set()

            assert event("lo.", finish="stop") + DONE_EVENT == await answer.read()
        assert b"[]\n" == await process.stdout.readline()
        assert 0 == await process.wait()


@pytest.mark.slow
async def test_a_second_signal_ends_a_process_at_once() -> None:
    """Whoever asks twice does not want to wait for an answer that never comes."""
    async with FakeProvider(silent).running() as provider:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, provider.base_url, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        app = App(int(await process.stdout.readline()))
        async with app.sent(a_question(stream=True)):
            await provider.asked.wait()

            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionError):
                while True:  # until nobody new is let in
                    await app.ask(path="/healthz", method="GET")
            process.send_signal(signal.SIGTERM)

            assert -signal.SIGTERM == await process.wait()


async def test_a_gateway_that_stops_hands_over_what_it_recorded() -> None:
    """The last second before each deploy would be missing otherwise."""
    async with a_stage(route=a_route()) as stage:
        await stage.app.chat()

    assert 1 == len(stage.sink.exposures)
    assert 1 == len(stage.sink.batches)


@pytest.mark.slow
async def test_a_large_body_is_in_memory_once() -> None:
    """Ten pictures at a time must not need the memory of twenty."""
    size = 64 << 20
    body = b'{"model":"old-model","messages":[{"role":"user","content":"%b"}]}' % (b"x" * size)
    async with FakeProvider(answering("ok")).running() as provider:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, provider.base_url, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        app = App(int(await process.stdout.readline()))
        await app.ask(a_question())
        before = _peak_bytes(process.pid)

        answer = await app.ask(body)
        after = _peak_bytes(process.pid)
        process.kill()
        await process.wait()

    assert (200, body) == (answer.status, provider.seen[-1].body)
    assert after - before < 1.6 * size


def _peak_bytes(pid: int) -> int:
    """The largest resident set of a process so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])

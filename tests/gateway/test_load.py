"""What is too much is refused at once, in words that clients understand, and touches no provider."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import cast

import pytest

from midshift.domain.exposure import Fate
from midshift.errors import ConfigError
from midshift.gateway.intake import Refused
from midshift.gateway.load import Load, Place
from midshift.gateway.settings import Limits
from tests.gateway.fakes import a_question, a_stage, answering, silent

PATHS = {
    "/v1/chat/completions": ("error", "code"),
    "/v1/responses": ("error", "code"),
    "/v1/messages": ("error", "details", "error_code"),
    "/v1beta/models/old-model:generateContent": ("error", "status"),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("limits", "status", "why"),
    [
        (Limits(max_in_flight=1), 503, "overloaded"),
        (Limits(max_held_bytes=200), 503, "memory_full"),
        (Limits(max_in_flight_per_workload=1), 429, "workload_full"),
    ],
)
async def test_what_is_beyond_a_limit_is_refused_and_asks_nobody(
    path: str, limits: Limits, status: int, why: str
) -> None:
    """At once, with the time to come again: waiting in line would make the crowd larger."""
    async with a_stage(silent, limits=limits) as stage:
        async with stage.app.sent(a_question()):
            await stage.old.asked.wait()
            answer = await stage.app.ask(a_question(contents=[], input="Hi"), path=path)

        assert (status, "1") == (answer.status, answer.headers["retry-after"])
        found = answer.json
        for name in PATHS[path]:
            found = found[name]
        assert found in (why, "UNAVAILABLE", "RESOURCE_EXHAUSTED")
        assert 1 == len(stage.old.seen)
        await stage.settled()
        workload = "support" if status == 429 else ""
        assert {(workload, why): 1} == stage.gateway.counters.refused
        assert 1 == stage.gateway.counters.total(Fate.REFUSED)
        assert stage.gateway.counters.reconciles
        assert (0, 0, 0) == (
            stage.gateway.load.in_flight,
            stage.gateway.load.held_bytes,
            stage.gateway.load.by_workload["support"],
        )


async def test_there_is_room_again_when_an_answer_has_left() -> None:
    """A place that is not given back is an outage a few days later."""
    async with a_stage(limits=Limits(max_in_flight=1, max_in_flight_per_workload=1, max_held_bytes=200)) as stage:
        assert [200] * 5 == [(await stage.app.chat()).status for _ in range(5)]
        assert 400 == (await stage.app.ask(b"no json")).status
        assert 200 == (await stage.app.chat()).status


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_bodies_are_counted_together(is_chunked: bool) -> None:
    """As they come: two halves of the memory leave nothing for a third."""
    async with a_stage(limits=Limits(max_held_bytes=100)) as stage:
        body = json.dumps(a_question(padding="x" * 100)).encode()
        kind = "transfer-encoding: chunked" if is_chunked else f"content-length: {len(body)}"
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{kind}\r\n\r\n".encode())
        writer.write(b"%x\r\n%b\r\n" % (len(body), body) if is_chunked else body)

        assert b"503" in await reader.readline()
        writer.close()
        assert 0 == stage.gateway.load.held_bytes


async def test_a_body_that_does_not_come_holds_nothing() -> None:
    """Eight apps that announce a large body and send none of it would lock everybody out."""
    async with a_stage(limits=Limits(max_held_bytes=1000)) as stage:
        _, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
        while not stage.gateway.load.in_flight:  # noqa: ASYNC110 - a plain number
            await asyncio.sleep(0)

        assert 200 == (await stage.app.chat()).status
        writer.close()


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_an_answer_that_was_not_taken_keeps_its_place(connection: str) -> None:
    """It is memory for as long as its app does not read, and nobody would say that there is too much of it."""
    async with a_stage(answering("x" * 8_000_000), limits=Limits(max_in_flight=1)) as stage:
        async with stage.app.sent(a_question(), lines=[("connection", connection)]) as (_, writer):
            cast("asyncio.ReadTransport", writer.transport).pause_reading()
            while not stage.exposures:  # noqa: ASYNC110 - a plain number
                await asyncio.sleep(0)

            assert 503 == (await stage.app.chat()).status
        while stage.gateway.load.in_flight:  # noqa: ASYNC110 - a plain number
            await asyncio.sleep(0)


async def test_a_provider_whose_connections_are_all_busy_is_no_endless_wait() -> None:
    """The limit of one provider: what does not fit in its line is refused by the same words."""
    upstream = {"max_connections": 1, "max_waiting": 0}
    async with a_stage(silent, upstream=upstream) as stage:
        async with stage.app.sent(a_question()):
            await stage.old.asked.wait()
            answer = await stage.app.chat()

        assert (503, "1", "busy") == (answer.status, answer.headers["retry-after"], answer.json["error"]["code"])
        assert 1 == len(stage.old.seen)


def test_a_place_is_given_back_once() -> None:
    """However a request ends, and whoever tidies up."""
    load = Load(Limits())
    place = Place(load)
    place.take()
    place.hold(10)
    place.serve("support")

    place.leave()
    place.leave()

    assert (0, 0, 0) == (load.in_flight, load.held_bytes, load.by_workload["support"])


def test_a_place_that_was_refused_gives_nothing_back() -> None:
    """Else each refusal would make room for one more than fits."""
    load = Load(Limits(max_in_flight=1, max_held_bytes=10, max_in_flight_per_workload=1))
    first, second = Place(load), Place(load)
    first.take()
    first.hold(10)
    first.serve("support")

    steps: list[Callable[[], None]] = [second.take, lambda: second.hold(1), lambda: second.serve("support")]
    for refused in steps:
        with pytest.raises(Refused):
            refused()
    second.leave()

    assert (1, 10, 1) == (load.in_flight, load.held_bytes, load.by_workload["support"])


def test_a_body_beyond_all_memory_takes_no_place() -> None:
    """What is refused for its bytes must not count as one that is under way."""
    load = Load(Limits(max_held_bytes=10))
    first, second = Place(load), Place(load)
    first.take(6)

    with pytest.raises(Refused) as refused:
        second.take(5)
    second.leave()

    assert ("memory_full", 1, 6) == (refused.value.problem.code, load.in_flight, load.held_bytes)
    first.leave()
    assert (0, 0) == (load.in_flight, load.held_bytes)


def test_a_limit_of_nothing_is_refused() -> None:
    """It would be a gateway that answers nobody."""
    with pytest.raises(ConfigError, match="max_in_flight"):
        Limits(max_in_flight=0)

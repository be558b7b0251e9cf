"""An app that leaves: nobody reads the answer any more, and somebody would pay for it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from midshift.domain.exposure import Fate, ShadowFate
from midshift.domain.variant import Variant
from midshift.gateway.exchange import Exchange as GatewayExchange
from midshift.gateway.heads import Head
from tests.gateway.fakes import (
    CLAIM,
    NEW,
    OLD,
    FakeConnection,
    FullConnection,
    Script,
    a_question,
    a_route,
    a_stage,
    an_exchange_on,
    answering,
    priced_apart,
    silent,
)
from tests.gateway.test_opening import CONTENTS, OPENINGS, PATHS, UPSTREAM, question, sending

GEMINI_WHOLE = f"/v1beta/models/{CLAIM}:generateContent"


def asked(wire: str, stream: bool) -> tuple[str, dict[str, Any]]:
    """Path and body of a request on a wire."""
    if wire == "gemini":
        return (PATHS[wire] if stream else GEMINI_WHOLE), question(wire)
    return PATHS[wire], {**question(wire), "stream": stream}


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("when", ["whole", "before the first byte", "after the opening", "in the middle"])
async def test_an_app_that_leaves_ends_the_call_of_whoever_was_asked(wire: str, share: float, when: str) -> None:
    """On every wire, streamed or not, and also in the seconds in which nothing has come yet."""
    begun: dict[str, Script] = {
        "after the opening": sending(*OPENINGS[wire], then=silent),
        "in the middle": sending(*OPENINGS[wire], CONTENTS[wire][0], then=silent),
    }
    script = begun.get(when, silent)
    path, body = asked(wire, stream=when != "whole")
    async with a_stage(script, script, route=a_route(share), upstream=UPSTREAM) as stage:
        provider, other = (stage.new, stage.old) if share else (stage.old, stage.new)
        async with stage.app.sent(body, path=path) as (reader, _):
            await provider.asked.wait()
            if when == "in the middle":
                await reader.readuntil(CONTENTS[wire][0][-8:])

        await provider.left.wait()
        await stage.settled()
        assert [] == other.seen
        assert ({"support": 1}, {}) == (stage.gateway.counters.left, stage.gateway.counters.fell_back)
        assert [499] == [exposure.status for exposure in stage.exposures]
        assert (Fate.CANDIDATE if share else Fate.INCUMBENT) is stage.exposures[0].fate
        assert stage.gateway.counters.reconciles


@pytest.mark.parametrize("stream", [True, False])
async def test_a_call_ends_in_the_turn_in_which_its_app_has_left(stream: bool) -> None:
    """A gateway that looks twice a second pays for half a second of every answer that somebody stops."""
    async with a_stage(silent, route=a_route(share=0.0)) as stage, asyncio.TaskGroup() as tasks:
        lines = [(b"host", b"x")]
        exchange = GatewayExchange(FakeConnection(), Head("POST", b"/v1/chat/completions", lines), None)
        exchange.feed(json.dumps(a_question(stream=stream)).encode())
        exchange.complete()
        serving = tasks.create_task(stage.gateway(exchange))
        await stage.old.asked.wait()
        exchange.lost()
        await asyncio.sleep(0)  # in which the gateway hears of it
        await asyncio.sleep(0)  # and the one in which the call is closed

        assert serving.done()
        assert {"support": 1} == stage.gateway.counters.left
        await stage.old.left.wait()


@pytest.mark.parametrize(("share", "by", "cost_usd"), [(0.0, OLD, 0.25), (1.0, NEW, 0.5)])
async def test_an_answer_that_was_there_when_its_app_left_is_on_the_record(
    share: float, by: Variant, cost_usd: float
) -> None:
    """It waits for the app to take the one before it; somebody has paid for it, whether it is sent or not."""
    connection = FullConnection()
    async with a_stage(route=a_route(share), pricing=priced_apart) as stage, asyncio.TaskGroup() as tasks:
        exchange = an_exchange_on(connection)
        serving = tasks.create_task(stage.gateway(exchange))
        await connection.is_awaited.wait()
        connection.take()
        exchange.lost()
        await serving

        [found] = stage.exposures
        assert (499, by.id, 3, cost_usd) == (found.status, found.variant, found.tokens_out, found.cost_usd)
        assert b"" == connection.written


async def test_the_unseen_answer_goes_on_by_its_own_deadline() -> None:
    """It costs the same with and without the user, and a pair of which half is missing is evidence thrown away."""
    async with a_stage(silent, answering("new"), route=a_route(share=0.0, shadow_share=1.0)) as stage:
        async with stage.app.sent(a_question()):
            await stage.old.asked.wait()
            await stage.new.asked.wait()
        await stage.old.left.wait()
        await stage.settled()

        assert 1 == len(stage.new.seen)
        assert ShadowFate.FAILED is stage.exposures[0].shadow
        assert stage.gateway.counters.reconciles


async def test_an_app_whose_end_is_heard_twice_has_left_once() -> None:
    """A connection that closes is seen by whoever begins to watch it, and says so itself a moment later; a second
    cancellation would be nobody's, and end as an error in the log."""
    connection = FakeConnection()
    connection.close()
    exchange = GatewayExchange(connection, Head("POST", b"/", [(b"host", b"x")]), None)
    with exchange:
        asyncio.get_running_loop().call_soon(exchange.lost)
        await asyncio.Event().wait()

    task = asyncio.current_task()
    assert task is not None
    assert (True, 0) == (exchange.was_cancelled, task.cancelling())

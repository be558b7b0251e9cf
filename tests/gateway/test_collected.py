"""What a request leaves behind in memory once it is over: nothing that only the collector would find.

A gateway collects seldom (`server.COLLECTED_AFTER`): whatever refers to itself stays for thousands of requests, with
the bodies that it holds.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

import pytest

from midshift.domain.routing import Route
from midshift.gateway.exchange import Exchange
from midshift.gateway.front import Front
from midshift.gateway.job import Job, Mirroring, Outcome
from midshift.gateway.reply import Reply
from tests.gateway.fakes import a_question, a_route, a_stage, failing, silent
from tests.servers import Script

KINDS = (Job, Outcome, Reply, Mirroring, Exchange, Front)


def left() -> Counter[str]:
    """How many there are of each, in use or not."""
    return Counter(type(one).__name__ for one in gc.get_objects() if isinstance(one, KINDS))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("route", "candidate"),
    [(None, None), (a_route(), None), (a_route(), failing(500)), (a_route(share=0.0, shadow_share=1.0), None)],
    ids=["incumbent", "candidate", "fell back", "mirrored"],
)
async def test_a_request_that_is_over_leaves_nothing_to_the_collector(
    route: Route | None, candidate: Script | None, stream: bool
) -> None:
    """Whoever answered, and however."""
    async with a_stage(new=candidate, route=route) as stage:
        gc.collect()
        gc.disable()
        try:
            before = left()
            for _ in range(3):
                assert 200 == (await stage.app.chat(stream=stream)).status
            await stage.settled()
            for _ in range(5):  # what is told of the end of a task
                await asyncio.sleep(0)
            found = left() - before
        finally:
            gc.enable()

    assert Counter() == found


async def test_an_app_that_leaves_in_the_middle_leaves_nothing_to_the_collector() -> None:
    """Its request is cancelled, and its connection is closed before there is an answer."""
    async with a_stage(silent) as stage:
        gc.collect()
        gc.disable()
        try:
            before = left()
            async with stage.app.sent(a_question()):
                await stage.old.asked.wait()
            await stage.settled()
            await asyncio.wait_for(stage.old.left.wait(), 5.0)
            for _ in range(5):
                await asyncio.sleep(0)
            found = left() - before
        finally:
            gc.enable()

    assert Counter() == found

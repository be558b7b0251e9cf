"""Feedback: credited to what served the request, once, whoever asks and whatever is away."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from midshift.domain.exposure import Credit, Sum, SumKey
from midshift.domain.routing import Arm, block
from midshift.domain.suite import Slice
from midshift.domain.workload import Capture, DataPolicy, HeaderEquals
from midshift.errors import StoreError
from midshift.gateway import metrics
from midshift.gateway.app import Gateway
from midshift.gateway.counters import Counters
from midshift.gateway.feedback import MOST_FAILURES, PATH, Bucket
from midshift.gateway.refusals import MOST_REFUSALS
from midshift.gateway.settings import ClientKey, FeedbackLimits, GatewaySettings
from midshift.gateway.spool import Waiting
from midshift.providers.http.settings import Upstream
from midshift.testing.clock import ManualClock
from tests.gateway.fakes import (
    UNIT_KEY,
    Answer,
    FakeSink,
    Stage,
    a_route,
    a_stage,
    a_workload,
    hashed_unit,
    rule,
)

KEY = ClientKey("backend", "a-key-for-the-backend-0123", may_label=True)
OTHER = ClientKey("other", "a-key-for-the-others-4567")


def shown(key: ClientKey) -> list[tuple[str, str]]:
    """The header of an app with this key."""
    return [("authorization", f"Bearer {key.secret}")]


async def give(stage: Stage, request_id: str, lines: Any = (), **said: object) -> Answer:
    """One feedback."""
    return await stage.app.ask({"request_id": request_id, **said}, lines, path=PATH)


async def asked(stage: Stage, user: str = "u", lines: Any = ()) -> str:
    """One question; the id of its answer."""
    return (await stage.app.chat(user, lines=lines)).headers["x-midshift-request-id"]


@pytest.mark.parametrize(
    ("said", "satisfaction"),
    [
        ({"thumbs": "up"}, 1.0),
        ({"thumbs": "down"}, 0.0),
        ({"score": 1}, 0.0),
        ({"score": 4}, 0.75),
        ({"score": 5}, 1.0),
    ],
)
async def test_feedback_is_credited_to_what_served_the_request(said: dict[str, Any], satisfaction: float) -> None:
    """Its upgrade, step, arm, block and slices, as they were then."""
    workload = a_workload(slices=(Slice("all"), Slice("vip")), rules=(rule("vip", HeaderEquals("x-queue", "vip")),))
    async with a_stage(route=a_route(1.0, step=2), workload=workload) as stage:
        request_id = await asked(stage, "ada", [("x-queue", "vip")])
        stage.put(a_route(0.0, epoch=2, step=0, upgrade="up-2"))

        answer = await give(stage, request_id, **said)

        assert (200, {"status": "counted"}) == (answer.status, answer.json)
        [credited] = stage.sink.credited.values()
        for part in ("*", "vip"):
            key = SumKey("support", "up-1", 2, Arm.CANDIDATE, part, "satisfaction", block(hashed_unit("ada"), "salt"))
            assert Sum(1, satisfaction, satisfaction**2) == credited[key]


async def test_the_first_feedback_on_a_request_counts() -> None:
    """Nobody outvotes the others by asking more often."""
    async with a_stage(route=a_route()) as stage:
        request_id = await asked(stage)
        first = await give(stage, request_id, thumbs="down")
        second = await give(stage, request_id, thumbs="up")

        assert (200, 409) == (first.status, second.status)
        assert "already_given" == second.json["error"]["code"]
        assert 1 == len(stage.sink.credited)


async def test_feedback_without_an_upgrade_is_noted_and_counts_for_nothing() -> None:
    """There is nothing to compare; the app need not know that."""
    async with a_stage() as stage:
        answer = await give(stage, await asked(stage), thumbs="up")

        assert (200, {"status": "noted"}) == (answer.status, answer.json)
        assert [{}] == list(stage.sink.credited.values())


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({}, "thumbs"),
        ({"thumbs": "sideways"}, None),
        ({"thumbs": "up", "score": 5}, "thumbs"),
        ({"score": 0}, "score"),
        ({"score": 6}, "score"),
        ({"score": 4.5}, None),
        ({"ticket": "javascript:alert(1)"}, "ticket"),
        ({"ticket": "https://x/" + "y" * 500}, "ticket"),
        ({"thumbs": "up", "comment": "x" * 4001}, "comment"),
        ({"thumbs": "up", "arm": "candidate"}, None),
    ],
)
async def test_what_is_no_feedback_is_refused_in_words(said: dict[str, Any], param: str | None) -> None:
    """A developer reads what would work; a field that is not known is a mistake, not a wish."""
    async with a_stage(route=a_route()) as stage:
        answer = await give(stage, await asked(stage), **said)

        assert (400, "bad_feedback", param) == (
            answer.status,
            answer.json["error"]["code"],
            answer.json["error"]["param"],
        )
        assert {} == stage.sink.credited


async def test_an_id_that_no_gateway_gave_is_refused() -> None:
    """Also that of a refused request, and one of which a letter was changed."""
    async with a_stage(route=a_route()) as stage:
        refused = (await stage.app.ask({"model": "none"})).headers["x-midshift-request-id"]
        good = await asked(stage)
        for request_id in (refused, "req_1", good[:-1] + ("A" if good[-1] != "A" else "B")):
            answer = await give(stage, request_id, thumbs="up")
            assert (400, "bad_request_id") == (answer.status, answer.json["error"]["code"])


async def test_feedback_that_comes_months_later_is_refused() -> None:
    """The store forgets who has given some after 90 days: it could be counted twice."""
    clock = ManualClock()
    async with a_stage(route=a_route(), clock=clock) as stage:
        early, late = await asked(stage), await asked(stage)
        clock.advance(44 * 86_400)
        assert 200 == (await give(stage, early, thumbs="up")).status
        clock.advance(2 * 86_400)
        answer = await give(stage, late, thumbs="up")

        assert (400, "too_late") == (answer.status, answer.json["error"]["code"])


async def test_feedback_needs_a_client_key() -> None:
    """Or anybody could push a candidate out, or in."""
    async with a_stage(route=a_route(), client_keys=(KEY,)) as stage:
        request_id = await asked(stage, lines=shown(KEY))

        assert 401 == (await give(stage, request_id, thumbs="down")).status
        assert 200 == (await give(stage, request_id, shown(KEY), thumbs="down")).status


async def test_each_key_may_give_so_much_a_minute() -> None:
    """One key's flood leaves the others their say."""
    limits = FeedbackLimits(per_minute=60.0, burst=2.0)
    async with a_stage(route=a_route(), client_keys=(KEY, OTHER), feedback=limits) as stage:
        request_id = await asked(stage, lines=shown(KEY))
        found = [(await give(stage, request_id, shown(KEY), thumbs="up")).status for _ in range(3)]
        other = await give(stage, request_id, shown(OTHER), thumbs="up")
        stage.clock.advance(1.0)
        again = await give(stage, request_id, shown(KEY), thumbs="up")

        assert ([200, 409, 429], 409, 409) == (found, other.status, again.status)


def test_a_bucket_fills_up_to_its_burst_and_no_further() -> None:
    """A quiet night is no licence for a flood in the morning."""
    bucket = Bucket(3.0, 0.0)
    found = [bucket.takes(1000.0, 1.0, 3.0) for _ in range(4)]

    assert [True, True, True, False] == found
    assert bucket.takes(1001.0, 1.0, 3.0)


async def test_while_the_store_is_away_feedback_waits_and_is_counted_once(tmp_path: Path) -> None:
    """A user says it once: it must not be lost, and not be asked for again."""
    async with a_stage(route=a_route(), state_dir=tmp_path) as stage:
        request_id = await asked(stage)
        stage.sink.trouble = StoreError("gone")
        answers = [await give(stage, request_id, thumbs="up") for _ in range(2)]
        assert ([202, 409], {}) == ([one.status for one in answers], stage.sink.credited)

        stage.sink.trouble = None
        stage.gateway.feedback.drain()
        stage.gateway.feedback.drain()

        assert (1, 0) == (len(stage.sink.credited), len(stage.gateway.feedback.waiting))
        assert 409 == (await give(stage, request_id, thumbs="up")).status
        assert [] == [name for name in os.listdir(tmp_path) if name.startswith("feedback")]


async def test_what_waits_survives_the_process(tmp_path: Path) -> None:
    """It was accepted."""
    async with a_stage(route=a_route(), state_dir=tmp_path) as stage:
        stage.sink.trouble = StoreError("gone")
        assert 202 == (await give(stage, await asked(stage), score=2, ticket="https://t.example/1")).status

    async with a_stage(route=a_route(), state_dir=tmp_path) as stage:
        stage.gateway.feedback.drain()
        [credited] = stage.sink.credited.values()

        assert {"satisfaction", "feedback_rate", "ticket_rate"} == {key.metric for key in credited}


async def test_a_store_that_hangs_holds_up_no_request() -> None:
    """Feedback is nobody's request path."""
    go_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    async with a_stage(route=a_route()) as stage:
        request_id = await asked(stage)
        taking = stage.sink.take_feedback

        def hanging(request: str, workload: str, at: datetime, sums: Mapping[SumKey, Sum]) -> bool:
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
            return taking(request, workload, at, sums)

        stage.sink.take_feedback = hanging  # type: ignore[method-assign]
        async with asyncio.TaskGroup() as tasks:
            giving = tasks.create_task(give(stage, request_id, thumbs="up"))
            assert 200 == (await stage.app.chat("v")).status
            assert not giving.done()
            go_on.set()

        assert 200 == giving.result().status


async def test_a_comment_is_handed_on_whole_and_the_door_behind_decides() -> None:
    """What of it is kept is said by the workload's `capture`, in one place for all texts."""
    data = DataPolicy(capture=Capture())
    async with a_stage(route=a_route(), workload=a_workload(data=data)) as stage:
        request_id = await asked(stage)
        await give(stage, request_id, thumbs="down", comment="It is wrong.", ticket="https://t.example/1")
        stage.gateway.recorder.hand_over()
        [record] = stage.sink.feedback

        assert (request_id, "support", 0.0, "It is wrong.") == (
            record.request_id,
            record.workload,
            record.satisfaction,
            record.comment,
        )


class Picky(FakeSink):
    """A store that never takes feedback on some requests."""

    refused: frozenset[str] = frozenset()
    asked = 0

    def take_feedback(self, request: str, workload: str, at: datetime, sums: Mapping[SumKey, Sum]) -> bool:
        self.asked += 1
        if request in self.refused:
            raise StoreError("this one is not read")
        return super().take_feedback(request, workload, at, sums)


def not_listening(sink: FakeSink) -> Gateway:
    """A gateway that nobody has started: tests drain by hand."""
    upstreams = {"old-provider": Upstream("http://127.0.0.1:9")}
    settings = GatewaySettings(name="gateway-1", workloads=(a_workload(),), upstreams=upstreams, unit_key=UNIT_KEY)
    return Gateway(settings, clock=ManualClock(), feedback=sink, environment={})


def put_in(gateway: Gateway, *requests: str) -> None:
    """These wait for the store."""
    credit = Credit("support", "up-1", 0, Arm.CANDIDATE, (), 7)
    for request in requests:
        assert gateway.feedback.waiting.add(Waiting(request, credit, ManualClock().machine_now(), 1.0, False))


def left(gateway: Gateway) -> list[str]:
    """What waits still."""
    return [one.request for one in gateway.feedback.waiting.all()]


def test_feedback_that_the_store_never_takes_holds_up_none_behind_it() -> None:
    """However many of them are before it."""
    sink = Picky()
    gateway = not_listening(sink)
    poisoned = [f"poisoned-{number}" for number in range(6)]
    sink.refused = frozenset(poisoned)
    put_in(gateway, *poisoned, "a", "b")
    for _ in range(3):
        gateway.feedback.drain()

    assert (poisoned, ["a", "b"]) == (left(gateway), list(sink.credited))


def test_feedback_that_the_store_never_takes_is_given_up_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """It is lost, and that is said; tried for ever, it would hide in the noise."""
    sink = Picky()
    gateway = not_listening(sink)
    sink.refused = frozenset({"poisoned"})
    put_in(gateway, "poisoned")
    for number in range(MOST_REFUSALS):
        put_in(gateway, f"good-{number}")
        gateway.feedback.drain()
        gateway.feedback.drain()

    assert ([], 1) == (left(gateway), gateway.recorder.lost_feedback)
    assert MOST_REFUSALS == len(sink.credited)
    assert "feedback on support" in caplog.text
    assert b'midshift_lost_total{kind="feedback"} 1\n' in metrics.text(Counters(), gateway.recorder, [], [], 0, [])


def test_feedback_waits_as_long_as_the_store_is_away() -> None:
    """That is nobody's fault that waits; and the store is asked a few times a round, and not for each of thousands."""
    sink = Picky(trouble=StoreError("gone"))
    gateway = not_listening(sink)
    put_in(gateway, *map(str, range(5)))
    for _ in range(2 * MOST_REFUSALS):
        gateway.feedback.drain()
    assert (5, 0) == (len(left(gateway)), gateway.recorder.lost_feedback)
    assert 2 * MOST_REFUSALS * MOST_FAILURES == sink.asked

    sink.trouble = None
    gateway.feedback.drain()
    assert ([], 5) == (left(gateway), len(sink.credited))


async def test_a_store_that_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    """The interpreter joins every thread that is no daemon: also one that a user's feedback waited in."""
    threads: list[threading.Thread] = []

    async with a_stage(route=a_route()) as stage:
        request_id = await asked(stage)
        taking = stage.sink.take_feedback

        def noting(request: str, workload: str, at: datetime, sums: Mapping[SumKey, Sum]) -> bool:
            threads.append(threading.current_thread())
            return taking(request, workload, at, sums)

        stage.sink.take_feedback = noting  # type: ignore[method-assign]
        assert 200 == (await give(stage, request_id, thumbs="up")).status

    assert [True] == [thread.daemon for thread in threads]

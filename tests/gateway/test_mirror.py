"""The answer that nobody sees: it must cost the user nothing, and must not be lost silently."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from midshift.domain.exposure import Fate, ShadowAnswer, ShadowFate
from midshift.domain.routing import Arm
from midshift.domain.unseen import PairKind
from midshift.domain.usage import Usage
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.gateway.settings import Shadow
from tests.gateway.fakes import (
    NEW,
    OLD,
    Exchange,
    FakeSource,
    a_question,
    a_route,
    a_stage,
    answering,
    completion,
    cutting,
    event,
    failing,
    hashed_unit,
    silent,
    streaming,
)

SHADOW = a_route(share=0.0, shadow_share=1.0)


async def test_the_user_gets_the_incumbents_answer_and_both_are_kept_as_a_pair() -> None:
    """The candidate answers the same request, as it would if it served."""
    async with a_stage(answering("old"), answering("new"), route=SHADOW) as stage:
        answer = await stage.app.chat()
        await stage.settled()

        assert ("old", OLD.short_id) == (answer.text, answer.headers["x-midshift-variant"])
        sent = stage.new.seen[0].json
        assert ("new-model", "low", "Be brief.") == (
            sent["model"],
            sent["reasoning_effort"],
            sent["messages"][0]["content"],
        )
        pair = stage.pairs[0]
        assert ("support", "up-1", NEW.id) == (pair.workload, pair.upgrade, pair.candidate_id)
        assert answer.headers["x-midshift-request-id"] == pair.request_id
        assert ShadowAnswer("old", 200, 0.0, 7, 3, None, "stop") == pair.incumbent
        assert ShadowAnswer("new", 200, 0.0, 7, 3, None, "stop") == pair.candidate
        assert (PairKind.SHADOW, Arm.INCUMBENT, 1.0, 1, hashed_unit("u")) == (
            *(pair.kind, pair.seen, pair.propensity),
            *(pair.step, pair.unit),
        )
        assert ShadowFate.PAIRED is stage.exposures[0].shadow


async def test_streams_are_paired_too() -> None:
    """Put together to what a user would have read."""
    async with a_stage(streaming(), streaming(), route=SHADOW) as stage:
        await stage.app.chat(stream=True)
        await stage.settled()

        pair = stage.pairs[0]
        assert ("Hello.", "Hello.", 2, 2) == (
            pair.incumbent.text,
            pair.candidate.text,
            pair.incumbent.tokens_out,
            pair.candidate.tokens_out,
        )


async def test_mirroring_begins_when_the_users_request_is_on_the_wire() -> None:
    """Begun before, it would take the user's place in every queue."""
    order: list[str] = []
    both = asyncio.Event()

    def noting(name: str) -> object:
        async def script(exchange: Exchange) -> None:
            order.append(name)
            if len(order) == 2:
                both.set()
            await both.wait()
            await answering(name)(exchange)

        return script

    async with a_stage(noting("old"), noting("new"), route=SHADOW) as stage:  # type: ignore[arg-type]
        await stage.app.chat()

        assert ["old", "new"] == order


@pytest.mark.parametrize("stream", [False, True])
async def test_a_candidate_that_hangs_does_not_slow_the_user(stream: bool) -> None:
    """The user's answer is whole while the candidate has not said a word; its own deadline ends it."""
    async with a_stage(new=silent, route=SHADOW, shadow=Shadow(timeout_s=0.1)) as stage:
        answer = await stage.app.chat(stream=stream)
        assert 200 == answer.status
        assert 1 == stage.gateway.counters.shadows_in_flight

        await stage.settled()
        await stage.new.left.wait()
        assert (ShadowFate.FAILED, 504, None) == (
            stage.exposures[0].shadow,
            stage.pairs[0].candidate.status,
            stage.pairs[0].candidate.text,
        )


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (failing(500), 500),
        (cutting, 502),
        (streaming([b"data: {"]), 502),
        (answering("x" * 200), 502),
    ],
)
async def test_a_candidate_that_fails_unseen_is_recorded(script: object, status: int) -> None:
    """Its failures are evidence; without them it would look better the worse it is."""
    shadow = Shadow(max_answer_bytes=150)
    async with a_stage(answering("ok"), script, route=SHADOW, shadow=shadow) as stage:  # type: ignore[arg-type]
        stage.old.script = answering("ok", usage={}, model="")
        assert 200 == (await stage.app.chat()).status
        await stage.settled()

        assert (None, status) == (stage.pairs[0].candidate.text, stage.pairs[0].candidate.status)
        assert ShadowFate.FAILED is stage.exposures[0].shadow
        assert {("support", PairKind.SHADOW, "candidate_failed"): 1} == stage.gateway.counters.not_mirrored


async def test_a_deadline_is_of_the_whole_answer_and_not_of_its_first_word() -> None:
    """A candidate that stops in the middle holds a place among the few that there are."""

    async def halting(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.chunk(event("Hel"))
        await exchange.gone()

    async with a_stage(new=halting, route=SHADOW, shadow=Shadow(timeout_s=0.1)) as stage:
        assert 200 == (await stage.app.chat(stream=True)).status
        await stage.settled()

        assert (None, 504) == (stage.pairs[0].candidate.text, stage.pairs[0].candidate.status)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"choices": []}', 200),
        (b'{"choices": [{"message": {"content": null}}]}', 200),
        (b'{"object": "list"}', 502),
        (b"<html>", 502),
    ],
)
async def test_an_answer_without_a_word_counts_the_same_seen_and_unseen(body: bytes, status: int) -> None:
    """What was read for the user is not read again; what was no answer must not become an empty one by that."""
    async with a_stage(failing(200, body=body), failing(200, body=body), route=SHADOW) as stage:
        await stage.app.chat()
        await stage.settled()

        pair = stage.pairs[0]
        assert (None, status) == (pair.incumbent.text, pair.incumbent.status)
        assert (None, status) == (pair.candidate.text, pair.candidate.status)


async def test_an_answer_is_priced_once_for_its_pair_and_its_exposure() -> None:
    """Two prices of one answer would be two truths."""
    asked: list[str] = []

    def priced(variant: Variant, usage: Usage) -> float:
        asked.append(variant.id)
        return float(len(asked))

    async with a_stage(route=SHADOW, pricing=priced) as stage:
        await stage.app.chat()
        await stage.settled()

        assert [NEW.id, OLD.id] == sorted(asked, key=[NEW.id, OLD.id].index)
        assert stage.pairs[0].incumbent.cost_usd == stage.exposures[0].cost_usd is not None


async def test_an_incumbent_that_fails_makes_no_pair_but_is_recorded() -> None:
    """There is nothing to compare with."""
    async with a_stage(failing(500), route=SHADOW) as stage:
        assert 500 == (await stage.app.chat()).status
        await stage.settled()

        assert (None, 500, "new") == (
            stage.pairs[0].incumbent.text,
            stage.pairs[0].incumbent.status,
            stage.pairs[0].candidate.text,
        )
        assert {("support", PairKind.SHADOW, ShadowFate.FAILED): 1} == stage.gateway.counters.shadows


@pytest.mark.parametrize(
    "fields", [{"store": True}, {"background": True}, {"tools": [{"type": "mcp"}]}, {"web_search_options": {}}]
)
async def test_a_request_that_would_do_something_twice_is_skipped_and_counted(fields: dict[str, object]) -> None:
    """Stored twice, searched twice, ordered twice."""
    async with a_stage(route=SHADOW) as stage:
        assert "old" == (await stage.app.ask({**a_question(), **fields})).text
        await stage.settled()

        assert [] == stage.new.seen
        assert ShadowFate.SKIPPED is stage.exposures[0].shadow
        assert {("support", PairKind.SHADOW, "side_effects"): 1} == stage.gateway.counters.not_mirrored


async def test_a_function_call_is_mirrored() -> None:
    """The app runs functions, and it never sees this answer."""
    async with a_stage(route=SHADOW) as stage:
        await stage.app.chat(tools=[{"type": "function", "function": {"name": "refund"}}])
        await stage.settled()

        assert ShadowFate.PAIRED is stage.exposures[0].shadow


async def test_a_request_that_is_too_large_to_hold_twice_is_skipped() -> None:
    """A mirror doubles memory."""
    async with a_stage(route=SHADOW, shadow=Shadow(max_request_bytes=1000)) as stage:
        await stage.app.chat(extra="x" * 1000)
        await stage.settled()

        assert {("support", PairKind.SHADOW, "too_large"): 1} == stage.gateway.counters.not_mirrored


async def test_an_answer_that_is_too_large_to_keep_makes_no_pair() -> None:
    """The user has it all the same."""
    long = [*[event("x" * 500)] * 10, event(finish="stop")]
    async with a_stage(streaming(long), route=SHADOW, shadow=Shadow(max_answer_bytes=1000)) as stage:
        answer = await stage.app.chat(stream=True)
        await stage.settled()

        assert 5000 < len(answer.body)
        assert (ShadowFate.FAILED, []) == (stage.exposures[0].shadow, stage.pairs)
        assert {("support", PairKind.SHADOW, "too_large"): 1} == stage.gateway.counters.not_mirrored


async def test_a_prompt_that_does_not_match_is_skipped() -> None:
    """The candidate has no answer to it."""
    edited = replace(NEW, prompt=Prompt(PromptMode.EDIT, '[{"replace": "You serve.", "with": "x"}]'))
    async with a_stage(route=replace(SHADOW, candidate=edited.id), source=FakeSource(OLD, edited)) as stage:
        await stage.app.chat()
        await stage.settled()

        assert {("support", PairKind.SHADOW, "unmatched"): 1} == stage.gateway.counters.not_mirrored
        assert ShadowFate.SKIPPED is stage.exposures[0].shadow


async def test_a_skipped_shadow_leaves_the_record_of_its_request_as_it_is() -> None:
    """It is known to be skipped long before the user's answer is there; the record waits for that."""
    edited = replace(NEW, prompt=Prompt(PromptMode.EDIT, '[{"replace": "You serve.", "with": "x"}]'))
    async with a_stage(route=replace(SHADOW, candidate=edited.id), source=FakeSource(OLD, edited)) as stage:
        await stage.app.chat()
        await stage.settled()

        [found] = stage.exposures
        assert (Fate.INCUMBENT, 200, 7, "up-1") == (found.fate, found.status, found.tokens_in, found.upgrade)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_takes_too_long_at_the_end_is_counted_as_failed(stream: bool) -> None:
    """A gateway that leaves does not wait for ever; what is under way is not lost in silence, streamed or not."""
    async with a_stage(new=silent, route=SHADOW) as stage:
        await stage.app.chat(stream=stream)
        await stage.app.chat(stream=stream)
        assert 2 == stage.gateway.counters.shadows_in_flight
        await stage.gateway._mirror.drain(0.0)

        assert {("support", PairKind.SHADOW, "cancelled"): 2} == stage.gateway.counters.not_mirrored
        assert {("support", PairKind.SHADOW): 2} == stage.gateway.counters.unpriced  # asked: it may well be billed
        assert [ShadowFate.FAILED] * 2 == [exposure.shadow for exposure in stage.exposures]
        await stage.app.chat()
        await stage.settled()
        assert 1 == stage.gateway.counters.not_mirrored["support", PairKind.SHADOW, "draining"]
        assert stage.gateway.counters.reconciles


async def test_a_second_answer_on_an_open_connection_is_paired_as_the_first_was() -> None:
    """The first has to wait for a connection, the others are told when they are over: nobody may see a difference."""
    async with a_stage(answering("old"), answering("new"), route=SHADOW) as stage:
        for _ in range(3):
            await stage.app.chat()
            await stage.settled()

        assert 1 == stage.new.connections
        assert [("old", "new")] * 3 == [(pair.incumbent.text, pair.candidate.text) for pair in stage.pairs]
        assert [ShadowFate.PAIRED] * 3 == [exposure.shadow for exposure in stage.exposures]


async def test_an_unseen_answer_waits_for_the_users_if_it_is_there_before() -> None:
    """On an open connection as on a new one; until then it is in flight, and nothing is recorded."""
    go_on = asyncio.Event()

    async def waiting(exchange: Exchange) -> None:
        await go_on.wait()
        await answering("old")(exchange)

    async with a_stage(answering("old"), answering("new"), route=SHADOW) as stage:
        await stage.app.chat()
        await stage.settled()
        stage.old.script = waiting
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stage.app.chat())
            unpriced = stage.gateway.counters.unpriced  # counted when an answer is read
            while unpriced["support", PairKind.SHADOW] < 2:  # noqa: ASYNC110 - plain numbers
                await asyncio.sleep(0)
            assert 1 == stage.gateway.counters.shadows_in_flight
            assert 1 == len(stage.pairs)
            go_on.set()
        await stage.settled()

        assert [("old", "new")] * 2 == [(pair.incumbent.text, pair.candidate.text) for pair in stage.pairs]
        assert 1 == stage.new.connections


@pytest.mark.parametrize(("script", "status"), [(failing(500), 500), (cutting, 502), (answering("x" * 200), 502)])
async def test_a_candidate_that_fails_on_an_open_connection_is_recorded_too(script: object, status: int) -> None:
    """Its failure is told, in the place of its answer."""
    async with a_stage(answering("ok"), route=SHADOW, shadow=Shadow(max_answer_bytes=250)) as stage:
        stage.new.script = answering("ok")
        await stage.app.chat()
        await stage.settled()
        stage.new.script = script  # type: ignore[assignment]
        await stage.app.chat()
        await stage.settled()

        assert [200, status] == [pair.candidate.status for pair in stage.pairs]
        assert {("support", PairKind.SHADOW, "candidate_failed"): 1} == stage.gateway.counters.not_mirrored
        assert [ShadowFate.PAIRED, ShadowFate.FAILED] == [exposure.shadow for exposure in stage.exposures]


async def test_what_is_beyond_the_cap_is_shed_and_counted() -> None:
    """Overload is the mirror's to bear, not the user's."""
    async with a_stage(new=silent, route=SHADOW, shadow=Shadow(max_concurrent=2, timeout_s=0.2)) as stage:
        for _ in range(5):
            assert 200 == (await stage.app.chat()).status

        assert {("support", PairKind.SHADOW, ShadowFate.SHED): 3} == stage.gateway.counters.shadows
        assert {("support", PairKind.SHADOW, "concurrency"): 3} == stage.gateway.counters.not_mirrored
        await stage.settled()
        assert {
            ("support", PairKind.SHADOW, ShadowFate.SHED): 3,
            ("support", PairKind.SHADOW, ShadowFate.FAILED): 2,
        } == stage.gateway.counters.shadows
        assert 2 == stage.new.connections


async def test_a_provider_that_says_429_is_left_alone_for_as_long_as_it_asks() -> None:
    """A mirror must not eat the quota of users."""
    async with a_stage(new=failing(429, [("retry-after", "7")]), route=SHADOW) as stage:
        await stage.app.chat()
        await stage.settled()
        await stage.app.chat()
        assert (
            1,
            {("support", PairKind.SHADOW, "candidate_failed"): 1, ("support", PairKind.SHADOW, "rate_limit"): 1},
        ) == (
            len(stage.new.seen),
            stage.gateway.counters.not_mirrored,
        )

        stage.clock.advance(7.0)
        await stage.app.chat()
        await stage.settled()
        assert 2 == len(stage.new.seen)


async def test_a_client_that_leaves_does_not_end_the_mirrored_call() -> None:
    """It has a life of its own; that there is no pair is counted."""
    go_on = asyncio.Event()

    async def waiting(exchange: Exchange) -> None:
        await go_on.wait()
        await answering("new")(exchange)

    async with a_stage(silent, waiting, route=SHADOW) as stage:
        async with stage.app.sent(a_question()):
            await stage.new.asked.wait()
        await stage.old.left.wait()
        go_on.set()
        await stage.settled()

        assert ("new", 499) == (stage.pairs[0].candidate.text, stage.pairs[0].incumbent.status)
        assert {("support", PairKind.SHADOW, "client_left"): 1} == stage.gateway.counters.not_mirrored


async def test_the_mirror_has_its_own_key_and_connections() -> None:
    """So that its quota, its bill and its limits are its own."""
    async with a_stage(route=a_route(share=0.5, shadow_share=1.0), upstream={"shadow_api_key": "sk-shadow"}) as stage:
        for number in range(20):
            await stage.app.chat(f"user-{number}")
        await stage.settled()

        keys = {seen.headers["authorization"] for seen in stage.new.seen}
        assert {"Bearer sk-shadow", "Bearer sk-new-provider-key"} == keys
        assert {"Bearer sk-old-provider-key"} == {seen.headers["authorization"] for seen in stage.old.seen}


async def test_only_the_share_that_was_asked_for_is_mirrored() -> None:
    """A sampled shadow is a budget."""
    async with a_stage(route=a_route(share=0.0, shadow_share=0.3)) as stage:
        for _ in range(100):
            await stage.app.chat()
        await stage.settled()

        assert 10 < stage.gateway.counters.total(ShadowFate.PAIRED) < 55
        assert stage.gateway.counters.total(ShadowFate.PAIRED) == len(stage.new.seen)


async def test_what_the_candidate_serves_is_not_mirrored() -> None:
    """`shadow_share` is of the other requests."""
    async with a_stage(route=a_route(share=1.0, shadow_share=1.0)) as stage:
        await stage.app.chat()

        assert 0 == sum(stage.gateway.counters.eligible.values())


async def test_what_is_under_way_at_the_end_finishes_and_is_recorded() -> None:
    """A deploy of the gateway must not cost pairs."""
    go_on = asyncio.Event()

    async def waiting(exchange: Exchange) -> None:
        await go_on.wait()
        await exchange.answer(completion("new"))

    async with a_stage(new=waiting, route=SHADOW) as stage:
        await stage.app.chat()
        assert 1 == stage.gateway.counters.shadows_in_flight
        go_on.set()

    assert ["new"] == [pair.candidate.text for pair in stage.sink.pairs]
    assert [ShadowFate.PAIRED] == [exposure.shadow for exposure in stage.sink.exposures]

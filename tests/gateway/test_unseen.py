"""Every kind of unseen answer, on every wire: right pairs, nothing done twice, nothing for the user to feel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from itertools import cycle
from typing import Any

import pytest

from midshift.domain.exposure import Fate, ShadowFate
from midshift.domain.routing import Arm, Other, Route
from midshift.domain.unseen import PairKind
from midshift.domain.variant import Variant
from midshift.gateway.settings import Shadow
from midshift.testing.clock import ManualClock
from midshift.wire.protocol import WireName
from tests.gateway.fakes import (
    CLAIM,
    NEW,
    OLD,
    Exchange,
    FakeSource,
    Script,
    Stage,
    a_question,
    a_route,
    a_stage,
    answering,
    cutting,
    failing,
    silent,
    streaming,
)

NOISE = a_route(share=0.0, shadow_share=1.0, noise_share=1.0)
REVERSE = a_route(share=1.0, reverse_share=1.0)
LIVE = a_route(share=0.5, pair_share=1.0)
ALL_WIRES = {"openai_chat": "", "openai_responses": "", "anthropic": "", "gemini": ""}


def by_kind(stage: Stage) -> dict[PairKind, Any]:
    """The pairs of a stage, one a kind."""
    return {pair.kind: pair for pair in stage.pairs}


async def test_a_noise_pair_holds_two_answers_of_the_incumbent() -> None:
    """How much a model differs from itself is the yardstick for how much another one differs."""
    numbers = iter(range(10))

    async def other_each_time(exchange: Exchange) -> None:
        await answering(f"old {next(numbers)}")(exchange)

    async with a_stage(other_each_time, route=NOISE) as stage:
        answer = await stage.app.chat()
        await stage.settled()

        noise, shadow = by_kind(stage)[PairKind.NOISE], by_kind(stage)[PairKind.SHADOW]
        assert {"old 0", "old 1"} == {noise.incumbent.text, noise.candidate.text}
        assert answer.text == noise.incumbent.text == shadow.incumbent.text
        assert (OLD.id, Arm.INCUMBENT, noise.request_id) == (noise.candidate_id, noise.seen, shadow.request_id)
        first, second = stage.old.seen
        assert first.body == second.body


async def test_coverage_counts_the_shadow_alone() -> None:
    """A noise pair is no proof that the candidate has answered."""
    async with a_stage(new=failing(500), route=NOISE) as stage:
        await stage.app.chat()
        await stage.settled()

        assert [ShadowFate.FAILED] == [exposure.shadow for exposure in stage.exposures]
        sums = {
            key.metric: value.total
            for _, _, batch in stage.sink.batches
            for key, value in batch.items()
            if key.metric == "paired"
        }
        assert {"paired": 0.0} == sums
        assert {PairKind.SHADOW, PairKind.NOISE} == {kind for _, kind in stage.gateway.counters.eligible}


async def test_a_reverse_pair_holds_the_incumbents_unseen_answer() -> None:
    """In soak the incumbent serves nobody any more, and still says what it would have."""
    async with a_stage(route=REVERSE) as stage:
        assert "new" == (await stage.app.chat()).text
        await stage.settled()

        (pair,) = stage.pairs
        assert (PairKind.REVERSE, Arm.CANDIDATE, NEW.id, 1.0) == (
            *(pair.kind, pair.seen, pair.candidate_id, pair.propensity),
        )
        assert ("old", "new") == (pair.incumbent.text, pair.candidate.text)
        assert [None] == [exposure.shadow for exposure in stage.exposures]


@pytest.mark.parametrize("stream", [False, True])
async def test_live_pairs_are_sampled_from_both_arms(stream: bool) -> None:
    """Whoever serves the user, the other answers unseen."""
    async with a_stage(route=LIVE) as stage:
        for number in range(12):
            await stage.app.chat(f"user-{number}", stream=stream)
        await stage.settled()

        assert {Arm.INCUMBENT, Arm.CANDIDATE} == {pair.seen for pair in stage.pairs}
        assert {(PairKind.LIVE, "old", "new", NEW.id)} == {
            (pair.kind, pair.incumbent.text, pair.candidate.text, pair.candidate_id) for pair in stage.pairs
        }
        assert 12 == len(stage.pairs) == len(stage.old.seen) == len(stage.new.seen)


@pytest.mark.parametrize(
    ("script", "status"), [(failing(503), 503), (failing(429), 429), (cutting, 502), (answering("new"), 200)]
)
async def test_a_candidate_that_the_incumbent_answered_for_has_failed_in_its_live_pair(
    script: Script, status: int
) -> None:
    """Left out, it would look better the more it fails."""
    route = a_route(share=1.0, pair_share=1.0)
    async with a_stage(new=script, route=route) as stage:
        assert 200 == (await stage.app.chat()).status
        await stage.settled()

        (pair,) = stage.pairs
        assert ("old", status, Arm.CANDIDATE) == (pair.incumbent.text, pair.candidate.status, pair.seen)


async def test_several_candidates_answer_the_same_request() -> None:
    """One is to be served one day; the others are looked at on the way."""
    third = Variant("new-provider", "third-model")
    route = replace(a_route(share=0.0, shadow_share=1.0), others=(Other(third.id, 1.0),))
    async with a_stage(route=route, source=FakeSource(OLD, NEW, third)) as stage:
        await stage.app.chat()
        await stage.settled()

        assert {NEW.id, third.id} == {pair.candidate_id for pair in stage.pairs}
        assert 1 == len({pair.request_id for pair in stage.pairs})
        assert {"new-model", "third-model"} == {seen.json["model"] for seen in stage.new.seen}


async def test_another_candidate_that_is_not_there_takes_nothing_from_the_first() -> None:
    """It is not served: no reason to go home."""
    route = replace(a_route(share=0.0, shadow_share=1.0), others=(Other("unknown", 1.0),))
    async with a_stage(route=route) as stage:
        await stage.app.chat()
        await stage.settled()

        assert [NEW.id] == [pair.candidate_id for pair in stage.pairs]


async def test_another_candidate_that_is_there_later_answers_from_then_on() -> None:
    """A store that could not say what it is, once, must not cost it all the requests of its row."""
    third = Variant("new-provider", "third-model")
    route = replace(a_route(share=0.0, shadow_share=1.0), others=(Other(third.id, 1.0),))
    source = FakeSource(OLD, NEW)
    async with a_stage(route=route, source=source) as stage:
        await stage.app.chat()
        await stage.settled()
        source.variants[third.id] = third
        stage.gateway.routes.look()
        await stage.app.chat()
        await stage.settled()

        assert sorted([NEW.id, NEW.id, third.id]) == sorted(pair.candidate_id for pair in stage.pairs)


async def test_other_candidates_are_no_part_of_coverage() -> None:
    """The exposure says how the shadow of the upgrade's own candidate ended."""
    third = Variant("old-provider", "third-model")
    route = replace(a_route(share=0.0, shadow_share=1.0), others=(Other(third.id, 1.0),))
    async with a_stage(new=failing(500), route=route, source=FakeSource(OLD, NEW, third)) as stage:
        await stage.app.chat()
        await stage.settled()

        assert [ShadowFate.FAILED] == [exposure.shadow for exposure in stage.exposures]


async def test_a_ring_is_no_part_of_a_sample() -> None:
    """Nobody drew lots for it."""
    route = replace(a_route(share=0.0, pair_share=1.0, reverse_share=1.0), rings=("staff",))
    async with a_stage(route=route) as stage:
        assert "new" == (await stage.app.chat(lines=[("x-midshift-ring", "staff")])).text
        await stage.settled()

        assert [] == stage.pairs
        assert 0 == sum(stage.gateway.counters.eligible.values())


# Nothing twice


async def test_what_names_one_request_is_not_sent_twice() -> None:
    """A provider would give the first answer again, or refuse; a trace would show two calls where the app made one."""
    lines = [("idempotency-key", "k-1"), ("x-stainless-retry-count", "1"), ("traceparent", "00-1-2-01"), ("x-own", "1")]
    async with a_stage(route=NOISE) as stage:
        await stage.app.chat(lines=lines)
        await stage.settled()

        named = {"idempotency-key", "x-stainless-retry-count", "traceparent"}
        own = [seen for seen in (*stage.old.seen, *stage.new.seen) if named & set(seen.headers)]
        assert (1, 3) == (len(own), len(stage.old.seen) + len(stage.new.seen))
        assert {"1"} == {seen.headers["x-own"] for seen in (*stage.old.seen, *stage.new.seen)}


@pytest.mark.parametrize("app_stores", [True, None])
async def test_a_response_that_nobody_saw_is_not_stored(app_stores: bool | None) -> None:
    """OpenAI keeps every response that does not say otherwise."""
    body = {"model": CLAIM, "input": "Hello", "user": "u", **({} if app_stores is None else {"store": app_stores})}
    async with a_stage(answering_on("openai_responses"), answering_on("openai_responses"), **on_all_wires()) as stage:
        assert 200 == (await stage.app.ask(body, path="/v1/responses")).status
        await stage.settled()

        seen = [request.json.get("store") for request in stage.old.seen]
        assert sorted([app_stores, False], key=str) == sorted(seen, key=str)
        assert [False] == [request.json.get("store") for request in stage.new.seen]


async def test_what_only_the_incumbents_provider_can_read_is_not_sent_elsewhere() -> None:
    """Another provider would refuse the id of a response; the pair would say nothing about the model."""
    body = {"model": CLAIM, "input": "And then?", "previous_response_id": "resp_1", "user": "u"}
    async with a_stage(answering_on("openai_responses"), answering_on("openai_responses"), **on_all_wires()) as stage:
        assert 200 == (await stage.app.ask(body, path="/v1/responses")).status
        await stage.settled()

        assert {("support", PairKind.SHADOW, "bound_state"): 1} == stage.gateway.counters.not_mirrored
        assert [PairKind.NOISE] == [pair.kind for pair in stage.pairs]
        assert [] == stage.new.seen


async def test_under_a_key_of_its_own_a_mirror_does_not_ask_for_ids_of_another_account() -> None:
    """Responses and files belong to the project of the key that made them."""
    body = {"model": CLAIM, "input": "And then?", "previous_response_id": "resp_1", "user": "u"}
    upstream, script = {"wires": ALL_WIRES, "shadow_api_key": "sk-shadow"}, answering_on("openai_responses")
    async with a_stage(script, script, upstream=upstream, route=NOISE) as stage:
        await stage.app.ask(body, path="/v1/responses")
        await stage.settled()

        assert [] == stage.pairs
        assert 2 == sum(stage.gateway.counters.not_mirrored.values())


async def test_thinking_of_the_incumbent_is_left_out_for_another_model_and_the_pair_says_so() -> None:
    """A signature that a model did not make is refused, and the whole request with it."""
    thought = [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig-of-the-incumbent"},
        {"type": "text", "text": "Hello."},
    ]
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": thought},
        {"role": "user", "content": "Go on"},
    ]
    body = {"model": CLAIM, "max_tokens": 10, "messages": turns, "metadata": {"user_id": "u"}}
    async with a_stage(answering_on("anthropic"), answering_on("anthropic"), **on_all_wires()) as stage:
        assert 200 == (await stage.app.ask(body, path="/v1/messages")).status
        await stage.settled()

        assert b"sig-of-the-incumbent" not in stage.new.seen[0].body
        assert {True} == {b"sig-of-the-incumbent" in seen.body for seen in stage.old.seen}
        assert {PairKind.SHADOW: True, PairKind.NOISE: False} == {pair.kind: pair.stripped for pair in stage.pairs}


# Wires


def on_all_wires(route: Route = NOISE) -> dict[str, Any]:
    """Providers that speak every wire."""
    return {"upstream": {"wires": ALL_WIRES}, "route": route}


def event(kind: str, **fields: object) -> bytes:
    """An event with its type, as two vendors have it."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


RESPONSE = {
    "id": "resp_2",
    "object": "response",
    "status": "completed",
    "model": "m",
    "output": [
        {"type": "message", "role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": "Hello."}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "refund", "arguments": '{"order": 7}'},
    ],
    "usage": {"input_tokens": 7, "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 1}},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [
        {"type": "text", "text": "Hello."},
        {"type": "tool_use", "id": "toolu_1", "name": "refund", "input": {"order": 7}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 7, "output_tokens": 3},
}
COMPLETION = {
    "id": "c-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "Hello.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "refund", "arguments": '{"order": 7}'}}
                ],
            },
        }
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3},
}
CONTENT = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [{"text": "Hello."}, {"functionCall": {"name": "refund", "args": {"order": 7}}}],
            },
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10},
    "modelVersion": "m",
}
WHOLE: Mapping[str, Mapping[str, Any]] = {
    "openai_chat": COMPLETION,
    "openai_responses": RESPONSE,
    "anthropic": MESSAGE,
    "gemini": CONTENT,
}


def chat_chunk(delta: Mapping[str, object], finish: str | None = None) -> bytes:
    """One chunk of a chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return (
        b"data: " + json.dumps({"id": "c-1", "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"
    )


CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "refund", "arguments": '{"order"'}}
STREAMS: Mapping[str, tuple[bytes, ...]] = {
    "openai_chat": (
        chat_chunk({"role": "assistant", "content": "Hel"}),
        chat_chunk({"content": "lo."}),
        chat_chunk({"tool_calls": [CALL]}),
        chat_chunk({"tool_calls": [{"index": 0, "function": {"arguments": ": 7}"}}]}),
        chat_chunk({}, "tool_calls"),
        b'data: {"id":"c-1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n',
        b"data: [DONE]\n\n",
    ),
    "openai_responses": (
        event("response.created", response={**RESPONSE, "output": [], "status": "in_progress", "usage": None}),
        event("response.output_text.delta", delta="Hello.", item_id="msg_1", output_index=0, content_index=0),
        event(
            "response.output_item.added",
            output_index=1,
            item={"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "refund", "arguments": ""},
        ),
        event("response.function_call_arguments.delta", delta='{"order": 7}', item_id="fc_1", output_index=1),
        event("response.completed", response=RESPONSE),
    ),
    "anthropic": (
        event("message_start", message={**MESSAGE, "content": [], "stop_reason": None}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello."}),
        event("content_block_stop", index=0),
        event(
            "content_block_start",
            index=1,
            content_block={"type": "tool_use", "id": "toolu_1", "name": "refund", "input": {}},
        ),
        event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"order": 7}'}),
        event("content_block_stop", index=1),
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 3}),
        event("message_stop"),
    ),
    "gemini": (b"data: " + json.dumps(CONTENT).encode() + b"\r\n\r\n",),
}


def answering_on(wire: str, stream: bool = False) -> Script:
    """A provider that answers on one wire, with a text and a tool call."""
    if stream:
        return streaming(STREAMS[wire])

    async def script(exchange: Exchange) -> None:
        await exchange.answer(json.dumps(WHOLE[wire]).encode())

    return script


def asked_on(wire: str, stream: bool) -> tuple[str, dict[str, object]]:
    """Path and body of a question on a wire."""
    user: dict[str, object] = {"role": "user", "content": "Hello"}
    match WireName(wire):
        case WireName.OPENAI_CHAT:
            return "/v1/chat/completions", a_question(stream=stream)
        case WireName.OPENAI_RESPONSES:
            return "/v1/responses", {"model": CLAIM, "input": "Hello", **({"stream": True} if stream else {})}
        case WireName.ANTHROPIC:
            body = {"model": CLAIM, "max_tokens": 10, "messages": [user], **({"stream": True} if stream else {})}
            return "/v1/messages", body
        case WireName.GEMINI:
            verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
            return f"/v1beta/models/{CLAIM}:{verb}", {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", ALL_WIRES)
async def test_every_wire_is_paired_with_its_texts_tools_and_usage(wire: str, stream: bool) -> None:
    """One drift table for all apps: what a pair says must not depend on the wire."""
    path, body = asked_on(wire, stream)
    script = answering_on(wire, stream)
    async with a_stage(script, script, **on_all_wires()) as stage:
        answer = await stage.app.ask(body, path=path)
        await stage.settled()

        assert 200 == answer.status
        pairs = by_kind(stage)
        assert {PairKind.SHADOW, PairKind.NOISE} == set(pairs)
        for side in (pairs[kind].__getattribute__(name) for kind in pairs for name in ("incumbent", "candidate")):
            assert ("Hello.", 200, 7, 3) == (side.text, side.status, side.tokens_in, side.tokens_out)
            (call,) = json.loads(side.tools or "[]")
            assert ("refund", {"order": 7}) == (call["name"], json.loads(call["arguments"]))
            assert stream == (side.first_byte_s is not None)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_candidate_of_another_wire_is_paired_in_translation(stream: bool) -> None:
    """From OpenAI's wire to Anthropic's, as it would serve."""
    script = answering_on("anthropic", stream)
    async with a_stage(script, script, upstream={"wires": {"anthropic": ""}}, route=NOISE) as stage:
        assert 200 == (await stage.app.chat(stream=stream, max_tokens=10)).status
        await stage.settled()

        assert {("Hello.", "Hello.")} == {(pair.incumbent.text, pair.candidate.text) for pair in stage.pairs}
        assert {PairKind.SHADOW, PairKind.NOISE} == {pair.kind for pair in stage.pairs}


# Limits


def at_price(cost_usd: float | None) -> dict[str, Any]:
    """A provider that says what it billed."""
    return {"usage": {"prompt_tokens": 7, "completion_tokens": 3, **({} if cost_usd is None else {"cost": cost_usd})}}


async def test_a_day_has_a_budget_and_the_next_day_another() -> None:
    """What is beyond it is shed and counted; a call begins only if the dearest one so far would fit."""
    shadow, clock = Shadow(budget_usd_per_day=1.0), ManualClock()
    route = a_route(share=0.0, shadow_share=1.0)
    async with a_stage(new=answering("new", **at_price(0.4)), route=route, shadow=shadow, clock=clock) as stage:
        for _ in range(4):
            await stage.app.chat()
            await stage.settled()
        assert {("support", PairKind.SHADOW, "budget"): 2} == stage.gateway.counters.not_mirrored
        assert pytest.approx(0.8) == stage.gateway.counters.mirror_usd["support", PairKind.SHADOW]

        clock.advance(86400.0)
        stage.put(replace(route, epoch=2))
        await stage.app.chat()
        await stage.settled()
        assert 3 == len(stage.new.seen)


async def test_a_call_of_unknown_price_is_not_free() -> None:
    """It counts as the dearest one that is known, and at least as much as the settings say."""
    shadow = Shadow(budget_usd_per_day=1.0, unpriced_usd=0.3)
    async with a_stage(route=a_route(share=0.0, shadow_share=1.0), shadow=shadow) as stage:
        for _ in range(5):
            await stage.app.chat()
            await stage.settled()

        assert 3 == len(stage.new.seen)
        assert {("support", PairKind.SHADOW): 3} == stage.gateway.counters.unpriced
        assert {("support", PairKind.SHADOW, "budget"): 2} == stage.gateway.counters.not_mirrored


async def test_what_a_provider_refused_costs_nothing() -> None:
    """An error is not billed, and must not use the budget up."""
    shadow = Shadow(budget_usd_per_day=0.05, unpriced_usd=0.04)
    async with a_stage(new=failing(400), route=a_route(share=0.0, shadow_share=1.0), shadow=shadow) as stage:
        for _ in range(5):
            await stage.app.chat()
            await stage.settled()

        assert 5 == len(stage.new.seen)


async def test_a_minute_has_so_many_calls() -> None:
    """A limit that needs no prices."""
    clock = ManualClock()
    route = a_route(share=0.0, shadow_share=1.0)
    async with a_stage(route=route, shadow=Shadow(max_per_minute=2), clock=clock) as stage:
        for _ in range(4):
            await stage.app.chat()
        await stage.settled()
        assert {("support", PairKind.SHADOW, "per_minute"): 2} == stage.gateway.counters.not_mirrored

        clock.advance(60.0)
        await stage.app.chat()
        await stage.settled()
        assert 3 == len(stage.new.seen)


async def test_large_requests_are_not_held_in_any_number() -> None:
    """A mirror doubles memory; so many bytes of it at once, whatever the number of requests."""
    route = a_route(share=0.0, shadow_share=1.0)
    async with a_stage(new=silent, route=route, shadow=Shadow(max_held_bytes=2500, timeout_s=0.1)) as stage:
        for _ in range(4):
            await stage.app.chat(extra="x" * 1000)
        assert {("support", PairKind.SHADOW, "memory"): 2} == stage.gateway.counters.not_mirrored

        await stage.settled()
        await stage.app.chat(extra="x" * 1000)
        await stage.settled()
        assert 3 == len(stage.new.seen)


@pytest.mark.parametrize(
    ("status", "asked", "pause_s"),
    [
        (429, "7", 7.0),
        (429, "0.5", 0.5),
        (529, "3", 3.0),
        (503, "in 20 s", 20.0),
        (429, "soon", 1.0),
        (429, "-3", 1.0),
        (429, "999999", 3600.0),
    ],
)
async def test_a_provider_is_left_alone_as_long_as_it_asks(status: int, asked: str, pause_s: float) -> None:
    """In seconds or by date; and what it cannot mean is no reason to wait for ever."""
    clock = ManualClock()
    if asked == "in 20 s":
        asked = format_datetime(clock.machine_now() + timedelta(seconds=20), usegmt=True)
    route = a_route(share=0.0, shadow_share=1.0)
    async with a_stage(new=failing(status, [("retry-after", asked)]), route=route, clock=clock) as stage:
        await stage.app.chat()
        await stage.settled()
        stage.new.script = answering("new")
        clock.advance(pause_s - 0.01)
        stage.put(replace(route, epoch=2))
        await stage.app.chat()
        await stage.settled()
        assert 1 == len(stage.new.seen)

        clock.advance(0.02)
        await stage.app.chat()
        await stage.settled()
        assert 2 == len(stage.new.seen)


async def test_a_provider_may_ask_in_milliseconds() -> None:
    """OpenAI does, and means it more exactly than the whole seconds beside it."""
    route, lines = a_route(share=0.0, shadow_share=1.0), [("retry-after", "9"), ("retry-after-ms", "250")]
    async with a_stage(new=failing(429, lines), route=route) as stage:
        await stage.app.chat()
        await stage.settled()
        stage.clock.advance(0.26)
        await stage.app.chat()
        await stage.settled()

        assert 2 == len(stage.new.seen)


async def test_a_user_who_is_refused_for_the_rate_goes_before_noise() -> None:
    """Without a key of its own the mirror eats the same quota."""
    async with a_stage(failing(429), route=NOISE) as stage:
        await stage.app.chat()
        await stage.settled()
        before = len(stage.old.seen)
        await stage.app.chat()
        await stage.settled()

        assert 1 == len(stage.old.seen) - before
        assert 1 == stage.gateway.counters.not_mirrored["support", PairKind.NOISE, "rate_limit"]


# What the user feels


@pytest.mark.parametrize("trouble", [silent, failing(500), failing(429), cutting, streaming([b"data: {"])])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_users_answer_is_the_same_to_the_byte_whatever_becomes_of_the_mirror(
    trouble: Script, stream: bool
) -> None:
    """And it is there at once: the mirror's own deadline is far away."""
    third = Variant("new-provider", "third-model")
    route = replace(a_route(share=0.0, shadow_share=1.0, noise_share=1.0), others=(Other(third.id, 1.0),))
    bare = a_route(share=0.0)
    source, shadow = FakeSource(OLD, NEW, third), Shadow(timeout_s=0.3)
    async with a_stage(answering("old"), trouble, route=bare, source=source, shadow=shadow) as stage:
        expected = await stage.app.chat(stream=stream)
        stage.put(replace(route, epoch=2))
        found = await stage.app.chat(stream=stream)

        assert (expected.status, expected.body) == (found.status, found.body)
        if trouble is silent:
            assert 2 <= stage.gateway.counters.shadows_in_flight
        assert {PairKind.SHADOW, PairKind.NOISE} == {kind for _, kind in stage.gateway.counters.eligible}
        await stage.settled()


@pytest.mark.slow
async def test_all_kinds_reconcile_under_500_mixed_requests_with_failures() -> None:
    """Every unseen answer that was wanted ends as exactly one thing, by kind; and every exposure is written once."""
    turns = cycle(
        [answering("x"), failing(500), failing(429, [("retry-after", "0")]), cutting, answering("y"), failing(400)]
    )

    async def mixed(exchange: Exchange) -> None:
        await next(turns)(exchange)

    third = Variant("new-provider", "third-model")
    route = a_route(
        share=0.5, shadow_share=0.6, noise_share=0.3, pair_share=0.3, reverse_share=0.6, others=(Other(third.id, 0.2),)
    )
    shadow = Shadow(max_concurrent=20, timeout_s=0.5)
    async with a_stage(mixed, mixed, route=route, source=FakeSource(OLD, NEW, third), shadow=shadow) as stage:

        async def one(number: int) -> None:
            body = a_question(
                f"user-{number % 90}", stream=number % 3 == 0, **({"store": True} if number % 7 == 0 else {})
            )
            if number % 11:
                await stage.app.ask(body)
                return
            async with stage.app.sent(body):
                await asyncio.sleep(0)

        for start in range(0, 500, 50):
            async with asyncio.TaskGroup() as tasks:
                for number in range(start, start + 50):
                    tasks.create_task(one(number))
        await stage.settled()

        counters = stage.gateway.counters
        assert counters.reconciles
        assert 0 == counters.in_flight == counters.shadows_in_flight
        assert set(PairKind) == {kind for _, kind in counters.eligible}
        for kind in PairKind:
            ended = sum(counters.total(fate, kind) for fate in ShadowFate)
            assert counters.eligible["support", kind] == ended > 0
            without = sum(count for (_, of, _), count in counters.not_mirrored.items() if of is kind)
            assert ended - counters.total(ShadowFate.PAIRED, kind) == without
        assert counters.received == sum(counters.total(fate) for fate in Fate) == len(stage.exposures)
        paired = [pair for pair in stage.pairs if pair.incumbent.status == pair.candidate.status == 200]
        assert counters.total(ShadowFate.PAIRED) == len(paired)

"""Where an answer begins: up to there a candidate's failure is seen by nobody."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midshift.gateway.opening import is_opening
from midshift.wire import sse
from midshift.wire.protocol import WireName
from tests.gateway.fakes import (
    CLAIM,
    Exchange,
    Script,
    a_question,
    a_route,
    a_stage,
    event,
    silent,
)

CHAT, RESPONSES, ANTHROPIC, GEMINI = "openai_chat", "openai_responses", "anthropic", "gemini"
PATHS = {
    CHAT: "/v1/chat/completions",
    RESPONSES: "/v1/responses",
    ANTHROPIC: "/v1/messages",
    GEMINI: f"/v1beta/models/{CLAIM}:streamGenerateContent?alt=sse",
}
UPSTREAM = {"wires": dict.fromkeys(PATHS, ""), "asks_usage": False}


def named(kind: str, **fields: object) -> bytes:
    """An event whose type stands in both places."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def plain(**fields: object) -> bytes:
    """An event without a type."""
    return f"data: {json.dumps(fields)}\n\n".encode()


MESSAGE = {"id": "msg_1", "role": "assistant", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}
RESPONSE = {"id": "resp_1", "output": [], "status": "in_progress"}
OPENINGS = {
    CHAT: (
        plain(id="c", choices=[], prompt_filter_results=[]),
        plain(id="c", choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]),
    ),
    RESPONSES: (
        named("response.created", response=RESPONSE),
        named("response.in_progress", response=RESPONSE),
        named("response.output_item.added", item={"type": "message"}),
        named("response.content_part.added", part={"type": "output_text", "text": ""}),
    ),
    ANTHROPIC: (
        named("message_start", message=MESSAGE),
        named("ping"),
        named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    ),
    GEMINI: (plain(candidates=[{"content": {"parts": [{"text": ""}], "role": "model"}}]), plain(responseId="r")),
}
FAILURES = {
    CHAT: plain(error={"message": "overloaded", "type": "server_error"}),
    RESPONSES: named("response.failed", response={**RESPONSE, "status": "failed", "error": {"code": "server_error"}}),
    ANTHROPIC: named("error", error={"type": "overloaded_error", "message": "Overloaded"}),
    GEMINI: plain(error={"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}),
}
CONTENTS: dict[str, tuple[bytes, ...]] = {
    CHAT: (
        event("Hel"),
        event(finish="stop"),
        plain(choices=[{"delta": {"tool_calls": [{"index": 0, "id": "t"}]}}]),
        plain(choices=[{"delta": {"reasoning_content": "Hm"}}]),
        plain(choices=[{"delta": {"refusal": "No."}}]),
        b"data: [DONE]\n\n",
    ),
    RESPONSES: (
        named("response.output_text.delta", delta="Hel"),
        named("response.function_call_arguments.delta", delta="{"),
        named("response.reasoning_summary_text.delta", delta="Hm"),
        named("response.completed", response=RESPONSE),
        named("response.of_tomorrow"),
    ),
    ANTHROPIC: (
        named("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hel"}),
        named("message_delta", delta={"stop_reason": "end_turn"}),
        named("event_of_tomorrow"),
    ),
    GEMINI: (
        plain(candidates=[{"content": {"parts": [{"text": "Hel"}]}}]),
        plain(candidates=[{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]),
        plain(candidates=[{"finishReason": "SAFETY"}]),
        plain(promptFeedback={"blockReason": "SAFETY"}),
    ),
}
OLD_ANSWERS = {wire: (*OPENINGS[wire], CONTENTS[wire][0]) for wire in PATHS}


def sending(*events: bytes, then: Script | None = None) -> Script:
    """A stream of these, and its end, or something else."""

    async def script(exchange: Exchange) -> None:
        await exchange.begin_stream()
        for data in events:
            await exchange.chunk(data)
        await (exchange.end_stream() if then is None else then(exchange))

    return script


async def cut(exchange: Exchange) -> None:
    """Break the connection, when what was sent has left."""
    exchange.cut()


def question(wire: str) -> dict[str, Any]:
    """A request that is one on every wire."""
    return a_question(stream=True, input="Hi", max_tokens=5, contents=[{"role": "user", "parts": [{"text": "Hi"}]}])


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("how", ["error", "cut", "end"])
async def test_a_candidate_that_fails_after_its_opening_is_answered_for(wire: str, how: str) -> None:
    """An overloaded provider says `message_start` first, and the error then: nothing has been said to the user yet."""
    last = (FAILURES[wire],) if how == "error" else ()
    new = sending(*OPENINGS[wire], *last, then=cut if how == "cut" else None)
    old = sending(*OLD_ANSWERS[wire])
    async with a_stage(old, new, route=a_route(), upstream=UPSTREAM) as stage:
        answer = await stage.app.ask(question(wire), path=PATHS[wire])

        assert (200, b"".join(OLD_ANSWERS[wire])) == (answer.status, answer.body)
        assert 1 == sum(stage.gateway.counters.fell_back.values())
        assert [True] == [exposure.fell_back for exposure in stage.exposures]


@pytest.mark.parametrize("wire", PATHS)
async def test_after_the_first_content_nothing_is_asked_again(wire: str) -> None:
    """The user has read it. The app is told in its own words that the answer broke off."""
    begun = (*OPENINGS[wire], CONTENTS[wire][0])
    async with a_stage(new=sending(*begun, then=cut), route=a_route(), upstream=UPSTREAM) as stage:
        answer = await stage.app.ask(question(wire), path=PATHS[wire])

        assert answer.body.startswith(b"".join(begun))
        assert b"broke its answer off" in answer.body[len(b"".join(begun)) :]
        assert [] == stage.old.seen
        assert [502] == [exposure.status for exposure in stage.exposures]


@pytest.mark.parametrize("wire", PATHS)
async def test_what_was_held_is_forwarded_whole(wire: str) -> None:
    """Byte by byte, in its order."""
    async with a_stage(new=sending(*OLD_ANSWERS[wire]), route=a_route(), upstream=UPSTREAM) as stage:
        answer = await stage.app.ask(question(wire), path=PATHS[wire])

        assert b"".join(OLD_ANSWERS[wire]) == answer.body
        assert {} == stage.gateway.counters.fell_back


async def test_a_candidate_that_thinks_for_long_is_shown_to_be_there() -> None:
    """A model may think for minutes: an app that hears nothing at all gives up."""
    new = sending(*OPENINGS[RESPONSES], then=silent)
    async with (
        a_stage(new=new, route=a_route(), upstream=UPSTREAM, candidate_hold_s=0.01) as stage,
        stage.app.asking(question(RESPONSES), path=PATHS[RESPONSES]) as answer,
    ):
        assert (await answer.chunk()).startswith(OPENINGS[RESPONSES][0])
        assert [] == stage.old.seen


async def test_an_opening_that_never_ends_is_not_held_without_limit() -> None:
    """64 KB, and no more for anybody."""
    large = named("response.created", response={**RESPONSE, "instructions": "x" * 70_000})
    async with (
        a_stage(new=sending(large, then=silent), route=a_route(), upstream=UPSTREAM) as stage,
        stage.app.asking(question(RESPONSES), path=PATHS[RESPONSES]) as answer,
    ):
        assert (await answer.chunk()).startswith(large[:1000])
        assert [] == stage.old.seen


@pytest.mark.parametrize("wire", PATHS)
async def test_an_incumbents_opening_is_never_held(wire: str) -> None:
    """There is nobody else to ask."""
    old = sending(OPENINGS[wire][0], then=silent)
    async with (
        a_stage(old, route=a_route(share=0.0), upstream=UPSTREAM) as stage,
        stage.app.asking(question(wire), path=PATHS[wire]) as answer,
    ):
        assert OPENINGS[wire][0] == await answer.chunk()


@pytest.mark.parametrize("wire", PATHS)
def test_content_and_what_nobody_knows_is_no_opening(wire: str) -> None:
    """What is held too long is late; what is sent too early cannot be taken back."""
    for expected, blocks in ((True, OPENINGS[wire]), (False, (*CONTENTS[wire], b"data: {no json\n\n"))):
        for block in blocks:
            found = sse.parse(block)
            assert found is not None
            assert expected is is_opening(found, WireName(wire)), block

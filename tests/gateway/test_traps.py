"""Twenty ways in which gateways for LLMs have harmed the apps behind them, each with the rule that avoids it.

The rules stand in the order of `TRAPS`; what a rule has many sides of is tested at length in the file of its module.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from typing import Any

import pytest

from midshift.domain.exposure import Fate, ShadowFate
from midshift.domain.routing import Arm
from midshift.domain.workload import UnitSource
from midshift.gateway.settings import Shadow
from midshift.providers.http.settings import Timeouts
from midshift.testing.clock import ManualClock
from tests.gateway.fakes import (
    CLAIM,
    DONE_EVENT,
    NEW,
    OLD,
    STREAM,
    Exchange,
    FakeSource,
    Script,
    a_question,
    a_route,
    a_stage,
    a_workload,
    answering,
    completion,
    event,
    failing,
    silent,
    streaming,
)

HOME, SHADOW, ALL = a_route(share=0.0), a_route(share=0.0, shadow_share=1.0), a_route(share=1.0)
SHORT_S = 0.05
ANTHROPIC: dict[str, Any] = {"wires": {"anthropic": ""}}
ANY_WIRE: dict[str, Any] = {"wires": {"openai_chat": "", "openai_responses": "", "anthropic": "", "gemini": ""}}

TRAPS = {
    "streams": ["test_a_stream_leaves_as_it_comes_with_pings_comments_and_types"],
    "disconnects": [
        "test_an_app_that_leaves_ends_the_call_at_every_moment",
        "test_an_app_that_closes_with_the_last_event_has_not_left",
        "test_an_app_that_leaves_does_not_end_the_answer_that_nobody_sees",
        "test_an_answer_that_nobody_sees_has_a_deadline_of_its_own",
    ],
    "retries": [
        "test_nothing_is_asked_again_after_the_first_word",
        "test_an_answer_of_the_other_variant_is_no_success_of_the_first",
    ],
    "timeouts": ["test_things_that_take_too_long_have_limits_of_their_own"],
    "tool calls": ["test_deltas_of_tools_pass_as_they_are", "test_a_tool_that_cannot_be_carried_is_named"],
    "usage": [
        "test_usage_is_asked_for_and_hidden_from_an_app_that_did_not_ask",
        "test_usage_beside_a_word_counts_and_zero_cached_tokens_stay_zero",
        "test_missing_usage_is_unknown_and_not_zero",
    ],
    "headers": ["test_betas_versions_and_idempotency_keys_arrive", "test_cache_markers_arrive"],
    "caches": ["test_a_conversation_keeps_its_variant_and_its_warm_cache"],
    "bound state": ["test_what_a_withdrawn_model_signed_is_not_sent_to_another"],
    "bodies": ["test_a_body_of_56_mb_passes", "test_a_body_beyond_the_limit_is_a_413_of_the_apps_own_wire"],
    "rate limits": [
        "test_limits_and_waiting_times_of_a_provider_pass_under_their_own_names",
        "test_shadows_spend_another_quota_and_stop_when_it_is_spent",
    ],
    "errors": ["test_an_error_keeps_its_status_and_its_bytes", "test_the_gateways_own_errors_are_told_apart"],
    "model": ["test_the_answer_names_the_model_that_answered_and_a_header_the_variant"],
    "secrets": ["test_no_key_and_no_address_of_a_provider_reaches_an_app"],
    "reasoning": ["test_an_answer_eaten_by_thinking_is_recorded_as_cut_short"],
    "mirrors": [
        "test_a_mirror_begins_after_the_users_request_and_sends_the_same_body",
        "test_what_would_happen_twice_is_not_mirrored",
        "test_mirrors_beyond_their_cap_are_shed_and_counted",
    ],
    "pins": ["test_the_longest_session_leaves_a_withdrawn_variant_on_its_next_request"],
    "configuration": ["test_one_broken_row_takes_nothing_from_the_others_and_the_served_epoch_is_told"],
    "token counts": ["test_tokens_are_counted_by_the_model_that_would_answer"],
    "sockets": ["test_a_realtime_session_is_refused_in_words"],
}
"""Each trap with the tests that keep this gateway out of it."""


def test_every_trap_has_its_tests() -> None:
    """A rule that loses its last test is no rule."""
    here = {name for name in vars(sys.modules[__name__]) if name.startswith("test_")} - {
        "test_every_trap_has_its_tests"
    }

    assert 20 == len(TRAPS)
    assert here == {name for names in TRAPS.values() for name in names}


async def test_a_stream_leaves_as_it_comes_with_pings_comments_and_types() -> None:
    """Gateways have collected answers or filled buffers first, and dropped the pings that keep a client waiting."""
    blocks = [b"event: ping\ndata: {}\n\n", b": keep-alive\n\n", b"event: message_start\r\ndata: {}\r\n\r\n"]
    go_on = asyncio.Event()

    async def in_steps(exchange: Exchange) -> None:
        await exchange.begin_stream()
        for block in blocks:
            await exchange.chunk(block)
            await go_on.wait()
            go_on.clear()
        await exchange.end_stream()

    body = {"model": CLAIM, "stream": True, "messages": []}
    async with a_stage(in_steps, route=HOME, upstream=ANTHROPIC) as stage:
        async with stage.app.asking(body, path="/v1/messages") as streamed:
            for block in blocks:
                assert block == await streamed.chunk()  # before the next is written
                go_on.set()
        assert "no" == streamed.headers["x-accel-buffering"]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_app_that_leaves_ends_the_call_at_every_moment(stream: bool) -> None:
    """Elsewhere the provider wrote on for nobody, and was paid: mostly while the first word was still awaited."""
    async with a_stage(silent, route=HOME) as stage:
        async with stage.app.sent(a_question(stream=stream)):
            await stage.old.asked.wait()
        await stage.old.left.wait()
        await stage.settled()

        assert 499 == stage.exposures[0].status


async def test_an_app_that_closes_with_the_last_event_has_not_left() -> None:
    """Clients do not wait for the end of the bytes: counted as gone, the good answers would be missing."""

    async def lingering(exchange: Exchange) -> None:
        await exchange.begin_stream()
        for block in STREAM:
            await exchange.chunk(block)
        await exchange.gone()

    async with a_stage(lingering, lingering, route=SHADOW, shadow=Shadow(timeout_s=SHORT_S)) as stage:
        async with stage.app.asking(a_question(stream=True)) as streamed:
            while DONE_EVENT not in await streamed.chunk():
                pass
        await stage.old.left.wait()
        await stage.settled()

        found = stage.exposures[0]
        assert (200, "stop", 7) == (found.status, found.finish_reason, found.tokens_in)
        assert "Hello." == stage.pairs[0].incumbent.text


async def test_an_app_that_leaves_does_not_end_the_answer_that_nobody_sees() -> None:
    """Impatient users would be missing from the comparison, and they are the ones with slow answers."""
    go_on = asyncio.Event()

    async def later(exchange: Exchange) -> None:
        await go_on.wait()
        await answering("new")(exchange)

    async with a_stage(silent, later, route=SHADOW) as stage:
        async with stage.app.sent(a_question()):
            await stage.new.asked.wait()
        await stage.old.left.wait()
        go_on.set()
        await stage.settled()

        assert ("new", 499) == (stage.pairs[0].candidate.text, stage.pairs[0].incumbent.status)


async def test_an_answer_that_nobody_sees_has_a_deadline_of_its_own() -> None:
    """Tasks without one pile up until the gateway's memory is theirs."""
    async with a_stage(new=silent, route=SHADOW, shadow=Shadow(timeout_s=SHORT_S)) as stage:
        assert "old" == (await stage.app.chat()).text
        await stage.settled()

        assert 504 == stage.pairs[0].candidate.status


async def test_nothing_is_asked_again_after_the_first_word() -> None:
    """Continued by another model, answers repeated themselves, and half-written arguments became prose."""

    async def breaking(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.chunk(event("Hel"))
        exchange.cut()

    async with a_stage(new=breaking, route=ALL) as stage:
        answer = await stage.app.chat(stream=True)

        assert [] == stage.old.seen
        assert 1 == answer.body.count(b"Hel")
        assert b'"error"' in answer.body


async def test_an_answer_of_the_other_variant_is_no_success_of_the_first() -> None:
    """Counted for the candidate, a fall-back makes it look as good as the incumbent that rescued it."""
    async with a_stage(new=failing(500), route=ALL) as stage:
        assert "old" == (await stage.app.chat()).text

        found = stage.exposures[0]
        assert (Arm.CANDIDATE, Fate.INCUMBENT, True) == (found.assigned, found.fate, found.fell_back)
        assert (OLD.id, "500") == (found.variant, found.fell_back_reason)


async def stalling(exchange: Exchange) -> None:
    """Begins to answer, and stalls."""
    await exchange.begin_stream()
    await exchange.chunk(event("Hel"))
    await exchange.gone()


async def endless(exchange: Exchange) -> None:
    """Answers without an end, a little at a time."""
    await exchange.begin_stream()
    while True:
        await exchange.chunk(event("Hel"))
        await asyncio.sleep(SHORT_S / 5)


@pytest.mark.parametrize(
    ("script", "limit", "code"),
    [
        (silent, "first_byte_s", "first_byte_timeout"),
        (stalling, "idle_s", "idle_timeout"),
        (endless, "total_s", "total_timeout"),
    ],
)
async def test_things_that_take_too_long_have_limits_of_their_own(script: Script, limit: str, code: str) -> None:
    """With one number for all, a silent provider held its worker for ever, or a long answer was cut.

    The fourth, for connecting, is tested where connections are made (tests/providers/http).
    """
    limits = Timeouts(**{"connect_s": 9.0, "first_byte_s": 9.0, "idle_s": 9.0, "total_s": 9.0, limit: SHORT_S})
    async with a_stage(script, route=HOME, upstream={"timeouts": limits}) as stage:
        answer = await stage.app.chat(stream=True)

        assert code.encode() in answer.body


async def test_deltas_of_tools_pass_as_they_are() -> None:
    """Gateways have mixed up parallel calls, or lost the name of one that came in a single chunk."""
    deltas = [
        {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x"'}},
        {"index": 0, "function": {"arguments": ":1}"}},
    ]
    blocks = [event(choices=[{"index": 0, "delta": {"tool_calls": [delta]}}]) for delta in deltas]
    async with a_stage(streaming([*blocks, DONE_EVENT]), route=HOME) as stage:
        answer = await stage.app.chat(stream=True)

        assert b"".join([*blocks, DONE_EVENT]) == answer.body


async def test_a_tool_that_cannot_be_carried_is_named() -> None:
    """A tool that vanishes in translation leaves a model that cannot do its work, and nobody knows why."""
    async with a_stage(route=HOME, upstream=ANTHROPIC) as stage:
        answer = await stage.app.chat(tools=[{"type": "of_next_year"}], max_completion_tokens=9)

        assert (400, "uncarried", "tools.0.type") == (
            answer.status,
            answer.json["error"]["code"],
            answer.json["error"]["param"],
        )
        assert [] == stage.old.seen


async def test_usage_is_asked_for_and_hidden_from_an_app_that_did_not_ask() -> None:
    """Without it costs were guessed far too low; shown unasked, the chunk without choices broke clients."""
    async with a_stage(route=HOME) as stage:
        answer = await stage.app.chat(stream=True)

        assert {"include_usage": True} == stage.old.seen[0].json["stream_options"]
        assert b'"usage"' not in answer.body
        assert (7, 2) == (stage.exposures[0].tokens_in, stage.exposures[0].tokens_out)


async def test_usage_beside_a_word_counts_and_zero_cached_tokens_stay_zero() -> None:
    """Some servers send usage with the last word; and a 0 that becomes unknown is a price that cannot be told."""
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 0}}
    async with a_stage(streaming([event("Hi.", "stop", usage=usage), DONE_EVENT]), route=HOME) as stage:
        answer = await stage.app.chat(stream=True)

        assert b"Hi." in answer.body
        assert (7, 2, 0) == (
            stage.exposures[0].tokens_in,
            stage.exposures[0].tokens_out,
            stage.exposures[0].cached_in,
        )


@pytest.mark.parametrize("stream", [False, True])
async def test_missing_usage_is_unknown_and_not_zero(stream: bool) -> None:
    """Recorded as 0 it passed every budget."""
    script = streaming([event("Hi.", "stop"), DONE_EVENT]) if stream else answering(usage={})
    async with a_stage(new=script, route=ALL) as stage:
        await stage.app.chat(stream=stream)

        found = stage.exposures[0]
        assert (None, None, None) == (found.tokens_in, found.tokens_out, found.cost_usd)


async def test_betas_versions_and_idempotency_keys_arrive() -> None:
    """Dropped, a feature of the vendor's is gone, or a request that is sent twice is done twice."""
    lines = [("anthropic-beta", "b-1"), ("anthropic-version", "2026-10-21"), ("idempotency-key", "k"), ("x-new", "1")]
    async with a_stage(route=HOME, upstream=ANTHROPIC) as stage:
        await stage.app.ask({"model": CLAIM, "messages": []}, lines, "/v1/messages")

        assert dict(lines).items() <= stage.old.seen[0].headers.items()


async def test_cache_markers_arrive() -> None:
    """Lost with their time to live, every request paid the full price of its prompt."""
    block = {"type": "text", "text": "You help.", "cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "x"}}
    async with a_stage(route=ALL, upstream=ANTHROPIC) as stage:
        await stage.app.ask({"model": CLAIM, "messages": [], "system": [block]}, path="/v1/messages")

        assert block["cache_control"] == stage.new.seen[0].json["system"][-1]["cache_control"]


async def test_a_conversation_keeps_its_variant_and_its_warm_cache() -> None:
    """Where weights are drawn for each request, every change of the model meets a cold cache."""
    workload = a_workload(unit=(UnitSource.parse("conversation"),))
    async with a_stage(route=a_route(share=0.5), workload=workload) as stage:
        for number in range(8):
            turns: list[object] = [{"role": "user", "content": f"Question {number}"}]
            said = set()
            for _ in range(3):
                said.add((await stage.app.ask({"model": CLAIM, "messages": turns})).text)
                turns += [{"role": "assistant", "content": "Well."}, {"role": "user", "content": "And?"}]
            assert 1 == len(said)
        assert {Arm.INCUMBENT, Arm.CANDIDATE} == {found.assigned for found in stage.exposures}


async def test_what_a_withdrawn_model_signed_is_not_sent_to_another() -> None:
    """Conversations that were under way broke with the flip: vendors refuse another model's signature."""
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmVk"}
    answer = {"type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "usage": {}}
    body = json.dumps({**answer, "content": [thought, {"type": "text", "text": "Hi."}]}).encode()

    async def thinking(exchange: Exchange) -> None:
        await exchange.answer(body)

    turns: list[dict[str, object]] = [{"role": "user", "content": "Hi."}]
    async with a_stage(thinking, thinking, route=ALL, upstream=ANTHROPIC) as stage:
        said = (await stage.app.ask({"model": CLAIM, "messages": turns}, path="/v1/messages")).json["content"]
        stage.put(ALL.rolled_back())
        turns += [{"role": "assistant", "content": said}, {"role": "user", "content": "Go on."}]
        again = await stage.app.ask({"model": CLAIM, "messages": turns}, path="/v1/messages")

        assert 200 == again.status
        assert b"c2lnbmVk" not in stage.old.seen[0].body
        assert b"Go on." in stage.old.seen[0].body


@pytest.mark.slow
async def test_a_body_of_56_mb_passes() -> None:
    """Limits of a few megabytes met pictures and documents, and answered with a misleading 404."""
    question = b'{"model": "%b", "messages": [{"role": "user", "content": "%b"}]}' % (CLAIM.encode(), b"x" * (56 << 20))
    async with a_stage(route=HOME) as stage:
        assert 200 == (await stage.app.ask(question)).status
        assert question == stage.old.seen[0].body


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/chat/completions", lambda error: error["error"]["code"] == "request_too_large"),
        ("/v1/messages", lambda error: error["error"]["type"] == "request_too_large"),
        ("/v1beta/models/old-model:generateContent", lambda error: error["error"]["code"] == 413),
    ],
)
async def test_a_body_beyond_the_limit_is_a_413_of_the_apps_own_wire(path: str, kind: Any) -> None:
    """Anything else makes a client send the same body again and again."""
    async with a_stage(route=HOME, max_body_bytes=1000, upstream=ANY_WIRE) as stage:
        answer = await stage.app.ask(b"x" * 1001, path=path)

        assert 413 == answer.status
        assert kind(answer.json)
        assert [] == stage.old.seen


async def test_limits_and_waiting_times_of_a_provider_pass_under_their_own_names() -> None:
    """Renamed or dropped, they left clients to ask again at once, for ever."""
    lines = [
        ("retry-after", "7"),
        ("retry-after-ms", "7000"),
        ("x-should-retry", "false"),
        ("x-ratelimit-reset-tokens", "6s"),
        ("anthropic-ratelimit-tokens-remaining", "0"),
    ]
    async with a_stage(failing(429, lines), route=HOME) as stage:
        answer = await stage.app.chat()

        assert 429 == answer.status
        assert dict(lines).items() <= answer.headers.items()


async def test_shadows_spend_another_quota_and_stop_when_it_is_spent() -> None:
    """Mirrors have used up the limit of the very users that they were to protect."""
    async with a_stage(new=failing(429, [("retry-after", "9")]), route=SHADOW, upstream=A_KEY_OF_ITS_OWN) as stage:
        for _ in range(2):
            assert "old" == (await stage.app.chat()).text
            await stage.settled()

        assert ["Bearer sk-of-shadows"] == [seen.headers["authorization"] for seen in stage.new.seen]
        assert [ShadowFate.FAILED, ShadowFate.SHED] == [found.shadow for found in stage.exposures]


A_KEY_OF_ITS_OWN: dict[str, Any] = {"shadow_api_key": "sk-of-shadows"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503, 529])
async def test_an_error_keeps_its_status_and_its_bytes(status: int) -> None:
    """Wrapped, renumbered or sent as an empty answer, an error reaches the app as another one or as none."""
    body = b'{"error": {"message": "no",  "type": "x", "of_next_year": [1.0]}}'
    async with a_stage(failing(status, body=body), route=HOME) as stage:
        answer = await stage.app.chat()

        assert (status, body) == (answer.status, answer.body)


async def test_the_gateways_own_errors_are_told_apart() -> None:
    """Whoever looks for the fault has to know which side of the gateway it is on."""
    async with a_stage(silent, route=HOME, upstream={"timeouts": Timeouts(first_byte_s=SHORT_S)}) as stage:
        answer = await stage.app.chat(stream=True)

        assert (504, "first_byte_timeout") == (answer.status, answer.json["error"]["code"])
        assert str(stage.old.port) not in answer.body.decode()
        assert "x-midshift-request-id" in answer.headers


async def test_the_answer_names_the_model_that_answered_and_a_header_the_variant() -> None:
    """A gateway that puts its alias in there hides from the app, and from its logs, what has answered."""
    async with a_stage(new=answering(model="new-model-2026-10-01"), route=ALL) as stage:
        answer = await stage.app.chat()

        assert ("new-model-2026-10-01", NEW.short_id) == (answer.json["model"], answer.headers["x-midshift-variant"])
        assert ("new-model-2026-10-01", NEW.id) == (stage.exposures[0].model, stage.exposures[0].variant)


async def test_no_key_and_no_address_of_a_provider_reaches_an_app() -> None:
    """Some have sent a provider's key back in a header, and its address to whoever asked."""

    async def telling(exchange: Exchange) -> None:
        lines = [("x-goog-api-key", "sk-1"), ("set-cookie", "s=1"), ("x-model-api-base", exchange.seen.headers["host"])]
        await exchange.answer(completion(), lines=lines)

    async with a_stage(telling, route=HOME) as stage:
        answer = await stage.app.chat()

        allowed = {"content-type", "content-length"}
        assert allowed == {name for name in answer.headers if not name.startswith("x-midshift-")}


async def test_an_answer_eaten_by_thinking_is_recorded_as_cut_short() -> None:
    """Under a low limit a model may think it all away: the answer is empty, billed, and was counted as fine."""
    usage = {"prompt_tokens": 7, "completion_tokens": 99, "completion_tokens_details": {"reasoning_tokens": 99}}
    async with a_stage(new=answering("", usage=usage, finish="length"), route=ALL) as stage:
        await stage.app.chat(max_tokens=99)

        found = stage.exposures[0]
        assert ("length", 99, 99) == (found.finish_reason, found.tokens_out, found.reasoning_out)


async def test_a_mirror_begins_after_the_users_request_and_sends_the_same_body() -> None:
    """Sent first, it took the user's place in the line; sharing a body that changes, it compared two questions."""
    order = []

    def noting(name: str) -> Script:
        async def script(exchange: Exchange) -> None:
            order.append(name)
            await answering(name)(exchange)

        return script

    async with a_stage(noting("old"), noting("new"), route=SHADOW) as stage:
        await stage.app.chat("ann")
        await stage.settled()

        assert "old" == order[0]
        first, second = stage.old.seen[0].json, stage.new.seen[0].json
        assert first["messages"][1:] == second["messages"][1:]


@pytest.mark.parametrize("fields", [{"tools": [{"type": "web_search"}]}, {"tools": [{"type": "mcp"}]}])
async def test_what_would_happen_twice_is_not_mirrored(fields: dict[str, Any]) -> None:
    """A search is paid twice, and a ticket is opened twice."""
    body = {"model": CLAIM, "input": "Hi.", **fields}
    async with a_stage(route=SHADOW, upstream=ANY_WIRE) as stage:
        await stage.app.ask(body, path="/v1/responses")
        await stage.settled()

        assert [] == stage.new.seen
        assert ShadowFate.SKIPPED is stage.exposures[0].shadow


async def test_mirrors_beyond_their_cap_are_shed_and_counted() -> None:
    """Without a cap a slow candidate takes the memory, and without a count nobody knows what was left out."""
    async with a_stage(new=silent, route=SHADOW, shadow=Shadow(max_concurrent=1, timeout_s=SHORT_S)) as stage:
        await stage.app.chat("ann")
        await stage.new.asked.wait()
        await stage.app.chat("bob")
        await stage.settled()

        assert {ShadowFate.FAILED, ShadowFate.SHED} == {found.shadow for found in stage.exposures}


async def test_the_longest_session_leaves_a_withdrawn_variant_on_its_next_request() -> None:
    """Where sessions are pinned in memory or by a cookie, a rollback is for new sessions only."""
    async with a_stage(route=a_route(share=0.5)) as stage:
        users = [f"user-{number}" for number in range(20)]
        pinned = [user for user in users if {(await stage.app.chat(user)).text for _ in range(3)} == {"new"}]
        assert pinned

        stage.put(a_route(share=0.5).rolled_back())

        assert {"old"} == {(await stage.app.chat(user)).text for user in pinned}


async def test_one_broken_row_takes_nothing_from_the_others_and_the_served_epoch_is_told() -> None:
    """Reloads have lost models half-way, and nobody could say which of the replicas had seen the change."""
    source = FakeSource(OLD, NEW)
    source.put(a_route(share=1.0))
    clock = ManualClock()
    async with a_stage(route=ALL, source=source, clock=clock) as stage:
        source.put(replace(a_route(share=1.0, epoch=5), workload="other", candidate="0" * 64))
        stage.put(a_route(share=1.0, epoch=7).rolled_back())

        assert "old" == (await stage.app.chat()).text
        assert {(8, "")} == {found["support"] for found in stage.sink.reported[-1:]}


@pytest.mark.parametrize(("share", "model"), [(0.0, "old-model"), (1.0, "new-model")])
async def test_tokens_are_counted_by_the_model_that_would_answer(share: float, model: str) -> None:
    """Windows and tokenizers differ: counted by the other one, a request that does not fit seems to."""

    async def counting(exchange: Exchange) -> None:
        await exchange.answer(b'{"input_tokens": %d}' % len(exchange.seen.json["model"]))

    body = {"model": CLAIM, "messages": []}
    async with a_stage(counting, counting, route=a_route(share=share), upstream=ANTHROPIC) as stage:
        answer = await stage.app.ask(body, path="/v1/messages/count_tokens")

        assert {"input_tokens": len(model)} == answer.json
        assert [] == stage.exposures


async def test_a_realtime_session_is_refused_in_words() -> None:
    """Half-supported, it went around keys, limits and the choice of the variant."""
    upgrade = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")]
    lines = [*upgrade, ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]
    async with a_stage(route=HOME) as stage:
        for shown in ([], lines):
            answer = await stage.app.ask(lines=shown, path="/v1/realtime", method="GET")
            assert (501, "not_supported") == (answer.status, answer.json["error"]["code"])

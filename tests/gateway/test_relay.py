"""One request to one variant and back: what the app sees, byte for byte, and what it must never see."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from midshift.domain.exposure import Fate
from midshift.domain.routing import Arm
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.gateway.settings import Breaker
from midshift.providers.http.settings import Timeouts
from midshift.wire import openai_chat, sse
from tests.gateway.fakes import (
    CLAIM,
    DONE_EVENT,
    NEW,
    OLD,
    STREAM,
    USAGE_EVENT,
    App,
    Exchange,
    FakeSource,
    Script,
    a_question,
    a_route,
    a_stage,
    answering,
    completion,
    cutting,
    event,
    failing,
    silent,
    streaming,
)

SHORT_S = 0.05
HOME = a_route(share=0.0)


async def test_the_candidate_gets_its_own_model_prompt_effort_and_key() -> None:
    """A variant is all of these at once; the app sends what it always sent."""
    async with a_stage(route=a_route()) as stage:
        answer = await stage.app.chat(temperature=0.5)

        sent = stage.new.seen[0]
        assert "new" == answer.text
        assert ("new-model", "low", 0.5) == (
            sent.json["model"],
            sent.json["reasoning_effort"],
            sent.json["temperature"],
        )
        assert {"role": "system", "content": "Be brief."} == sent.json["messages"][0]
        assert "Bearer sk-new-provider-key" == sent.headers["authorization"]
        assert [] == stage.old.seen


async def test_an_answer_says_which_variant_gave_it_and_at_which_step() -> None:
    """A support case begins with this line of a log."""
    async with a_stage(route=a_route(step=2)) as stage:
        answer = await stage.app.chat()

        assert (NEW.short_id, "2") == (answer.headers["x-midshift-variant"], answer.headers["x-midshift-step"])
        assert stage.exposures[0].request_id == answer.headers["x-midshift-request-id"]


async def test_undoing_the_base_url_leaves_a_working_app() -> None:
    """Adoption is one changed address. Without it the very same bytes must get the very same answer."""
    body = json.dumps(a_question(extra={"any": [1.0, None]}), indent=1).encode()
    async with a_stage() as stage:
        through = await stage.app.ask(body)
        directly = await App(stage.old.port).ask(body)

        assert [body, body] == [seen.body for seen in stage.old.seen]
        assert (directly.status, directly.body) == (through.status, through.body)


async def test_an_answer_is_counted_with_its_usage_and_its_times() -> None:
    """Gates read nothing but what is recorded here."""
    async with a_stage(route=a_route(share=1.0, epoch=3, step=2)) as stage:
        await stage.app.chat()

        found = stage.exposures[0]
        assert ("support", 3, "up-1", 2, 1.0) == (
            found.workload,
            found.epoch,
            found.upgrade,
            found.step,
            found.propensity,
        )
        assert (Arm.CANDIDATE, Fate.CANDIDATE, 200) == (found.assigned, found.fate, found.status)
        assert (7, 3, "stop", False) == (found.tokens_in, found.tokens_out, found.finish_reason, found.streamed)
        assert (0.0, 0.0) == (found.latency_s, found.first_byte_s)


async def test_missing_usage_is_unknown() -> None:
    """Recorded as 0 it would make the candidate look free."""
    async with a_stage(new=answering(usage={}), route=a_route()) as stage:
        await stage.app.chat()

        found = stage.exposures[0]
        assert (None, None, None) == (found.tokens_in, found.tokens_out, found.cost_usd)


async def test_what_a_provider_bills_is_the_cost() -> None:
    """Unless the composition root knows better."""
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.25}
    async with a_stage(new=answering(usage=usage), route=a_route()) as stage:
        await stage.app.chat()

        assert 0.25 == stage.exposures[0].cost_usd


async def test_the_first_byte_of_a_stream_is_forwarded_before_the_second_arrives() -> None:
    """A gateway that collects turns the first word into the last."""
    go_on = asyncio.Event()

    async def in_steps(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.chunk(event("Hel"))
        await go_on.wait()
        await exchange.chunk(event("lo.", finish="stop"))
        await exchange.chunk(DONE_EVENT)
        await exchange.end_stream()

    for route in (HOME, a_route()):
        go_on.clear()
        async with (
            a_stage(in_steps, in_steps, route=route) as stage,
            stage.app.asking(a_question(stream=True)) as answer,
        ):
            assert event("Hel") == await answer.chunk()
            go_on.set()
            assert event("lo.", finish="stop") + DONE_EVENT == await answer.read()
            assert "no" == answer.headers["x-accel-buffering"]


@pytest.mark.parametrize("share", [0.0, 1.0])
async def test_a_stream_passes_unchanged_with_its_comments_and_types(share: float) -> None:
    """Clients depend on pings, on event types, and on vendors' own events."""
    parts = (b": ping\n\n", b'event: vendor\ndata: {"choices":[]}\n\n', *STREAM[:3], b": ping\r\n\r\n", DONE_EVENT)
    async with a_stage(streaming(parts), streaming(parts), route=a_route(share)) as stage:
        answer = await stage.app.chat(stream=True)

        assert b"".join(parts) == answer.body
        assert "text/event-stream" == answer.headers["content-type"]


async def test_usage_that_only_we_asked_for_stays_here() -> None:
    """It is needed for the cost, and a chunk without choices breaks some clients."""
    async with a_stage(streaming(), streaming(), route=a_route()) as stage:
        answer = await stage.app.chat(stream=True)

        assert {"include_usage": True} == stage.new.seen[0].json["stream_options"]
        assert b"".join(part for part in STREAM if part != USAGE_EVENT) == answer.body
        found = stage.exposures[0]
        assert (7, 2, "stop", True) == (found.tokens_in, found.tokens_out, found.finish_reason, found.streamed)


async def test_usage_that_the_app_asked_for_arrives() -> None:
    """Then the stream passes as it is."""
    async with a_stage(streaming(), route=HOME) as stage:
        answer = await stage.app.chat(stream=True, stream_options={"include_usage": True})

        assert b"".join(STREAM) == answer.body


async def test_usage_is_hidden_however_the_stream_is_cut() -> None:
    """Packets end in the middle of events."""
    whole = b"".join(STREAM)
    parts = [whole[begin : begin + 7] for begin in range(0, len(whole), 7)]
    async with a_stage(streaming(parts), route=HOME) as stage:
        answer = await stage.app.chat(stream=True)

        assert whole.replace(USAGE_EVENT, b"") == answer.body


async def test_a_server_that_refuses_unknown_fields_is_not_asked_for_usage() -> None:
    """Some answer 400 to `stream_options`."""
    async with a_stage(streaming(), route=HOME, upstream={"asks_usage": False}) as stage:
        answer = await stage.app.chat(stream=True)

        assert "stream_options" not in stage.old.seen[0].json
        assert b"".join(STREAM) == answer.body


async def test_an_event_that_never_ends_is_passed_on_as_it_comes() -> None:
    """Held for its end, a huge tool call would fill the memory."""
    huge = b"data: " + b"x" * 200_000
    async with a_stage(streaming([huge, b"\n\n", DONE_EVENT]), route=HOME) as stage:
        answer = await stage.app.chat(stream=True)

        assert huge + b"\n\n" + DONE_EVENT == answer.body


async def html(exchange: Exchange) -> None:
    """A page of some proxy, with status 200."""
    await exchange.answer(b"<html>", lines=[("content-type", "text/html")])


async def refused_stream(exchange: Exchange) -> None:
    """An error as the first event, after a comment."""
    await exchange.begin_stream()
    await exchange.chunk(b": processing\n\n" + b'data: {"error":{"message":"overloaded"}}\n\n')
    await exchange.end_stream()


async def empty_stream(exchange: Exchange) -> None:
    """A stream with nothing in it."""
    await exchange.begin_stream()
    await exchange.end_stream()


async def pinging(exchange: Exchange) -> None:
    """Comments, and never a word."""
    await exchange.begin_stream()
    await exchange.chunk(b": processing\n\n")
    await silent(exchange)


async def half(exchange: Exchange) -> None:
    """Half a body."""
    await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    exchange.cut()


FAILURES: dict[str, tuple[Script, str]] = {
    "500": (failing(500), "500"),
    "429": (failing(429), "429"),
    "401": (failing(401), "401"),
    "404, a wrong model": (failing(404), "404"),
    "400, a refused parameter": (failing(400), "400"),
    "connection cut": (cutting, "broken"),
    "no first byte": (silent, "first_byte_timeout"),
    "no answer of a model": (html, "502"),
}
STREAM_FAILURES = {
    **FAILURES,
    "an error as the first event": (refused_stream, "502"),
    "nothing": (empty_stream, "502"),
    "only comments": (pinging, "first_byte_timeout"),
}
IMPATIENT = {"timeouts": Timeouts(first_byte_s=SHORT_S)}


@pytest.mark.parametrize(("script", "why"), STREAM_FAILURES.values(), ids=STREAM_FAILURES)
async def test_a_candidate_that_fails_before_its_first_byte_is_answered_for_by_the_incumbent(
    script: Script, why: str
) -> None:
    """Nobody has seen anything yet, so nobody has to see the failure. It counts against the candidate."""
    async with a_stage(streaming(), script, route=a_route(), upstream=IMPATIENT) as stage:
        answer = await stage.app.chat(stream=True)

        assert b"".join(part for part in STREAM if part != USAGE_EVENT) == answer.body
        assert OLD.short_id == answer.headers["x-midshift-variant"]
        found = stage.exposures[0]
        assert (Arm.CANDIDATE, Fate.INCUMBENT, True, 200) == (found.assigned, found.fate, found.fell_back, found.status)
        assert {("support", why): 1} == stage.gateway.counters.fell_back


@pytest.mark.parametrize(("script", "why"), {**FAILURES, "half a body": (half, "broken")}.values())
async def test_a_candidate_that_fails_before_its_answer_is_whole_is_answered_for(script: Script, why: str) -> None:
    """An answer that is not streamed is sent when it is there: until then nobody has seen anything."""
    async with a_stage(new=script, route=a_route(), candidate_patience_s=SHORT_S) as stage:
        answer = await stage.app.chat()

        assert (200, "old") == (answer.status, answer.text)
        assert {("support", why): 1} == stage.gateway.counters.fell_back
        assert stage.exposures[0].fell_back


async def test_the_incumbent_gets_the_apps_request_and_not_the_candidates() -> None:
    """A fall-back that kept the new prompt would be a third variant."""
    async with a_stage(new=failing(500), route=a_route()) as stage:
        await stage.app.chat()

        assert a_question() == stage.old.seen[0].json


async def test_a_request_that_both_refuse_is_nobodys_failure() -> None:
    """Bad requests would otherwise count against the candidate and never against the incumbent."""
    async with a_stage(failing(400, body=b'{"error":{"message":"yours"}}'), failing(422), route=a_route()) as stage:
        answer = await stage.app.chat()

        assert (400, {"error": {"message": "yours"}}) == (answer.status, answer.json)
        assert not stage.exposures[0].fell_back
        assert not stage.gateway.counters.fell_back


async def test_after_the_first_byte_nothing_is_asked_again_and_the_app_is_told() -> None:
    """A second answer after half of a first is garbage; silence would pass for the end."""

    async def breaking(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.chunk(event("Hel"))
        exchange.cut()

    for route, fate in ((a_route(), Fate.CANDIDATE), (HOME, Fate.INCUMBENT)):
        async with a_stage(breaking, breaking, route=route) as stage:
            answer = await stage.app.chat(stream=True)

            first, last = answer.body.split(b"\n\n", 1)
            assert event("Hel") == first + b"\n\n"
            assert openai_chat.is_error(sse.Event(last.removeprefix(b"data: ").rstrip()))
            assert 1 == len(stage.old.seen) + len(stage.new.seen)
            assert (fate, 502, False) == (
                stage.exposures[0].fate,
                stage.exposures[0].status,
                stage.exposures[0].fell_back,
            )


@pytest.mark.parametrize("stream", [False, True])
async def test_an_incumbents_own_error_passes_unchanged(stream: bool) -> None:
    """The app knows what its provider's errors mean, and when to come back."""
    lines = [("retry-after", "7"), ("x-ratelimit-remaining-requests", "0"), ("x-should-retry", "true")]
    body = b'{"error":  {"message":"slow down","type":"requests","code":null}}'
    async with a_stage(failing(429, lines, body), route=HOME) as stage:
        answer = await stage.app.chat(stream=stream)

        assert (429, body) == (answer.status, answer.body)
        assert dict(lines).items() <= answer.headers.items()
        assert (Fate.INCUMBENT, 429) == (stage.exposures[0].fate, stage.exposures[0].status)


@pytest.mark.parametrize(("script", "status"), [(cutting, 502), (silent, 504)])
async def test_an_incumbent_without_an_answer_is_an_error_that_does_not_say_where_it_lives(
    script: Script, status: int
) -> None:
    """Addresses of upstreams are nobody's business."""
    limits = Timeouts(first_byte_s=SHORT_S, total_s=SHORT_S)
    async with a_stage(script, route=HOME, upstream={"timeouts": limits}) as stage:
        answer = await stage.app.chat()

        assert (status, "upstream_error") == (answer.status, answer.json["error"]["type"])
        assert f"{stage.old.port}" not in answer.body.decode() + str(answer.headers)
        assert status == stage.exposures[0].status


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_cancels_the_call(stream: bool, share: float) -> None:
    """While the first byte is waited for: nobody will read it, and somebody would pay for it."""
    async with a_stage(silent, silent, route=a_route(share)) as stage:
        asked = stage.new if share else stage.old
        async with stage.app.sent(a_question(stream=stream)):
            await asked.asked.wait()

        await asked.left.wait()
        await stage.settled()
        assert {"support": 1} == stage.gateway.counters.left
        found = stage.exposures[0]
        assert (499, False) == (found.status, found.fell_back)
        assert (Fate.CANDIDATE if share else Fate.INCUMBENT) is found.fate


async def test_a_client_that_leaves_in_the_middle_of_a_stream_cancels_it() -> None:
    """The usual way in which users stop an answer."""

    async def endless(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.chunk(event("Hel"))
        await silent(exchange)

    async with a_stage(endless, route=HOME) as stage:
        async with stage.app.asking(a_question(stream=True)) as answer:
            assert event("Hel") == await answer.chunk()

        await stage.old.left.wait()
        await stage.settled()
        assert 499 == stage.exposures[0].status


async def test_a_prompt_that_does_not_match_leaves_the_request_to_the_incumbent() -> None:
    """Counted, because a share of such requests means that the comparison is not about all traffic."""
    edited = replace(NEW, prompt=Prompt(PromptMode.EDIT, '[{"replace": "You serve.", "with": "x"}]'))
    source = FakeSource(OLD, edited)
    async with a_stage(route=a_route(candidate=edited.id), source=source) as stage:
        answer = await stage.app.chat()

        assert "old" == answer.text
        assert {"support": 1} == stage.gateway.counters.unmatched
        found = stage.exposures[0]
        assert (Arm.CANDIDATE, Fate.INCUMBENT, False) == (found.assigned, found.fate, found.fell_back)


async def test_an_incumbent_whose_prompt_does_not_match_serves_with_the_apps_own() -> None:
    """Somebody has to answer, and it is the one whom users know."""
    edited = Variant("old-provider", "promoted", Prompt(PromptMode.EDIT, '[{"replace": "You serve.", "with": "x"}]'))
    source = FakeSource(edited)
    async with a_stage(source=source) as stage:
        stage.put(replace(HOME, incumbent=edited.id, candidate=None))

        answer = await stage.app.chat()

        assert 200 == answer.status
        assert {**a_question(), "model": "promoted"} == stage.old.seen[0].json
        assert {"support": 1} == stage.gateway.counters.unmatched


async def test_a_candidate_that_keeps_failing_is_left_alone_and_tried_again() -> None:
    """Each of its users would wait for the failure first. It is still counted against it."""
    rules = Breaker(window=3, share=0.5, pause_s=30.0)
    async with a_stage(new=failing(500), route=a_route(), breaker=rules) as stage:
        for _ in range(5):
            assert "old" == (await stage.app.chat()).text
        assert 3 == len(stage.new.seen)
        assert {("support", "500"): 3, ("support", "breaker"): 2} == stage.gateway.counters.fell_back
        assert all(exposure.fell_back for exposure in stage.exposures)

        stage.new.script = answering("new")
        stage.clock.advance(30.0)
        assert ["new", "new"] == [(await stage.app.chat()).text for _ in range(2)]


async def test_the_longest_session_leaves_the_withdrawn_variant_on_its_next_request() -> None:
    """Pins that outlive a rollback keep harming the users that a pin was for."""
    async with a_stage(route=a_route(share=0.5)) as stage:
        users = [f"user-{number}" for number in range(20)]
        before = {user: {(await stage.app.chat(user)).text for _ in range(3)} for user in users}
        assert {("old",), ("new",)} == {tuple(answers) for answers in before.values()}

        stage.put(a_route(share=0.5).rolled_back())

        assert {"old"} == {(await stage.app.chat(user)).text for user in users}


async def test_a_higher_share_only_adds_users() -> None:
    """Whoever has the candidate keeps it until a rollback."""
    async with a_stage(route=a_route(share=0.2)) as stage:
        users = [f"user-{number}" for number in range(30)]
        early = {user for user in users if (await stage.app.chat(user)).text == "new"}
        stage.put(a_route(share=0.6, epoch=2))

        late = {user for user in users if (await stage.app.chat(user)).text == "new"}

        assert early < late < set(users)


@pytest.mark.slow
async def test_a_body_of_64_mb_passes() -> None:
    """Pictures and documents; a limit of a few megabytes breaks the app that was just adopted."""
    picture = "x" * (64 << 20)
    body = b'{"model": "%b", "messages": [{"role": "user", "content": "%b"}]}' % (CLAIM.encode(), picture.encode())

    async with a_stage() as stage:
        answer = await stage.app.ask(body)

        assert (200, len(body)) == (answer.status, len(stage.old.seen[0].body))
        assert body == stage.old.seen[0].body


async def test_headers_of_the_app_pass_without_its_credentials_and_its_users() -> None:
    """A provider gets what it understands, and neither our keys nor who the user is."""
    passing = [("openai-beta", "x=1"), ("idempotency-key", "k"), ("traceparent", "00-1"), ("user-agent", "app/1")]
    private = [
        ("authorization", "Bearer client-key"),
        ("x-api-key", "client-key"),
        ("cookie", "session=1"),
        ("x-midshift-unit", "ann"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-secret-hop", "1"),
        ("connection", "keep-alive, x-secret-hop"),
        ("accept-encoding", "br"),
    ]
    async with a_stage(route=HOME) as stage:
        await stage.app.chat(lines=[*passing, *private])

        seen = stage.old.seen[0].headers
        assert dict(passing).items() <= seen.items()
        ours = {"host", "authorization", "accept-encoding", "content-length"}
        assert set(seen) == {name for name, _ in passing} | ours
        assert ("Bearer sk-old-provider-key", "identity") == (seen["authorization"], seen["accept-encoding"])


async def test_headers_of_a_provider_pass_by_an_allow_list() -> None:
    """Gateways have returned keys and addresses of upstreams to whoever asked."""
    passing = [("x-request-id", "r-1"), ("x-ratelimit-limit-tokens", "5"), ("openai-processing-ms", "12")]
    secret = [
        ("set-cookie", "s=1"),
        ("openai-organization", "acme"),
        ("server", "x"),
        ("x-goog-api-key", "k"),
        ("via", "a"),
    ]
    async with a_stage(answering(), route=HOME) as stage:

        async def telling(exchange: Exchange) -> None:
            await exchange.answer(completion(), lines=[*passing, *secret])

        stage.old.script = telling
        answer = await stage.app.chat()

        ours = {"content-type", "content-length", "x-midshift-request-id", "x-midshift-variant", "x-midshift-step"}
        assert dict(passing).items() <= answer.headers.items()
        assert {name for name, _ in passing} | ours == set(answer.headers)


async def test_a_slow_app_slows_the_provider_down() -> None:
    """What a fast model writes for a slow app must not pile up here."""
    written = 0

    async def fast(exchange: Exchange) -> None:
        nonlocal written
        await exchange.begin_stream()
        for _ in range(200):
            await exchange.chunk(b"data: " + b"x" * 100_000 + b"\n\n")
            written += 100_000
        await exchange.end_stream()

    async with a_stage(fast, route=HOME) as stage:
        async with stage.app.sent(a_question(stream=True, stream_options={"include_usage": True})) as (reader, _):
            first: Any = await reader.readexactly(100)
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await stage.old.asked.wait()
            while True:  # until nothing moves any more
                before = written
                await App(stage.listening.port).ask(path="/healthz", method="GET")
                if before == written:
                    break
            assert written < 20_000_000
            assert first

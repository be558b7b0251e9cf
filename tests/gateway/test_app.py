"""Who may ask, for which workload, and as which unit and slices."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from midshift.domain.exposure import Fate, ShadowFate
from midshift.domain.routing import Arm, assign, block
from midshift.domain.suite import Slice
from midshift.domain.usage import Usage
from midshift.domain.variant import Variant
from midshift.domain.workload import BodyEquals, HeaderEquals, LanguageIs, SliceRule, UnitSource
from midshift.gateway.exchange import Exchange as GatewayExchange
from midshift.gateway.heads import Head
from midshift.gateway.settings import Breaker, ClientKey
from midshift.providers.http.settings import Timeouts
from midshift.testing.clock import ManualClock
from midshift.wire import openai_chat, sse
from tests.gateway.fakes import (
    CLAIM,
    Exchange,
    FakeConnection,
    Stage,
    a_question,
    a_route,
    a_stage,
    a_workload,
    answering,
    cutting,
    failing,
    hashed_unit,
    silent,
    streaming,
)

TRUSTED = ClientKey("backend", "a-key-for-the-backend-0123", may_label=True)
PLAIN = ClientKey("browser", "a-key-for-the-browser-4567")
KEYS = (TRUSTED, PLAIN)


def with_key(key: ClientKey, *lines: tuple[str, str]) -> list[tuple[str, str]]:
    """Header lines of an app that shows a key."""
    return [("authorization", f"Bearer {key.secret}"), *lines]


async def test_an_unknown_model_is_refused_with_the_claims() -> None:
    """404 in OpenAI's shape: its clients raise NotFoundError, and a developer reads what would work."""
    async with a_stage() as stage:
        answer = await stage.app.ask({**a_question(), "model": "gpt-none"})

        error = answer.json["error"]
        assert (404, "model_not_found", "model") == (answer.status, error["code"], error["param"])
        assert f"'gpt-none'. This gateway serves: '{CLAIM}'" in error["message"]
        assert {("", "model_not_found"): 1} == stage.gateway.counters.refused
        assert [] == stage.old.seen


async def test_a_claim_is_matched_exactly() -> None:
    """A prefix would serve tomorrow's model by yesterday's route."""
    async with a_stage() as stage:
        for model in (CLAIM + "-mini", CLAIM.upper(), CLAIM[:-1], ""):
            assert 404 == (await stage.app.ask({**a_question(), "model": model})).status


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": "x"}'])
async def test_what_is_no_request_is_refused(body: bytes) -> None:
    """With the request's id, and nothing sent to anybody."""
    async with a_stage() as stage:
        answer = await stage.app.ask(body)

        assert (400, "invalid_request_error") == (answer.status, answer.json["error"]["type"])
        assert answer.headers["x-midshift-request-id"].startswith("req_")
        assert [] == stage.old.seen


async def test_other_paths_are_refused_in_words() -> None:
    """A half-adopted app must not look for the mistake at its provider."""
    async with a_stage() as stage:
        answer = await stage.app.ask({}, path="/v1/embeddings")

        assert (404, "POST /v1/embeddings is not served here.") == (answer.status, answer.json["error"]["message"][:39])


async def test_a_body_beyond_the_limit_is_refused_before_it_is_read() -> None:
    """Memory is for those who are let in."""
    async with a_stage(max_body_bytes=100) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{")

        assert b"HTTP/1.1 413 " == (await reader.readuntil(b"\r\n"))[:13]
        writer.close()


async def test_a_compressed_body_is_refused() -> None:
    """It could not be read, and would be sent on as something else than it is."""
    async with a_stage() as stage:
        assert 415 == (await stage.app.chat(lines=[("content-encoding", "gzip")])).status


async def test_a_client_that_leaves_while_it_sends_is_counted() -> None:
    """Received and refused: the sum must come out."""
    async with a_stage() as stage:
        _, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        await writer.drain()
        while not stage.gateway.counters.received:  # noqa: ASYNC110 - plain numbers
            await asyncio.sleep(0)
        writer.close()
        await stage.settled()

        assert {("", "client_left"): 1} == stage.gateway.counters.refused
        assert stage.gateway.counters.reconciles


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([], 401),
        ([("authorization", "Bearer wrong-key-wrong-key")], 401),
        ([("authorization", f"Basic {PLAIN.secret}")], 401),
        ([("authorization", f"Bearer {PLAIN.secret[:-1]}")], 401),
        ([("authorization", f"bearer {PLAIN.secret}")], 200),
        ([("x-api-key", PLAIN.secret)], 200),
        ([("api-key", PLAIN.secret)], 200),
    ],
)
async def test_a_client_shows_one_of_the_keys(lines: list[tuple[str, str]], status: int) -> None:
    """In any of the ways in which clients show keys; a refusal repeats nothing of what was shown."""
    async with a_stage(client_keys=KEYS) as stage:
        answer = await stage.app.chat(lines=lines)

        assert status == answer.status
        assert status == 200 or answer.json["error"]["code"] == "invalid_api_key"
        assert not any(value in answer.body.decode() for _, value in lines)
        assert (status == 200) == bool(stage.old.seen)


async def test_a_workload_is_a_model_by_its_own_name_too() -> None:
    """What an app asks for then stays true whatever model serves it."""
    async with a_stage() as stage:
        assert 200 == (await stage.app.chat(model="support")).status


async def test_models_and_metrics_ask_for_a_key_and_health_does_not() -> None:
    """A load balancer has no key, and learns nothing but `ok`."""
    async with a_stage(client_keys=KEYS) as stage:
        for path, status in (("/v1/models", 401), ("/metrics", 401), ("/healthz", 200), ("/readyz", 200)):
            assert status == (await stage.app.ask(path=path, method="GET")).status

        models = await stage.app.ask(path="/v1/models", method="GET", lines=with_key(PLAIN))
        assert [CLAIM] == [model["id"] for model in models.json["data"]]


async def unit_of(stage: Stage, lines: list[tuple[str, str]] | None = None, **fields: object) -> str:
    """The unit that a request is assigned by."""
    await stage.app.ask({**a_question(), **fields}, lines or [])
    return stage.exposures[-1].unit


def looking_in(*places: str) -> Any:
    """A workload with these unit sources."""
    return a_workload(unit=tuple(UnitSource.parse(place) for place in places))


async def test_the_first_unit_that_is_found_counts() -> None:
    """In the order of the workload: one user is one unit, wherever the app names him."""
    async with a_stage(workload=looking_in("header:x-user", "body:metadata.id", "conversation")) as stage:
        header, body = [("x-user", "ann")], {"id": "ann"}
        everything = await unit_of(stage, header, metadata={"id": "bob"})

        assert everything == await unit_of(stage, header) == await unit_of(stage, metadata=body)
        assert everything != await unit_of(stage, metadata={"id": "bob"})
        assert everything != await unit_of(stage)


async def test_a_unit_is_stored_as_an_hmac() -> None:
    """Who it was stays with whoever has the key; the same key gives the same unit on every gateway."""
    async with a_stage(workload=looking_in("header:x-user")) as stage:
        unit = await unit_of(stage, [("x-user", "ann@example.org")])

        assert re.fullmatch(r"[0-9a-f]{32}", unit)
        assert unit == hashed_unit("ann@example.org")
        assert "ann" not in repr(stage.exposures)


async def test_a_header_that_names_the_unit_does_not_reach_the_provider() -> None:
    """The app began to send it for us."""
    rules = (SliceRule("all", HeaderEquals("x-queue", "vip")),)
    workload = a_workload(unit=(UnitSource.parse("header:x-user"),), rules=rules)
    async with a_stage(workload=workload) as stage:
        await stage.app.chat(lines=[("x-user", "ann"), ("x-queue", "vip"), ("x-other", "1")])

        seen = stage.old.seen[0].headers
        assert (False, False, True) == ("x-user" in seen, "x-queue" in seen, "x-other" in seen)


async def test_a_conversation_is_a_unit_and_keeps_its_variant() -> None:
    """By what the user said first: the app renders the system prompt anew, with the date, in every turn."""
    async with a_stage(workload=looking_in("conversation")) as stage:
        first = [{"role": "system", "content": "It is nine."}, {"role": "user", "content": "My card is gone."}]
        later = [{"role": "system", "content": "It is ten."}, *first[1:], {"role": "assistant", "content": "Oh."}]

        assert await unit_of(stage, messages=first) == await unit_of(stage, messages=later)
        assert await unit_of(stage, messages=first) != await unit_of(
            stage, messages=[{"role": "user", "content": "Hi"}]
        )


async def test_without_a_unit_each_request_is_one() -> None:
    """It says so: no two are the same."""
    async with a_stage(workload=looking_in("header:x-user")) as stage:
        assert 3 == len({await unit_of(stage) for _ in range(3)})


@pytest.mark.parametrize("value", ["", None, True, 1.5, ["a"], {"a": 1}])
async def test_a_value_that_is_no_name_is_no_unit(value: object) -> None:
    """`null` would make one unit of all users who are not logged in."""
    async with a_stage(workload=looking_in("body:user")) as stage:
        assert await unit_of(stage, user=value) != await unit_of(stage, user=value)


async def test_only_a_trusted_key_names_the_unit_and_the_slices() -> None:
    """Else anybody could choose a variant, or put bad answers into a slice that halts an upgrade."""
    slices = (Slice("all"), Slice("vip"), Slice("asked"), Slice("german"))
    rules = (
        SliceRule("vip", HeaderEquals("x-queue", "vip")),
        SliceRule("german", LanguageIs("de")),
        SliceRule("all", BodyEquals("user", "u")),
    )
    workload = a_workload(slices=slices, rules=rules, unit=(UnitSource.parse("header:x-midshift-unit"),))
    lines = [("x-midshift-unit", "ann"), ("x-queue", "vip"), ("x-midshift-slice", "asked, unheard-of")]
    async with a_stage(workload=workload, client_keys=KEYS) as stage:
        found = {}
        for key in KEYS:
            await stage.app.chat(lines=with_key(key, *lines))
            found[key.name] = stage.exposures[-1]

        named = hashed_unit("ann")
        assert (named, ("all", "vip", "asked")) == (found["backend"].unit, found["backend"].slices)
        assert named != found["browser"].unit
        assert ("all",) == found["browser"].slices


@pytest.mark.parametrize(
    ("given", "equals", "holds"),
    [
        (3, 3, True),
        (3.0, 3, True),
        ("3", 3, False),
        (3, "3", False),
        (True, 1, False),
        (1, True, False),
        (None, "", False),
    ],
)
async def test_a_slice_by_body_compares_values_and_not_spellings(given: object, equals: Any, holds: bool) -> None:
    """Text never equals a number, and a truth value neither."""
    rules = (SliceRule("all", BodyEquals("metadata.tier", equals)),)
    async with a_stage(workload=a_workload(rules=rules)) as stage:
        await stage.app.chat(metadata={"tier": given})

        assert holds == bool(stage.exposures[0].slices)


async def test_the_assignment_is_the_domains() -> None:
    """By unit, salt and share alone: any gateway, and any analysis, comes to the same."""
    route = a_route(share=0.5)
    async with a_stage(route=route) as stage:
        for number in range(20):
            await stage.app.chat(f"user-{number}")

        assert {Arm.CANDIDATE, Arm.INCUMBENT} == {found.assigned for found in stage.exposures}
        for found in stage.exposures:
            assert (assign(found.unit, route), block(found.unit, "salt")) == (found.assigned, found.block)


async def test_requests_that_went_home_belong_to_no_upgrade() -> None:
    """Served by the incumbent whatever the hash said, they would blur the comparison."""
    async with a_stage(route=a_route()) as stage:
        stage.gateway.routes.flip(["support"])
        answer = await stage.app.chat()

        found = stage.exposures[0]
        assert (None, Arm.INCUMBENT, 0.0, 0) == (found.upgrade, found.assigned, found.propensity, found.step)
        assert "x-midshift-step" not in answer.headers
        assert [] == stage.sink.batches


async def test_a_price_book_in_trouble_makes_the_cost_unknown() -> None:
    """And nothing else: the user has his answer."""

    def broken(variant: Variant, usage: Usage) -> float | None:
        raise KeyError(variant.model)

    async with a_stage(route=a_route(), pricing=broken) as stage:
        assert 200 == (await stage.app.chat()).status
        await stage.settled()

        assert stage.exposures[0].cost_usd is None


async def test_an_error_in_here_fails_one_request_and_is_counted() -> None:
    """The fence: whatever it is, the next request is served."""

    class Broken(ManualClock):
        breaks_in = 0

        def monotonic_s(self) -> float:
            self.breaks_in -= 1
            if self.breaks_in == 0:
                raise ZeroDivisionError("planted")
            return super().monotonic_s()

    clock = Broken()
    async with a_stage(answering("new"), answering("new"), route=a_route(), clock=clock) as stage:
        clock.breaks_in = 2
        answer = await stage.app.chat()

        assert (500, "gateway_error") == (answer.status, answer.json["error"]["code"])
        assert "planted" not in answer.body.decode()
        assert {("support", "internal_error"): 1} == stage.gateway.counters.refused
        assert "new" == (await stage.app.chat()).text
        assert stage.gateway.counters.reconciles


@pytest.mark.parametrize("comes_at_once", [True, False])
async def test_an_error_before_anybody_is_asked_is_counted_and_gives_the_place_back(comes_at_once: bool) -> None:
    """Whether the whole request was there or had to be waited for: a place that is kept is one less for everybody."""

    class Broken(ManualClock):
        is_broken = False

        def machine_now(self) -> datetime:
            if self.is_broken:
                raise ZeroDivisionError("planted")
            return super().machine_now()

    clock = Broken()
    async with a_stage(clock=clock) as stage:
        clock.is_broken = True
        body = json.dumps(a_question()).encode()
        lines = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(lines + body if comes_at_once else lines)
        while not comes_at_once and not stage.gateway.load.in_flight:  # noqa: ASYNC110 - a plain number
            await asyncio.sleep(0)
        if not comes_at_once:
            writer.write(body)

        assert b"500" == (await reader.readline()).split()[1]
        writer.close()
        clock.is_broken = False
        assert {("", "internal_error"): 1} == stage.gateway.counters.refused
        assert (0, 0) == (stage.gateway.load.in_flight, stage.gateway.load.held_bytes)
        assert stage.gateway.counters.reconciles


async def test_a_request_that_nobody_awaits_any_more_is_counted_and_gives_its_place_back() -> None:
    """As when a loop is closed over it, before its body has come."""
    async with a_stage() as stage:
        head = Head("POST", b"/v1/chat/completions", [(b"host", b"x")])
        request = stage.gateway(GatewayExchange(FakeConnection(), head, 100))
        request.send(None)
        assert (1, 1) == (stage.gateway.load.in_flight, stage.gateway.counters.in_flight)

        request.close()
        assert (0, 0) == (stage.gateway.load.in_flight, stage.gateway.counters.in_flight)
        assert {("", "internal_error"): 1} == stage.gateway.counters.refused
        assert stage.gateway.counters.reconciles


async def test_an_error_in_here_in_the_middle_of_an_answer_does_not_pass_for_its_end() -> None:
    """A stream ends with an error; an answer with a length leaves in one piece, so it can still be an error itself."""

    class Broken(ManualClock):
        breaks = False

        def monotonic_s(self) -> float:
            if self.breaks:
                self.breaks = False
                raise ZeroDivisionError("planted")
            return super().monotonic_s()

    clock = Broken()

    async def plant(exchange: Exchange) -> None:
        clock.breaks = True
        await answering("new")(exchange)

    async with a_stage(plant, clock=clock) as stage:
        streamed = await stage.app.chat(stream=True)
        assert openai_chat.is_error(sse.Event(streamed.body.removeprefix(b"data: ").rstrip()))

        assert 500 == (await stage.app.chat()).status
        await stage.settled()
        assert [500, 500] == [exposure.status for exposure in stage.exposures]


async def test_metrics_are_prometheus_text() -> None:
    """Each name described once, each value a number."""
    async with a_stage(route=a_route()) as stage:
        await stage.app.chat()
        stage.gateway.routes.flip(["support"])
        text = (await stage.app.ask(path="/metrics", method="GET")).body.decode()

        lines = [line for line in text.splitlines() if not line.startswith("#")]
        assert all(re.fullmatch(r'midshift_\w+(\{(\w+="[^"]*",?)+\})? [0-9.]+', line) for line in lines)
        names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
        assert len(names) == len(set(names))
        assert 'midshift_requests_total{workload="support",fate="served_by_candidate"} 1' in lines
        assert 'midshift_route_home{workload="support",reason="flipped"} 1' in lines


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_balancer_may_ask_for_the_head_alone(path: str) -> None:
    """Some do, and take a 404 for a gateway that is ill."""
    async with a_stage() as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.app.port)
        writer.write(f"HEAD {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()

        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"" == body


@pytest.mark.slow
async def test_the_counters_reconcile_under_load_and_failures() -> None:
    """A few at once until each fate came about, then 500: streamed, mirrored, cut, refused, abandoned. None is missing.

    How many it takes until an answer is in time is for the machine to say.
    """

    async def moody(exchange: Exchange) -> None:
        mood = int(exchange.seen.json["user"].split("-")[1]) % 7
        scripts = [answering(), failing(500), failing(429), cutting, streaming(), silent, answering()]
        await scripts[mood](exchange)

    # Fewer connections than requests: under load, whether a call is in time is for the machine to say.
    calm = {"max_connections": 100, "timeouts": Timeouts(first_byte_s=0.5, total_s=0.5)}
    route = a_route(share=0.5, shadow_share=0.5)
    never = Breaker(window=10_000)
    async with a_stage(moody, moody, route=route, upstream=calm, breaker=never, candidate_patience_s=0.5) as stage:

        async def one(number: int) -> None:
            user = f"user-{number}"
            kind = number % 10
            if kind == 0:
                await stage.app.ask({**a_question(user), "model": "unknown"})
            elif kind == 1:
                await stage.app.ask(b"no request")
            elif kind == 2:
                async with stage.app.sent(a_question(user, stream=True)):
                    await asyncio.sleep(0)
            elif kind == 3:
                await stage.app.ask(a_question(user, store=True))
            else:
                await stage.app.ask(a_question(user, stream=kind % 2 == 0))

        async def all_at_once(numbers: range) -> None:
            async with asyncio.TaskGroup() as tasks:
                for number in numbers:
                    tasks.create_task(one(number))
            await stage.settled()

        counters, fates = stage.gateway.counters, (*Fate, ShadowFate.PAIRED, ShadowFate.SKIPPED, ShadowFate.FAILED)
        asked = 0
        while asked < 160 or not all(counters.total(fate) for fate in fates):
            await all_at_once(range(asked, asked + 40))
            asked += 40

        await all_at_once(range(asked, asked + 500))
        asked += 500
        assert counters.reconciles
        assert asked >= counters.received >= 0.9 * asked  # one that leaves before it was heard was never received
        assert counters.received == sum(counters.total(fate) for fate in Fate)
        assert sum(counters.eligible.values()) == sum(counters.total(fate) for fate in ShadowFate)
        served = Counter(found.fate for found in stage.exposures)
        assert counters.total(Fate.CANDIDATE) == served[Fate.CANDIDATE]
        assert counters.total(Fate.INCUMBENT) == served[Fate.INCUMBENT]
        assert sum(counters.fell_back.values()) == sum(found.fell_back for found in stage.exposures)

"""What a gateway takes of a request beyond numbers, and what its record says."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from midshift.domain.capture import is_captured
from midshift.domain.usage import Usage
from midshift.domain.variant import Variant
from midshift.domain.workload import Capture, DataPolicy, Workload
from midshift.gateway.settings import Queues
from midshift.providers import requests
from midshift.wire.protocol import WireName
from tests.gateway.fakes import (
    NEW,
    OLD,
    Stage,
    a_route,
    a_stage,
    a_workload,
    answering,
    failing,
    hashed_unit,
    streaming,
)

ALL = DataPolicy(capture=Capture(1.0, timedelta(days=14)))
BILLED = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}


def capturing(**fields: Any) -> Workload:
    """A workload whose texts are kept."""
    return a_workload(data=ALL, **fields)


def captured(stage: Stage) -> list[Any]:
    """What was taken."""
    stage.gateway.recorder.hand_over()
    return stage.sink.requests


@pytest.mark.parametrize("stream", [False, True])
async def test_a_captured_request_has_what_was_asked_and_what_was_answered(stream: bool) -> None:
    """Whole and not yet redacted: that is the business of the door to the disk."""
    async with a_stage(route=a_route(), workload=capturing()) as stage:
        answer = await stage.app.chat("ada", stream=stream, lines=[("openai-beta", "x=1"), ("x-secret", "s")])
        await stage.settled()
        [found] = captured(stage)

        assert answer.headers["x-midshift-request-id"] == found.id
        assert ("support", "openai_chat", "/v1/chat/completions", 200) == (
            found.workload,
            found.wire,
            found.path,
            found.status,
        )
        assert "Hello, I am ada." == found.body["messages"][1]["content"]
        assert ("new", NEW.id, hashed_unit("ada")) == (found.answer, found.variant, found.unit)
        assert {"openai-beta": "x=1"} == found.headers
        assert stage.clock.machine_now() == found.at


async def test_a_captured_request_is_a_trace_that_preflight_reads() -> None:
    """So that what users really send can be checked against the next model."""
    async with a_stage(route=a_route(), workload=capturing()) as stage:
        await stage.app.chat("ada")
        [found] = captured(stage)
        reading = requests.Reading()
        [read] = requests.read([msgspec.json.encode(found)], reading)

        assert (found.id, WireName.OPENAI_CHAT, found.body) == (read.id, read.wire, read.body)
        assert {} == reading.unusable


async def test_by_default_no_text_is_taken() -> None:
    """Who says nothing keeps nothing."""
    async with a_stage(route=a_route()) as stage:
        await stage.app.chat("ada")

        assert [] == captured(stage)


async def test_the_share_of_the_texts_is_a_sample_by_the_hash_of_the_id() -> None:
    """The same in every record of a request: a pair without its request would be of no use."""
    data = DataPolicy(capture=Capture(0.5, timedelta(days=1)))
    async with a_stage(route=a_route(), workload=a_workload(data=data)) as stage:
        ids = [(await stage.app.chat(f"u{number}")).headers["x-midshift-request-id"] for number in range(30)]
        expected = [request_id for request_id in ids if is_captured(data.capture, request_id)]

        assert expected == [one.id for one in captured(stage)]
        assert 0 < len(expected) < 30


async def test_an_answer_that_failed_is_captured_as_none() -> None:
    """The request is worth the most then."""
    async with a_stage(old=failing(500), workload=capturing()) as stage:
        await stage.app.chat("ada")
        [found] = captured(stage)

        assert (500, None) == (found.status, found.answer)


async def test_texts_that_find_the_queue_full_are_counted() -> None:
    """Memory is for requests."""
    async with a_stage(workload=capturing(), queues=Queues(max_pairs=1, sums_every_s=3600.0)) as stage:
        for _ in range(3):
            await stage.app.chat("ada")
        await stage.settled()

        assert (2, 1) == (stage.gateway.recorder.lost_texts, len(captured(stage)))


async def test_the_exposure_says_who_answered_with_what_at_what_price() -> None:
    """The numbers that a gate, an invoice and an incident ask for."""

    def priced(variant: Variant, usage: Usage) -> float:
        return 0.25

    async with a_stage(
        route=a_route(), new=answering("new", usage=BILLED, model="new-model-0125"), pricing=priced, price_book="book-1"
    ) as stage:
        await stage.app.chat("ada")
        [found] = stage.exposures

        assert (NEW.id, "new-model-0125", "openai_chat") == (found.variant, found.model, found.wire)
        assert (7, 3, 4, None) == (found.tokens_in, found.tokens_out, found.cached_in, found.reasoning_out)
        assert (0.25, "book-1", False) == (found.cost_usd, found.price_book, found.usage_unknown)
        assert stage.clock.machine_now() == found.at


async def test_a_fall_back_says_why() -> None:
    """The candidate answered with 500; its price is unknown, the incumbent's answer was counted."""
    async with a_stage(route=a_route(), new=failing(500)) as stage:
        await stage.app.chat("ada")
        [found] = stage.exposures

        assert (True, "500", OLD.id) == (found.fell_back, found.fell_back_reason, found.variant)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_without_usage_is_unknown_and_counted(stream: bool) -> None:
    """A provider that says nothing is not a provider that is free."""
    silent = streaming([b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n', b"data: [DONE]\n\n"])
    async with a_stage(old=silent if stream else answering("old", usage={"x": 1})) as stage:
        await stage.app.chat("ada", stream=stream)
        await stage.settled()
        [found] = stage.exposures

        assert (True, None, None) == (found.usage_unknown, found.tokens_in, found.cost_usd)
        assert {"support": 1} == dict(stage.gateway.counters.usage_unknown)


async def test_an_error_has_no_usage_that_could_be_unknown() -> None:
    """A cost gate that counts outages as unknown costs would say the wrong thing about both."""
    async with a_stage(old=failing(500)) as stage:
        await stage.app.chat("ada")
        [found] = stage.exposures

        assert (500, None) == (found.status, found.usage_unknown)


async def test_a_model_that_changes_under_us_is_counted() -> None:
    """A floating id is somebody else's deploy: the cook has changed, and the menu has not."""
    models = iter(["m-0125", "m-0125", "m-0301", "m-0301"])

    async def script(exchange: Any) -> None:
        await answering("old", model=next(models))(exchange)

    async with a_stage(old=script) as stage:
        for _ in range(4):
            await stage.app.chat("ada")
        text = (await stage.app.ask(path="/metrics", method="GET")).body.decode()

        variant = OLD.short_id
        assert {("support", variant): 1} == dict(stage.gateway.counters.model_changed)
        assert f'midshift_model_changed_total{{workload="support",variant="{variant}"}} 1' in text
        assert f'midshift_model_answered{{workload="support",variant="{variant}",model="m-0301"}} 1' in text


async def test_an_exposure_is_json_that_comes_back_as_it_was() -> None:
    """It is read by the next version, and by other people's tools."""
    async with a_stage(route=a_route(), new=answering("new", usage=BILLED)) as stage:
        await stage.app.chat("ada")
        [found] = stage.exposures
        line = msgspec.json.encode(found)

        assert found == msgspec.json.decode(line, type=type(found))
        assert "ada" not in line.decode()
        assert found.request_id == json.loads(line)["request_id"]

"""Responses that a provider keeps: found where they were made, and by nobody else's key."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from midshift.gateway.settings import ClientKey
from midshift.testing.clock import ManualClock
from tests.gateway.fakes import CLAIM, Exchange, Stage, a_route, a_stage, cutting

WIRE = "openai_responses"
KEYS = (ClientKey("ann", "ann-key-0123456789"), ClientKey("bob", "bob-key-0123456789"))


def answering(name: str) -> Any:
    """A provider that makes responses, and says who it is about each."""

    async def script(exchange: Exchange) -> None:
        if exchange.seen.path == "/v1/responses":
            answer = {"id": f"resp_{name}_0001", "status": "completed", "output": []}
            await exchange.answer(json.dumps(answer).encode())
        elif "stream=true" in exchange.seen.path:
            await exchange.begin_stream()
            await exchange.chunk(b"event: a\ndata: {}\n\n")
            await exchange.chunk(b"event: b\ndata: {}\n\n")
            await exchange.end_stream()
        else:
            await exchange.answer(json.dumps({"kept_by": name}).encode(), lines=[("set-cookie", "s=1")])

    return script


@asynccontextmanager
async def a_stage_of_responses(share: float = 1.0, **fields: Any) -> AsyncIterator[Stage]:
    options = {"wires": {WIRE: ""}, "cuts_version": frozenset({WIRE})}
    async with a_stage(
        answering("old"), answering("new"), route=a_route(share=share), upstream=options, clock=ManualClock(), **fields
    ) as stage:
        yield stage


def showing(key: ClientKey) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key.secret}")]


async def made(stage: Stage, lines: Any = ()) -> str:
    """The id of a new response."""
    answer = await stage.app.ask({"model": CLAIM, "input": "Hello."}, lines, "/v1/responses")
    return str(answer.json["id"])


@pytest.mark.parametrize(
    ("method", "rest"),
    [("GET", ""), ("GET", "?include=usage"), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items?limit=2")],
)
@pytest.mark.parametrize(("share", "name"), [(0.0, "old"), (1.0, "new")])
async def test_a_response_is_asked_for_where_it_was_made(method: str, rest: str, share: float, name: str) -> None:
    """With that provider's key, and nothing of it is evidence."""
    async with a_stage_of_responses(share) as stage:
        response = await made(stage)
        received = stage.gateway.counters.received

        answer = await stage.app.ask(path=f"/v1/responses/{response}{rest}", method=method)

        seen = (stage.new if share else stage.old).seen[-1]
        assert (200, {"kept_by": name}) == (answer.status, answer.json)
        assert (method, f"/v1/responses/{response}{rest}") == (seen.method, seen.path)
        assert f"Bearer sk-{name}-provider-key" == seen.headers["authorization"]
        assert "set-cookie" not in answer.headers
        assert received == stage.gateway.counters.received
        assert 1 == len(stage.exposures)


async def test_a_stream_is_taken_up_again_as_it_comes() -> None:
    """A client whose connection broke asks for the rest."""
    async with a_stage_of_responses() as stage:
        response = await made(stage)

        answer = await stage.app.ask(path=f"/v1/responses/{response}?stream=true", method="GET")

        assert b"event: a\ndata: {}\n\nevent: b\ndata: {}\n\n" == answer.body


async def test_a_response_that_nobody_here_made_is_not_looked_for_at_two_providers() -> None:
    """To ask both would show one provider the ids of the other."""
    async with a_stage_of_responses() as stage:
        answer = await stage.app.ask(path="/v1/responses/resp_0123", method="GET")

        assert (404, "invalid_request_error") == (answer.status, answer.json["error"]["type"])
        assert "resp_0123" in answer.json["error"]["message"]
        assert [] == stage.old.seen + stage.new.seen


async def test_where_only_one_provider_speaks_the_wire_it_is_asked() -> None:
    """After a restart of the gateway, ids are not known here any more."""
    async with a_stage_of_responses() as stage:
        stage.gateway._stored._speaking = ["old-provider"]

        answer = await stage.app.ask(path="/v1/responses/resp_0123", method="GET")

        assert {"kept_by": "old"} == answer.json


@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")]
)
async def test_a_response_of_another_client_does_not_exist(method: str, rest: str) -> None:
    """All clients share the provider's account: only the gateway can tell them apart."""
    async with a_stage_of_responses(client_keys=KEYS) as stage:
        response = await made(stage, showing(KEYS[0]))
        path = f"/v1/responses/{response}{rest}"

        bobs = await stage.app.ask(lines=showing(KEYS[1]), path=path, method=method)
        nobodys = await stage.app.ask(path=path, method=method)
        anns = await stage.app.ask(lines=showing(KEYS[0]), path=path, method=method)

        assert [404, 401, 200] == [answer.status for answer in (bobs, nobodys, anns)]
        assert 2 == len(stage.new.seen)


async def test_the_clients_own_key_stays_here() -> None:
    """In whatever place it is shown."""
    async with a_stage_of_responses(client_keys=KEYS) as stage:
        response = await made(stage, showing(KEYS[0]))

        await stage.app.ask(path=f"/v1/responses/{response}?key={KEYS[0].secret}&limit=1", method="GET")

        assert f"/v1/responses/{response}?limit=1" == stage.new.seen[-1].path


async def test_a_provider_that_gives_no_answer_is_an_error_in_words() -> None:
    """Without its address."""
    async with a_stage_of_responses() as stage:
        response = await made(stage)
        stage.new.script = cutting

        answer = await stage.app.ask(path=f"/v1/responses/{response}", method="GET")

        assert (502, "broken") == (answer.status, answer.json["error"]["code"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1"),
        ("GET", "/v1/responses/resp_1/../../models"),
        ("GET", "/v1/responses/resp_1%2f..%2fmodels"),
        ("GET", "/v1/responses/resp_1/other"),
        ("GET", "/anthropic/v1/responses/resp_1"),
    ],
)
async def test_other_paths_lead_nowhere(method: str, path: str) -> None:
    """Our key is on what is passed on: it must not lead anywhere else."""
    async with a_stage_of_responses() as stage:
        answer = await stage.app.ask(path=path, method=method)

        assert 404 == answer.status
        assert [] == stage.old.seen + stage.new.seen

"""Conversations that hold what only one model can read, on every wire that has it, through a ramp and a flip.

The vendors here do as the real ones: an answer comes with a signature (or an id), and a request that holds one which
they did not make is refused whole with 400.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from midshift.domain.exposure import Fate
from midshift.domain.routing import Arm, Route, position
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.domain.workload import UnitSource
from midshift.gateway.settings import ClientKey
from tests.gateway.fakes import (
    CLAIM,
    NEW,
    OLD,
    Answer,
    Exchange,
    FakeSource,
    Stage,
    a_route,
    a_stage,
    a_workload,
    hashed_unit,
)

WIRES = ("openai_responses", "anthropic", "gemini")
PATHS = {
    "openai_responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini": f"/v1beta/models/{CLAIM}:generateContent",
}
SIGNED = re.compile(rb"signed-by-(\w+)-\d+")
IDENTIFIED = re.compile(rb'"previous_response_id":"resp_(\w+?)_')


@dataclass
class Vendor:
    """A provider that makes state, and refuses what it did not make."""

    name: str
    wire: str
    trouble: int = 0
    answers: int = 0

    async def __call__(self, exchange: Exchange) -> None:
        body = json.dumps(exchange.seen.json, separators=(",", ":")).encode()
        makers = {*SIGNED.findall(body), *IDENTIFIED.findall(body)}
        if self.trouble or makers - {self.name.encode()}:
            await exchange.answer(b'{"error":{"message":"Invalid signature"}}', self.trouble or 400)
            return
        self.answers += 1
        answer = ANSWERS[self.wire](self.name, f"signed-by-{self.name}-{self.answers}", self.answers)
        if exchange.seen.json.get("stream"):
            await self._stream(exchange, answer)
        else:
            await exchange.answer(json.dumps(answer).encode())

    async def _stream(self, exchange: Exchange, answer: dict[str, Any]) -> None:
        """Anthropic's events, each in two parts."""
        await exchange.begin_stream()
        thinking, text = answer["content"]
        signed = {"type": "signature_delta", "signature": thinking["signature"]}
        for data in (
            {"type": "message_start", "message": {**answer, "content": []}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
            {"type": "content_block_delta", "index": 0, "delta": signed},
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": text["text"]}},
            {"type": "content_block_stop", "index": 1},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
            {"type": "message_stop"},
        ):
            event = f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()
            await exchange.chunk(event[:40])
            await exchange.chunk(event[40:])
        await exchange.end_stream()


def _responses(name: str, token: str, number: int) -> dict[str, Any]:
    words = {"type": "message", "id": f"msg_{name}_{number:06}", "role": "assistant"}
    return {
        "id": f"resp_{name}_{number:06}",
        "object": "response",
        "status": "completed",
        "model": name,
        "output": [
            {"type": "reasoning", "id": f"rs_{name}_{number:06}", "summary": [], "encrypted_content": token},
            {**words, "content": [{"type": "output_text", "text": name, "annotations": []}]},
        ],
    }


def _message(name: str, token: str, number: int) -> dict[str, Any]:
    return {
        "id": f"msg_{name}_{number:06}",
        "type": "message",
        "role": "assistant",
        "model": name,
        "content": [{"type": "thinking", "thinking": "Hm.", "signature": token}, {"type": "text", "text": name}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }


def _contents(name: str, token: str, number: int) -> dict[str, Any]:
    parts = [{"text": name, "thoughtSignature": token}]
    return {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}


ANSWERS: dict[str, Callable[[str, str, int], dict[str, Any]]] = {
    "openai_responses": _responses,
    "anthropic": _message,
    "gemini": _contents,
}


@dataclass
class Conversation:
    """An app that sends back all that it has got, turn by turn."""

    stage: Stage
    wire: str
    user: str
    turns: list[Any] = field(default_factory=list)
    key: str = ""

    async def says(self, **fields: object) -> Answer:
        """One more turn."""
        match self.wire:
            case "openai_responses":
                self.turns.append({"role": "user", "content": "Hello."})
                body: dict[str, object] = {"model": CLAIM, "input": self.turns, "store": False}
            case "anthropic":
                self.turns.append({"role": "user", "content": "Hello."})
                body = {"model": CLAIM, "max_tokens": 100, "messages": self.turns}
            case _:
                self.turns.append({"role": "user", "parts": [{"text": "Hello."}]})
                body = {"contents": self.turns}
        answer = await self.stage.app.ask({**body, **fields}, self.lines, PATHS[self.wire])
        if answer.status == 200 and not fields.get("stream"):
            self.turns += heard(self.wire, answer.json)
        return answer

    async def follows(self, response: str) -> Answer:
        """A turn that only names the response before it."""
        body = {"model": CLAIM, "input": "And then?", "previous_response_id": response}
        return await self.stage.app.ask(body, self.lines, PATHS[self.wire])

    @property
    def lines(self) -> list[tuple[str, str]]:
        key = [("authorization", f"Bearer {self.key}")] if self.key else []
        return [("x-user", self.user), *key]


def heard(wire: str, answer: Any) -> list[Any]:
    """What of an answer goes into the next request."""
    match wire:
        case "openai_responses":
            return list(answer["output"])
        case "anthropic":
            return [{"role": "assistant", "content": answer["content"]}]
        case _:
            return [answer["candidates"][0]["content"]]


def by(answer: Answer) -> str:
    """The variant that answered."""
    return answer.headers["x-midshift-variant"]


def a_user(low: float, high: float, salt: str = "salt") -> str:
    """A user whose place among all is within these bounds."""
    names = (f"user-{number}" for number in range(10_000))
    return next(name for name in names if low <= position(hashed_unit(name), salt) < high)


@asynccontextmanager
async def a_stage_on(
    wire: str, route: Route | None = None, **fields: Any
) -> AsyncIterator[tuple[Stage, Vendor, Vendor]]:
    """Both providers on one wire; the unit is a header."""
    old, new = Vendor("old", wire), Vendor("new", wire)
    given: dict[str, Any] = {
        "workload": a_workload(unit=(UnitSource.parse("header:x-user"), UnitSource.parse("conversation"))),
        "upstream": {"wires": {wire: ""}, "cuts_version": frozenset({wire})},
        **fields,
    }
    async with a_stage(old, new, route=route, **given) as stage:
        yield stage, old, new


@pytest.mark.parametrize("wire", WIRES)
async def test_a_ramp_leaves_a_conversation_where_its_state_is(wire: str) -> None:
    """Its thoughts are worth more than a place in the new arm; it counts for the arm that it was assigned to."""
    async with a_stage_on(wire, a_route(share=0.2)) as (stage, _, _):
        talk = Conversation(stage, wire, a_user(0.2, 0.6))
        assert OLD.short_id == by(await talk.says())
        stage.put(a_route(share=0.6, epoch=2))

        answer = await talk.says()

        assert (200, OLD.short_id) == (answer.status, by(answer))
        assert "x-midshift-state" not in answer.headers
        found = stage.exposures[-1]
        assert (Arm.CANDIDATE, Fate.INCUMBENT, True, False) == (
            found.assigned,
            found.fate,
            found.stayed,
            found.fell_back,
        )
        assert {"support": 1} == +stage.gateway.counters.stayed
        assert NEW.short_id == by(await Conversation(stage, wire, talk.user).says())


async def test_a_conversation_that_stays_gets_no_unseen_answer() -> None:
    """Its pair would be of the arm that it was assigned to, and the answer that was seen is the other's."""
    async with a_stage_on("anthropic", a_route(share=0.2)) as (stage, _, _):
        talk = Conversation(stage, "anthropic", a_user(0.2, 0.6))
        await talk.says()
        stage.put(a_route(share=0.6, epoch=2, pair_share=1.0))

        assert OLD.short_id == by(await talk.says())
        await stage.settled()

        assert [] == stage.new.seen
        assert [] == stage.pairs


async def _rolled_back(stage: Stage) -> None:
    stage.put(a_route(share=0.6).rolled_back())


async def _flipped(stage: Stage) -> None:
    stage.gateway.routes.flip(["support"])


async def _share_of_nobody(stage: Stage) -> None:
    stage.put(a_route(share=0.0, epoch=2))


async def _another_candidate(stage: Stage) -> None:
    other = replace(NEW, model="newer-model")
    stage.source.variants[other.id] = other
    stage.put(a_route(share=0.0, epoch=2, candidate=other.id, shadow_share=0.0))


HOMEWARDS = [_rolled_back, _flipped, _share_of_nobody, _another_candidate]


@pytest.mark.parametrize("home", HOMEWARDS)
@pytest.mark.parametrize("wire", WIRES)
async def test_the_longest_conversation_leaves_the_withdrawn_variant_on_its_next_request(
    wire: str, home: Callable[[Stage], Awaitable[None]]
) -> None:
    """With what the incumbent cannot read left out, so that it is an answer and not a refusal; and it says so."""
    async with a_stage_on(wire, a_route(share=0.6)) as (stage, _, new):
        talk = Conversation(stage, wire, a_user(0.0, 0.6))
        for _ in range(3):
            assert NEW.short_id == by(await talk.says())
        await home(stage)

        answers = [await talk.says(), await talk.says()]

        assert [(200, OLD.short_id, "stripped")] * 2 == [
            (answer.status, by(answer), answer.headers["x-midshift-state"]) for answer in answers
        ]
        assert 3 == new.answers
        assert b"signed-by-new" not in b"".join(seen.body for seen in stage.old.seen)
        assert {"support": 2} == +stage.gateway.counters.stripped


async def test_the_force_file_wins_over_state(tmp_path: Any) -> None:
    """What a person puts on the host at night is obeyed by the next request."""
    force = tmp_path / "force"
    async with a_stage_on("anthropic", a_route(share=1.0), force_file=force) as (stage, _, _):
        talk = Conversation(stage, "anthropic", "ann")
        await talk.says()
        force.touch()
        stage.gateway.routes.look_at_force_file()

        answer = await talk.says()

        assert (OLD.short_id, "stripped") == (by(answer), answer.headers["x-midshift-state"])


async def test_signatures_are_found_in_a_stream() -> None:
    """As they pass, before the app can send them back."""
    async with a_stage_on("anthropic", a_route(share=0.6)) as (stage, _, _):
        talk = Conversation(stage, "anthropic", a_user(0.0, 0.6))
        await talk.says(stream=True)
        talk.turns += heard("anthropic", _message("new", "signed-by-new-1", 1))
        stage.put(a_route(share=0.6).rolled_back())

        answer = await talk.says(stream=True)

        assert (200, OLD.short_id, "stripped") == (answer.status, by(answer), answer.headers["x-midshift-state"])
        assert 1 == len(stage.old.seen)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_candidate_that_fails_in_the_middle_of_a_conversation_is_answered_for(wire: str) -> None:
    """The incumbent gets what it can read; with the candidate's thoughts it would refuse."""
    async with a_stage_on(wire, a_route(share=1.0)) as (stage, _, new):
        talk = Conversation(stage, wire, "ann")
        await talk.says()
        new.trouble = 500

        answer = await talk.says()

        assert (200, OLD.short_id, "stripped") == (answer.status, by(answer), answer.headers["x-midshift-state"])
        assert stage.exposures[-1].fell_back


@pytest.mark.parametrize("wire", WIRES)
async def test_state_of_another_gateways_candidate_is_asked_for_once_more_without_it(wire: str) -> None:
    """After a rollback, nobody here knows who made it: the incumbent, whose it may be, says whether it is its own."""
    async with a_stage_on(wire, a_route(share=1.0).rolled_back()) as (stage, old, _):
        talk = Conversation(stage, wire, "ann", heard(wire, ANSWERS[wire]("new", "signed-by-new-1", 1)))

        answer = await talk.says()

        assert (200, OLD.short_id, "stripped") == (answer.status, by(answer), answer.headers["x-midshift-state"])
        assert (2, 1) == (len(stage.old.seen), old.answers)
        assert Fate.INCUMBENT is stage.exposures[-1].fate


@pytest.mark.parametrize("wire", WIRES)
async def test_unknown_state_of_the_incumbents_own_passes(wire: str) -> None:
    """After a restart of the gateway: most conversations are the incumbent's, and keep their thoughts."""
    async with a_stage_on(wire, a_route(share=0.2)) as (stage, _, _):
        talk = Conversation(stage, wire, a_user(0.2, 1.0), heard(wire, ANSWERS[wire]("old", "signed-by-old-1", 1)))

        answer = await talk.says()

        assert 200 == answer.status
        assert "x-midshift-state" not in answer.headers
        assert b"signed-by-old-1" in stage.old.seen[0].body


@pytest.mark.parametrize("wire", WIRES)
async def test_unknown_state_is_not_sent_to_the_candidate(wire: str) -> None:
    """The unit may have had the incumbent before the ramp: a refusal would count against the candidate."""
    async with a_stage_on(wire, a_route(share=1.0)) as (stage, _, _):
        talk = Conversation(stage, wire, "ann", heard(wire, ANSWERS[wire]("old", "signed-by-old-1", 1)))

        answer = await talk.says()

        assert (200, NEW.short_id, "stripped") == (answer.status, by(answer), answer.headers["x-midshift-state"])
        assert not stage.exposures[0].fell_back


async def test_an_incumbents_refusal_of_anything_else_is_not_asked_again() -> None:
    """Once is enough for a request that is wrong."""
    async with a_stage_on("anthropic") as (stage, old, _):
        old.trouble = 400

        assert 400 == (await Conversation(stage, "anthropic", "ann").says()).status
        assert 1 == len(stage.old.seen)


# Ids of responses, which cannot be left out


async def test_a_response_id_of_another_provider_is_refused_in_words() -> None:
    """The incumbent never heard of it, and would say so in words that help nobody."""
    async with a_stage_on("openai_responses", a_route(share=1.0)) as (stage, _, _):
        talk = Conversation(stage, "openai_responses", "ann")
        first = (await talk.says()).json["id"]
        stage.put(a_route(share=1.0).rolled_back())

        answer = await talk.follows(first)

        assert (409, "previous_response_id") == (answer.status, answer.json["error"]["param"])
        assert "state_of_another_provider" == answer.json["error"]["code"]
        assert [] == stage.old.seen
        assert {("", "state_of_another_provider"): 1} == stage.gateway.counters.refused


async def test_a_response_id_passes_within_one_provider() -> None:
    """The account is the same, and a vendor's own models may go on from each other's responses."""
    near = Variant("old-provider", "new-model")
    route = a_route(share=1.0, candidate=near.id)
    async with a_stage_on("openai_responses", route, source=FakeSource(OLD, near)) as (stage, _, _):
        talk = Conversation(stage, "openai_responses", "ann")
        first = (await talk.says()).json["id"]
        stage.put(route.rolled_back())

        answer = await talk.follows(first)

        assert (200, OLD.short_id) == (answer.status, by(answer))


async def test_a_response_id_keeps_its_conversation_with_its_variant_and_its_unit() -> None:
    """A turn that only names the response before it holds no opening to tell the conversation by."""
    workload = a_workload(unit=(UnitSource.parse("conversation"),))
    async with a_stage_on("openai_responses", a_route(share=0.5), workload=workload) as (stage, _, _):
        talk = Conversation(stage, "openai_responses", "nobody")
        answers = [await talk.says()]
        for _ in range(5):
            answers.append(await talk.follows(answers[-1].json["id"]))

        assert 1 == len({by(answer) for answer in answers})
        assert 1 == len({exposure.unit for exposure in stage.exposures})
        assert {False} == {exposure.unnamed for exposure in stage.exposures}


async def test_a_candidate_that_fails_with_an_id_of_its_own_is_an_error_that_may_be_tried_again() -> None:
    """The incumbent cannot go on from it; the next try may find the candidate in better health."""
    async with a_stage_on("openai_responses", a_route(share=1.0)) as (stage, _, new):
        talk = Conversation(stage, "openai_responses", "ann")
        first = (await talk.says()).json["id"]
        new.trouble = 500

        answer = await talk.follows(first)

        assert (502, "previous_response_id") == (answer.status, answer.json["error"]["param"])
        assert stage.exposures[-1].fell_back
        assert [] == stage.old.seen


KEYS = (ClientKey("ann", "ann-key-0123456789"), ClientKey("bob", "bob-key-0123456789"))


async def test_a_response_id_of_another_client_does_not_exist() -> None:
    """Behind a gateway all clients share one account: the vendor would hand out anybody's conversation."""
    async with a_stage_on("openai_responses", client_keys=KEYS) as (stage, _, _):
        anns = Conversation(stage, "openai_responses", "ann", key=KEYS[0].secret)
        bobs = Conversation(stage, "openai_responses", "ann", key=KEYS[1].secret)
        first = (await anns.says()).json["id"]

        refused, served = await bobs.follows(first), await anns.follows(first)

        assert (400, "previous_response_not_found") == (refused.status, refused.json["error"]["code"])
        assert 200 == served.status
        assert 2 == len(stage.old.seen)


async def test_a_ring_and_a_prompt_alone_move_no_state_on_wires_that_do_not_sign_the_prompt() -> None:
    """The same model reads its own thoughts whatever its instructions; on Anthropic's wire they are signed along."""
    prompted = Variant("old-provider", CLAIM, Prompt(PromptMode.REPLACE, "Be brief."))
    for wire, state in (("gemini", None), ("openai_responses", None), ("anthropic", "stripped")):
        route = a_route(share=1.0, candidate=prompted.id)
        async with a_stage_on(wire, route, source=FakeSource(OLD, prompted)) as (stage, _, _):
            talk = Conversation(stage, wire, "ann")
            await talk.says()
            stage.put(route.rolled_back())

            answer = await talk.says()

            assert (200, state) == (answer.status, answer.headers.get("x-midshift-state"))

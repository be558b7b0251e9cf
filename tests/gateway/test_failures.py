"""Failures as each wire's clients expect them: statuses, headers that say when to come again, errors in streams."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midshift.gateway.settings import Breaker
from midshift.providers.http.settings import Timeouts
from tests.gateway.fakes import Exchange, Script, a_route, a_stage, failing, silent
from tests.gateway.test_opening import ANTHROPIC, CHAT, CONTENTS, GEMINI, OPENINGS, PATHS, RESPONSES, UPSTREAM, sending
from tests.gateway.test_presence import asked

ADVICE = [
    ("retry-after", "7"),
    ("retry-after-ms", "6500"),
    ("x-should-retry", "false"),
    ("x-ratelimit-remaining-requests", "0"),
    ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:00Z"),
    ("request-id", "req_v"),
    ("x-request-id", "req_v"),
]
BODIES = {
    CHAT: {"error": {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}},
    RESPONSES: {"error": {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}},
    ANTHROPIC: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_v"},
    GEMINI: {"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED", "details": []}},
}


def error_of(wire: str, body: bytes) -> Any:
    """The error in the last event of a stream."""
    data = body.rstrip().rpartition(b"data: ")[2]
    found = json.loads(data)
    return found if wire == RESPONSES else found["error"]


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 503, 529])
@pytest.mark.parametrize("share", [0.0, 1.0])
async def test_an_incumbents_error_passes_as_it_is(wire: str, stream: bool, status: int, share: float) -> None:
    """Also where the candidate has failed before: the app gets what it would have got without a gateway."""
    body = json.dumps(BODIES[wire]).encode()
    path, sent = asked(wire, stream)
    async with a_stage(failing(status, ADVICE, body), failing(500), route=a_route(share), upstream=UPSTREAM) as stage:
        answer = await stage.app.ask(sent, path=path)

        assert (status, body) == (answer.status, answer.body)
        assert dict(ADVICE).items() <= answer.headers.items()
        assert (1, int(share)) == (len(stage.old.seen), len(stage.new.seen))


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", [401, 403, 408, 409, 429, 500, 503, 529])
async def test_a_candidates_error_is_the_incumbents_answer(wire: str, stream: bool, status: int) -> None:
    """Nobody is told about it, but the counters."""
    old = sending(*OPENINGS[wire], CONTENTS[wire][0]) if stream else failing(200, body=b"{}")
    path, sent = asked(wire, stream)
    async with a_stage(old, failing(status, ADVICE), route=a_route(), upstream=UPSTREAM) as stage:
        answer = await stage.app.ask(sent, path=path)

        assert 200 == answer.status
        assert "retry-after" not in answer.headers
        assert {("support", str(status)): 1} == stage.gateway.counters.fell_back


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize(
    ("stream", "timeouts", "code"),
    [
        (True, Timeouts(first_byte_s=0.02), "first_byte_timeout"),
        (True, Timeouts(total_s=0.15), "total_timeout"),
        (False, Timeouts(total_s=0.15), "total_timeout"),
    ],
)
async def test_an_answer_that_does_not_begin_in_time_is_a_504(
    wire: str, stream: bool, timeouts: Timeouts, code: str
) -> None:
    """Of the gateway's own making, and said so in the shape of the wire."""
    path, sent = asked(wire, stream)
    upstream = {**UPSTREAM, "timeouts": timeouts}
    async with a_stage(silent, route=a_route(share=0.0), upstream=upstream) as stage:
        answer = await stage.app.ask(sent, path=path)

        assert 504 == answer.status
        assert "took too long" in answer.json["error"]["message"]
        assert 504 == stage.exposures[0].status
        if wire in (CHAT, RESPONSES):
            assert code == answer.json["error"]["code"]


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("timeouts", [Timeouts(idle_s=0.03), Timeouts(total_s=0.05)])
async def test_a_stream_that_stalls_ends_in_an_error_of_its_wire(wire: str, timeouts: Timeouts) -> None:
    """An end without one would pass for a whole answer."""
    begun = (*OPENINGS[wire], CONTENTS[wire][0])
    path, sent = asked(wire, stream=True)
    upstream = {**UPSTREAM, "timeouts": timeouts}
    async with a_stage(sending(*begun, then=silent), route=a_route(share=0.0), upstream=upstream) as stage:
        answer = await stage.app.ask(sent, path=path)

        assert answer.body.startswith(b"".join(begun))
        assert "took too long" in error_of(wire, answer.body)["message"]
        assert [504] == [exposure.status for exposure in stage.exposures]


async def test_first_bytes_that_do_not_come_open_the_breaker() -> None:
    """A candidate that hangs costs each of its users the whole wait: after a few of them nobody waits any more."""
    upstream = {"timeouts": Timeouts(first_byte_s=0.01)}
    rules = Breaker(window=2, share=0.5, pause_s=30.0)
    async with a_stage(new=silent, route=a_route(), upstream=upstream, breaker=rules) as stage:
        for _ in range(4):
            assert 200 == (await stage.app.chat(stream=True)).status

        assert {("support", "first_byte_timeout"): 2, ("support", "breaker"): 2} == stage.gateway.counters.fell_back
        assert 2 == len(stage.new.seen)
        metrics = (await stage.app.ask(path="/metrics", method="GET")).body.decode()
        assert 'midshift_breaker_open{workload="support"' in metrics


def refusing_once(status: int) -> Script:
    """An error, and whole answers from then on."""
    answers = iter([True])

    async def script(exchange: Exchange) -> None:
        if next(answers, False):
            await exchange.answer(b'{"error":{"message":"no"}}', status, ADVICE)
        else:
            await exchange.answer(b'{"choices":[{"index":0,"message":{"content":"new"},"finish_reason":"stop"}]}')

    return script


async def test_one_refusal_does_not_take_the_candidate_away() -> None:
    """A single 429 says that one request came too many; many of them open the breaker."""
    async with a_stage(new=refusing_once(429), route=a_route()) as stage:
        found = [(await stage.app.chat()).text for _ in range(2)]

        assert ["old", "new"] == found

"""What an app, a provider, a disk or an operator's broken line may do, and what a gateway makes of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PosixPath

import pytest

from midshift.domain.exposure import Credit, Fate, Sum, SumKey
from midshift.domain.routing import Arm
from midshift.domain.usage import UNKNOWN
from midshift.domain.workload import UnitSource
from midshift.gateway import lastknown
from midshift.gateway.admin import AdminPort
from midshift.gateway.exchange import Exchange as GatewayExchange
from midshift.gateway.feedback import PATH
from midshift.gateway.headers import to_provider
from midshift.gateway.heads import Head
from midshift.gateway.settings import Breaker
from midshift.gateway.spool import Spool, Waiting
from midshift.testing.clock import ManualClock
from midshift.wire import sse
from midshift.wire.protocol import WireName
from midshift.wire.wires import WIRES
from tests.gateway.fakes import (
    CLAIM,
    Exchange,
    FakeConnection,
    FakeSink,
    a_question,
    a_route,
    a_stage,
    a_workload,
    completion,
    failing,
    silent,
    streaming,
)
from tests.gateway.test_admin import ADMIN, SHOWN, flip, nonce_of
from tests.gateway.test_route import following
from tests.gateway.test_stored import a_stage_of_responses, made

DEEP = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
NAMES = ("openai_chat", "openai_responses", "anthropic", "gemini")
PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini": f"/v1beta/models/{CLAIM}:generateContent",
}


@pytest.mark.parametrize("wire", NAMES)
async def test_json_that_is_too_deep_is_the_apps_mistake(wire: str) -> None:
    """100 KB of brackets are no reason for a 500, which would look like an outage."""
    body = b'{"model":"%b","messages":[],"input":"","contents":[],"max_tokens":1,"x":%b}' % (CLAIM.encode(), DEEP)
    async with a_stage(upstream={"wires": {wire: ""}}) as stage:
        answer = await stage.app.ask(body, path=PATHS[wire])

        assert (400, True) == (answer.status, stage.gateway.counters.reconciles)
        assert "JSON" in json.dumps(answer.json)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_is_too_deep_to_read_reaches_the_app(stream: bool) -> None:
    """What it used is unknown, and that is all."""
    deep = b'{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}],"x":%b}' % DEEP

    async def script(exchange: Exchange) -> None:
        if not stream:
            await exchange.answer(deep)
            return
        await exchange.begin_stream()
        await exchange.chunk(b"data: " + deep + b"\n\n")
        await exchange.end_stream()

    async with a_stage(script) as stage:
        answer = await stage.app.chat(stream=stream)
        await stage.settled()

        assert (200, True) == (answer.status, deep in answer.body)
        assert [None] == [one.tokens_in for one in stage.exposures]


@pytest.mark.parametrize("wire", list(WireName))
@pytest.mark.parametrize("body", [DEEP, b"[" * 20_000 + b"]" * 20_000, b'{"error":%b}' % DEEP, b"\xff", b"null", b""])
def test_no_answer_of_a_provider_is_more_than_unreadable(wire: WireName, body: bytes) -> None:
    """Whatever reads an answer is beside the user's: it says what it cannot read, and raises nothing."""
    spoken, event, line = WIRES[wire], sse.Event(body), b"data: " + body + b"\n\n"
    tail = spoken.tail()
    tail.feed(line)

    assert (None, UNKNOWN) == (spoken.read_answer(body), tail.answer().usage)
    assert (500, []) == (spoken.read_problem(500, body).status, spoken.state_in(line))
    assert not spoken.is_usage_only(line)
    assert not spoken.is_ping(event) or not body  # an event without data is nothing of an answer
    assert isinstance(spoken.is_error(event), bool)
    assert spoken.read_stream(line) is None


async def test_a_candidates_answer_that_is_too_deep_is_the_incumbents() -> None:
    """It cannot be read, so it is no answer."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(b'{"choices":%b}' % DEEP)

    async with a_stage(new=script, route=a_route()) as stage:
        assert "old" == (await stage.app.chat()).text


@pytest.mark.parametrize("path", ["/v1/chat/completions", PATH])
async def test_a_body_in_chunks_is_limited_when_it_comes_at_once(path: str) -> None:
    """Without a length, and whole in one packet: the limit is about its bytes, however they come."""
    body = json.dumps(a_question("u" * 20_000)).encode()
    async with a_stage(max_body_bytes=1000) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.app.port)
        head = b"POST %b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" % path.encode()
        writer.write(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        status = (await reader.readline()).split()[1]
        writer.close()

        assert (b"413", []) == (status, stage.old.seen)


async def test_a_flip_that_breaks_off_flips_nothing() -> None:
    """The body would have named one workload: without it, a whole product would go home."""
    async with a_stage(route=a_route(), admin=ADMIN) as stage:
        nonce = await nonce_of(stage)
        port = AdminPort(stage.gateway, ADMIN, stage.clock)
        port._nonces = {nonce: 1e9}
        lines = [(SHOWN[0].encode(), SHOWN[1].encode()), (b"x-midshift-nonce", nonce.encode())]
        exchange = GatewayExchange(FakeConnection(), Head("POST", b"/-/force-incumbent", lines), None)
        exchange.feed(b'{"workload": "sup')
        exchange.lost()

        await port(exchange)

        assert "new" == (await stage.app.chat()).text


class HangingSink(FakeSink):
    """A store that does not come back until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = threading.Event()
        self.may_go = threading.Event()

    def take_feedback(self, request: str, workload: str, at: datetime, sums: Mapping[SumKey, Sum]) -> bool:
        """Wait."""
        self.is_asked.set()
        return self.may_go.wait(30.0)


async def test_a_translated_error_says_what_it_is_now() -> None:
    """Trap 12: an error that was rewritten is no longer compressed, nor an HTML page."""
    page = gzip.compress(b"<html>overloaded</html>")
    lines = [("content-encoding", "gzip"), ("content-type", "text/html")]
    async with a_stage(failing(529, lines, page), upstream={"wires": {"anthropic": ""}}) as stage:
        answer = await stage.app.chat(max_tokens=9)

        assert (529, "application/json", None) == (
            answer.status,
            answer.headers["content-type"],
            answer.headers.get("content-encoding"),
        )


@pytest.mark.parametrize("stream", [False, True])
async def test_a_compressed_answer_that_must_be_translated_is_an_error(stream: bool) -> None:
    """And neither an empty stream nor another vendor's bytes: nobody asked for it compressed."""
    lines = [("content-encoding", "gzip")]
    packed = gzip.compress(b'event: message_start\ndata: {"type":"message_start"}\n\n')
    script = streaming([packed], lines) if stream else failing(200, lines, packed)
    async with a_stage(script, upstream={"wires": {"anthropic": ""}}) as stage:
        answer = await stage.app.chat(stream=stream, max_tokens=9)

        assert (502, "broken") == (answer.status, answer.json["error"]["code"])


@pytest.mark.parametrize("status", [600, 999])
async def test_a_status_that_is_none_is_an_error_in_words(status: int) -> None:
    """And not a connection that closes without an answer."""
    async with a_stage(failing(status)) as stage:
        answer = await stage.app.chat()
        await stage.settled()

        assert 502 == answer.status
        assert [(502, Fate.INCUMBENT)] == [(one.status, one.fate) for one in stage.exposures]


async def test_who_waited_for_a_connection_during_a_flip_gets_the_incumbent() -> None:
    """A queue in front of the withdrawn variant must not be worked off by it."""
    first, may_answer = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        first.set()
        await may_answer.wait()
        await exchange.answer(completion("new"))

    route = a_route(reverse_share=1.0)
    upstream = {"max_connections": 1}
    async with a_stage(new=script, route=route, upstream=upstream, admin=ADMIN, clock=ManualClock()) as stage:
        async with asyncio.TaskGroup() as asking:
            before = asking.create_task(stage.app.chat("ann"))
            await first.wait()
            waiting = asking.create_task(stage.app.chat("bob"))
            while stage.gateway.load.in_flight < 2:  # noqa: ASYNC110 - a plain number
                await asyncio.sleep(0)
            await flip(stage)
            may_answer.set()

        assert ("new", "old") == (before.result().text, waiting.result().text)
        await stage.settled()
        assert [False, False] == [one.fell_back for one in stage.exposures]
        assert (1, True) == (len(stage.pairs), stage.gateway.counters.reconciles)


async def test_a_shadow_whose_end_cannot_be_recorded_ends_alone() -> None:
    """A task that fails would take all others with it: every request, for the sake of an answer that nobody sees."""

    def failing_to_record(*_: object) -> None:
        raise RuntimeError("no room")

    async with a_stage(route=a_route(0.0, shadow_share=1.0), clock=ManualClock()) as stage:
        stage.gateway._mirror._finished = failing_to_record

        assert ["old", "old"] == [(await stage.app.chat()).text for _ in range(2)]
        await stage.settled()

        assert (2, True) == (len(stage.pairs), stage.gateway.counters.reconciles)


async def test_who_the_user_is_does_not_reach_a_provider_with_a_question_about_a_response() -> None:
    """A header that names units is ours, on every path."""
    unit = (UnitSource.parse("header:x-customer"),)
    async with a_stage_of_responses(workload=a_workload(unit=unit)) as stage:
        lines = [("x-customer", "ada@example.com")]
        made_at = await made(stage, lines)

        answer = await stage.app.ask(None, lines, f"/v1/responses/{made_at}", "GET")

        assert 200 == answer.status
        assert [None, None] == [seen.headers.get("x-customer") for seen in stage.new.seen]


@pytest.mark.parametrize(("waited_s", "asked"), [(9.0, 5), (11.0, 3)])
async def test_apps_that_give_up_on_a_candidate_open_the_breaker(waited_s: float, asked: int) -> None:
    """An app that waits for less long than we do never sees the incumbent's answer: its leaving is all that is said."""
    is_asked = asyncio.Semaphore(0)

    async def script(exchange: Exchange) -> None:
        is_asked.release()
        await silent(exchange)

    rules, clock = Breaker(window=3, share=1.0), ManualClock()
    async with a_stage(new=script, route=a_route(), breaker=rules, clock=clock) as stage:
        for _ in range(asked):
            async with stage.app.sent(a_question()):
                await is_asked.acquire()
                clock.advance(waited_s)
            await stage.settled()

        is_open = bool(stage.gateway._relay.open_breakers())
        assert (waited_s > 10.0, True) == (is_open, stage.gateway.counters.reconciles)


class SlowFolder(PosixPath):
    """A folder on a disk whose first write takes until it is let go."""

    is_asked: threading.Event
    may_go: threading.Event

    @classmethod
    def at(cls, path: Path) -> SlowFolder:
        """The folder."""
        made = cls(path)
        made.is_asked, made.may_go = threading.Event(), threading.Event()
        return made

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Wait, if nobody has before."""
        if not self.is_asked.is_set():
            self.is_asked.set()
            self.may_go.wait(30.0)
        super().mkdir(mode, parents, exist_ok)


def test_a_flip_on_disk_is_not_undone_by_a_write_that_was_slower(tmp_path: Path) -> None:
    """Two threads write the file; the one that began before the flip knows nothing of it, and may end after."""
    folder = SlowFolder.at(tmp_path)
    follower, _ = following()
    follower.routes._settings = replace(follower.routes._settings, state_dir=folder)
    before, after = (threading.Thread(target=follower.routes.keep) for _ in range(2))
    before.start()
    folder.is_asked.wait(30.0)
    follower.routes.flip(["support"])
    after.start()
    after.join(0.02)  # over at once, or waiting for the other

    folder.may_go.set()
    before.join()
    after.join()

    known = lastknown.read(tmp_path)
    assert known is not None
    assert {"support": 1} == known.flips


def waiting_feedback(request: str) -> Waiting:
    """One feedback that the store has not counted."""
    credit = Credit("support", "up-1", 1, Arm.CANDIDATE, (), 3)
    return Waiting(request, credit, datetime(2026, 1, 5, tzinfo=UTC), 1.0, False)


def test_what_was_accepted_after_a_torn_line_is_not_lost(tmp_path: Path) -> None:
    """A process that died in the middle of a line leaves no line end: the next line must not become a part of it."""
    before = Spool(tmp_path, 10)
    assert before.add(waiting_feedback("first"))
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes() + b'{"request": "torn')

    assert Spool(tmp_path, 10).add(waiting_feedback("second"))

    assert ["first", "second"] == [one.request for one in Spool(tmp_path, 10).all()]


@pytest.mark.parametrize(
    "name",
    [
        *("x-portkey-api-key", "x-litellm-api-key", "x-auth-token", "x-amz-security-token", "x-amzn-oidc-accesstoken"),
        *("x-goog-iap-jwt-assertion", "x-ms-token-aad-access-token", "x-amzn-oidc-data", "x-hasura-admin-secret"),
    ],
)
def test_what_an_app_shows_to_somebody_else_stays_here(name: str) -> None:
    """Credentials of gateways, proxies and clouds in front of us are none of a vendor's business."""
    lines = [(name.encode(), b"secret"), (b"anthropic-beta", b"x"), (b"idempotency-key", b"1"), (b"user-agent", b"a")]

    assert lines[1:] == to_provider(lines)


async def test_a_store_that_hangs_does_not_keep_an_operator_from_flipping() -> None:
    """The admin port works with the store dead: threads that wait for it are feedback's own."""
    sink = HangingSink()
    loop = asyncio.get_running_loop()
    async with a_stage(route=a_route(), admin=ADMIN, clock=ManualClock()) as stage:
        stage.gateway.feedback._sink = sink
        loop.set_default_executor(ThreadPoolExecutor(1))
        request_id = (await stage.app.chat()).headers["x-midshift-request-id"]
        async with asyncio.TaskGroup() as giving:
            given = giving.create_task(stage.app.ask({"request_id": request_id, "thumbs": "up"}, path=PATH))
            while not sink.is_asked.is_set():  # noqa: ASYNC110 - set by a thread
                await asyncio.sleep(0)
            try:
                async with asyncio.timeout(1.0):
                    status, _ = await flip(stage)
            finally:
                sink.may_go.set()

        assert (200, 200) == (status, given.result().status)

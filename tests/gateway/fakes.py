"""Providers and apps on loopback, as small as a test can need them, and a stage that puts a gateway in between.

A provider does what its script says: `answering`, `streaming`, `failing`, `silent`, or a coroutine of the test. An app
speaks HTTP/1.1 by hand, so that a test sees every byte and when it came. Nothing sleeps: tests wait for events.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from midshift.domain.capture import CapturedRequest, FeedbackRecord
from midshift.domain.exposure import Exposure, HistogramKey, Pair, Sum, SumKey
from midshift.domain.gateways import GatewayProcess, Told
from midshift.domain.histogram import Histogram
from midshift.domain.routing import Route
from midshift.domain.suite import Slice
from midshift.domain.usage import Usage
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.domain.workload import SliceRule, UnitSource, Workload
from midshift.errors import StoreError
from midshift.gateway.app import Gateway, unpriced
from midshift.gateway.exchange import Exchange as GatewayExchange
from midshift.gateway.heads import Head
from midshift.gateway.recorder import SumSink
from midshift.gateway.reporting import Reports
from midshift.gateway.server import Listening, serving
from midshift.gateway.settings import ClientKey, GatewaySettings, Pricing
from midshift.providers.http.settings import Upstream
from midshift.testing.clock import ManualClock
from tests.servers import Exchange as Exchange
from tests.servers import FakeProvider as FakeProvider
from tests.servers import Lines
from tests.servers import Script as Script
from tests.servers import Seen as Seen
from tests.servers import cutting as cutting
from tests.servers import silent as silent

UNIT_KEY = b"a key for tests, only for tests"
CLAIM = "old-model"
OLD = Variant("old-provider", CLAIM)
NEW = Variant("new-provider", "new-model", Prompt(PromptMode.REPLACE, "Be brief."), effort="low")


def completion(
    text: str = "Hello.", usage: Mapping[str, object] | None = None, finish: str = "stop", model: str = "m"
) -> bytes:
    """A whole answer as OpenAI has it."""
    counted = {"prompt_tokens": 7, "completion_tokens": 3} if usage is None else dict(usage)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    answer = {"id": "c-1", "object": "chat.completion", "model": model, "choices": [choice]}
    return json.dumps({**answer, **({"usage": counted} if counted else {})}).encode()


def event(text: str | None = None, finish: str | None = None, **fields: object) -> bytes:
    """One event of a stream."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "c-1", "object": "chat.completion.chunk", "choices": [choice], **fields}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


USAGE_EVENT = b'data: {"id":"c-1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
DONE_EVENT = b"data: [DONE]\n\n"
STREAM = (event("Hel"), event("lo."), event(finish="stop"), USAGE_EVENT, DONE_EVENT)


def answering(text: str = "Hello.", **fields: Any) -> Script:
    """Answers with a text: streamed if asked for, with usage if asked for."""

    async def script(exchange: Exchange) -> None:
        if not exchange.seen.json.get("stream"):
            await exchange.answer(completion(text, **fields))
            return
        await exchange.begin_stream()
        asked = exchange.seen.json.get("stream_options", {}).get("include_usage")
        for data in (event(text), event(finish="stop"), *([USAGE_EVENT] if asked else []), DONE_EVENT):
            await exchange.chunk(data)
        await exchange.end_stream()

    return script


def streaming(events: Iterable[bytes] = STREAM, lines: Lines = ()) -> Script:
    """Answers with these parts of a stream."""

    async def script(exchange: Exchange) -> None:
        await exchange.begin_stream(lines)
        for data in events:
            await exchange.chunk(data)
        await exchange.end_stream()

    return script


def failing(status: int = 500, lines: Lines = (), body: bytes = b'{"error":{"message":"no","type":"x"}}') -> Script:
    """Answers with an error."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(body, status, lines)

    return script


class FakeSource:
    """Implements `ports.RouteSource` from a dictionary; `trouble` is raised instead of an answer."""

    def __init__(self, *variants: Variant) -> None:
        self.rows: dict[str, Route] = {}
        self.variants = {variant.id: variant for variant in variants}
        self.trouble: Exception | None = None
        self.is_quiet = False

    def put(self, route: Route) -> Route:
        """Set a row."""
        self.rows[route.workload] = route
        return route

    def changed(self) -> bool:
        """Always, unless quiet."""
        if self.trouble is not None:
            raise self.trouble
        return not self.is_quiet

    def routes(self) -> Sequence[Route]:
        """The rows."""
        return list(self.rows.values())

    def variant(self, variant_id: str) -> Variant:
        """The variant of that id."""
        if variant_id not in self.variants:
            raise StoreError(f"no variant {variant_id!r}")
        return self.variants[variant_id]


@dataclass
class FakeSink:
    """Implements `ports.Recorder`, `SumSink` and `Reports` in memory; `trouble` is raised instead of taking it."""

    exposures: list[Exposure] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    requests: list[CapturedRequest] = field(default_factory=list)
    feedback: list[FeedbackRecord] = field(default_factory=list)
    batches: list[tuple[str, int, dict[SumKey, Sum]]] = field(default_factory=list)
    histograms: list[dict[HistogramKey, Histogram]] = field(default_factory=list)
    credited: dict[str, dict[SumKey, Sum]] = field(default_factory=dict)
    reported: list[dict[str, tuple[int, str]]] = field(default_factory=list)
    left: list[GatewayProcess] = field(default_factory=list)
    trouble: Exception | None = None
    last: int | None = None

    def record(self, *exposures: Exposure) -> None:
        """Keep them."""
        self._fail()
        self.exposures += exposures

    def record_pair(self, pair: Pair) -> None:
        """Keep it."""
        self._fail()
        self.pairs.append(pair)

    def record_request(self, request: CapturedRequest) -> None:
        """Keep it."""
        self._fail()
        self.requests.append(request)

    def record_feedback(self, feedback: FeedbackRecord) -> None:
        """Keep it."""
        self._fail()
        self.feedback.append(feedback)

    def merge_sums(
        self,
        gateway: str,
        sequence: int,
        sums: Mapping[SumKey, Sum],
        histograms: Mapping[HistogramKey, Histogram] = MappingProxyType({}),
    ) -> bool:
        """Keep the batch."""
        self._fail()
        self.batches.append((gateway, sequence, {key: replace(value) for key, value in sums.items()}))
        self.histograms.append(dict(histograms))
        return True

    def take_feedback(self, request: str, workload: str, at: datetime, sums: Mapping[SumKey, Sum]) -> bool:
        """Keep the first on each request."""
        self._fail()
        is_first = request not in self.credited
        self.credited.setdefault(request, dict(sums))
        return is_first

    def last_sequence(self, gateway: str) -> int | None:
        """The number that a test has set."""
        self._fail()
        return self.last

    def report(self, process: GatewayProcess, told: Mapping[str, Told], at: object) -> None:
        """Keep it."""
        self.reported.append({name: (one.epoch, one.home) for name, one in told.items()})

    def leave(self, process: GatewayProcess, at: object) -> None:
        """Keep it."""
        self.left.append(process)

    def _fail(self) -> None:
        if self.trouble is not None:
            raise self.trouble


@dataclass
class Answer:
    """What an app got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as plain values."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """What the model said."""
        return str(self.json["choices"][0]["message"]["content"])


class App:
    """A client that speaks HTTP/1.1 by hand, on one connection a request."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def ask(
        self, body: object = None, lines: Lines = (), path: str = "/v1/chat/completions", method: str = "POST"
    ) -> Answer:
        """One request and its whole answer."""
        async with self.asking(body, lines, path, method) as streamed:
            return Answer(streamed.status, streamed.headers, await streamed.read())

    @asynccontextmanager
    async def asking(
        self, body: object = None, lines: Lines = (), path: str = "/v1/chat/completions", method: str = "POST"
    ) -> AsyncIterator[Streamed]:
        """One request; the answer is read as it comes, and leaving the block closes the connection."""
        async with self.sent(body, lines, path, method) as (reader, writer):
            yield await Streamed.begun(reader, writer)

    @asynccontextmanager
    async def sent(
        self, body: object = None, lines: Lines = (), path: str = "/v1/chat/completions", method: str = "POST"
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A request that is sent, and nothing read of its answer."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 26)
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: x\r\n{head}content-length: {len(content)}\r\n\r\n".encode() + content
        )
        try:
            yield reader, writer
        finally:
            writer.close()

    async def chat(self, user: str = "u", stream: bool = False, lines: Lines = (), **fields: object) -> Answer:
        """A question by a user."""
        return await self.ask(a_question(user, stream, **fields), lines)


@dataclass
class Streamed:
    """An answer that is read as it comes."""

    status: int
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def begun(cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Streamed:
        """The answer whose head has come."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        named = dict(line.split(": ", 1) for line in head[1:] if line)
        return cls(int(head[0].split()[1]), {name.lower(): value for name, value in named.items()}, reader, writer)

    async def chunk(self) -> bytes:
        """The next part of a body in chunks; nothing at its end."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def read(self) -> bytes:
        """All that is left of the body."""
        if self.headers.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(int(self.headers.get("content-length", "0")))
        body = b""
        while chunk := await self.chunk():
            body += chunk
        return body


def a_question(user: str = "u", stream: bool = False, **fields: object) -> dict[str, object]:
    """The body of a request, as an app sends it."""
    messages = [{"role": "system", "content": "You help."}, {"role": "user", "content": f"Hello, I am {user}."}]
    return {"model": CLAIM, "messages": messages, "user": user, **({"stream": True} if stream else {}), **fields}


def a_workload(**fields: Any) -> Workload:
    """A workload whose unit is the body's `user`."""
    given: dict[str, Any] = {
        "name": "support",
        "claims": (CLAIM,),
        "incumbent": OLD,
        "slices": (Slice("all"),),
        "unit": (UnitSource.parse("body:user"),),
        **fields,
    }
    return Workload(**given)


def a_route(share: float = 1.0, epoch: int = 1, **fields: Any) -> Route:
    """A row with a candidate."""
    given = {"candidate": NEW.id, "salt": "salt", "upgrade": "up-1", "step": 1, **fields}
    return Route("support", OLD.id, epoch, share=share, **given)


def rule(name: str, when: Any) -> SliceRule:
    """A rule for a slice."""
    return SliceRule(name, when)


@dataclass
class Stage:
    """A gateway between an app and two providers."""

    gateway: Gateway
    listening: Listening
    app: App
    old: FakeProvider
    new: FakeProvider
    source: FakeSource
    sink: FakeSink
    clock: ManualClock

    @property
    def exposures(self) -> list[Exposure]:
        """What was recorded."""
        self.gateway.afterwards.record()
        self.gateway.recorder.hand_over()
        return self.sink.exposures

    @property
    def pairs(self) -> list[Pair]:
        """The pairs that were recorded."""
        self.gateway.afterwards.record()
        self.gateway.recorder.hand_over()
        return self.sink.pairs

    def put(self, route: Route) -> None:
        """Change the row, and let the gateway see it."""
        self.source.put(route)
        self.gateway.routes.look()

    async def settled(self) -> None:
        """Wait until every request and every mirrored one is accounted for."""
        while self.gateway.counters.in_flight or self.gateway.counters.shadows_in_flight:  # noqa: ASYNC110 - plain numbers
            await asyncio.sleep(0)


@asynccontextmanager
async def a_stage(
    old: Script | None = None,
    new: Script | None = None,
    *,
    route: Route | None = None,
    workload: Workload | None = None,
    clock: ManualClock | None = None,
    source: FakeSource | None = None,
    upstream: Mapping[str, Any] | None = None,
    new_upstream: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    sums: SumSink | None = None,
    reports: Reports | None = None,
    client_keys: tuple[ClientKey, ...] = (),
    pricing: Pricing = unpriced,
    price_book: str = "",
    **fields: Any,
) -> AsyncIterator[Stage]:
    """Everything running, with the candidate on `route`; any field of the settings may be given.

    `new_upstream` is for the candidate's provider where it is another one than `upstream`.
    """
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(FakeProvider(old or answering("old")).running())
        second = await stack.enter_async_context(FakeProvider(new or answering("new")).running())
        options = dict(upstream or {})
        upstreams = {
            "old-provider": Upstream(first.base_url, api_key="sk-old-provider-key", **options),
            "new-provider": Upstream(
                second.base_url, api_key="sk-new-provider-key", **{**options, **(new_upstream or {})}
            ),
        }
        rows = source or FakeSource(OLD, NEW)
        if route is not None:
            rows.put(route)
        settings = GatewaySettings(
            name="gateway-1",
            workloads=(workload or a_workload(),),
            upstreams=upstreams,
            unit_key=UNIT_KEY,
            client_keys=client_keys,
            **{"port": 0, "drain_s": 0.2, **fields},
        )
        sink, manual = FakeSink(), clock or ManualClock()
        gateway = Gateway(
            settings,
            clock=manual,
            source=rows,
            sink=sink,
            sums=sums or sink,
            reports=reports or sink,
            feedback=sink,
            pricing=pricing,
            price_book=price_book,
            environment=environment or {},
        )
        listening = await stack.enter_async_context(serving(gateway, manual))
        yield Stage(gateway, listening, App(listening.port), first, second, rows, sink, manual)


def hashed_unit(name: str) -> str:
    """A unit as it is stored: HMAC-SHA-256 under the deployment's key, 128 bits of it."""
    return hmac.digest(UNIT_KEY, b"unit:" + name.encode(), "sha256").hex()[:32]


class FakeConnection:
    """Implements `exchange.Connection`: keeps what was written."""

    def __init__(self) -> None:
        self.is_write_paused = False
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written += data

    def write_soon(self, data: bytes) -> None:
        """Keep it."""
        self.written += data

    async def drained(self) -> None:
        """At once."""

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.is_closed

    def close(self) -> None:
        """Close."""
        self.is_closed = True

    def ended(self) -> None:
        """There is no next request."""


class FullConnection(FakeConnection):
    """One whose app has yet to take the answer before, and takes nothing until a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.is_write_paused = True
        self.is_awaited = asyncio.Event()
        self._taken = asyncio.Event()

    async def drained(self) -> None:
        """Say that somebody waits, and wait."""
        self.is_awaited.set()
        await self._taken.wait()

    def take(self) -> None:
        """The app takes more, or is gone: nobody waits for it any more."""
        self.is_write_paused = False
        self._taken.set()


def an_exchange_on(connection: FakeConnection, stream: bool = False) -> GatewayExchange:
    """A question whose body has come, and that nobody answers yet."""
    head = Head("POST", b"/v1/chat/completions", [(b"host", b"x")])
    return GatewayExchange(connection, head, None, json.dumps(a_question(stream=stream)).encode())


def priced_apart(variant: Variant, usage: Usage) -> float | None:
    """A price that says whose it is; None without usage."""
    return None if usage.tokens_out is None else {OLD.id: 0.25, NEW.id: 0.5}[variant.id]


class FakeTransport(asyncio.Transport):
    """Keeps what was done with it, in a word each."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []
        self.unsent = 0

    def write(self, data: object) -> None:
        """Note it."""
        self.done.append("write")

    def write_eof(self) -> None:
        """Note it."""
        self.done.append("write_eof")

    def close(self) -> None:
        """Note it."""
        self.done.append("close")

    def abort(self) -> None:
        """Note it."""
        self.done.append("abort")

    def is_closing(self) -> bool:
        """Until it is aborted."""
        return "abort" in self.done

    def pause_reading(self) -> None:
        """Note it."""
        self.done.append("pause_reading")

    def resume_reading(self) -> None:
        """Note it."""
        self.done.append("resume_reading")

    def get_write_buffer_size(self) -> int:
        """What the app has not taken; nothing unless a test says so."""
        return self.unsent

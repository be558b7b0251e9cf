"""Providers and apps on loopback, as small as a test can need them, and a stage that puts a gateway in between.

A provider does what its script says: `answering`, `streaming`, `failing`, `silent`, or a coroutine of the test. An app
speaks HTTP/1.1 by hand, so that a test sees every byte and when it came. Nothing sleeps: tests wait for events.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from midshift.domain.exposure import Exposure, Pair, Sum, SumKey
from midshift.domain.routing import Route
from midshift.domain.suite import Slice
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.domain.workload import SliceRule, UnitSource, Workload
from midshift.errors import StoreError
from midshift.gateway.app import Gateway
from midshift.gateway.recorder import SumSink
from midshift.gateway.route import Reports
from midshift.gateway.server import Listening, serving
from midshift.gateway.settings import ClientKey, GatewaySettings
from midshift.providers.http.settings import Upstream
from midshift.testing.clock import ManualClock

UNIT_KEY = b"a key for tests, only for tests"
CLAIM = "old-model"
OLD = Variant("old-provider", CLAIM)
NEW = Variant("new-provider", "new-model", Prompt(PromptMode.REPLACE, "Be brief."), effort="low")

Lines: TypeAlias = Sequence[tuple[str, str]]


@dataclass
class Seen:
    """A request as a provider got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as plain values."""
        return json.loads(self.body)


class Exchange:
    """One request at a provider, and the means to answer it piece by piece."""

    def __init__(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen = seen
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, body: bytes, status: int = 200, lines: Lines = ()) -> None:
        """A whole answer."""
        named = {"content-type": "application/json", **dict(lines), "content-length": str(len(body))}
        await self.send(_head(status, named) + body)

    async def begin_stream(self, lines: Lines = ()) -> None:
        """The head of a stream of events."""
        await self.send(
            _head(200, {"content-type": "text/event-stream", **dict(lines), "transfer-encoding": "chunked"})
        )

    async def chunk(self, data: bytes) -> None:
        """A part of a stream."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end_stream(self) -> None:
        """The end of a stream."""
        await self.send(b"0\r\n\r\n")

    def cut(self) -> None:
        """Break the connection."""
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the other side has closed."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionError:
            pass


Script: TypeAlias = Callable[[Exchange], Awaitable[None]]


class FakeProvider:
    """An HTTP/1.1 server that keeps what it saw."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.connections = 0
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def base_url(self) -> str:
        """Where it is, as a client is told."""
        return f"http://127.0.0.1:{self.port}/v1"

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[FakeProvider]:
        """Listen as long as the block lasts."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20, **options)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.close_connections()

    def close_connections(self) -> None:
        """Close every connection, as a server does with idle ones."""
        for writer in list(self._open):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            while True:
                seen = await _request(reader)
                self.seen.append(seen)
                self.asked.set()
                await self.script(Exchange(seen, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            self._open.discard(writer)
            writer.close()
            self.left.set()


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


async def silent(exchange: Exchange) -> None:
    """Takes the request and says nothing until the other side has gone."""
    await exchange.gone()
    raise ConnectionResetError


async def cutting(exchange: Exchange) -> None:
    """Takes the request and breaks the connection."""
    exchange.cut()


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
    batches: list[tuple[str, int, dict[SumKey, Sum]]] = field(default_factory=list)
    reported: list[dict[str, int]] = field(default_factory=list)
    trouble: Exception | None = None
    last: int | None = None

    def record(self, exposure: Exposure) -> None:
        """Keep it."""
        self._fail()
        self.exposures.append(exposure)

    def record_pair(self, pair: Pair) -> None:
        """Keep it."""
        self._fail()
        self.pairs.append(pair)

    def merge_sums(self, gateway: str, sequence: int, sums: Mapping[SumKey, Sum]) -> bool:
        """Keep the batch."""
        self._fail()
        self.batches.append((gateway, sequence, {key: replace(value) for key, value in sums.items()}))
        return True

    def last_sequence(self, gateway: str) -> int | None:
        """The number that a test has set."""
        self._fail()
        return self.last

    def report(self, gateway: str, epochs: Mapping[str, int], at: object) -> None:
        """Keep it."""
        self.reported.append(dict(epochs))

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
        self.gateway.recorder.hand_over()
        return self.sink.exposures

    @property
    def pairs(self) -> list[Pair]:
        """The pairs that were recorded."""
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
    environment: Mapping[str, str] | None = None,
    sums: SumSink | None = None,
    reports: Reports | None = None,
    client_keys: tuple[ClientKey, ...] = (),
    **fields: Any,
) -> AsyncIterator[Stage]:
    """Everything running, with the candidate on `route`; any field of the settings may be given."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(FakeProvider(old or answering("old")).running())
        second = await stack.enter_async_context(FakeProvider(new or answering("new")).running())
        options = dict(upstream or {})
        upstreams = {
            "old-provider": Upstream(first.base_url, api_key="sk-old-provider-key", **options),
            "new-provider": Upstream(second.base_url, api_key="sk-new-provider-key", **options),
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
            environment=environment or {},
        )
        listening = await stack.enter_async_context(serving(gateway, manual))
        yield Stage(gateway, listening, App(listening.port), first, second, rows, sink, manual)


def _head(status: int, lines: Mapping[str, str]) -> bytes:
    named = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{named}\r\n".encode()


async def _request(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split()
    named = dict(line.split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(named.get("content-length", "0")))
    return Seen(method, path, named, body)


def hashed_unit(name: str) -> str:
    """A unit as it is stored: HMAC-SHA-256 under the deployment's key, 128 bits of it."""
    return hmac.digest(UNIT_KEY, b"unit:" + name.encode(), "sha256").hex()[:32]

"""The gateway as an ASGI application: who may ask, for which workload, which variant answers, what is left behind.

Contract. Every request for an answer is counted once, and ends as served by the incumbent, served by the candidate,
or refused; refusals have the shape of OpenAI's errors. Whatever fails in here fails one request. A gateway is an
async context: inside it follows its routes and hands its record over.
Elsewhere: listening and draining (server), the flips of an operator (admin).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeAlias

from midshift.domain.exposure import Exposure, Fate, ShadowFate
from midshift.domain.routing import assign, block
from midshift.domain.usage import Usage
from midshift.domain.variant import Variant
from midshift.domain.workload import BodyEquals, HeaderEquals, LanguageIs, SliceRule, UnitKind, UnitSource, Workload
from midshift.gateway import headers, metrics
from midshift.gateway.counters import UNKNOWN, Counters
from midshift.gateway.mirror import CLIENT_LEFT, Mirror, Mirroring
from midshift.gateway.recorder import RecordQueue, SumSink
from midshift.gateway.relay import Job, Outcome, Relay, Reply, Send
from midshift.gateway.route import Reports, Routes
from midshift.gateway.settings import ClientKey, GatewaySettings, Pricing
from midshift.ports import Clock, Recorder, RouteSource
from midshift.providers.http.messages import Transport
from midshift.providers.http.pool import Pool
from midshift.providers.http.settings import Upstream
from midshift.wire import openai_chat
from midshift.wire.openai_chat import ChatRequest, Unreadable

LOG = logging.getLogger(__name__)

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Found: TypeAlias = Mapping[bytes, bytes]

CHAT = "/v1/chat/completions"
PATIENCE_WITH_SHADOWS_S = 5.0

_JSON = (b"content-type", b"application/json")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_UNIT_LENGTH = 32


class Refused(Exception):
    """A request that no variant is asked about: status, and an error that says what to do."""

    def __init__(self, status: int, message: str, kind: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.body = openai_chat.error_body(message, kind, code, param)


class ClientLeft(Exception):
    """The app closed its connection."""


def unpriced(variant: Variant, usage: Usage) -> float | None:
    """What the provider says that it billed; None where it does not."""
    return usage.cost_usd


class Gateway:
    """An ASGI application, and an async context manager around its life.

    `source` is what it follows, `sink` takes exposures and pairs, `sums` and `reports` are the store's. All of them
    may be absent, slow or broken: requests are served all the same.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        clock: Clock,
        source: RouteSource | None = None,
        sink: Recorder | None = None,
        sums: SumSink | None = None,
        reports: Reports | None = None,
        pricing: Pricing = unpriced,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.settings = settings
        self.counters = Counters()
        self.routes = Routes(settings, source, clock, environment, reports)
        self.recorder = RecordQueue(settings.name, settings.queues, sink, sums)
        self.is_draining = False
        self.is_ready = False
        self._clock = clock
        self._pricing = pricing
        self._claims = {claim: workload for workload in settings.workloads for claim in workload.claims}
        self._private = {workload.name: _private_headers(workload) for workload in settings.workloads}
        self._keys = {_digest(key.secret): key for key in settings.client_keys}
        self._life = AsyncExitStack()

    async def __aenter__(self) -> Self:
        transports = {name: Pool(upstream, upstream.api_key) for name, upstream in self.settings.upstreams.items()}
        shadows = {name: self._shadow_pool(upstream) for name, upstream in self.settings.upstreams.items()}
        for pool in (*transports.values(), *shadows.values()):
            self._life.callback(pool.close)
        self.recorder.start()
        self._life.push_async_callback(self.recorder.stop)
        self._tasks = await self._life.enter_async_context(asyncio.TaskGroup())
        self._relay = Relay(self.settings, transports, self._clock)
        self._mirror = self._mirror_over(shadows)
        self._life.push_async_callback(self._mirror.drain, PATIENCE_WITH_SHADOWS_S)
        await self.routes.start()
        self._life.push_async_callback(self.routes.stop)
        watching = self._tasks.create_task(self._watch_force_file())
        self._life.callback(watching.cancel)
        self.is_ready = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_ready = False
        await self._life.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        match scope["method"], scope["path"]:
            case "POST", "/v1/chat/completions":
                await self._chat(scope, receive, send)
            case "GET", "/healthz":
                await _answer(send, 200, _TEXT, b"ok\n")
            case "GET", "/readyz":
                await self._readyz(send)
            case "GET", "/metrics":
                await self._for_clients(scope, send, _TEXT, self._metrics)
            case "GET", "/v1/models":
                await self._for_clients(scope, send, _JSON, lambda: openai_chat.models_body(sorted(self._claims)))
            case method, path:
                message = f"{method} {path} is not served here. This gateway serves POST {CHAT} and GET /v1/models."
                await _answer(send, 404, _JSON, openai_chat.error_body(message, "invalid_request_error", "not_found"))

    async def _chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request for an answer, from its count to its record."""
        self.counters.received += 1
        self.counters.in_flight += 1
        request_id = f"req_{secrets.token_hex(16)}"
        workload = UNKNOWN
        try:
            found = dict(scope["headers"])
            key = self._authenticated(found)
            request = _read(await _body(found, receive, self.settings.max_body_bytes))
            claimed = self._claimed(request)
            workload = claimed.name
            job = self._job(request_id, key, claimed, request, scope["headers"], found)
        except Refused as refused:
            self._count_refusal(workload, refused.code or str(refused.status))
            ours = (b"x-midshift-request-id", request_id.encode())
            await _answer(send, refused.status, _JSON, refused.body, ours)
        except ClientLeft:
            self._count_refusal(workload, "client_left")
        except BaseException:
            self._count_refusal(workload, "internal_error")
            raise
        else:
            await self._serve(job, receive, send)

    async def _serve(self, job: Job, receive: Receive, send: Send) -> None:
        outcome = Outcome()
        mirroring: Mirroring | ShadowFate | None = None

        def on_the_wire() -> None:
            nonlocal mirroring
            if self._mirror.is_eligible(job):
                mirroring = self._mirror.begin(job)
                outcome.keeps_body = isinstance(mirroring, Mirroring)

        reply = Reply(send, job.id, outcome, self._clock, job.started_s)
        try:
            async with _WhileClientStays(self._tasks, receive, outcome):
                await self._relay.serve(job, reply, outcome, on_the_wire)
        except Exception as error:
            LOG.error("request %s failed: %s", job.id, type(error).__name__, exc_info=error)
            message = f"The gateway failed on this request ({job.id}); its log says more."
            await _cut_short(job, reply, outcome, 500, message, "gateway_error")
        except asyncio.CancelledError:
            if not self.is_draining:
                raise
            message = "The gateway was stopped before the answer came. Ask again: another one is there."
            await _cut_short(job, reply, outcome, 503, message, "gateway_stopped")
        finally:
            self._count(job, outcome)
            if isinstance(mirroring, Mirroring):
                mirroring.primary.set_result(outcome)
            else:
                self._record(job, outcome, mirroring)

    def _authenticated(self, found: Found) -> ClientKey | None:
        """The key that the app showed; None where none is asked for.

        Raises:
            Refused: for a missing or unknown key.
        """
        if not self._keys:
            return None
        shown = _shown_key(found)
        key = self._keys.get(_digest(shown)) if shown else None
        if key is None:
            message = "Incorrect API key. This is a gateway: show one of its client keys as the bearer token."
            raise Refused(401, message, "invalid_request_error", "invalid_api_key")
        return key

    def _claimed(self, request: ChatRequest) -> Workload:
        workload = self._claims.get(request.model)
        if workload is None:
            known = ", ".join(map(repr, sorted(self._claims)))
            message = f"No workload claims the model {request.model!r}. This gateway serves: {known}."
            raise Refused(404, message, "invalid_request_error", "model_not_found", "model")
        return workload

    def _job(
        self,
        request_id: str,
        key: ClientKey | None,
        workload: Workload,
        request: ChatRequest,
        lines: headers.Lines,
        found: Found,
    ) -> Job:
        may_label = key is None or key.may_label
        serving = self.routes.serving(workload.name, self._clock.machine_now())
        unit = self._unit(request_id, workload, request, found, may_label)
        return Job(
            id=request_id,
            workload=workload,
            request=request,
            lines=headers.to_provider(lines, self._private[workload.name]),
            serving=serving,
            assigned=assign(unit, serving.route),
            unit=unit,
            block=block(unit, serving.route.salt),
            slices=_slices(workload, request, found) if may_label else _slices_by_body(workload, request),
            started_s=self._clock.monotonic_s(),
        )

    def _unit(self, request_id: str, workload: Workload, request: ChatRequest, found: Found, may_label: bool) -> str:
        """Who or what keeps one variant, as an HMAC: what is stored does not say who it was."""
        named = found.get(b"x-midshift-unit") if may_label else None
        if named:
            return self._hmac(b"unit:" + named)
        for source in workload.unit:
            value = _unit_value(source, request, found)
            if value:
                return self._hmac(value)
        return self._hmac(b"request:" + request_id.encode())

    def _hmac(self, value: bytes) -> str:
        return hmac.digest(self.settings.unit_key, value, "sha256").hex()[:_UNIT_LENGTH]

    def _count_refusal(self, workload: str, why: str) -> None:
        self.counters.count_fate(workload, Fate.REFUSED)
        self.counters.refused[workload, why] += 1

    def _count(self, job: Job, outcome: Outcome) -> None:
        name = job.workload.name
        self.counters.count_fate(name, outcome.fate)
        if outcome.fate is Fate.REFUSED:
            self.counters.refused[name, "stopped" if outcome.status == 503 else "internal_error"] += 1
        if outcome.fell_back:
            self.counters.fell_back[name, outcome.fell_back] += 1
        self.counters.unmatched[name] += outcome.unmatched
        self.counters.left[name] += outcome.left

    def _record(self, job: Job, outcome: Outcome, shadow: ShadowFate | None) -> None:
        route = job.serving.route
        usage = outcome.answer.usage
        self.recorder.record(
            Exposure(
                request_id=job.id,
                workload=job.workload.name,
                epoch=route.epoch,
                fate=outcome.fate,
                assigned=job.assigned,
                upgrade=None if outcome.fate is Fate.REFUSED else route.upgrade,  # no variant is to blame
                step=route.step,
                propensity=route.share,
                unit=job.unit,
                block=job.block,
                slices=job.slices,
                status=CLIENT_LEFT if outcome.left else outcome.status,
                fell_back=bool(outcome.fell_back),
                shadow=shadow,
                latency_s=outcome.latency_s,
                first_byte_s=outcome.first_byte_s,
                tokens_in=usage.tokens_in,
                tokens_out=usage.tokens_out,
                cost_usd=self._priced(outcome.by.variant, usage) if outcome.by is not None else None,
                finish_reason=outcome.answer.finish_reason,
                streamed=job.request.stream,
            )
        )

    def _priced(self, variant: Variant, usage: Usage) -> float | None:
        try:
            return self._pricing(variant, usage)
        except Exception as error:  # noqa: BLE001 - a fence: a price book in trouble makes a cost unknown, nothing else
            LOG.warning("no price for variant %s: %s", variant.short_id, type(error).__name__)
            return None

    async def _readyz(self, send: Send) -> None:
        if self.is_ready and not self.is_draining:
            await _answer(send, 200, _TEXT, b"ready\n")
        else:
            await _answer(send, 503, _TEXT, b"draining\n" if self.is_draining else b"starting\n")

    async def _for_clients(
        self, scope: Scope, send: Send, kind: tuple[bytes, bytes], body: Callable[[], bytes]
    ) -> None:
        try:
            self._authenticated(dict(scope["headers"]))
        except Refused as refused:
            await _answer(send, refused.status, _JSON, refused.body)
        else:
            await _answer(send, 200, kind, body())

    def _metrics(self) -> bytes:
        now = self._clock.machine_now()
        servings = [self.routes.serving(workload.name, now) for workload in self.settings.workloads]
        return metrics.text(self.counters, self.recorder, servings, self._relay.open_breakers(), self.routes.failures)

    async def _watch_force_file(self) -> None:
        """A task of its own: a store that hangs must not keep the file on the host from being seen."""
        while True:
            await asyncio.sleep(self.settings.poll_s)
            self.routes.look_at_force_file()

    def _shadow_pool(self, upstream: Upstream) -> Pool:
        return Pool(
            replace(upstream, max_connections=self.settings.shadow.max_concurrent),
            upstream.shadow_api_key or upstream.api_key,
        )

    def _mirror_over(self, transports: Mapping[str, Transport]) -> Mirror:
        return Mirror(
            self.settings,
            transports,
            self.recorder,
            self.counters,
            self._clock,
            self._priced,
            self._tasks,
            self._record,
        )


class _WhileClientStays:
    """Runs its block as long as the app is there: when it leaves, the block is cancelled and ends in silence."""

    __slots__ = ("_outcome", "_receive", "_serving", "_tasks", "_watching")

    def __init__(self, tasks: asyncio.TaskGroup, receive: Receive, outcome: Outcome) -> None:
        self._tasks = tasks
        self._receive = receive
        self._outcome = outcome
        self._serving: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> None:
        self._serving = asyncio.current_task()
        self._watching = self._tasks.create_task(self._watch())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        serving, self._serving = self._serving, None
        self._watching.cancel()
        if not self._outcome.left or serving is None:
            return False
        return serving.uncancel() == 0 and kind is asyncio.CancelledError

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._serving is not None:  # else it is the server that says the answer is over
            self._outcome.left = True
            self._serving.cancel()


async def _cut_short(job: Job, reply: Reply, outcome: Outcome, status: int, message: str, code: str) -> None:
    """End a request that this gateway could not serve, so that the app does not take it for served."""
    outcome.status = status
    if reply.is_begun and not job.request.stream:
        raise ConnectionAbortedError("an answer with a length can only be ended early by closing")
    if reply.is_begun:
        await reply.end(openai_chat.error_event(message, "server_error", code))
        return
    outcome.fate = Fate.REFUSED
    body = openai_chat.error_body(message, "server_error", code)
    lines = [_JSON, (b"content-length", b"%d" % len(body))]
    await reply.begin(status, lines, job.serving, job.serving.incumbent)
    await reply.end(body)


def _read(body: bytes) -> ChatRequest:
    try:
        return ChatRequest(body)
    except Unreadable as error:
        raise Refused(400, str(error), "invalid_request_error", "unreadable") from None


async def _body(found: Found, receive: Receive, limit: int) -> bytes:
    """The whole body of a request.

    Raises:
        Refused: for one that is too large, or compressed.
        ClientLeft: if it never comes whole.
    """
    if found.get(b"content-encoding", b"identity") != b"identity":
        raise Refused(415, "Send the request body uncompressed.", "invalid_request_error", "content_encoding")
    declared = found.get(b"content-length", b"0")
    chunks: list[bytes] = []
    size = int(declared) if declared.isdigit() else 0
    received = 0
    while True:
        if max(size, received) > limit:
            message = f"The request body is larger than the {limit} bytes that this gateway takes."
            raise Refused(413, message, "invalid_request_error", "request_too_large")
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ClientLeft
        chunks.append(event.get("body", b""))
        received += len(chunks[-1])
        if not event.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _answer(send: Send, status: int, kind: tuple[bytes, bytes], body: bytes, *more: tuple[bytes, bytes]) -> None:
    lines = [kind, (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _shown_key(found: Found) -> str:
    bearer = found.get(b"authorization", b"")
    if bearer[:7].lower() == b"bearer ":
        return bearer[7:].strip().decode("latin-1")
    return (found.get(b"x-api-key") or found.get(b"api-key") or b"").decode("latin-1")


def _digest(secret: str) -> bytes:
    """Keys are looked up by their whole digest: nothing about a key shows in how long that takes."""
    return hashlib.sha256(secret.encode()).digest()


def _private_headers(workload: Workload) -> Collection[bytes]:
    """Headers by which the app tells us about its user; none of a provider's business."""
    units = {source.name.encode() for source in workload.unit if source.kind is UnitKind.HEADER}
    rules = {rule.when.header.encode() for rule in workload.rules if isinstance(rule.when, HeaderEquals)}
    return frozenset(units | rules)


def _unit_value(source: UnitSource, request: ChatRequest, found: Found) -> bytes:
    match source.kind:
        case UnitKind.HEADER:
            named = found.get(source.name.encode(), b"")
            return b"unit:" + named if named and not source.name.startswith("x-midshift-") else b""
        case UnitKind.BODY:
            value = request.value_at(source.name)
            return f"unit:{value}".encode("utf-8", "surrogatepass") if _is_name(value) else b""
        case UnitKind.CONVERSATION:
            opening = request.opening
            return b"conversation:" + opening.encode("utf-8", "surrogatepass") if opening else b""


def _is_name(value: object) -> bool:
    return (isinstance(value, str) and value != "") or (isinstance(value, int) and not isinstance(value, bool))


def _slices(workload: Workload, request: ChatRequest, found: Found) -> tuple[str, ...]:
    """The slices of a request whose app may name them."""
    if not workload.rules and b"x-midshift-slice" not in found:
        return ()
    by_rule = {rule.slice for rule in workload.rules if _holds(rule, request, found)}
    named = found.get(b"x-midshift-slice", b"").decode("latin-1").split(",")
    asked = {name.strip() for name in named}
    return tuple(part.name for part in workload.slices if part.name in by_rule or part.name in asked)


def _slices_by_body(workload: Workload, request: ChatRequest) -> tuple[str, ...]:
    return _slices(workload, request, {})


def _holds(rule: SliceRule, request: ChatRequest, found: Found) -> bool:
    match rule.when:
        case HeaderEquals(header=header, equals=equals):
            return found.get(header.encode()) == equals.encode()
        case BodyEquals(body=path, equals=equals):
            value = request.value_at(path)
            return isinstance(value, str) == isinstance(equals, str) and _same(value, equals)
        case LanguageIs():
            return False  # too dear for the path of a request: told from the record


def _same(value: object, expected: object) -> bool:
    return isinstance(value, bool) == isinstance(expected, bool) and value == expected

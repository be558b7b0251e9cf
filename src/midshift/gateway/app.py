"""The gateway as an ASGI application: who may ask, for which workload, which variant answers, what is left behind.

Contract. Every request for an answer is counted once, and ends as served by the incumbent, served by the candidate,
or refused; refusals have the shape of OpenAI's errors. Whatever fails in here fails one request. A gateway is an
async context: inside it follows its routes and hands its record over.
Elsewhere: listening and draining (server), the flips of an operator (admin).
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeAlias

from midshift.domain.exposure import Fate, ShadowFate
from midshift.domain.usage import Usage
from midshift.domain.variant import Variant
from midshift.gateway import metrics, token
from midshift.gateway.answering import JSON, TEXT, answer, refuse
from midshift.gateway.capture import Taken, is_kept
from midshift.gateway.counters import Counters
from midshift.gateway.exposing import credit_of, exposure_of, is_unknown
from midshift.gateway.feedback import PATH as FEEDBACK_PATH
from midshift.gateway.feedback import Feedback, FeedbackSink, answered
from midshift.gateway.headers import COME_AGAIN
from midshift.gateway.intake import ClientLeft, Found, Intake, Receive, Refused, whole_body, without_key
from midshift.gateway.job import Job, Outcome
from midshift.gateway.load import Load, Place
from midshift.gateway.mirror import Mirror, Mirroring
from midshift.gateway.origins import Origins
from midshift.gateway.presence import CONNECTION, WhileClientStays
from midshift.gateway.recorder import RecordQueue, SumSink
from midshift.gateway.relay import Relay
from midshift.gateway.reply import Reply, Send
from midshift.gateway.route import Reports, Routes, Serving
from midshift.gateway.settings import GatewaySettings, Pricing
from midshift.gateway.stored import Stored, StoredResponses
from midshift.ports import Clock, Recorder, RouteSource
from midshift.providers.http.messages import Transport
from midshift.providers.http.pool import Pool
from midshift.providers.http.settings import Upstream
from midshift.wire.paths import Asked, Operation, recognised, wire_of
from midshift.wire.protocol import Problem, WireName
from midshift.wire.wires import WIRES

LOG = logging.getLogger(__name__)

Scope: TypeAlias = dict[str, Any]

PATIENCE_WITH_SHADOWS_S = 5.0

_SERVED = (
    "POST /v1/chat/completions, /v1/responses, /v1/messages, /v1beta/models/MODEL:generateContent, GET /v1/models and "
    "POST /api/v1/feedback"
)
_NO_REALTIME = (
    "Realtime sessions are not served by this gateway. Point the client's realtime URL at the provider itself."
)
_NO_WEBSOCKETS = "WebSockets are not served by this gateway. Ask over HTTP, and for a stream with server-sent events."


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
        feedback: FeedbackSink | None = None,
        pricing: Pricing = unpriced,
        price_book: str = "",
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.settings = settings
        self.counters = Counters()
        self.routes = Routes(settings, source, clock, environment, reports)
        self.recorder = RecordQueue(settings.name, settings.queues, sink, sums)
        self.load = Load(settings.limits)
        self.is_draining = False
        self.is_ready = False
        self._clock = clock
        self._pricing = pricing
        self._price_book = price_book
        self._token_key = token.key_of(settings.unit_key)
        self._environment = environment
        self._origins = Origins(settings.max_origins)
        self._intake = Intake(settings, self._serving, self._origins)
        self.feedback = Feedback(settings, self._intake, self.recorder, feedback, clock)
        self._life = AsyncExitStack()

    async def __aenter__(self) -> Self:
        transports = {
            name: Pool(upstream, upstream.api_key, self._environment)
            for name, upstream in self.settings.upstreams.items()
        }
        shadows = {name: self._shadow_pool(upstream) for name, upstream in self.settings.upstreams.items()}
        for pool in (*transports.values(), *shadows.values()):
            self._life.callback(pool.close)
        self.recorder.start()
        self._life.push_async_callback(self.recorder.stop)
        self._tasks = await self._life.enter_async_context(asyncio.TaskGroup())
        self._relay = Relay(self.settings, transports, self._clock, self._origins, self._serving)
        self._stored = StoredResponses(self.settings, transports, self._origins)
        self._mirror = self._mirror_over(shadows)
        self._life.push_async_callback(self._mirror.drain, PATIENCE_WITH_SHADOWS_S)
        await self.routes.start()
        self._life.push_async_callback(self.routes.stop)
        watching = self._tasks.create_task(self._watch_force_file())
        self._life.callback(watching.cancel)
        draining = self._tasks.create_task(self.feedback.keep_draining())
        self._life.callback(draining.cancel)
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
            case "GET", "/healthz":
                await answer(send, 200, TEXT, b"ok\n")
            case "GET", "/readyz":
                await self._readyz(send)
            case "GET", "/metrics":
                await self._metrics(scope, send)
            case "POST", path if path == FEEDBACK_PATH:
                await self._take_feedback(scope, receive, send)
            case method, path:
                await self._asked(method, path, scope, receive, send)

    async def _asked(self, method: str, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Whatever is on a vendor's path."""
        found = dict(scope["headers"])
        asked = recognised(method, path, found)
        match asked:
            case Asked(operation=Operation.GENERATE):
                await self._request(asked, scope, receive, send)
            case Asked(operation=Operation.COUNT_TOKENS):
                await self._token_count(asked, scope, receive, send)
            case Asked(operation=Operation.STORED_RESPONSE):
                await self._stored_response(asked, found, scope, receive, send)
            case Asked(operation=Operation.LIST_MODELS | Operation.GET_MODEL):
                await self._models(asked, found, scope, send)
            case Asked(operation=Operation.REALTIME):
                await refuse(send, asked.wire, Problem(501, _NO_REALTIME, "not_supported"))
            case _ if b"sec-websocket-key" in found:
                await refuse(send, wire_of(path, found), Problem(501, _NO_WEBSOCKETS, "not_supported"))
            case _:
                message = f"{method} {path} is not served here. This gateway serves {_SERVED}."
                await refuse(send, wire_of(path, found), Problem(404, message, "not_found"))

    async def _request(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        """One request for an answer, from its count to its record."""
        self.counters.received += 1
        self.counters.in_flight += 1
        request_id = f"req_{secrets.token_hex(16)}"
        with Place(self.load) as place:
            try:
                job = await self._job(request_id, asked, scope, receive, place)
            except Refused as refused:
                self._count_refusal(place.workload, refused.problem.code)
                await refuse(send, asked.wire, refused.problem, (b"x-midshift-request-id", request_id.encode()))
            except ClientLeft:
                self._count_refusal(place.workload, "client_left")
            except BaseException:
                self._count_refusal(place.workload, "internal_error")
                raise
            else:
                await self._serve(self._identified(job), scope, receive, send)

    async def _token_count(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        """One request for a count of tokens: nothing of it is evidence."""
        request_id = f"req_{secrets.token_hex(16)}"
        outcome = Outcome()
        with Place(self.load) as place, suppress(ClientLeft):
            try:
                job = await self._job(request_id, asked, scope, receive, place)
                reply = Reply(send, job.id, outcome, self._clock, job.started_s, scope.get(CONNECTION))
                async with WhileClientStays(self._tasks, scope, receive, outcome):
                    await self._relay.count_tokens(job, reply, outcome)
            except Refused as refused:
                await refuse(send, asked.wire, refused.problem, (b"x-midshift-request-id", request_id.encode()))

    async def _stored_response(self, asked: Asked, found: Found, scope: Scope, receive: Receive, send: Send) -> None:
        """One request about a response that a provider keeps: nothing of it is evidence."""
        query = scope["query_string"].decode("latin-1")
        try:
            key = self._intake.authenticated(found, query)
            request = Stored(scope["method"], asked, without_key(query), "" if key is None else key.name)
            async with WhileClientStays(self._tasks, scope, receive, Outcome()):
                await self._stored.serve(request, scope["headers"], send)
        except Refused as refused:
            await refuse(send, asked.wire, refused.problem)

    async def _job(self, request_id: str, asked: Asked, scope: Scope, receive: Receive, place: Place) -> Job:
        found = dict(scope["headers"])
        query = scope["query_string"].decode("latin-1")
        key = self._intake.authenticated(found, query)
        place.take()
        body = await whole_body(found, receive, self.settings.max_body_bytes, place.hold)
        started_s = self._clock.monotonic_s()
        job = self._intake.job(request_id, key, asked, query, body, scope["headers"], found, started_s)
        place.serve(job.workload.name)
        return job

    def _identified(self, job: Job) -> Job:
        """The same job under an id that says what it is served as, for feedback that comes later."""
        route, nonce = job.serving.route, bytes.fromhex(job.id[4 : 4 + 2 * token.NONCE_BYTES])
        issued = token.Issued(credit_of(job), route.epoch, self._clock.machine_now())
        try:
            return replace(job, id=token.make(self._token_key, nonce, issued))
        except ValueError as error:
            LOG.warning("feedback on a request of %s cannot be credited: %s", job.workload.name, error)
            return job

    async def _serve(self, job: Job, scope: Scope, receive: Receive, send: Send) -> None:
        is_captured = is_kept(job)
        outcome = Outcome(keeps_body=is_captured)
        mirroring: Mirroring | None = None
        is_begun = False

        def on_the_wire() -> None:
            nonlocal mirroring, is_begun
            if not is_begun:
                is_begun, mirroring = True, self._mirror.begin(job, outcome)
                outcome.keeps_body = is_captured or (mirroring is not None and mirroring.is_running)

        reply = Reply(send, job.id, outcome, self._clock, job.started_s, scope.get(CONNECTION))
        try:
            async with WhileClientStays(self._tasks, scope, receive, outcome):
                await self._relay.serve(job, reply, outcome, on_the_wire)
        except Exception as error:
            LOG.error("request %s failed: %s", job.id, type(error).__name__, exc_info=error)
            message = f"The gateway failed on this request ({job.id}); its log says more."
            await _cut_short(job, reply, outcome, Problem(500, message, "gateway_error"))
        except asyncio.CancelledError:
            if not self.is_draining:
                raise
            message = "The gateway was stopped before the answer came. Ask again: another one is there."
            await _cut_short(job, reply, outcome, Problem(503, message, "gateway_stopped"))
        finally:
            self._count(job, outcome)
            if is_captured:
                self.recorder.record_request(Taken(job, outcome, self._clock.machine_now()))
            if mirroring is not None:
                mirroring.primary.set_result(outcome)
            if mirroring is None or not mirroring.waits:
                self._record(job, outcome, None if mirroring is None else mirroring.shadow)

    def _serving(self, workload: str, unit: str) -> Serving:
        return self.routes.serving(workload, self._clock.machine_now(), unit)

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
        self.counters.units_unnamed[name] += job.unnamed
        self.counters.stayed[name] += job.stayed
        self.counters.stripped[name] += outcome.stripped
        if outcome.by is not None and outcome.is_answered:
            said = outcome.answer
            self.counters.count_answer(name, outcome.by.short_id.decode(), said.model, is_unknown(said.usage))

    def _record(self, job: Job, outcome: Outcome, shadow: ShadowFate | None) -> None:
        usage = outcome.answer.usage
        cost_usd = self._priced(outcome.by.variant, usage) if outcome.by is not None else None
        now = self._clock.machine_now()
        self.recorder.record(exposure_of(job, outcome, shadow, cost_usd, self._price_book, now))

    def _priced(self, variant: Variant, usage: Usage) -> float | None:
        try:
            return self._pricing(variant, usage)
        except Exception as error:  # noqa: BLE001 - a fence: a price book in trouble makes a cost unknown, nothing else
            LOG.warning("no price for variant %s: %s", variant.short_id, type(error).__name__)
            return None

    async def _take_feedback(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What a user says about an answer that was given before."""
        try:
            status, said = await self.feedback.answer(
                dict(scope["headers"]), scope["query_string"].decode("latin-1"), receive
            )
        except Refused as refused:
            self.counters.feedback[refused.problem.code] += 1
            await refuse(send, WireName.OPENAI_CHAT, refused.problem)
        except ClientLeft:
            pass
        else:
            self.counters.feedback[said["status"]] += 1
            await answer(send, status, JSON, answered(said))

    async def _readyz(self, send: Send) -> None:
        if self.is_ready and not self.is_draining:
            await answer(send, 200, TEXT, b"ready\n")
        else:
            await answer(send, 503, TEXT, b"draining\n" if self.is_draining else b"starting\n")

    async def _models(self, asked: Asked, found: Found, scope: Scope, send: Send) -> None:
        """What a client that lists models sees: the names that workloads claim."""
        wire = WIRES[asked.wire]
        try:
            self._intake.authenticated(found, scope["query_string"].decode("latin-1"))
            if asked.operation is Operation.LIST_MODELS:
                body = wire.models_body(sorted(self._intake.claims))
            else:
                self._intake.claimed(asked.model)
                body = wire.model_body(asked.model)
        except Refused as refused:
            await refuse(send, asked.wire, refused.problem)
        else:
            await answer(send, 200, JSON, body)

    async def _metrics(self, scope: Scope, send: Send) -> None:
        try:
            self._intake.authenticated(dict(scope["headers"]))
        except Refused as refused:
            await refuse(send, WireName.OPENAI_CHAT, refused.problem)
        else:
            now = self._clock.machine_now()
            servings = [self.routes.serving(workload.name, now) for workload in self.settings.workloads]
            breakers = self._relay.open_breakers()
            text = metrics.text(self.counters, self.recorder, servings, breakers, self.routes.failures)
            await answer(send, 200, TEXT, text)

    async def _watch_force_file(self) -> None:
        """A task of its own: a store that hangs must not keep the file on the host from being seen."""
        while True:
            await asyncio.sleep(self.settings.poll_s)
            self.routes.look_at_force_file()

    def _shadow_pool(self, upstream: Upstream) -> Pool:
        return Pool(
            replace(upstream, max_connections=self.settings.shadow.max_concurrent),
            upstream.shadow_api_key or upstream.api_key,
            self._environment,
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


async def _cut_short(job: Job, reply: Reply, outcome: Outcome, problem: Problem) -> None:
    """End a request that this gateway could not serve, so that the app does not take it for served."""
    outcome.status = problem.status
    wire = WIRES[job.wire]
    if reply.is_begun and not job.request.stream:
        raise ConnectionAbortedError("an answer with a length can only be ended early by closing")
    if reply.is_begun:
        await reply.end(wire.error_event(problem))
        return
    outcome.fate = Fate.REFUSED
    body = wire.error_body(problem)
    lines = [JSON, (b"content-length", b"%d" % len(body)), *([COME_AGAIN] if problem.status == 503 else [])]
    await reply.begin(problem.status, lines, job.serving, job.serving.incumbent)
    await reply.end(body)

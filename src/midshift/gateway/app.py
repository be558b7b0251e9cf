"""The gateway as an application: who may ask, for which workload, which variant answers, what is left behind.

Contract. Every request for an answer is counted once, and ends as served by the incumbent, served by the candidate,
or refused; refusals have the shape of OpenAI's errors. Whatever fails in here fails one request. A gateway is an
async context: inside it follows its routes and hands its record over.
Elsewhere: listening and draining (server), the flips of an operator (admin), what asks nobody (asides), the numbers
that a request leaves behind (afterwards).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Self

from midshift.domain.exposure import Fate
from midshift.domain.usage import Usage
from midshift.domain.variant import Variant
from midshift.gateway import metrics, token
from midshift.gateway.afterwards import Afterwards
from midshift.gateway.answering import JSON, TEXT, answer, refuse
from midshift.gateway.asides import answer_models, refuse_realtime, refuse_unserved
from midshift.gateway.caller import Caller
from midshift.gateway.capture import Taken, is_kept
from midshift.gateway.counters import Counters
from midshift.gateway.exchange import ClientLeft, Exchange
from midshift.gateway.exposing import is_unknown
from midshift.gateway.feedback import PATH as FEEDBACK_PATH
from midshift.gateway.feedback import Feedback, FeedbackSink, answered
from midshift.gateway.heads import Head
from midshift.gateway.intake import Intake, Refused, awaited_body, body_at_hand
from midshift.gateway.job import Job, Outcome
from midshift.gateway.load import Load, Place
from midshift.gateway.mirror import Mirror
from midshift.gateway.origins import Origins
from midshift.gateway.pools import Pools
from midshift.gateway.randomness import Randomness
from midshift.gateway.recorder import RecordQueue, SumSink
from midshift.gateway.relay import Relay
from midshift.gateway.reply import Reply, cut_short
from midshift.gateway.reporting import Reports
from midshift.gateway.route import Routes, Serving
from midshift.gateway.settings import GatewaySettings, Pricing
from midshift.gateway.stored import Stored, StoredResponses
from midshift.ports import Clock, Recorder, RouteSource
from midshift.providers.http.messages import Transport
from midshift.wire.paths import Asked, Operation, recognised
from midshift.wire.protocol import Problem, WireName

LOG = logging.getLogger(__name__)

PATIENCE_WITH_SHADOWS_S = 5.0
_REFUSED = Fate.REFUSED
_GENERATE = Operation.GENERATE

_STOPPED = Problem(
    503, "The gateway was stopped before the answer came. Ask again: another one is there.", "gateway_stopped"
)


def unpriced(variant: Variant, usage: Usage) -> float | None:
    """What the provider says that it billed; None where it does not."""
    return usage.cost_usd


class Gateway:
    """What answers the apps, and an async context manager around its life.

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
        self.recorder = RecordQueue(settings.process.key, settings.queues, sink, sums, clock.monotonic_s)
        self.load = Load(settings.limits)
        self.is_draining = False
        self.is_ready = False
        self._clock = clock
        self._tokens = token.Tokens(token.key_of(settings.unit_key))
        self._random = Randomness()
        self._environment = environment
        self._origins = Origins(settings.max_origins)
        self._intake = Intake(settings, self.routes.serving, self._origins)
        self._caller = self._intake.caller  # the same each time it is looked for, as in `Head.once`
        self.afterwards = Afterwards(self.recorder, clock, pricing, price_book)
        self.feedback = Feedback(settings, self._intake, self.recorder, feedback, clock)
        self._life = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._pools = Pools(self.settings, self._environment)
        self._life.callback(self._pools.close)
        self.recorder.start()
        self._life.push_async_callback(self.recorder.stop)
        self._life.callback(self.afterwards.record)
        self._tasks = await self._life.enter_async_context(asyncio.TaskGroup())
        self._mirror = self._mirror_over(self._pools.unseen)
        self._relay = self._relay_over(self._pools.served)
        self._stored = StoredResponses(self.settings, self._pools.served, self._origins)
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

    def __call__(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        """Answer one request."""
        asked = exchange.head.once(_asked)
        if asked is not None and asked.operation is _GENERATE:
            return self._request(asked, exchange)
        return self._other(asked, exchange)

    async def _other(self, asked: Asked | None, exchange: Exchange) -> None:
        """Whatever is no request for an answer."""
        match asked, exchange.head.method, exchange.head.path:
            case None, "GET" | "HEAD", "/healthz":
                await answer(exchange, 200, TEXT, b"ok\n")
            case None, "GET" | "HEAD", "/readyz":
                await self._readyz(exchange)
            case None, "GET", "/metrics":
                await self._metrics(exchange)
            case None, "POST", path if path == FEEDBACK_PATH:
                await self._take_feedback(exchange)
            case None, _, _:
                await refuse_unserved(exchange)
            case Asked(operation=Operation.COUNT_TOKENS), _, _:
                await self._token_count(asked, exchange)
            case Asked(operation=Operation.STORED_RESPONSE), _, _:
                await self._stored_response(asked, exchange)
            case Asked(operation=Operation.REALTIME), _, _:
                await refuse_realtime(exchange, asked.wire)
            case Asked(), _, _:
                await answer_models(exchange, asked, self._intake)

    def _request(self, asked: Asked, exchange: Exchange) -> Coroutine[Any, Any, None]:
        """One request for an answer, which is counted from now on: how it is served, or refused."""
        counters, place = self.counters, Place(self.load)
        counters.received += 1
        counters.in_flight += 1
        nonce = self._random.take(16)
        request_id = f"req_{nonce.hex()}"
        try:
            job = self._job(request_id, asked, exchange, place)
            if job is None:
                return self._awaited(request_id, nonce, asked, exchange, place)
            self._identify(job, nonce)
        except BaseException as error:  # noqa: BLE001 - whoever awaits it hears of it
            return self._unserved(error, request_id, asked, exchange, place)
        return self._serve(job, exchange, place)

    async def _awaited(self, request_id: str, nonce: bytes, asked: Asked, exchange: Exchange, place: Place) -> None:
        """The same for a request that has to be waited for."""
        try:
            job = await self._awaited_job(request_id, asked, exchange, place)
            self._identify(job, nonce)
        except BaseException as error:  # noqa: BLE001 - as in `_request`; also where nobody awaits it any more
            await self._unserved(error, request_id, asked, exchange, place)
        else:
            await self._serve(job, exchange, place)

    async def _unserved(
        self, error: BaseException, request_id: str, asked: Asked, exchange: Exchange, place: Place
    ) -> None:
        """Count why a request became no job, and say so to whoever hears it."""
        problem: Problem | None = None
        match error:
            case Refused():
                why, problem = error.problem.code, error.problem
            case ClientLeft():
                why = "client_left"
            case asyncio.CancelledError():
                why, problem = "stopped", _STOPPED if self.is_draining else None
            case _:
                why = "internal_error"
        self._count_refusal(place.workload, why)
        try:
            if problem is not None:
                await refuse(exchange, asked.wire, problem, (b"x-midshift-request-id", request_id.encode()))
            elif why != "client_left":
                raise error
        finally:
            place.leave()
            del error  # which holds this frame as well: the request would wait for the collector

    async def _token_count(self, asked: Asked, exchange: Exchange) -> None:
        """One request for a count of tokens: nothing of it is evidence."""
        request_id = f"req_{self._random.take(16).hex()}"
        outcome = Outcome()
        with Place(self.load) as place, suppress(ClientLeft):
            try:
                job = self._job(request_id, asked, exchange, place)
                job = job or await self._awaited_job(request_id, asked, exchange, place)
                reply = Reply(exchange, job, outcome, self._clock)
                with exchange:
                    await self._relay.count_tokens(reply)
            except Refused as refused:
                await refuse(exchange, asked.wire, refused.problem, (b"x-midshift-request-id", request_id.encode()))

    async def _stored_response(self, asked: Asked, exchange: Exchange) -> None:
        """One request about a response that a provider keeps: nothing of it is evidence."""
        try:
            key, query = exchange.head.once(self._intake.shown)
            request = Stored(exchange.head.method, asked, query, "" if key is None else key.name)
            with exchange:
                await self._stored.serve(request, exchange)
        except Refused as refused:
            await refuse(exchange, asked.wire, refused.problem)

    def _job(self, request_id: str, asked: Asked, exchange: Exchange, place: Place) -> Job | None:
        """What is to be answered; None where `_awaited_job` has to wait for the rest of it."""
        caller = exchange.head.once(self._caller)
        body = body_at_hand(exchange, self.settings.max_body_bytes)
        if body is None:
            place.take()
            return None
        place.take(len(body))
        return self._made(request_id, asked, caller, body, place)

    async def _awaited_job(self, request_id: str, asked: Asked, exchange: Exchange, place: Place) -> Job:
        body = await awaited_body(exchange, self.settings.max_body_bytes, place.hold)
        return self._made(request_id, asked, exchange.head.once(self._caller), body, place)

    def _made(self, request_id: str, asked: Asked, caller: Caller, body: bytes, place: Place) -> Job:
        arrival = self._clock.machine_now(), self._clock.monotonic_s()
        job = self._intake.job(request_id, asked, caller, body, arrival)
        place.serve(job.workload.name)
        return job

    def _identify(self, job: Job, nonce: bytes) -> None:
        """Give the job an id that says what it is served as, for feedback that comes later."""
        route = job.serving.route
        upgrade = None if job.ring else route.upgrade  # a ring counts for no comparison
        about = (job.workload.name, upgrade, route.step, job.assigned, job.slices, job.block, route.epoch)
        try:
            job.id = self._tokens.make(nonce[: token.NONCE_BYTES], job.came_at.timestamp(), about)
        except ValueError as error:
            LOG.warning("feedback on a request of %s cannot be credited: %s", job.workload.name, error)

    async def _serve(self, job: Job, exchange: Exchange, place: Place) -> None:
        """One request that is all there, to its record."""
        try:
            outcome, is_captured = Outcome(), is_kept(job)
            outcome.keeps_body = is_captured
            reply = Reply(exchange, job, outcome, self._clock)
            try:
                with exchange:
                    await self._relay.serve(reply)
            except Exception as error:
                LOG.error("request %s failed: %s", job.id, type(error).__name__, exc_info=error)
                message = f"The gateway failed on this request ({job.id}); its log says more."
                await cut_short(reply, Problem(500, message, "gateway_error"))
            except asyncio.CancelledError:
                if not self.is_draining:
                    raise
                await cut_short(reply, _STOPPED)
            finally:
                self._over(job, outcome, exchange, is_captured)
            if exchange.connection.is_write_paused:  # as long as the app has not taken its answer, it has its place
                await exchange.drained()
        finally:
            place.leave()

    def _over(self, job: Job, outcome: Outcome, exchange: Exchange, is_captured: bool) -> None:
        """Count a request, and have it recorded: by its mirror, where an unseen answer to it is yet to come."""
        outcome.latency_s = self._clock.monotonic_s() - job.started_s
        if exchange.was_cancelled:
            outcome.left = not outcome.is_whole  # clients close behind the last event
        self._count(job, outcome)
        if is_captured:
            self.recorder.record_request(Taken(job, outcome, self._clock.machine_now()))
        mirroring = outcome.mirroring
        if mirroring is None:
            self.afterwards.ended(job, outcome, None)
        else:
            self._mirror.over(mirroring)
            if not mirroring.waits:
                self.afterwards.ended(job, outcome, mirroring.shadow)

    def _serving(self, workload: str, unit: str) -> Serving:
        return self.routes.serving(workload, self._clock.machine_now(), unit)

    def _count_refusal(self, workload: str, why: str) -> None:
        self.counters.count_fate(workload, Fate.REFUSED)
        self.counters.refused[workload, why] += 1

    def _count(self, job: Job, outcome: Outcome) -> None:
        name, fate, by, counters = job.workload.name, outcome.fate, outcome.by, self.counters
        counters.count_fate(name, fate)
        if fate is _REFUSED or outcome.fell_back or outcome.unmatched or outcome.left or outcome.stripped:
            self._count_oddities(name, outcome)
        if job.unnamed:
            counters.units_unnamed[name] += 1
        if job.held and job.stayed:
            counters.stayed[name] += 1
        if by is not None and outcome.is_answered:
            said = outcome.answer
            counters.count_answer(name, by.short_id.decode(), said.model, is_unknown(said.usage))

    def _count_oddities(self, name: str, outcome: Outcome) -> None:
        """What most answers are not."""
        counters = self.counters
        if outcome.fate is _REFUSED:
            counters.refused[name, "stopped" if outcome.status == 503 else "internal_error"] += 1
        if outcome.fell_back:
            counters.fell_back[name, outcome.fell_back] += 1
        if outcome.unmatched:
            counters.unmatched[name] += 1
        if outcome.left:
            counters.left[name] += 1
        if outcome.stripped:
            counters.stripped[name] += 1

    async def _take_feedback(self, exchange: Exchange) -> None:
        """What a user says about an answer that was given before."""
        try:
            status, said = await self.feedback.answer(exchange)
        except Refused as refused:
            self.counters.feedback[refused.problem.code] += 1
            await refuse(exchange, WireName.OPENAI_CHAT, refused.problem)
        except ClientLeft:
            pass
        else:
            self.counters.feedback[said["status"]] += 1
            await answer(exchange, status, JSON, answered(said))

    async def _readyz(self, exchange: Exchange) -> None:
        if self.is_ready and not self.is_draining:
            await answer(exchange, 200, TEXT, b"ready\n")
        else:
            await answer(exchange, 503, TEXT, b"draining\n" if self.is_draining else b"starting\n")

    async def _metrics(self, exchange: Exchange) -> None:
        try:
            exchange.head.once(self._intake.shown)
        except Refused as refused:
            await refuse(exchange, WireName.OPENAI_CHAT, refused.problem)
        else:
            now = self._clock.machine_now()
            servings = [self.routes.serving(workload.name, now) for workload in self.settings.workloads]
            breakers = self._relay.open_breakers()
            text = metrics.text(
                self.counters, self.recorder, servings, breakers, self.routes.failures, self._pools.states()
            )
            await answer(exchange, 200, TEXT, text)

    async def _watch_force_file(self) -> None:
        """A task of its own: a store that hangs must not keep the file on the host from being seen."""
        while True:
            await asyncio.sleep(self.settings.poll_s)
            self.routes.look_at_force_file()

    def _relay_over(self, transports: Mapping[str, Transport]) -> Relay:
        return Relay(self.settings, transports, self._clock, self._origins, self._serving, self._mirror.begin)

    def _mirror_over(self, transports: Mapping[str, Transport]) -> Mirror:
        return Mirror(
            self.settings,
            transports,
            self.recorder,
            self.counters,
            self._clock,
            self.afterwards.priced,
            self._tasks,
            self.afterwards.ended,
        )


def _asked(head: Head) -> Asked | None:
    return recognised(head.method, head.path, head.found)

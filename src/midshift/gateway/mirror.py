"""The answers that nobody sees: of a candidate, of the incumbent once more, of whichever variant did not serve.

Contract. They begin when the user's request is on the wire, run on connections, a key, a budget and deadlines of their
own, and can neither slow, fail nor change the user's answer. Beyond their limits they are shed, and so are those of a
model for a while after its provider has said that it is too much (429, 503, 529), be it to the mirror or to a user.
A request that would do something twice, or that only the variant which serves can read, is skipped. Nothing unseen is
stored at a provider, and nothing that names one request (an idempotency key, a trace) is sent twice. All ends are
counted, by kind, and every pair of ends is recorded, also of a variant that failed. An app that leaves does not end
them; their own deadline does.
Elsewhere: which requests, and why (domain.unseen), what is asked (asking), the two sides of a pair (sides), the purse
(budget), who is left alone (pauses).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from midshift.domain.exposure import ShadowAnswer, ShadowFate
from midshift.domain.light import light
from midshift.domain.routing import Arm
from midshift.domain.unseen import PairKind, Unseen, unseen
from midshift.gateway.asking import Asking, Unaskable, asking
from midshift.gateway.budget import Budget
from midshift.gateway.counters import Counters
from midshift.gateway.job import Job, Outcome
from midshift.gateway.pauses import TOO_MUCH, Pauses
from midshift.gateway.route import ServedVariant, Serving
from midshift.gateway.settings import GatewaySettings, Pricing
from midshift.gateway.sides import Received, pair_of, seen_side, unseen_side
from midshift.ports import Clock, Recorder
from midshift.providers.http.messages import CallFailed, Head, Transport
from midshift.providers.http.settings import Timeouts

LOG = logging.getLogger(__name__)


@light
class Wanted:
    """An unseen answer that is wanted, and the variant that is to give it.

    `covers` says whether it is what the coverage of a shadow is counted by.
    """

    unseen: Unseen
    served: ServedVariant
    covers: bool

    @property
    def model(self) -> tuple[str, str]:
        """What a provider's limits are about: itself and the model."""
        return self.served.variant.provider, self.served.variant.model


class Mirroring:
    """The unseen answers to one request, from the side of the user's: `primary` is what came of that.

    `seen` is the side that the user saw, the same in all pairs. `shadow` is the end of the candidate's shadow where
    that is known at once; where `waits`, the mirror says it later.
    """

    __slots__ = ("is_running", "primary", "seen", "shadow", "waits")

    def __init__(self) -> None:
        self.primary: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.is_running = False
        self.seen: ShadowAnswer | None = None
        self.shadow: ShadowFate | None = None
        self.waits = False


class Mirror:
    """Answers jobs once more. `finished` takes each that was shadowed with its end, when both answers are over."""

    def __init__(
        self,
        settings: GatewaySettings,
        transports: Mapping[str, Transport],
        recorder: Recorder,
        counters: Counters,
        clock: Clock,
        pricing: Pricing,
        tasks: asyncio.TaskGroup,
        finished: Callable[[Job, Outcome, ShadowFate], None],
    ) -> None:
        self._settings = settings
        self._limits = settings.shadow
        self._transports = transports
        most_s, upstreams = settings.shadow.timeout_s, settings.upstreams
        self._timeouts = {name: _within(upstream.timeouts, most_s) for name, upstream in upstreams.items()}
        self._recorder = recorder
        self._counters = counters
        self._clock = clock
        self._pricing = pricing
        self._tasks = tasks
        self._finished = finished
        self._budget = Budget(settings.shadow)
        self._running: set[asyncio.Task[None]] = set()
        self._held_bytes = 0
        self._pauses = Pauses(clock)
        self._is_draining = False

    def begin(self, job: Job, outcome: Outcome) -> Mirroring | None:
        """Start what a job is to be answered with unseen; None if that is nothing. `outcome` is as far as it is."""
        drawn = unseen(job.id, job.chosen, job.serving.route)
        if not drawn or not job.is_compared:
            return None
        wanted = _wanted(drawn, job.serving)
        if not wanted:
            return None
        mirroring = Mirroring()
        for one in wanted:
            self._counters.begin_shadow(job.workload.name, one.unseen.kind)
            try:
                fate, why = self._refused(job, outcome, one)
            except Exception:
                LOG.exception("a request cannot be mirrored")
                fate, why = ShadowFate.FAILED, "error"
            if fate is None:
                self._start(job, one, mirroring)
            else:
                self._counters.count_shadow(job.workload.name, one.unseen.kind, fate, why)
            if one.covers:
                mirroring.shadow, mirroring.waits = fate, fate is None
        return mirroring

    async def drain(self, patience_s: float) -> None:
        """Begin nothing more, and let what is under way finish; what takes longer is counted as failed."""
        self._is_draining = True
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=patience_s)
            for task in late:
                task.cancel()

    def _refused(self, job: Job, outcome: Outcome, one: Wanted) -> tuple[ShadowFate | None, str]:
        """Why this unseen answer is not even begun."""
        size = len(job.request.body)
        if job.request.has_side_effects:
            return ShadowFate.SKIPPED, "side_effects"
        if job.chosen is Arm.CANDIDATE and outcome.unmatched:
            return ShadowFate.SKIPPED, "unmatched"
        if outcome.withdrawn:
            return ShadowFate.SKIPPED, "withdrawn"
        if size > self._limits.max_request_bytes:
            return ShadowFate.SKIPPED, "too_large"
        if self._is_draining:
            return ShadowFate.SHED, "draining"
        if len(self._running) >= self._limits.max_concurrent:
            return ShadowFate.SHED, "concurrency"
        if self._held_bytes + size > self._limits.max_held_bytes:
            return ShadowFate.SHED, "memory"
        if self._pauses.is_on(one.model):
            return ShadowFate.SHED, "rate_limit"
        if self._budget.is_endless:
            return None, ""
        exhausted = self._budget.exhausted(self._clock.machine_now(), self._clock.monotonic_s())
        return (ShadowFate.SHED, exhausted) if exhausted else (None, "")

    def _start(self, job: Job, one: Wanted, mirroring: Mirroring) -> None:
        mirroring.is_running = True
        self._held_bytes += len(job.request.body)
        task = self._tasks.create_task(self._run(job, one, mirroring, self._budget.hold()))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, job: Job, one: Wanted, mirroring: Mirroring, held_usd: float) -> None:
        kind, name = one.unseen.kind, job.workload.name
        fate, why = ShadowFate.FAILED, "cancelled"
        try:
            asked = asking(job, one.served, self._settings.upstreams[one.served.variant.provider])
            received = await self._received(asked, one)
            answer = unseen_side(one.served.variant, received, job.request.stream, self._pricing)
            self._settle(name, kind, held_usd, received, answer)
            await asyncio.shield(mirroring.primary)
            fate, why = self._paired(job, one, mirroring, answer, asked.stripped)
        except Unaskable as skipped:
            self._budget.settle(held_usd, 0.0)
            fate, why = ShadowFate.SKIPPED, str(skipped)
        except Exception as error:
            why = "error"
            LOG.error("mirroring failed: %s", type(error).__name__, exc_info=error)
        finally:
            self._held_bytes -= len(job.request.body)
            self._counters.count_shadow(name, kind, fate, why)
            if one.covers:
                self._tell(job, mirroring.primary, fate)

    def _tell(self, job: Job, primary: asyncio.Future[Outcome], fate: ShadowFate) -> None:
        """Say that a shadow is over. What fails in here must stay here: the group of tasks would end the gateway."""
        try:
            self._finished(job, primary.result() if primary.done() and not primary.cancelled() else Outcome(), fate)
        except Exception:
            LOG.exception("the end of a mirrored request cannot be recorded")

    async def _received(self, asked: Asking, one: Wanted) -> Received:
        """What the variant answers, or how it fails."""
        started_s, is_stream = self._clock.monotonic_s(), asked.leg.job.request.stream
        provider, wire = one.served.variant.provider, asked.leg.wire
        transport, timeouts = self._transports[provider], self._timeouts[provider]
        first_byte_s: float | None = None
        first = b""
        try:
            call = transport.begin(asked.request, is_stream, timeouts)
            call = call or await transport.send(asked.request, is_stream, timeouts)
            try:
                head = await call.head()
                if is_stream and head.status == 200:
                    first = await call.chunk()
                    first_byte_s = self._clock.monotonic_s() - started_s
                left = self._limits.max_answer_bytes - len(first)
                body = first + (call.at_hand(left) or await call.read(left))
            finally:
                call.close()
        except CallFailed as failed:
            return Received(wire, failed.failure.status, None, self._clock.monotonic_s() - started_s)
        self._pauses.heard(one.model, head)
        return Received(wire, head.status, body, self._clock.monotonic_s() - started_s, first_byte_s)

    def _settle(self, name: str, kind: PairKind, held_usd: float, received: Received, answer: ShadowAnswer) -> None:
        """What it cost: nothing where the provider refused, unknown where it did not say, or was cut short."""
        was_refused = received.body is not None and received.status != 200
        cost_usd = 0.0 if was_refused else answer.cost_usd
        self._budget.settle(held_usd, cost_usd)
        self._counters.count_cost(name, kind, cost_usd)

    def _paired(
        self, job: Job, one: Wanted, mirroring: Mirroring, answer: ShadowAnswer, stripped: bool
    ) -> tuple[ShadowFate, str]:
        outcome = mirroring.primary.result()
        if outcome.by is not None and outcome.status in TOO_MUCH:
            self._pauses.heard((outcome.by.variant.provider, outcome.by.variant.model), Head(outcome.status, ()))
        if outcome.status == 200 and outcome.body is None and not outcome.left:
            return ShadowFate.FAILED, "too_large"
        seen = mirroring.seen = mirroring.seen or seen_side(job, outcome, self._pricing)
        self._recorder.record_pair(pair_of(job, one.unseen, seen, answer, stripped))
        if outcome.left:
            return ShadowFate.FAILED, "client_left"
        if seen.status != 200:
            return ShadowFate.FAILED, f"{job.chosen.value}_failed"
        failed = "incumbent_failed" if one.served.id == job.serving.incumbent.id else "candidate_failed"
        return (ShadowFate.PAIRED, "") if answer.status == 200 else (ShadowFate.FAILED, failed)


def _within(timeouts: Timeouts, most_s: float) -> Timeouts:
    """The same, and no call takes longer than this."""
    return replace(timeouts, total_s=min(timeouts.total_s, most_s))


def _wanted(drawn: Iterable[Unseen], serving: Serving) -> list[Wanted]:
    """The unseen answers that were drawn, of variants that this gateway can ask."""
    known = {one.id: one for one in (serving.incumbent, serving.candidate, *serving.others) if one is not None}
    return [Wanted(one, known[one.variant], _covers(one, serving)) for one in drawn if one.variant in known]


def _covers(drawn: Unseen, serving: Serving) -> bool:
    return drawn.kind is PairKind.SHADOW and drawn.variant == serving.route.candidate

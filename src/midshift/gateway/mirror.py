"""The candidate's answer that nobody sees, to a request that the incumbent answers.

Contract. It begins when the user's request is on the wire, runs on connections, a key and deadlines of its own, and
can neither slow, fail nor change the user's answer. There are never more than a few at once: what is beyond that is
shed, and so is everything for a while after the provider has said 429. A request that would do something twice is
skipped. All four ends are counted, and every pair of ends is recorded, also of a candidate that failed. An app that
leaves does not end it; its own deadline does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from midshift.domain.exposure import Pair, ShadowAnswer, ShadowFate
from midshift.domain.routing import Arm, position
from midshift.domain.variant import Variant
from midshift.gateway.counters import Counters
from midshift.gateway.job import Job, Outcome
from midshift.gateway.leg import Leg
from midshift.gateway.route import ServedVariant
from midshift.gateway.settings import GatewaySettings, Pricing
from midshift.ports import Clock, Recorder
from midshift.providers.http.messages import CallFailed, Failure, Head, Transport
from midshift.wire.protocol import Answer, WireName
from midshift.wire.translation.conversation import Uncarried
from midshift.wire.wires import WIRES

LOG = logging.getLogger(__name__)

LONGEST_PAUSE_S = 60.0
CLIENT_LEFT = 499


class Mirroring:
    """One mirrored request, from the side of the user's: `primary` is what came of that."""

    __slots__ = ("primary",)

    def __init__(self) -> None:
        self.primary: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()


class Mirror:
    """Answers jobs a second time. `finished` takes each with its end, when both answers are over."""

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
        self._transports = transports
        self._recorder = recorder
        self._counters = counters
        self._clock = clock
        self._pricing = pricing
        self._tasks = tasks
        self._finished = finished
        self._running: set[asyncio.Task[None]] = set()
        self._paused_until_s: dict[str, float] = {}
        self._is_draining = False

    def is_eligible(self, job: Job) -> bool:
        """Whether this request is one of the row's share of mirrored ones: by luck, and the same luck everywhere."""
        route = job.serving.route
        if job.assigned is not Arm.INCUMBENT or job.serving.candidate is None or route.shadow_share == 0.0:
            return False
        return position(job.id, f"shadow:{route.salt}") < route.shadow_share

    def begin(self, job: Job) -> Mirroring | ShadowFate:
        """Start to mirror an eligible job, or say why not."""
        candidate = job.serving.candidate
        assert candidate is not None
        self._counters.eligible[job.workload.name] += 1
        self._counters.shadows_in_flight += 1
        if job.request.has_side_effects:
            return self._not(job, ShadowFate.SKIPPED, "side_effects")
        if len(job.request.body) > self._settings.shadow.max_request_bytes:
            return self._not(job, ShadowFate.SKIPPED, "too_large")
        if self._is_draining:
            return self._not(job, ShadowFate.SHED, "draining")
        if len(self._running) >= self._settings.shadow.max_concurrent:
            return self._not(job, ShadowFate.SHED, "concurrency")
        if self._clock.monotonic_s() < self._paused_until_s.get(candidate.id, 0.0):
            return self._not(job, ShadowFate.SHED, "rate_limit")
        mirroring = Mirroring()
        task = self._tasks.create_task(self._run(job, candidate, mirroring))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return mirroring

    async def drain(self, patience_s: float) -> None:
        """Begin nothing more, and let what is under way finish; what takes longer is counted as failed."""
        self._is_draining = True
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=patience_s)
            for task in late:
                task.cancel()

    def _not(self, job: Job, fate: ShadowFate, why: str) -> ShadowFate:
        self._counters.count_shadow(job.workload.name, fate, why)
        return fate

    async def _run(self, job: Job, candidate: ServedVariant, mirroring: Mirroring) -> None:
        fate, why = ShadowFate.FAILED, "cancelled"
        try:
            shadow = await self._answered(job, candidate)
            outcome = await mirroring.primary
            fate, why = self._paired(job, candidate, outcome, shadow)
        except Exception as error:
            why = "error"
            LOG.error("mirroring failed: %s", type(error).__name__, exc_info=error)
        finally:
            self._counters.count_shadow(job.workload.name, fate, why)
            primary = mirroring.primary
            self._finished(job, primary.result() if primary.done() and not primary.cancelled() else Outcome(), fate)

    async def _answered(self, job: Job, candidate: ServedVariant) -> ShadowAnswer | None:
        """The candidate's side; None if no prompt of it fits the request."""
        changes = candidate.recipe.render(job.request)
        if changes is None:
            return None
        provider = candidate.variant.provider
        leg = Leg.of(job, self._settings.upstreams[provider])
        try:
            request = leg.request(changes)
        except Uncarried:
            return None
        started_s = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(self._settings.shadow.timeout_s):
                call = await self._transports[provider].send(request, job.request.stream)
                try:
                    head = await call.head()
                    received = await call.read(self._settings.shadow.max_answer_bytes)
                finally:
                    call.close()
        except TimeoutError:
            return ShadowAnswer(None, Failure.TOTAL_TIMEOUT.status, self._clock.monotonic_s() - started_s)
        except CallFailed as failed:
            return ShadowAnswer(None, failed.failure.status, self._clock.monotonic_s() - started_s)
        latency_s = self._clock.monotonic_s() - started_s
        if head.status == 429:
            self._paused_until_s[candidate.id] = self._clock.monotonic_s() + _pause_s(head)
        return self._side(candidate.variant, leg.wire, head.status, received, job.request.stream, latency_s)

    def _paired(
        self, job: Job, candidate: ServedVariant, outcome: Outcome, shadow: ShadowAnswer | None
    ) -> tuple[ShadowFate, str]:
        if shadow is None:
            return ShadowFate.SKIPPED, "unmatched"
        if outcome.status == 200 and outcome.body is None and not outcome.left:
            return ShadowFate.FAILED, "too_large"
        if outcome.left:
            incumbent = ShadowAnswer(None, CLIENT_LEFT, outcome.latency_s)
        else:
            variant = job.serving.incumbent.variant
            incumbent = self._side(
                variant, outcome.body_wire, outcome.status, outcome.body, job.request.stream, outcome.latency_s
            )
        self._recorder.record_pair(
            Pair(
                request_id=job.id,
                workload=job.workload.name,
                upgrade=job.serving.route.upgrade or "",
                candidate_id=candidate.id,
                slices=job.slices,
                incumbent=incumbent,
                candidate=shadow,
            )
        )
        if incumbent.status != 200:
            return ShadowFate.FAILED, "client_left" if outcome.left else "incumbent_failed"
        return (ShadowFate.PAIRED, "") if shadow.status == 200 else (ShadowFate.FAILED, "candidate_failed")

    def _side(
        self,
        variant: Variant,
        wire: WireName,
        status: int,
        body: bytes | None,
        streamed: bool,
        latency_s: float | None,
    ) -> ShadowAnswer:
        """One side of a pair. A body that is no answer, although the status said so, counts as 502."""
        answer: Answer | None = None
        if status == 200 and body is not None:
            spoken = WIRES[wire]
            answer = spoken.read_stream(body) if streamed else spoken.read_answer(body)
        if answer is None:
            return ShadowAnswer(None, 502 if status == 200 else status, latency_s)
        return ShadowAnswer(
            text=answer.text,
            status=status,
            latency_s=latency_s,
            tokens_in=answer.usage.tokens_in,
            tokens_out=answer.usage.tokens_out,
            cost_usd=self._pricing(variant, answer.usage),
            finish_reason=answer.finish_reason,
        )


def _pause_s(head: Head) -> float:
    """How long a provider that said 429 is left alone: as long as it asks, within reason."""
    asked = head.value(b"retry-after").decode("latin-1").strip()
    return min(float(asked), LONGEST_PAUSE_S) if asked.isdecimal() else 1.0

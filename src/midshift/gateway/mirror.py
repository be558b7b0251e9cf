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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from midshift.domain.exposure import ShadowAnswer, ShadowFate
from midshift.domain.routing import Arm
from midshift.domain.unseen import PairKind, Unseen, unseen
from midshift.gateway.asking import Unaskable, asking
from midshift.gateway.budget import Budget
from midshift.gateway.counters import Counters
from midshift.gateway.job import Job, Outcome
from midshift.gateway.pauses import TOO_MUCH, Pauses
from midshift.gateway.route import ServedVariant, Serving
from midshift.gateway.settings import GatewaySettings, Pricing
from midshift.gateway.sides import Received, pair_of, seen_side, unseen_side
from midshift.ports import Clock, Recorder
from midshift.providers.http.messages import Call, CallFailed, Ended, Failure, Head, Request, Transport
from midshift.providers.http.settings import Timeouts
from midshift.wire.protocol import WireName

LOG = logging.getLogger(__name__)


class Mirroring:
    """The unseen answers to one request, from the side of the user's: `primary` is what came of that.

    `seen` is the side that the user saw, the same in all pairs. `shadow` is the end of the candidate's shadow where
    that is known at once; where `waits`, the mirror says it later.
    """

    __slots__ = ("is_running", "primary", "seen", "shadow", "waits")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.primary: asyncio.Future[Outcome] = loop.create_future()
        self.is_running = False
        self.seen: ShadowAnswer | None = None
        self.shadow: ShadowFate | None = None
        self.waits = False


@dataclass(slots=True, eq=False)
class Unanswered:
    """An unseen answer that is wanted, of the variant that is to give it, and how far it is.

    `covers` says whether it is what the coverage of a shadow is counted by. While it is under way `held_usd` is held
    for it, and it has a `call`, or a `task` that waits for what there is to wait for. It is asked on `wire`, and maybe
    `stripped` of state.
    """

    job: Job
    unseen: Unseen
    served: ServedVariant
    covers: bool
    mirroring: Mirroring
    held_usd: float = 0.0
    started_s: float = 0.0
    wire: WireName = WireName.OPENAI_CHAT
    stripped: bool = False
    call: Call | None = None
    task: asyncio.Task[None] | None = None

    @property
    def model(self) -> tuple[str, str]:
        """What a provider's limits are about: itself and the model."""
        return self.served.variant.provider, self.served.variant.model


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
        self._loop = asyncio.get_running_loop()
        self._unasked: list[Unanswered] = []  # until the end of a turn, when the users' requests are on the wire
        self._running: set[Unanswered] = set()
        self._held_bytes = 0
        self._pauses = Pauses(clock)
        self._emptied: asyncio.Future[None] | None = None  # awaited while it drains

    def begin(self, job: Job, outcome: Outcome) -> Mirroring | None:
        """Start what a job is to be answered with unseen; None if that is nothing. `outcome` is as far as it is."""
        drawn = unseen(job.id, job.chosen, job.serving.route)
        if not drawn or not job.is_compared:
            return None
        mirroring = None
        for one in drawn:
            served = _known(one.variant, job.serving)
            if served is not None:
                mirroring = mirroring or Mirroring(self._loop)
                self._begin(Unanswered(job, one, served, _covers(one, job.serving), mirroring), outcome)
        return mirroring

    async def drain(self, patience_s: float) -> None:
        """Begin nothing more, and let what is under way finish; what takes longer is counted as failed."""
        self._emptied = self._loop.create_future()
        if self._running:
            await asyncio.wait([self._emptied], timeout=patience_s)
        for one in list(self._running):
            self._end(one, ShadowFate.FAILED, "cancelled")
            if one.task is not None:
                one.task.cancel()

    def _begin(self, one: Unanswered, outcome: Outcome) -> None:
        name, kind, mirroring = one.job.workload.name, one.unseen.kind, one.mirroring
        self._counters.begin_shadow(name, kind)
        try:
            fate, why = self._refused(one, outcome)
        except Exception:
            LOG.exception("a request cannot be mirrored")
            fate, why = ShadowFate.FAILED, "error"
        if fate is None:
            self._start(one)
        else:
            self._counters.count_shadow(name, kind, fate, why)
        if one.covers:
            mirroring.shadow, mirroring.waits = fate, fate is None

    def _refused(self, one: Unanswered, outcome: Outcome) -> tuple[ShadowFate | None, str]:
        """Why this unseen answer is not even begun."""
        job, limits = one.job, self._limits
        size = len(job.request.body)
        if job.request.has_side_effects:
            return ShadowFate.SKIPPED, "side_effects"
        if outcome.unmatched and job.chosen is Arm.CANDIDATE:
            return ShadowFate.SKIPPED, "unmatched"
        if outcome.withdrawn:
            return ShadowFate.SKIPPED, "withdrawn"
        if size > limits.max_request_bytes:
            return ShadowFate.SKIPPED, "too_large"
        if self._emptied is not None:
            return ShadowFate.SHED, "draining"
        if len(self._running) >= limits.max_concurrent:
            return ShadowFate.SHED, "concurrency"
        if self._held_bytes + size > limits.max_held_bytes:
            return ShadowFate.SHED, "memory"
        if self._pauses.is_on(one.model):
            return ShadowFate.SHED, "rate_limit"
        if self._budget.is_endless:
            return None, ""
        exhausted = self._budget.exhausted(self._clock.machine_now(), self._clock.monotonic_s())
        return (ShadowFate.SHED, exhausted) if exhausted else (None, "")

    def _start(self, one: Unanswered) -> None:
        one.mirroring.is_running = True
        one.held_usd = self._budget.hold()
        self._held_bytes += len(one.job.request.body)
        self._running.add(one)
        self._unasked.append(one)
        if len(self._unasked) == 1:
            self._loop.call_soon(self._ask_all)

    def _ask_all(self) -> None:
        unasked, self._unasked = self._unasked, []
        for one in unasked:
            if one in self._running:
                self._fenced(one, partial(self._ask, one))

    def _fenced(self, one: Unanswered, step: Callable[[], None]) -> None:
        """Take the next step of one; whatever fails in it is the end of this unseen answer alone."""
        try:
            step()
        except Unaskable as skipped:
            self._budget.settle(one.held_usd, 0.0)
            self._end(one, ShadowFate.SKIPPED, str(skipped))
        except Exception:
            LOG.exception("mirroring failed")
            self._end(one, ShadowFate.FAILED, "error")

    def _ask(self, one: Unanswered) -> None:
        """Send it, and have the answer told: by the call, where nothing has to be waited for, else by a task."""
        provider, is_stream = one.served.variant.provider, one.job.request.stream
        asked = asking(one.job, one.served, self._settings.upstreams[provider])
        one.wire, one.stripped, one.started_s = asked.leg.wire, asked.stripped, self._clock.monotonic_s()
        call = None if is_stream else self._transports[provider].begin(asked.request, False, self._timeouts[provider])
        if call is None:
            one.task = self._tasks.create_task(self._wait(one, asked.request))
        else:
            one.call = call
            call.when_over(self._limits.max_answer_bytes, partial(self._told, one))

    async def _wait(self, one: Unanswered, request: Request) -> None:
        """See `_ask`."""
        try:
            received = await self._received(one, request)
        except asyncio.CancelledError:
            self._end(one, ShadowFate.FAILED, "cancelled")
            raise
        except Exception:
            LOG.exception("mirroring failed")
            self._end(one, ShadowFate.FAILED, "error")
        else:
            self._fenced(one, partial(self._hear, one, received))

    async def _received(self, one: Unanswered, request: Request) -> Received:
        """What the variant answers, or how it fails."""
        provider, is_stream = one.served.variant.provider, one.job.request.stream
        first_byte_s: float | None = None
        first = b""
        try:
            call = await self._transports[provider].send(request, is_stream, self._timeouts[provider])
            try:
                head = await call.head()
                if is_stream and head.status == 200:
                    first = await call.chunk()
                    first_byte_s = self._clock.monotonic_s() - one.started_s
                body = first + await call.read(self._limits.max_answer_bytes - len(first))
            finally:
                call.close()
        except CallFailed as failed:
            return self._as_received(one, failed.failure)
        return self._as_received(one, (head, body), first_byte_s)

    def _told(self, one: Unanswered, ended: Ended) -> None:
        """See `_ask`: what its call says in the end."""
        if one in self._running:
            self._fenced(one, lambda: self._hear(one, self._as_received(one, ended)))

    def _as_received(self, one: Unanswered, ended: Ended, first_byte_s: float | None = None) -> Received:
        """What came of a call, by now."""
        took_s = self._clock.monotonic_s() - one.started_s
        if isinstance(ended, Failure):
            return Received(one.wire, ended.status, None, took_s)
        head, body = ended
        if head.status in TOO_MUCH:
            self._pauses.heard(one.model, head)
        return Received(one.wire, head.status, body, took_s, first_byte_s)

    def _hear(self, one: Unanswered, received: Received) -> None:
        """Take an answer, and pair it when the user's is over."""
        answer = unseen_side(one.served.variant, received, one.job.request.stream, self._pricing)
        self._settle(one, received, answer)
        pair, primary = partial(self._pair, one, answer), one.mirroring.primary
        if primary.done():
            pair()
        else:
            primary.add_done_callback(lambda _: self._fenced(one, pair))

    def _settle(self, one: Unanswered, received: Received, answer: ShadowAnswer) -> None:
        """What it cost: nothing where the provider refused, unknown where it did not say, or was cut short."""
        was_refused = received.body is not None and received.status != 200
        cost_usd = 0.0 if was_refused else answer.cost_usd
        self._budget.settle(one.held_usd, cost_usd)
        self._counters.count_cost(one.job.workload.name, one.unseen.kind, cost_usd)

    def _pair(self, one: Unanswered, answer: ShadowAnswer) -> None:
        if one in self._running:
            self._end(one, *self._paired(one, answer))

    def _paired(self, one: Unanswered, answer: ShadowAnswer) -> tuple[ShadowFate, str]:
        job, mirroring, outcome = one.job, one.mirroring, one.mirroring.primary.result()
        if outcome.by is not None and outcome.status in TOO_MUCH:
            self._pauses.heard((outcome.by.variant.provider, outcome.by.variant.model), Head(outcome.status, ()))
        if outcome.status == 200 and outcome.body is None and not outcome.left:
            return ShadowFate.FAILED, "too_large"
        seen = mirroring.seen = mirroring.seen or seen_side(job, outcome, self._pricing)
        self._recorder.record_pair(pair_of(job, one.unseen, seen, answer, one.stripped))
        if outcome.left:
            return ShadowFate.FAILED, "client_left"
        if seen.status != 200:
            return ShadowFate.FAILED, f"{job.chosen.value}_failed"
        if answer.status != 200:
            is_incumbents = one.served.id == job.serving.incumbent.id
            return ShadowFate.FAILED, "incumbent_failed" if is_incumbents else "candidate_failed"
        return ShadowFate.PAIRED, ""

    def _end(self, one: Unanswered, fate: ShadowFate, why: str) -> None:
        """Let go of it, once, and count it when the user's answer is over as well."""
        if one not in self._running:
            return
        self._running.remove(one)
        self._held_bytes -= len(one.job.request.body)
        if one.call is not None:
            one.call.close()
        if self._emptied is not None and not self._running and not self._emptied.done():
            self._emptied.set_result(None)
        primary = one.mirroring.primary
        if primary.done():
            self._count(one, fate, why)
        else:
            primary.add_done_callback(lambda _: self._count(one, fate, why))

    def _count(self, one: Unanswered, fate: ShadowFate, why: str) -> None:
        """Count how it ended. What fails in the record must stay here: whoever called has others to count."""
        self._counters.count_shadow(one.job.workload.name, one.unseen.kind, fate, why)
        if one.covers:
            try:
                self._finished(one.job, one.mirroring.primary.result(), fate)
            except Exception:
                LOG.exception("the end of a mirrored request cannot be recorded")


def _within(timeouts: Timeouts, most_s: float) -> Timeouts:
    """The same, and no call takes longer than this."""
    return replace(timeouts, total_s=min(timeouts.total_s, most_s))


def _known(variant_id: str, serving: Serving) -> ServedVariant | None:
    """A variant that was drawn, if this gateway can ask it."""
    candidate = serving.candidate
    if candidate is not None and candidate.id == variant_id:
        return candidate
    return next((one for one in (serving.incumbent, *serving.others) if one.id == variant_id), None)


def _covers(drawn: Unseen, serving: Serving) -> bool:
    return drawn.kind is PairKind.SHADOW and drawn.variant == serving.route.candidate

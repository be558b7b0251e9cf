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
from dataclasses import dataclass, field, replace
from functools import partial

from msgspec import Struct

from midshift.domain.exposure import ShadowAnswer, ShadowFate
from midshift.domain.routing import Arm
from midshift.domain.unseen import Draws, PairKind, Unseen
from midshift.gateway.asking import Unaskable, asking
from midshift.gateway.budget import Budget
from midshift.gateway.counters import Counters
from midshift.gateway.job import Job, Mirroring, Outcome
from midshift.gateway.leg import Leg, Legs
from midshift.gateway.pauses import Pauses
from midshift.gateway.route import ServedVariant, Serving
from midshift.gateway.settings import GatewaySettings, Pricing
from midshift.gateway.sides import Received, pair_of, seen_side, unseen_side
from midshift.ports import Clock, Recorder
from midshift.providers.http.messages import Call, CallFailed, Ended, Failure, Head, Request, Transport
from midshift.providers.http.settings import Timeouts
from midshift.wire.protocol import WireName

LOG = logging.getLogger(__name__)

_PAIRED = ShadowFate.PAIRED, ""
_BROKEN = ShadowFate.FAILED, "error"
_NO_ANSWER = ShadowAnswer(None, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """An unseen answer as the requests of one row may get it: of which variant, and how that is asked.

    `covers` says whether it is what the coverage of a shadow is counted by. `model` is what a provider's limits are
    about: itself and the model. `legs` are the ways to it, by the wire of the app, as far as they were gone.
    """

    unseen: Unseen
    served: ServedVariant
    covers: bool
    model: tuple[str, str]
    transport: Transport
    timeouts: Timeouts
    legs: dict[WireName, Leg] = field(default_factory=dict)


class Unanswered(Struct, eq=False):
    """An unseen answer that one request is to get, and how far it is.

    While it is under way `held_usd` is held for it, and it has a `call`, or a `task` that waits for what there is to
    wait for. It is asked on `wire`, and maybe `stripped` of state. `answer` is what came of it.
    """

    job: Job
    outcome: Outcome
    mirroring: Mirroring
    wanted: Wanted
    held_usd: float = 0.0
    started_s: float = 0.0
    wire: WireName = WireName.OPENAI_CHAT
    stripped: bool = False
    call: Call | None = None
    task: asyncio.Task[None] | None = None
    first_byte_s: float | None = None
    answer: ShadowAnswer = _NO_ANSWER


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
        self._legs = Legs(upstreams, is_mirror=True)
        self._draws: dict[str, tuple[Serving, Draws[Wanted]]] = {}  # by workload, with what served it last
        self._loop = asyncio.get_running_loop()
        self._unasked: list[Unanswered] = []  # until the end of a turn, when the users' requests are on the wire
        self._running: set[Unanswered] = set()
        self._most_running = settings.shadow.max_concurrent
        self._held_bytes = 0
        self._pauses = Pauses(clock)
        self._emptied: asyncio.Future[None] | None = None  # awaited while it drains

    def begin(self, job: Job, outcome: Outcome) -> None:
        """Start what a job is to be answered with unseen, when it was first asked; `outcome` is as far as it is."""
        if outcome.is_asked:
            return
        outcome.is_asked = True
        serving = job.serving
        if serving.candidate is None or serving.is_unwatched:
            return
        known = self._draws.get(job.workload.name)
        if known is None or known[0] is not serving:  # not by its row: one of the others may be known now
            known = serving, Draws(serving.route, partial(self._wanted, serving))
            self._draws[job.workload.name] = known
        drawn = known[1].of(job.id, job.chosen)
        if drawn and job.is_compared:
            outcome.mirroring = mirroring = Mirroring()
            for wanted in drawn:
                self._begin(Unanswered(job, outcome, mirroring, wanted))

    def over(self, mirroring: Mirroring) -> None:
        """The user's answer is over: pair and count what waited for it, in turns of the loop of their own."""
        mirroring.is_over = True
        for step in mirroring.waiting:
            self._loop.call_soon(step)
        mirroring.waiting.clear()

    async def drain(self, patience_s: float) -> None:
        """Begin nothing more, and let what is under way finish; what takes longer is counted as failed."""
        self._emptied = self._loop.create_future()
        self._most_running = 0
        if self._running:
            await asyncio.wait([self._emptied], timeout=patience_s)
        for one in list(self._running):
            self._end(one, ShadowFate.FAILED, "cancelled")
            if one.task is not None:
                one.task.cancel()

    def _wanted(self, serving: Serving, drawn: Unseen) -> Wanted | None:
        """How an unseen answer is asked for; None for a variant that this gateway cannot ask."""
        served = _known(drawn.variant, serving)
        if served is None:
            return None
        provider, covers = served.variant.provider, _covers(drawn, serving)
        model = provider, served.variant.model
        return Wanted(drawn, served, covers, model, self._transports[provider], self._timeouts[provider])

    def _begin(self, one: Unanswered) -> None:
        name, kind = one.job.workload.name, one.wanted.unseen.kind
        self._counters.begin_shadow(name, kind)
        try:
            refused = self._refused(one)
        except Exception:
            LOG.exception("a request cannot be mirrored")
            refused = _BROKEN
        if refused is None:
            self._start(one)
            one.mirroring.waits |= one.wanted.covers
        else:
            self._counters.count_shadow(name, kind, *refused)
            if one.wanted.covers:
                one.mirroring.shadow = refused[0]

    def _refused(self, one: Unanswered) -> tuple[ShadowFate, str] | None:
        """Why this unseen answer is not even begun; None where it is."""
        job, outcome, limits = one.job, one.outcome, self._limits
        size = len(job.request.body)
        if job.request.has_side_effects:
            return ShadowFate.SKIPPED, "side_effects"
        if outcome.unmatched and job.chosen is Arm.CANDIDATE:
            return ShadowFate.SKIPPED, "unmatched"
        if outcome.withdrawn:
            return ShadowFate.SKIPPED, "withdrawn"
        if size > limits.max_request_bytes:
            return ShadowFate.SKIPPED, "too_large"
        if len(self._running) >= self._most_running:
            return ShadowFate.SHED, "concurrency" if self._emptied is None else "draining"
        if self._held_bytes + size > limits.max_held_bytes:
            return ShadowFate.SHED, "memory"
        if self._pauses.is_on(one.wanted.model):
            return ShadowFate.SHED, "rate_limit"
        if self._budget.is_endless:
            return None
        exhausted = self._budget.exhausted(self._clock.machine_now(), self._clock.monotonic_s())
        return (ShadowFate.SHED, exhausted) if exhausted else None

    def _start(self, one: Unanswered) -> None:
        one.outcome.keeps_body = True
        if not self._budget.is_endless:
            one.held_usd = self._budget.hold()
        self._held_bytes += len(one.job.request.body)
        self._running.add(one)
        if not self._unasked:
            self._loop.call_soon(self._ask_all)
        self._unasked.append(one)

    def _ask_all(self) -> None:
        unasked, self._unasked = self._unasked, []
        for one in unasked:
            if one in self._running:
                self._ask(one)

    # The steps of one that is under way: it is asked, heard and paired. What fails in a step is the end of this alone.

    def _ask(self, one: Unanswered) -> None:
        """Send it, and have the answer told: by the call, where nothing has to be waited for, else by a task."""
        job, wanted = one.job, one.wanted
        try:
            leg = wanted.legs.get(job.wire)
            if leg is None:
                leg = wanted.legs[job.wire] = self._legs.to(wanted.served, job)
            request, one.stripped = asking(job, wanted.served, leg)
            one.wire, one.started_s = leg.wire, self._clock.monotonic_s()
            call = None if job.request.stream else wanted.transport.begin(request, False, wanted.timeouts)
            if call is None:
                one.task = self._tasks.create_task(self._wait(one, request))
            else:
                one.call = call
                call.when_over(self._limits.max_answer_bytes, partial(self._hear, one))
        except Unaskable as skipped:
            self._budget.settle(one.held_usd, 0.0)
            self._end(one, ShadowFate.SKIPPED, str(skipped))
        except Exception:
            LOG.exception("mirroring failed")
            self._end(one, *_BROKEN)

    async def _wait(self, one: Unanswered, request: Request) -> None:
        """See `_ask`."""
        try:
            ended = await self._ended(one, request)
        except asyncio.CancelledError:
            self._end(one, ShadowFate.FAILED, "cancelled")
            raise
        except Exception:
            LOG.exception("mirroring failed")
            self._end(one, *_BROKEN)
        else:
            self._hear(one, ended)

    async def _ended(self, one: Unanswered, request: Request) -> Ended:
        """What the variant answers, or how it fails."""
        is_stream, first = one.job.request.stream, b""
        try:
            call = await one.wanted.transport.send(request, is_stream, one.wanted.timeouts)
            try:
                head = await call.head()
                if is_stream and head.status == 200:
                    first = await call.chunk()
                    one.first_byte_s = self._clock.monotonic_s() - one.started_s
                return head, first + await call.read(self._limits.max_answer_bytes - len(first))
            finally:
                call.close()
        except CallFailed as failed:
            return failed.failure

    def _hear(self, one: Unanswered, ended: Ended) -> None:
        """Take how its call has ended, and pair it when the user's answer is over."""
        if one not in self._running:
            return
        try:
            one.answer = self._answer(one, ended)
        except Exception:
            LOG.exception("mirroring failed")
            self._end(one, *_BROKEN)
        else:
            if one.mirroring.is_over:
                self._pair(one)
            else:
                one.mirroring.waiting.append(partial(self._pair, one))

    def _answer(self, one: Unanswered, ended: Ended) -> ShadowAnswer:
        """What a variant has just answered, settled: it costs nothing where the provider refused, nobody knows what
        where it did not say, or was cut short."""
        job, wanted, was_refused = one.job, one.wanted, False
        took_s = self._clock.monotonic_s() - one.started_s
        if isinstance(ended, Failure):
            received = Received(one.wire, ended.status, None, took_s)
        else:
            head, body = ended
            received = Received(one.wire, head.status, body, took_s, one.first_byte_s)
            if head.status != 200:
                was_refused = True
                self._pauses.heard(wanted.model, head)
        answer = unseen_side(wanted.served.variant, received, job.request.stream, self._pricing)
        cost_usd = 0.0 if was_refused else answer.cost_usd
        if not self._budget.is_endless:
            self._budget.settle(one.held_usd, cost_usd)
        self._counters.count_cost(job.workload.name, wanted.unseen.kind, cost_usd)
        return answer

    def _pair(self, one: Unanswered) -> None:
        """Record both answers, which are over, and how it ended by them."""
        if one not in self._running:
            return
        try:
            fate, why = self._paired(one)
        except Exception:
            LOG.exception("mirroring failed")
            self._end(one, *_BROKEN)
        else:
            self._end(one, fate, why)

    def _paired(self, one: Unanswered) -> tuple[ShadowFate, str]:
        job, outcome, mirroring, answer = one.job, one.outcome, one.mirroring, one.answer
        if outcome.status == 200:
            if outcome.body is None and not outcome.left:
                return ShadowFate.FAILED, "too_large"
        elif outcome.by is not None:
            self._pauses.heard((outcome.by.variant.provider, outcome.by.variant.model), Head(outcome.status, ()))
        seen = mirroring.seen
        if seen is None:
            seen = mirroring.seen = seen_side(job, outcome, self._pricing)
        self._recorder.record_pair(pair_of(job, one.wanted.unseen, seen, answer, one.stripped))
        if outcome.left:
            return ShadowFate.FAILED, "client_left"
        if seen.status == 200 == answer.status:
            return _PAIRED
        if seen.status != 200:
            return ShadowFate.FAILED, f"{job.chosen.value}_failed"
        is_incumbents = one.wanted.served.id == job.serving.incumbent.id
        return ShadowFate.FAILED, "incumbent_failed" if is_incumbents else "candidate_failed"

    def _end(self, one: Unanswered, fate: ShadowFate, why: str) -> None:
        """Let go of it, once, and count it when the user's answer is over as well."""
        if one not in self._running:
            return
        self._running.remove(one)
        self._held_bytes -= len(one.job.request.body)
        if one.answer is _NO_ANSWER and (one.call is not None or one.task is not None):  # asked, and never read
            self._counters.count_cost(one.job.workload.name, one.wanted.unseen.kind, None)
        if one.call is not None:
            one.call.close()
        if self._emptied is not None and not self._running and not self._emptied.done():
            self._emptied.set_result(None)
        if one.mirroring.is_over:
            self._count(one, fate, why)
        else:
            one.mirroring.waiting.append(partial(self._count, one, fate, why))

    def _count(self, one: Unanswered, fate: ShadowFate, why: str) -> None:
        """Count how it ended. What fails in the record must stay here: whoever called has others to count."""
        self._counters.count_shadow(one.job.workload.name, one.wanted.unseen.kind, fate, why)
        if one.wanted.covers:
            try:
                self._finished(one.job, one.outcome, fate)
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

"""One request to one variant, and its answer back, as it comes.

Contract. A candidate that fails before the first content of its answer is answered for by the incumbent, and counted;
after it nothing is asked again, and the app is told that the answer broke off. A stream that its provider ends without
the end of its wire, or with an error in it, passes as it is and is a failure: 502 on the record. An incumbent's own
error passes through as it is; an answer of its that has to be translated and cannot be read is an error of the
gateway's. The call ends when the app is no longer there to hear the answer. A stream is forwarded block by block as it
comes and never read in between; what it used is found in its tail. State that the variant cannot read is left out, and
an incumbent that refuses state of unknown origin is asked once more without it.
Elsewhere: who gets which variant (app), whose fault a failure is (faults), state (origins), the answer that nobody sees
(mirror), sockets (providers.http).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeAlias

from midshift.domain.exposure import Fate
from midshift.domain.rendering import Changes
from midshift.domain.routing import Arm
from midshift.domain.usage import UNKNOWN
from midshift.gateway import faults, headers, opening
from midshift.gateway.breaker import BreakerState
from midshift.gateway.faults import UNASKED, UNCARRIED
from midshift.gateway.forwarding import Forwarding
from midshift.gateway.job import NO_ANSWER, Job, Outcome
from midshift.gateway.leg import Leg, Legs
from midshift.gateway.origins import Origin, Origins, Watched
from midshift.gateway.problems import ILLEGIBLE, problem_of, stuck_in
from midshift.gateway.reply import Reply
from midshift.gateway.route import ServedVariant, Serving
from midshift.gateway.settings import GatewaySettings
from midshift.ports import Clock
from midshift.providers.http.messages import Call, CallFailed, Failure, Head, Request, Transport
from midshift.wire.protocol import Answer, End, Problem
from midshift.wire.translation.conversation import Uncarried
from midshift.wire.wires import WIRES

GIVEN_UP_S = 10.0
"""An app that leaves after so long without an answer has given up on the candidate, which the breaker must hear: apps
are often less patient than we are. Before that, somebody may have pressed stop."""

Tell: TypeAlias = Callable[[Job, Outcome], None]

_BAD_REQUEST = 400
_INCUMBENT = Arm.INCUMBENT
_BY_INCUMBENT, _BY_CANDIDATE = Fate.INCUMBENT, Fate.CANDIDATE


class Relay:
    """Serves jobs over the transports of the providers. `serving` says what serves a unit of a workload now.

    `on_the_wire` is told whenever a variant has been asked for a job: twice where one falls back.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        transports: Mapping[str, Transport],
        clock: Clock,
        origins: Origins,
        serving: Callable[[str, str], Serving],
        on_the_wire: Tell,
    ) -> None:
        self._settings = settings
        self._on_the_wire = on_the_wire
        self._legs = Legs(settings.upstreams)
        self._serving = serving
        self._origins = origins
        self._transports = transports
        self._clock = clock
        self._breakers: dict[tuple[str, str], BreakerState] = {}

    def serve(self, reply: Reply) -> Coroutine[Any, Any, None]:
        """Answer a job."""
        way = self._by_incumbent if reply.job.chosen is _INCUMBENT else self._by_candidate_or_incumbent
        return way(reply)

    async def count_tokens(self, reply: Reply) -> None:
        """Ask how many tokens a request has, of the variant that would answer it; no evidence comes of it.

        A candidate whose breaker is open is not asked, and none for longer than it may take to answer. How a count ends
        is not heard by the breaker: many servers that answer well cannot count.
        """
        job = reply.job
        candidate = job.serving.candidate if job.chosen is Arm.CANDIDATE else None
        if candidate is not None and not self._breaker(job).is_open:
            if await self._counted(candidate, reply, is_last=False):
                return
        await self._counted(job.serving.incumbent, reply, is_last=True)

    async def _counted(self, served: ServedVariant, reply: Reply, is_last: bool) -> bool:
        """Whether the app has its answer; the last one asked always gives one."""
        job, leg = reply.job, self._legs.to(served, reply.job)
        changes = served.recipe.render(job.request) or Changes(model=served.variant.model)
        try:
            if not leg.is_direct:
                raise Uncarried("model", f"tokens are counted on the {leg.wire} wire there")
            async with asyncio.timeout(None if is_last else self._settings.candidate_patience_s):
                request = _request(leg, reply, served, changes)
                call = await self._transports[served.variant.provider].send(request, job.request.stream)
                try:
                    head, body = await call.head(), await call.read(self._settings.max_answer_bytes)
                finally:
                    call.close()
        except TimeoutError:
            problem = problem_of(Failure.FIRST_BYTE_TIMEOUT)
        except CallFailed as failed:
            problem = problem_of(failed.failure)
        except Uncarried as error:
            problem = Problem(400, str(error), UNCARRIED, error.param)
        else:
            if is_last or head.status == 200:
                answer = leg.read(head, body)
                if reply.is_paused:
                    await _taken_before(head, answer, served, reply)
                self._whole(leg, head, body, body, answer, served, reply)
                return True
        if is_last:
            await _failed(problem, reply, served)
        return is_last

    def open_breakers(self) -> Sequence[tuple[str, str]]:
        """Workload and candidate of each that is left alone at present."""
        return [key for key, state in self._breakers.items() if state.is_open]

    async def _by_candidate(self, reply: Reply) -> bool:
        """Whether the candidate has answered; if not, nothing has been sent to the app."""
        job, outcome = reply.job, reply.outcome
        candidate = job.serving.candidate
        changes = candidate.recipe.render(job.request) if candidate is not None else None
        if candidate is None or changes is None:
            outcome.unmatched = candidate is not None
            return False
        outcome.fate = _BY_CANDIDATE
        breaker = self._breaker(job)
        attempt = breaker.allows(self._clock.monotonic_s())
        if attempt is None:
            outcome.fell_back = "breaker"
            return False
        outcome.attempt = attempt
        leg = self._legs.to(candidate, job)
        call: Call | None = None
        try:
            request, is_stream = _request(leg, reply, candidate, changes), job.request.stream
            transport = self._transports[candidate.variant.provider]
            call = transport.begin(request, is_stream) or await transport.send(request, is_stream)
            if job.is_withdrawn(self._serving(job.workload.name, job.unit)):  # while it waited for a connection
                outcome.withdrawn = True
                return False
            self._on_the_wire(job, outcome)
            return await self._forwarded(leg, call, candidate, reply, breaker)
        except CallFailed as failed:
            outcome.fell_back = failed.failure.value
            return False
        except Uncarried:
            outcome.fell_back = UNCARRIED
            return False
        finally:
            if call is not None:
                call.close()

    async def _forwarded(
        self, leg: Leg, call: Call, candidate: ServedVariant, reply: Reply, breaker: BreakerState
    ) -> bool:
        outcome, is_stream = reply.outcome, reply.job.request.stream
        asked_s = self._clock.monotonic_s()
        try:
            head, begun, answer = await (self._begun(leg, call) if is_stream else self._all(leg, call))
        except asyncio.CancelledError:
            if (now_s := self._clock.monotonic_s()) - asked_s >= GIVEN_UP_S:
                breaker.record(outcome.attempt, False, now_s)
            raise
        if isinstance(begun, int):
            outcome.fell_back = str(begun)
            return False
        if is_stream:
            try:
                await self._pump(leg, call, head, begun, candidate, reply)
            except asyncio.CancelledError:
                if outcome.is_whole:
                    breaker.record(outcome.attempt, outcome.status < 500, self._clock.monotonic_s())
                raise
        elif (out := leg.whole(head.status, begun)) is not None:
            if reply.is_paused:
                await _taken_before(head, answer, candidate, reply)
            self._whole(leg, head, begun, out, answer, candidate, reply)
        else:
            outcome.fell_back = str(opening.FAILED)
            return False
        breaker.record(outcome.attempt, outcome.status < 500, self._clock.monotonic_s())
        return True

    async def _begun(self, leg: Leg, call: Call) -> tuple[Head, bytes | int, None]:
        """The head of a candidate's stream, with all up to its first event with content; or how it failed."""
        try:
            async with asyncio.timeout(leg.upstream.timeouts.first_byte_s):
                head = await call.head()
                failed = leg.failed_by(head)
                return head, failed or await opening.begun(call, leg.wire, self._settings.candidate_hold_s), None
        except TimeoutError:
            raise CallFailed(Failure.FIRST_BYTE_TIMEOUT) from None

    async def _all(self, leg: Leg, call: Call) -> tuple[Head, bytes | int, Answer | None]:
        """The head of a candidate's answer, with all of it, as it is and as it is read; or how it failed."""
        call.hurry(self._settings.candidate_patience_s)
        head = await call.head()
        if failed := leg.failed_by(head):
            return head, failed, None
        most = self._settings.max_answer_bytes
        body = call.at_hand(most) or await call.read(most)
        answer = leg.spoken.read_answer(body)
        return head, opening.FAILED if answer is None else body, answer

    async def _by_candidate_or_incumbent(self, reply: Reply) -> None:
        """Have the candidate answer, and where it does not, the incumbent."""
        if await self._by_candidate(reply):
            return
        job, outcome = reply.job, reply.outcome
        may_be_the_requests = faults.may_be_the_requests(outcome.fell_back)
        if outcome.fell_back and not may_be_the_requests:
            self._hear_failure(job, outcome)  # now: the app may leave before the incumbent has answered
        await self._by_incumbent(reply)
        if may_be_the_requests:
            self._settle_fault(job, outcome)

    async def _by_incumbent(self, reply: Reply) -> None:
        job, outcome = reply.job, reply.outcome
        outcome.fate = _BY_INCUMBENT
        incumbent = job.serving.incumbent
        changes = incumbent.recipe.render(job.request)
        if changes is None:  # an incumbent serves whatever comes: with the app's own prompt then
            outcome.unmatched = True
            changes = Changes(model=incumbent.variant.model)
        if job.held:
            way = job.carriage(incumbent)
            if way.stuck:
                await _failed(stuck_in(way.stuck), reply, incumbent)
                return
            outcome.stripped = way.strip
        leg = self._legs.to(incumbent, job)
        call: Call | None = None
        try:
            request, is_stream = leg.request(job, changes, outcome.stripped), job.request.stream
            transport = self._transports[incumbent.variant.provider]
            call = transport.begin(request, is_stream) or await transport.send(request, is_stream)
            self._on_the_wire(job, outcome)
            head = await call.head()
            if head.status == _BAD_REQUEST and (bare := _without_unknown_state(leg, job, incumbent, changes)):
                call.close()
                outcome.stripped = True
                call = await transport.send(bare, is_stream)
                head = await call.head()
            if not leg.is_direct and leg.is_illegible(head):
                raise CallFailed(Failure.BROKEN)
            if is_stream and head.status == 200:
                await self._pump(leg, call, head, b"", incumbent, reply)
                return
            most = self._settings.max_answer_bytes
            body = call.at_hand(most) or await call.read(most)
            out = leg.whole(head.status, body)
            if out is None:
                await _failed(ILLEGIBLE, reply, incumbent)
                return
            answer = leg.read(head, body)
            if reply.is_paused:
                await _taken_before(head, answer, incumbent, reply)
            self._whole(leg, head, body, out, answer, incumbent, reply)
        except CallFailed as failed:
            await _failed(problem_of(failed.failure), reply, incumbent)
        except Uncarried as error:
            await _failed(Problem(400, str(error), UNCARRIED, error.param), reply, incumbent)
        finally:
            if call is not None:
                call.close()

    def _origin(self, job: Job, by: ServedVariant) -> Origin:
        return Origin.at(by, job.client, job.unit)

    def _whole(
        self, leg: Leg, head: Head, body: bytes, out: bytes, answer: Answer | None, by: ServedVariant, reply: Reply
    ) -> None:
        """Send an answer that is there as a whole, whatever its status: `out` is `body` as the app reads it."""
        outcome = reply.outcome
        outcome.answer = answer or NO_ANSWER
        _keep(outcome, leg, body)
        wire = leg.heard
        if wire.BINDS_STATE and head.status == 200 and (tokens := wire.state_in(out)):
            self._origins.remember(tokens, self._origin(reply.job, by))
        lines = headers.to_app(head.headers) if out is body else headers.of_json(head.headers)
        lines.append((b"content-length", b"%d" % len(out)))
        reply.send_whole(head.status, lines, out, by)

    async def _pump(self, leg: Leg, call: Call, head: Head, begun: bytes, by: ServedVariant, reply: Reply) -> None:
        """Forward a stream as it comes."""
        job, outcome = reply.job, reply.outcome
        keeps = self._settings.shadow.max_answer_bytes if outcome.keeps_body else 0
        is_encoded = head.value(b"content-encoding") not in (b"", b"identity")
        forwarding = Forwarding(leg, job.request.asks_usage, is_encoded, reply, self._watched(leg, job, by), keeps)
        await reply.begin(200, [*headers.to_app(head.headers), (b"x-accel-buffering", b"no")], by)
        reply.tell_when_writable(call.resume)
        try:
            if begun and not forwarding.take(begun):
                await reply.drained()
            await call.forward(forwarding.take)
            reply.end(forwarding.rest())
            _keep(outcome, leg, forwarding.kept())
        except asyncio.CancelledError:
            said = forwarding.said()
            outcome.is_whole = said.finish_reason is not None or said.end is not End.NONE
            outcome.status = Failure.BROKEN.status if said.end is End.ERROR else outcome.status
            if outcome.is_whole:
                _keep(outcome, leg, forwarding.kept())
            raise
        except CallFailed as failed:
            outcome.status = failed.failure.status
            reply.end(forwarding.rest() + leg.heard.error_event(problem_of(failed.failure)))
        finally:
            reply.tell_when_writable(None)
            outcome.answer = forwarding.ended()
        if outcome.status == 200 and forwarding.is_broken(outcome.answer):
            outcome.status = Failure.BROKEN.status

    def _watched(self, leg: Leg, job: Job, by: ServedVariant) -> Watched | None:
        """Whoever looks for state in what goes to the app, on wires that have any."""
        return Watched(self._origins, self._origin(job, by), leg.heard) if leg.heard.BINDS_STATE else None

    def _breaker(self, job: Job) -> BreakerState:
        """One for each workload and candidate; those of past candidates are let go."""
        candidate = job.serving.candidate
        key = (job.workload.name, candidate.id if candidate is not None else "")
        if key not in self._breakers:
            self._breakers = {known: state for known, state in self._breakers.items() if known[0] != key[0]}
            self._breakers[key] = BreakerState(self._settings.breaker)
        return self._breakers[key]

    def _hear_failure(self, job: Job, outcome: Outcome) -> None:
        """Tell the breaker that the candidate gave no answer, or could not be asked for one."""
        breaker, now_s = self._breaker(job), self._clock.monotonic_s()
        if outcome.fell_back in UNASKED:
            breaker.give_back(outcome.attempt, now_s)
        elif outcome.fell_back != "breaker":
            breaker.record(outcome.attempt, False, now_s)

    def _settle_fault(self, job: Job, outcome: Outcome) -> None:
        """Whose fault it was that the incumbent was asked, where its answer tells.

        Where it refuses the same request, it was the request's: nothing counts against the candidate.
        """
        if faults.is_the_requests(outcome.status):
            outcome.fell_back = ""
        else:
            self._hear_failure(job, outcome)


async def _failed(problem: Problem, reply: Reply, by: ServedVariant) -> None:
    """The incumbent gave no answer at all, or broke one off: say so, without saying where it lives."""
    outcome, wire = reply.outcome, WIRES[reply.job.wire]
    outcome.answer = Answer(UNKNOWN)
    if reply.is_begun:
        outcome.status = problem.status
        reply.end(wire.error_event(problem))
        return
    body = wire.error_body(problem)
    lines = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    lines += [headers.COME_AGAIN] if problem.status == 503 else []
    await reply.whole(problem.status, lines, body, by)


async def _taken_before(head: Head, answer: Answer | None, by: ServedVariant, reply: Reply) -> None:
    """Wait until the app has taken its answer before this one. It may leave instead: this one is paid for by then."""
    reply.outcome.answer = answer or NO_ANSWER
    await reply.drained_for(head.status, by)


def _keep(outcome: Outcome, leg: Leg, body: bytes | None) -> None:
    if outcome.keeps_body:
        outcome.body, outcome.body_wire = body, leg.wire


def _request(leg: Leg, reply: Reply, served: ServedVariant, changes: Changes) -> Request:
    """What a variant is asked, without the state of earlier answers where it cannot read that."""
    job, outcome = reply.job, reply.outcome
    if job.held:
        outcome.stripped = job.carriage(served).strip
    return leg.request(job, changes, outcome.stripped)


def _without_unknown_state(leg: Leg, job: Job, served: ServedVariant, changes: Changes) -> Request | None:
    """The request once more, without state of which nobody here knows whether `served` made it; None if there is none.

    After a rollback, another gateway's candidate may have made it. A refused request has done nothing, so to ask again
    does nothing twice.
    """
    if job.carriage(served).strip or all(item.origin is not None for item in job.held):
        return None
    bare = leg.request(job, changes, strip_state=True)
    return bare if bare.body != leg.request(job, changes).body else None

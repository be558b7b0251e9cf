"""One request to one variant, and its answer back, as it comes.

Contract. A candidate that fails before the first event or byte of its answer is answered for by the incumbent, and
counted; after it nothing is asked again, and the app is told that the answer broke off. An incumbent's own error
passes through as it is. The call ends when the app is no longer there to hear the answer. A stream is forwarded block
by block as it comes and never read in between; what it used is found in its tail.
Elsewhere: who gets which variant (app), the answer that nobody sees (mirror), sockets (upstream).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from midshift.domain.exposure import Fate
from midshift.domain.rendering import Changes
from midshift.domain.routing import Arm
from midshift.domain.usage import UNKNOWN
from midshift.domain.workload import Workload
from midshift.gateway import headers
from midshift.gateway.breaker import BreakerState
from midshift.gateway.route import ServedVariant, Serving
from midshift.gateway.settings import GatewaySettings
from midshift.ports import Clock
from midshift.providers.http.messages import Call, CallFailed, Failure, Head, Request, Transport
from midshift.wire import openai_chat, sse
from midshift.wire.openai_chat import Answer, ChatRequest

Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

PATH = "/chat/completions"

_LONGEST_HELD_BLOCK = 64 * 1024
_REFUSED = range(400, 500)
_NOT_THE_REQUESTS_FAULT = (401, 403, 408, 409, 425, 429)


@dataclass(frozen=True, slots=True)
class Job:
    """One request with everything that was decided about it."""

    id: str
    workload: Workload
    request: ChatRequest
    lines: headers.Lines
    serving: Serving
    assigned: Arm
    unit: str
    block: int
    slices: tuple[str, ...]
    started_s: float


@dataclass(slots=True)
class Outcome:
    """What came of a job for the user. `status` is the truth about the answer, also when the head had said 200."""

    fate: Fate = Fate.REFUSED
    status: int = 0
    by: ServedVariant | None = None
    fell_back: str = ""
    unmatched: bool = False
    left: bool = False
    first_byte_s: float | None = None
    latency_s: float | None = None
    answer: Answer = field(default_factory=Answer)
    keeps_body: bool = False
    body: bytes | None = None


class Reply:
    """The way back to the app: one head, then the body."""

    __slots__ = ("_clock", "_job_id", "_outcome", "_send", "_started_s", "is_begun")

    def __init__(self, send: Send, job_id: str, outcome: Outcome, clock: Clock, started_s: float) -> None:
        self._send = send
        self._job_id = job_id.encode()
        self._outcome = outcome
        self._clock = clock
        self._started_s = started_s
        self.is_begun = False

    async def begin(self, status: int, lines: headers.Lines, serving: Serving, by: ServedVariant) -> None:
        """Send the head."""
        ours = [(b"x-midshift-request-id", self._job_id), (b"x-midshift-variant", by.short_id)]
        if serving.route.upgrade is not None:
            ours.append((b"x-midshift-step", b"%d" % serving.route.step))
        self.is_begun = True
        self._outcome.status = status
        self._outcome.by = by
        await self._send({"type": "http.response.start", "status": status, "headers": [*lines, *ours]})

    async def more(self, data: bytes) -> None:
        """Send a part of the body."""
        if self._outcome.first_byte_s is None:
            self._outcome.first_byte_s = self._clock.monotonic_s() - self._started_s
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last of it."""
        if data and self._outcome.first_byte_s is None:
            self._outcome.first_byte_s = self._clock.monotonic_s() - self._started_s
        await self._send({"type": "http.response.body", "body": data, "more_body": False})


class UsageFilter:
    """Takes the usage that we asked for out of a stream whose app did not ask: some clients stumble over it."""

    __slots__ = ("_blocks", "_is_on")

    def __init__(self, is_on: bool) -> None:
        self._is_on = is_on
        self._blocks = sse.Blocks()

    def feed(self, chunk: bytes) -> bytes:
        """What goes on of this chunk, and of what was held before."""
        if not self._is_on:
            return chunk
        blocks = self._blocks.feed(chunk)
        out = b"".join(block for block in blocks if not openai_chat.is_usage_only(block))
        return out + self._blocks.flush() if len(self._blocks.rest) > _LONGEST_HELD_BLOCK else out

    def end(self) -> bytes:
        """What was held of a block that never ended."""
        rest = self._blocks.flush()
        return b"" if openai_chat.is_usage_only(rest) else rest


class Relay:
    """Serves jobs over the transports of the providers."""

    def __init__(self, settings: GatewaySettings, transports: Mapping[str, Transport], clock: Clock) -> None:
        self._settings = settings
        self._transports = transports
        self._clock = clock
        self._breakers: dict[tuple[str, str], BreakerState] = {}

    async def serve(self, job: Job, reply: Reply, outcome: Outcome, on_the_wire: Callable[[], None]) -> None:
        """Answer a job. `on_the_wire` is called when the incumbent has been asked as the first choice."""
        try:
            if job.assigned is Arm.CANDIDATE:
                if await self._by_candidate(job, reply, outcome):
                    return
                on_the_wire = _nothing
            await self._by_incumbent(job, reply, outcome, on_the_wire)
            self._settle_breaker(job, outcome)
        finally:
            outcome.latency_s = self._clock.monotonic_s() - job.started_s

    def open_breakers(self) -> Sequence[tuple[str, str]]:
        """Workload and candidate of each that is left alone at present."""
        return [key for key, state in self._breakers.items() if state.is_open]

    async def _by_candidate(self, job: Job, reply: Reply, outcome: Outcome) -> bool:
        """Whether the candidate has answered; if not, nothing has been sent to the app."""
        candidate = job.serving.candidate
        changes = candidate.recipe.render(job.request) if candidate is not None else None
        if candidate is None or changes is None:
            outcome.unmatched = candidate is not None
            return False
        outcome.fate = Fate.CANDIDATE
        breaker = self._breaker(job)
        if not breaker.allows(self._clock.monotonic_s()):
            outcome.fell_back = "breaker"
            return False
        try:
            call = await self._sent(job, candidate, changes)
        except CallFailed as failed:
            outcome.fell_back = failed.failure.value
            return False
        try:
            return await self._forwarded(job, call, candidate, reply, outcome, breaker)
        finally:
            call.close()

    async def _forwarded(
        self, job: Job, call: Call, candidate: ServedVariant, reply: Reply, outcome: Outcome, breaker: BreakerState
    ) -> bool:
        try:
            head, begun = await self._begun(job, call, candidate)
        except CallFailed as failed:
            outcome.fell_back = failed.failure.value
            return False
        if isinstance(begun, int):
            outcome.fell_back = str(begun)
            return False
        if job.request.stream:
            await self._pump(job, call, head, begun, candidate, reply, outcome)
        else:
            await self._whole(job, head, begun, candidate, reply, outcome)
        breaker.record(outcome.status < 500, self._clock.monotonic_s())
        return True

    async def _begun(self, job: Job, call: Call, candidate: ServedVariant) -> tuple[Head, bytes | int]:
        """The head of a candidate's answer, with all of it, or a stream up to its first event; or how it failed."""
        limits = self._settings.upstreams[candidate.variant.provider].timeouts
        patience_s = limits.first_byte_s if job.request.stream else self._settings.candidate_patience_s
        try:
            async with asyncio.timeout(patience_s):
                head = await call.head()
                if head.status != 200:
                    return head, head.status
                if job.request.stream:
                    return head, await _first_event(call)
                body = await call.read(self._settings.max_answer_bytes)
                return head, body if openai_chat.read_answer(body) is not None else 502
        except TimeoutError:
            raise CallFailed(Failure.FIRST_BYTE_TIMEOUT) from None

    async def _by_incumbent(self, job: Job, reply: Reply, outcome: Outcome, on_the_wire: Callable[[], None]) -> None:
        outcome.fate = Fate.INCUMBENT
        incumbent = job.serving.incumbent
        changes = incumbent.recipe.render(job.request)
        if changes is None:  # an incumbent serves whatever comes: with the app's own prompt then
            outcome.unmatched = True
            changes = Changes(model=incumbent.variant.model)
        try:
            call = await self._sent(job, incumbent, changes)
        except CallFailed as failed:
            await self._failed(job, failed.failure, incumbent, reply, outcome)
            return
        try:
            on_the_wire()
            head = await call.head()
            if job.request.stream and head.status == 200:
                await self._pump(job, call, head, b"", incumbent, reply, outcome)
            else:
                body = await call.read(self._settings.max_answer_bytes)
                await self._whole(job, head, body, incumbent, reply, outcome)
        except CallFailed as failed:
            await self._failed(job, failed.failure, incumbent, reply, outcome)
        finally:
            call.close()

    async def _sent(self, job: Job, served: ServedVariant, changes: Changes) -> Call:
        provider = served.variant.provider
        body = job.request.rewritten(changes, ask_usage=self._settings.upstreams[provider].asks_usage)
        return await self._transports[provider].send(Request(PATH, job.lines, body), job.request.stream)

    async def _whole(
        self, job: Job, head: Head, body: bytes, by: ServedVariant, reply: Reply, outcome: Outcome
    ) -> None:
        """Send an answer that is there as a whole, whatever its status."""
        answer = openai_chat.read_answer(body) if head.status == 200 else None
        outcome.answer = answer or Answer()
        outcome.body = body if outcome.keeps_body else None
        lines = [*headers.to_app(head.headers), (b"content-length", b"%d" % len(body))]
        await reply.begin(head.status, lines, job.serving, by)
        await reply.end(body)

    async def _pump(
        self, job: Job, call: Call, head: Head, begun: bytes, by: ServedVariant, reply: Reply, outcome: Outcome
    ) -> None:
        """Forward a stream as it comes."""
        is_ours = self._settings.upstreams[by.variant.provider].asks_usage and not job.request.asks_usage
        visible, tail = UsageFilter(is_ours and not head.value(b"content-encoding")), openai_chat.StreamTail()
        kept: list[bytes] | None = [] if outcome.keeps_body else None
        size = 0
        await reply.begin(200, [*headers.to_app(head.headers), (b"x-accel-buffering", b"no")], job.serving, by)
        try:
            while chunk := begun or await call.chunk():
                begun = b""
                if out := visible.feed(chunk):
                    await reply.more(out)
                tail.feed(chunk)
                size += len(chunk)
                if kept is not None:
                    kept.append(chunk)
                    kept = kept if size <= self._settings.shadow.max_answer_bytes else None
            await reply.end(visible.end())
            outcome.body = b"".join(kept) if kept is not None else None
        except CallFailed as failed:
            outcome.status = failed.failure.status
            await reply.end(visible.end() + _broke_off(failed.failure))
        finally:
            outcome.answer = tail.answer()

    async def _failed(self, job: Job, failure: Failure, by: ServedVariant, reply: Reply, outcome: Outcome) -> None:
        """The incumbent gave no answer at all, or broke one off: say so, without saying where it lives."""
        outcome.answer = Answer(UNKNOWN)
        if reply.is_begun:
            outcome.status = failure.status
            await reply.end(_broke_off(failure))
            return
        body = openai_chat.error_body(_words(failure), "upstream_error", failure.value)
        lines = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await reply.begin(failure.status, lines, job.serving, by)
        await reply.end(body)

    def _breaker(self, job: Job) -> BreakerState:
        """One for each workload and candidate; those of past candidates are let go."""
        candidate = job.serving.candidate
        key = (job.workload.name, candidate.id if candidate is not None else "")
        if key not in self._breakers:
            self._breakers = {known: state for known, state in self._breakers.items() if known[0] != key[0]}
            self._breakers[key] = BreakerState(self._settings.breaker)
        return self._breakers[key]

    def _settle_breaker(self, job: Job, outcome: Outcome) -> None:
        """Whose fault it was that the incumbent was asked.

        Where the incumbent refuses the same request, it was the request's: nothing counts against the candidate.
        """
        if not outcome.fell_back or outcome.fell_back == "breaker":
            return
        by_request = outcome.fell_back.isdecimal() and _is_the_requests_fault(int(outcome.fell_back))
        if by_request and _is_the_requests_fault(outcome.status):
            outcome.fell_back = ""
        else:
            self._breaker(job).record(False, self._clock.monotonic_s())


async def _first_event(call: Call) -> bytes | int:
    """A stream up to its first event; 502 if that is an error. Comments before it are no answer yet."""
    held = b""
    blocks = sse.Blocks()
    while chunk := await call.chunk():
        held += chunk
        for block in blocks.feed(chunk):
            event = sse.parse(block)
            if event is not None:
                return 502 if openai_chat.is_error(event.data) else held
        if len(held) > _LONGEST_HELD_BLOCK:
            return held
    return 502


def _is_the_requests_fault(status: int) -> bool:
    return status in _REFUSED and status not in _NOT_THE_REQUESTS_FAULT


def _broke_off(failure: Failure) -> bytes:
    return openai_chat.error_event(_words(failure), "upstream_error", failure.value)


def _words(failure: Failure) -> str:
    match failure:
        case Failure.BUSY:
            return "The gateway has too many requests open to the provider. Try again in a moment."
        case Failure.TOO_LARGE:
            return "The provider's answer is larger than the gateway takes."
        case Failure.UNREACHABLE | Failure.CONNECT_TIMEOUT:
            return "The gateway cannot reach the provider."
        case Failure.FIRST_BYTE_TIMEOUT | Failure.TOTAL_TIMEOUT | Failure.IDLE_TIMEOUT:
            return "The provider took too long to answer."
        case Failure.BROKEN:
            return "The provider broke its answer off."


def _nothing() -> None:
    return None

"""Made-up answers and made-up trouble, both from a script: a provider that fails on command and the same way again.

`ScriptedProvider` tells the story of `simulated` over chat requests; `FaultyProvider` spoils the replies of any other
one. Whether a fault hits is drawn from the seed and the request's identity, never from a counter: the same request
gets the same fault in every run, whatever else is on its way, and raising a share only adds requests to those hit.
Elsewhere: recorded answers and the exchange (`replay`), the wire (`provider_server`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

import msgspec

from midshift.errors import UsageError
from midshift.testing import simulated
from midshift.testing.replay import (
    ChatProvider,
    ChatRequest,
    Completion,
    Failure,
    RecordedCase,
    Recording,
    ReplayGrader,
    ReplayProvider,
    Reply,
    Silence,
    canonical,
    chance,
    no_such_model,
)
from midshift.testing.simulated import Script

_PEOPLE = (simulated.INCUMBENT, simulated.CANDIDATE)
_TOPICS = {
    "billing": "I was charged twice this month and would like the second amount back.",
    "shipping": "My parcel has not moved for four days. Where is it?",
    "returns": "The shoes are too small. How do I send them back?",
    "german": "Meine Rechnung fehlt noch. Können Sie sie mir bitte schicken?",
    "escalations": "This is the third time I write. I want to speak to a manager today.",
}


class ServerError(msgspec.Struct, frozen=True, tag="server_error"):
    """The provider fails with an HTTP status of its own making.

    Raises:
        ValueError: for a status outside 500..599.
    """

    status: int = 500

    def __post_init__(self) -> None:
        if not 500 <= self.status <= 599:
            raise ValueError(f"a server's error has a status of 500..599, got {self.status!r}")


class RateLimited(msgspec.Struct, frozen=True, tag="rate_limited"):
    """HTTP 429, with the time after which to come back."""

    retry_after_s: float = 1.0


class NoAnswer(msgspec.Struct, frozen=True, tag="no_answer"):
    """The provider takes the request and never answers: the caller's timeout decides."""


class SlowFirstByte(msgspec.Struct, frozen=True, tag="slow_first_byte"):
    """Everything comes so much later."""

    extra_s: float = 30.0


class CutAnswer(msgspec.Struct, frozen=True, tag="cut_answer"):
    """The connection breaks after so many chunks of a stream, or in the middle of a body.

    Raises:
        ValueError: for less than no chunks.
    """

    after_chunks: int = 3

    def __post_init__(self) -> None:
        if self.after_chunks < 0:
            raise ValueError(f"a stream is cut after 0 chunks or more, got {self.after_chunks!r}")


class MalformedJson(msgspec.Struct, frozen=True, tag="malformed_json"):
    """The transport is fine and the JSON in it is not."""


class NoUsage(msgspec.Struct, frozen=True, tag="no_usage"):
    """The answer comes without its token counts."""


class EmptyAnswer(msgspec.Struct, frozen=True, tag="empty_answer"):
    """Status 200, and no text."""


Effect: TypeAlias = (
    ServerError | RateLimited | NoAnswer | SlowFirstByte | CutAnswer | MalformedJson | NoUsage | EmptyAnswer
)


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Trouble for a `share` of the requests to these models, in these slices, from `since` to before `until`.

    What is left out does not narrow it. A provider knows no arms, only models: an arm is named by its model.
    Reads from JSON: `{"effect": {"type": "rate_limited"}, "share": 0.02, "models": ["new"]}`.

    Raises:
        ValueError: for a share outside 0..1, or a time without a zone.
    """

    effect: Effect
    share: float = 1.0
    models: frozenset[str] = frozenset()
    slices: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"share lies in 0..1, got {self.share!r}")
        for moment in (self.since, self.until):
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"a time needs a zone, got {moment.isoformat()!r}; append Z for UTC")

    @property
    def is_timed(self) -> bool:
        """Whether it needs a clock."""
        return self.since is not None or self.until is not None

    def covers(self, model: str, slices: Sequence[str], now: datetime | None) -> bool:
        """Whether such a request can be hit at all."""
        return (
            (not self.models or model in self.models)
            and (not self.slices or not self.slices.isdisjoint(slices))
            and (self.since is None or (now is not None and self.since <= now))
            and (self.until is None or (now is not None and now < self.until))
        )


class Faults:
    """A list of faults over one seed, and the playbook clock that their times are told by.

    They are applied in order until the answer is lost to one. A 404 stays what it is: it says that the test is wrong,
    not the provider.

    Raises:
        UsageError: if a fault has a time and there is no clock.
    """

    def __init__(self, faults: Sequence[Fault], now: Callable[[], datetime] | None = None, seed: int = 0) -> None:
        timed = any(fault.is_timed for fault in faults)
        if timed and now is None:
            raise UsageError("a fault has `since` or `until`, and there is no clock; pass `now`, like clock.now")
        self._faults = tuple(faults)
        self._now = now if timed else None
        self._seed = seed

    def spoil(self, reply: Reply, request: ChatRequest) -> Reply:
        """The reply after every fault that hits this request."""
        if not self._faults or (isinstance(reply, Failure) and reply.status == 404):
            return reply
        now = None if self._now is None else self._now()
        slices = (*request.slices, *reply.slices)
        for number, fault in enumerate(self._faults):
            if fault.covers(request.model, slices, now) and self._hits(number, fault, request):
                reply = _spoilt(reply, fault.effect)
        return reply

    def _hits(self, number: int, fault: Fault, request: ChatRequest) -> bool:
        return fault.share >= 1.0 or chance(self._seed, "fault", str(number), request.identity) < fault.share


class FaultyProvider:
    """Another provider, with faults."""

    def __init__(self, provider: ChatProvider, faults: Faults) -> None:
        self._provider = provider
        self._faults = faults

    @property
    def models(self) -> tuple[str, ...]:
        """The model ids that the other one answers to."""
        return self._provider.models

    def answer(self, request: ChatRequest) -> Reply:
        """The other one's reply, spoilt by every fault that hits it."""
        return self._faults.spoil(self._provider.answer(request), request)


def _spoilt(reply: Reply, effect: Effect) -> Reply:
    if not isinstance(reply, Completion):
        return reply
    match effect:
        case ServerError(status):
            message = "The server had an error while processing your request. Sorry about that!"
            return _failed(reply, Failure(status, message, "server_error"))
        case RateLimited(retry_after_s):
            message = f"Rate limit reached for requests. Please try again in {retry_after_s:g}s."
            limited = Failure(429, message, "requests", "rate_limit_exceeded", retry_after_s=retry_after_s)
            return _failed(reply, limited)
        case NoAnswer():
            return Silence(reply.case_id, reply.slices)
        case SlowFirstByte(extra_s):
            return replace(reply, first_byte_s=reply.first_byte_s + extra_s, latency_s=reply.latency_s + extra_s)
        case CutAnswer(after_chunks):
            return replace(reply, cut_after=after_chunks)
        case MalformedJson():
            return replace(reply, malformed=True)
        case NoUsage():
            return replace(reply, usage=None)
        case EmptyAnswer():
            usage = None if reply.usage is None else replace(reply.usage, tokens_out=0, tokens_reasoning=0)
            return replace(reply, text="", tool_calls=(), usage=usage)


def _failed(reply: Completion, failure: Failure) -> Failure:
    """A refusal comes at the time of the first byte."""
    return replace(failure, latency_s=reply.first_byte_s, case_id=reply.case_id, slices=reply.slices)


@dataclass(frozen=True, slots=True)
class Voice:
    """Whom of `simulated` a model sounds like (`INCUMBENT` or `CANDIDATE`), and how often what happens to it."""

    sounds_like: str = simulated.INCUMBENT
    script: Script = Script()


class ScriptedProvider:
    """Answers by model id, in a voice each, with the texts, grades, tokens and seconds of `simulated`.

    Each script is dealt out over `cases` made-up tickets; `questions` are the requests for them. Any other request
    gets the answer to a ticket that its words lead to (within its slice, if it names one of theirs), the same for
    every model: both arms of a pair tell the same story. `prompts` leads from (model id, system prompt) to a voice of
    its own, which is how a re-tuned prompt makes a model answer better.

    Raises:
        UsageError: if a voice sounds like nobody, or a timed fault has no clock.
    """

    def __init__(
        self,
        voices: Mapping[str, Voice] | None = None,
        *,
        prompts: Mapping[tuple[str, str], Voice] | None = None,
        faults: Sequence[Fault] = (),
        now: Callable[[], datetime] | None = None,
        seed: int = 0,
        cases: int = 1000,
    ) -> None:
        self._voices = {name: Voice(name) for name in _PEOPLE} if voices is None else dict(voices)
        self._prompts = dict(prompts or {})
        self._seed = seed
        spoken = (*self._voices.values(), *self._prompts.values())
        for voice in spoken:
            if voice.sounds_like not in _PEOPLE:
                raise UsageError(f"nobody sounds like {voice.sounds_like!r}; expected one of {list(_PEOPLE)}")
        self._tickets = {
            script: _Tickets.made_up(cases, seed, script) for script in (Script(), *(voice.script for voice in spoken))
        }
        self._faults = Faults(faults, now, seed)

    @property
    def models(self) -> tuple[str, ...]:
        """The model ids that it answers to."""
        return tuple(dict.fromkeys((*self._voices, *(model for model, _ in self._prompts))))

    @property
    def questions(self) -> tuple[RecordedCase, ...]:
        """The made-up requests, each with id, slice and messages; the same for every script."""
        return self._tickets[Script()].recording.cases

    def answer(self, request: ChatRequest) -> Reply:
        """The reply in the model's voice, spoilt by every fault that hits it; 404 for a model unknown."""
        return self._faults.spoil(self._said(request), request)

    def grader(self, model: str, system: str = "") -> ReplayGrader:
        """The grades of one model's answers under one system prompt, by the id of the question.

        Raises:
            UsageError: for a model that it does not answer to.
        """
        voice = self._voice(model, system)
        if voice is None:
            raise UsageError(f"no voice for model {model!r}; expected one of {list(self.models)}")
        return ReplayGrader(self._tickets[voice.script].recording)

    def _voice(self, model: str, system: str) -> Voice | None:
        return self._prompts.get((model, system)) or self._voices.get(model)

    def _said(self, request: ChatRequest) -> Reply:
        voice = self._voice(request.model, request.system)
        if voice is None:
            return no_such_model(request, self.models)
        tickets = self._tickets[voice.script]
        own = tickets.recording.find(request)
        case = tickets.nearest(request, self._seed) if isinstance(own, Failure) else own
        reply = tickets.replayer.replay(case, case.outputs[voice.sounds_like], request)
        assert isinstance(reply, Completion), "simulated outputs hold no errors"
        usage = None if reply.usage is None else replace(reply.usage, simulated=True)
        made_up = replace(reply, usage=usage, simulated=("answer", "usage", "latency"))
        return replace(made_up, case_id=request.case_id or "", slices=()) if case is not own else made_up


@dataclass(frozen=True, slots=True)
class _Tickets:
    """One script, dealt out."""

    recording: Recording
    replayer: ReplayProvider
    by_slice: Mapping[str, Sequence[RecordedCase]]

    @classmethod
    def made_up(cls, cases: int, seed: int, script: Script) -> _Tickets:
        rows = ({**row, "messages": _question(row["id"], row["slice"])} for row in simulated.pairs(cases, seed, script))
        recording = Recording.read((canonical(row) for row in rows), "the made-up tickets")
        by_slice: dict[str, list[RecordedCase]] = {}
        for case in recording.cases:
            for name in case.slices:
                by_slice.setdefault(name, []).append(case)
        return cls(recording, ReplayProvider(recording), by_slice)

    def nearest(self, request: ChatRequest, seed: int) -> RecordedCase:
        """The ticket that the words of a request of another kind lead to, whatever the system prompt."""
        stated = next((name for name in request.slices if name in self.by_slice), None)
        tickets = self.recording.cases if stated is None else self.by_slice[stated]
        words = [message for message in request.messages if message.get("role") not in ("system", "developer")]
        where = chance(seed, "ticket", canonical([words, request.case_id]).decode())
        return tickets[int(where * len(tickets))]


def _question(ticket: str, part: str) -> list[dict[str, str]]:
    topic = _TOPICS.get(part, f"I have a question about {part}.")
    return [{"role": "user", "content": f"[{ticket}] {topic}"}]

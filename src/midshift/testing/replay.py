"""Recorded answers, given again: a provider without a key, a bill or a network, and the grades that go with it.

A file of paired outputs is a recording. `ReplayProvider` answers a chat request with what a variant once answered to
that case, `ReplayGrader` gives the recorded scores back. What the file lacks is modelled and marked `simulated`; what
it does not know is refused by name (a case) or left unscored (a text): nothing is made up in silence.

The exchange itself is values: a `ChatRequest` goes into any `ChatProvider`, a `Reply` comes out, and says by itself
how long it takes and how it is spoilt. No socket, no clock, no waiting; those are the server's.
Elsewhere: answers that are made up, and scripted faults (`scripted`); HTTP (`provider_server`).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any, Protocol, Self, TypeAlias

import msgspec

from midshift.errors import InputError, UsageError
from midshift.evals import paired_outputs
from midshift.evals.paired_outputs import Place, Unusable, shown
from midshift.evals.rows import NUMBER_FIELDS, Ledger, Side, unanswered

CHARS_PER_TOKEN = 4.2
"""English text in the tokens of current models, roughly; used where a recording has no count."""

CASE_HEADER, SLICE_HEADER = "x-case-id", "x-case-slice"
_SYSTEM_ROLES = ("system", "developer")
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a fake provider looks at in a request; header names are in lower case."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Any] = ()
    user: str | None = None
    effort: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def case_id(self) -> str | None:
        """The case that the caller names, by header or in the metadata."""
        named = self.headers.get(CASE_HEADER) or self.metadata.get("case_id")
        return None if named is None else str(named)

    @property
    def trial(self) -> str | None:
        """Which try of the case the caller asks for."""
        named = self.metadata.get("trial")
        return None if named is None else str(named)

    @property
    def slices(self) -> tuple[str, ...]:
        """The slices that the caller names, separated by commas."""
        named = self.headers.get(SLICE_HEADER) or str(self.metadata.get("slice") or "")
        return tuple(name for part in named.split(",") if (name := part.strip()))

    @property
    def system(self) -> str:
        """The system prompt."""
        return "\n\n".join(_text(message) for message in self.messages if message.get("role") in _SYSTEM_ROLES)

    @property
    def identity(self) -> str:
        """The same for the same request, streamed or not: what luck is drawn by."""
        asked = [
            self.model,
            self.messages,
            self.tools,
            self.user,
            self.effort,
            self.metadata,
            self.case_id,
            self.slices,
        ]
        return hashlib.blake2b(canonical(asked), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; `simulated` where any of them is an estimate."""

    tokens_in: int
    tokens_out: int
    tokens_reasoning: int = 0
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for; `arguments` is the JSON text that it wrote, valid or not."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer with status 200, and what it takes.

    `simulated` names what was not recorded. `cut_after` (so many chunks) and `malformed` spoil it on the wire.
    """

    text: str | None
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    first_byte_s: float = 0.0
    latency_s: float = 0.0
    case_id: str = ""
    slices: tuple[str, ...] = ()
    simulated: tuple[str, ...] = ()
    cut_after: int | None = None
    malformed: bool = False

    @property
    def finish_reason(self) -> str:
        """Why the model stopped, in the vendor's words."""
        return "tool_calls" if self.tool_calls else "stop"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of the provider, in the vendor's words."""

    status: int
    message: str
    kind: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None
    latency_s: float = 0.0
    case_id: str = ""
    slices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer at all, for as long as the caller waits."""

    case_id: str = ""
    slices: tuple[str, ...] = ()


Reply: TypeAlias = Completion | Failure | Silence


class ChatProvider(Protocol):
    """Whatever answers chat requests."""

    @property
    def models(self) -> tuple[str, ...]:
        """The model ids that it answers to."""
        ...

    def answer(self, request: ChatRequest) -> Reply:
        """The reply to a request; the same one to the same request."""
        ...


def no_such_model(request: ChatRequest, models: Iterable[str]) -> Failure:
    """The vendor's refusal of a model id that nobody knows."""
    message = f"The model {request.model!r} does not exist; this fake answers to {shown(list(models))}"
    return Failure(404, message, code="model_not_found", param="model")


def chance(seed: int, *names: str) -> float:
    """A number in (0, 1) that looks random and is the same for the same names."""
    digest = hashlib.blake2b("\0".join((str(seed), *names)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return ((int.from_bytes(digest, "big") >> 12) + 0.5) / (1 << 52)


def canonical(value: object) -> bytes:
    """A value as JSON in which the order of keys does not matter."""
    try:
        return msgspec.json.encode(value, order="deterministic")
    except UnicodeEncodeError:  # a lone surrogate, which Python reads and UTF-8 does not have
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class RecordedOutput:
    """What one variant answered once; numbers are None where the file has none."""

    text: str | None
    tool_calls: tuple[ToolCall, ...] = ()
    error: Any = None
    scores: Mapping[str, float] = field(default_factory=dict)
    tokens_in: float | None = None
    tokens_out: float | None = None
    tokens_reasoning: float | None = None
    latency_s: float | None = None
    ttft_s: float | None = None


@dataclass(frozen=True, slots=True)
class RecordedCase:
    """One case, or one trial of it: what was asked, and the output of each variant."""

    id: str
    trial: str
    slices: tuple[str, ...]
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Any, ...]
    outputs: Mapping[str, RecordedOutput]


class _Row(msgspec.Struct):
    id: str | int | None = None
    trial: str | int = ""
    slice: Any = None
    messages: list[dict[str, Any]] | None = None
    tools: list[Any] | None = None
    outputs: dict[str, Any] | None = None


class Recording:
    """The cases of a paired-outputs file, found by id or by what was asked.

    Rows that cannot be used are in `ledger`, and a repeated (id, trial) too; values that cannot be used count as
    missing, and `midshift compare` lists them.
    """

    def __init__(self, cases: Iterable[RecordedCase], ledger: Ledger) -> None:
        self.ledger = ledger
        self.cases = tuple(cases)
        self._by_id: dict[str, list[RecordedCase]] = {}
        self._by_words: dict[bytes, dict[str, None]] = {}
        for case in self.cases:
            self._by_id.setdefault(case.id, []).append(case)
            if case.messages:
                for key in _keys(case.messages, case.tools):
                    self._by_words.setdefault(key, {})[case.id] = None
        self.variants = tuple(dict.fromkeys(name for case in self.cases for name in case.outputs))
        outputs = (output for case in self.cases for output in case.outputs.values())
        self.score_names = tuple(dict.fromkeys(name for output in outputs for name in output.scores))

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a file; `read` says what it raises."""
        with path.open("rb") as file:
            return cls.read(paired_outputs.lines(file), str(path))

    @classmethod
    def read(cls, lines: Iterable[bytes], name: str = "the recording") -> Self:
        """Read the lines of a paired-outputs file.

        Raises:
            InputError: if not one row can be used.
        """
        ledger = Ledger()
        recording = cls(_cases(lines, ledger), ledger)
        if not recording.cases:
            trouble = "; ".join(f"line {p.places[0]}: {p.example}" for p in ledger.problems.values()) or "it is empty"
            raise InputError(
                f"{name} has no case to replay: {trouble}. Expected paired outputs, one JSON object a line"
            )
        return recording

    def trials(self, case_id: str) -> Sequence[RecordedCase]:
        """The trials of one case; none for an id that is not here."""
        return self._by_id.get(case_id, ())

    def find(self, request: ChatRequest) -> RecordedCase | Failure:
        """The case that a request is about: by its id if it names one, or else by its words.

        Words are compared with the system prompt and the tools first, then without the prompt (a variant may bring its
        own), then without the tools as well.
        """
        named = request.case_id
        if named is None:
            return self._find_by_words(request)
        trials = self.trials(named)
        return _picked(trials, request) if trials else _unknown(f"There is no case {named!r} in this recording")

    def _find_by_words(self, request: ChatRequest) -> RecordedCase | Failure:
        for key in _keys(request.messages, request.tools):
            ids = list(self._by_words.get(key, ()))
            if len(ids) > 1:
                return _unknown(f"These messages are those of {len(ids)} cases, {shown(ids)}")
            if ids:
                return _picked(self.trials(ids[0]), request)
        last = _text(request.messages[-1]) if request.messages else ""
        return _unknown(f"There is no case with these messages in this recording; the last is {shown(last)}")


def _picked(trials: Sequence[RecordedCase], request: ChatRequest) -> RecordedCase | Failure:
    """The trial that is asked for, or else the first."""
    for case in trials:
        if request.trial in (None, case.trial):
            return case
    return _unknown(f"Case {trials[0].id!r} has no trial {request.trial!r} in this recording")


def _unknown(what: str) -> Failure:
    hint = f"Name a case of the file in the header {CASE_HEADER} or in metadata.case_id"
    return Failure(404, f"{what}. {hint}", code="case_not_found", param="messages")


def _cases(lines: Iterable[bytes], ledger: Ledger) -> Iterable[RecordedCase]:
    seen: set[tuple[str, str]] = set()
    for number, line in enumerate(lines, start=1):
        if number == 1:
            line = line.removeprefix(paired_outputs.UTF8_MARK)
        if not line.strip():
            ledger.blank += 1
            continue
        ledger.read += 1
        try:
            case = _case(_decoded(line), number)
        except Unusable as unusable:
            ledger.exclude(unusable.reason, number, unusable.example)
            continue
        if (case.id, case.trial) in seen:
            ledger.exclude("duplicate_id", number, f"id {case.id!r} again; trials need a `trial`")
            continue
        seen.add((case.id, case.trial))
        yield case


def _decoded(line: bytes) -> _Row:
    try:
        return msgspec.json.decode(line, type=_Row)
    except msgspec.ValidationError as error:
        raise Unusable("bad_row", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:  # Python reads NaN and lone surrogates, and writes them too
        return msgspec.convert(json.loads(line), _Row)
    except msgspec.ValidationError as error:
        raise Unusable("bad_row", str(error)) from None
    except (ValueError, RecursionError) as error:
        raise Unusable("not_json", f"{error}; expected one JSON object a line") from None


def _case(row: _Row, number: int) -> RecordedCase:
    if row.id is None or row.id == "":
        raise Unusable("no_id", "no id, expected a string or a whole number")
    if not row.outputs:
        raise Unusable("no_outputs", "no outputs, expected an object from variant to output")
    place = Place(number, Ledger())
    return RecordedCase(
        id=str(row.id),
        trial=str(row.trial),
        slices=paired_outputs.read_slices(row.slice, place),
        messages=tuple(row.messages or ()),
        tools=tuple(row.tools or ()),
        outputs={variant: _output(variant, output, place) for variant, output in row.outputs.items()},
    )


def _output(variant: str, output: Any, place: Place) -> RecordedOutput:
    try:
        answer = paired_outputs.read_answer(output, Side.INCUMBENT, None, place)
    except Unusable as unusable:
        raise Unusable("bad_output", f"{variant!r}: {unusable.example}") from None
    if output is None:
        return RecordedOutput(None)
    calls = output.get("tool_calls")
    numbers = (None if math.isnan(number) else number for number in answer.numbers)
    measured = {name: number for name, number in zip(NUMBER_FIELDS, numbers, strict=True) if name != "cost_usd"}
    return RecordedOutput(
        answer.text,
        tuple(_tool_call(variant, call) for call in calls) if isinstance(calls, list) else (),
        output.get("error") or None,
        answer.scores,
        **measured,
    )


def _tool_call(variant: str, call: Any) -> ToolCall:
    """A call as `{"name", "arguments"}`, alone or as the vendor wraps it in `function`."""
    inner = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise Unusable("bad_tool_call", f"{variant!r}: tool call {shown(call)}, expected a name and arguments")
    arguments = inner.get("arguments", "{}")
    return ToolCall(inner["name"], arguments if isinstance(arguments, str) else canonical(arguments).decode())


def _keys(messages: Sequence[Mapping[str, Any]], tools: Sequence[Any]) -> Iterable[bytes]:
    """What a conversation is found by, the closest first."""
    said = [_said(message) for message in messages]
    spoken = [turn for turn in said if turn[0] != "system"]
    for kind, words in (("all", [said, tools]), ("no prompt", [spoken, tools]), ("no tools", [spoken])):
        yield hashlib.blake2b(canonical([kind, words]), digest_size=16).digest()


def _said(message: Mapping[str, Any]) -> list[Any]:
    role = message.get("role")
    content = message.get("content")
    if isinstance(content, list) and all(_is_text(part) for part in content):
        content = _text(message)
    return ["system" if role in _SYSTEM_ROLES else role, content or "", message.get("tool_calls") or None]


def _text(message: Mapping[str, Any]) -> str:
    """The words of a message, of whichever shape its content is."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part["text"] for part in content if _is_text(part))
    return content if isinstance(content, str) else ""


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """Seconds where none were recorded: lognormal around a start and a price for each token of the answer."""

    base_s: float = 0.4
    per_token_s: float = 0.016
    sigma: float = 0.25

    def seconds(self, tokens_out: int, chance: float) -> float:
        """The whole answer's seconds, at one quantile of the distribution."""
        return math.exp(self.sigma * _NORMAL.inv_cdf(chance)) * (self.base_s + self.per_token_s * tokens_out)

    def first_byte_s(self, tokens_out: int, latency_s: float) -> float:
        """When the first byte of an answer comes that took `latency_s` in all."""
        return latency_s * self.base_s / (self.base_s + self.per_token_s * tokens_out) if latency_s else 0.0


class ReplayProvider:
    """Answers with what was recorded. Null, empty and blocked outputs come as they were.

    `variants` leads from model id to variant; without it each variant of the recording answers to its own name.
    `prompts` leads from (model id, system prompt) to variant and goes first: variants that differ by prompt alone.
    A text that `error_text` finds is a provider's error that was stored as an answer, and fails again as one.

    Raises:
        UsageError: if a variant is named that the recording does not have.
    """

    def __init__(
        self,
        recording: Recording,
        variants: Mapping[str, str] | None = None,
        *,
        prompts: Mapping[tuple[str, str], str] | None = None,
        seed: int = 0,
        latency: LatencyModel = LatencyModel(),
        error_text: re.Pattern[str] | None = None,
    ) -> None:
        self.recording = recording
        self._variants = {name: name for name in recording.variants} if variants is None else dict(variants)
        self._prompts = dict(prompts or {})
        self._seed = seed
        self._latency = latency
        self._error_text = error_text
        for variant in (*self._variants.values(), *self._prompts.values()):
            if variant not in recording.variants:
                raise UsageError(
                    f"the recording has no variant {variant!r}; expected one of {shown(list(recording.variants))}"
                )

    @property
    def models(self) -> tuple[str, ...]:
        """The model ids that it answers to."""
        return tuple(dict.fromkeys((*self._variants, *(model for model, _ in self._prompts))))

    def answer(self, request: ChatRequest) -> Reply:
        """What the variant of this model once answered to this case; 404 for a model, case or output unknown."""
        variant = self._prompts.get((request.model, request.system)) or self._variants.get(request.model)
        if variant is None:
            return no_such_model(request, self.models)
        case = self.recording.find(request)
        if isinstance(case, Failure):
            return case
        output = case.outputs.get(variant)
        if output is None:
            message = f"Case {case.id!r} has no output of variant {variant!r}, only of {shown(list(case.outputs))}"
            return Failure(404, message, code="output_not_found", param="model")
        return self.replay(case, output, request)

    def replay(self, case: RecordedCase, output: RecordedOutput, request: ChatRequest) -> Reply:
        """One recorded output as the reply to a request."""
        usage = _usage(case, output)
        first_byte_s, latency_s = self._seconds(output, usage.tokens_out, request)
        if output.error is not None:
            return _recorded_failure(case, output.error, latency_s)
        if output.text is not None and self._error_text is not None and self._error_text.search(output.text):
            return _recorded_failure(case, {"kind": "blocked", "message": output.text}, latency_s)
        simulated = ("usage",) * usage.simulated + ("latency",) * (output.latency_s is None)
        return Completion(
            output.text, output.tool_calls, usage, first_byte_s, latency_s, case.id, case.slices, simulated
        )

    def _seconds(self, output: RecordedOutput, tokens_out: int, request: ChatRequest) -> tuple[float, float]:
        latency_s = output.latency_s
        if latency_s is None:
            latency_s = self._latency.seconds(tokens_out, chance(self._seed, "latency", request.identity))
        first_byte_s = output.ttft_s
        if first_byte_s is None:
            first_byte_s = self._latency.first_byte_s(tokens_out, latency_s)
        return min(first_byte_s, latency_s), latency_s


def _usage(case: RecordedCase, output: RecordedOutput) -> Usage:
    answered = not unanswered(output.text, len(output.tool_calls), output.error is not None)
    simulated = output.tokens_in is None or output.tokens_out is None
    tokens_in, tokens_out = output.tokens_in, output.tokens_out
    if tokens_in is None:
        asked = sum(len(_text(message)) for message in case.messages) + (
            len(canonical(case.tools)) if case.tools else 0
        )
        tokens_in = tokens_of(asked)
    if tokens_out is None:
        said = len(output.text or "") or sum(len(call.name) + len(call.arguments) for call in output.tool_calls)
        tokens_out = tokens_of(said) if answered else 0
    return Usage(round(tokens_in), round(tokens_out), round(output.tokens_reasoning or 0), simulated)


def tokens_of(chars: int) -> int:
    """About how many tokens so many characters are; at least one for anything at all."""
    return max(round(chars / CHARS_PER_TOKEN), 1 if chars else 0)


def _recorded_failure(case: RecordedCase, error: Any, latency_s: float) -> Failure:
    details = error if isinstance(error, dict) else {"message": str(error)}
    kind = str(details.get("kind") or "error")
    message = str(details.get("message") or f"Recorded provider error of kind {kind!r}")
    status, wire_kind, code = {
        "blocked": (400, "invalid_request_error", "invalid_prompt"),
        "rate_limit": (429, "requests", "rate_limit_exceeded"),
    }.get(kind, (500, "server_error", kind))
    stated = details.get("status")
    if isinstance(stated, int) and 400 <= stated <= 599:
        status = stated
    return Failure(status, message, wire_kind, code, None, None, latency_s, case.id, case.slices)


class ReplayGrader:
    """Gives a text the scores that were recorded for it. An unknown text is unscored, which is never 0."""

    def __init__(self, recording: Recording) -> None:
        self._names = recording.score_names
        self._scores: dict[tuple[str, bytes], dict[str, Mapping[str, float]]] = {}
        for case in recording.cases:
            for variant, output in case.outputs.items():
                key = (case.id, _digest(output.text, output.tool_calls))
                self._scores.setdefault(key, {}).setdefault(variant, output.scores)

    def scores(
        self, case_id: str, text: str | None, *, variant: str | None = None, tool_calls: Iterable[ToolCall] = ()
    ) -> dict[str, float | None]:
        """Every score of the recording by name, None where there is none for this text.

        Two variants may have said the same and been graded differently; then `variant` decides, and without it a score
        on which they differ is unscored. `tool_calls` tell answers without a text apart.
        """
        by_variant = self._scores.get((case_id, _digest(text, tuple(tool_calls))), {})
        graded = list(by_variant.values()) if variant is None else [by_variant.get(variant, {})]
        return {name: _agreed([scores.get(name) for scores in graded]) for name in self._names}


def _agreed(values: Sequence[float | None]) -> float | None:
    return values[0] if values and all(value == values[0] for value in values) else None


def _digest(text: str | None, tool_calls: tuple[ToolCall, ...]) -> bytes:
    said = text if text or not tool_calls else [[call.name, call.arguments] for call in tool_calls]
    return hashlib.blake2b(canonical(said), digest_size=16).digest()

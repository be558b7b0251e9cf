"""From what the ledger holds to pairs: one case, or a trial of it, as incumbent and candidate answered it, graded.

The ledger is read once, in the order of the cases and a few hundred at a time, so memory does not grow with the suite
and the result does not depend on the order in which answers came. Graders run here: grading again buys nothing.
A request that a variant's prompt does not fit, one that was refused, one that failed and an answer that the provider
blocked or cut off by a filter are unanswered, not missing.
A call that midshift itself lost (its process died) is nobody's fault: without its answer the row is left out.
Elsewhere: buying (runner), reading a file of pairs (paired_outputs).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import msgspec

from midshift.domain.paid_call import INTERRUPTED, CallKey, Ending, Result
from midshift.evals.grading import Bench, Grading, Question
from midshift.evals.requests import Line
from midshift.evals.rows import NUMBER_FIELDS, Answer, PairedRow, Side, ToolCall, unanswered
from midshift.evals.suite_file import EvalCase
from midshift.ports import PaidCalls

AT_ONCE = 256
UNMATCHED = "prompt_does_not_fit"
_STOPS = frozenset(("stop", "end_turn", "stop_sequence", "eos", "eos_token"))
"""How a reply ends that is whole: OpenAI's word, Anthropic's two, and those of servers that speak like OpenAI's."""
BLOCKED = "blocked"
_FILTERED = frozenset(("content_filter", "refusal"))
"""How answers end that a filter has stopped: in OpenAI's word, to which other wires are brought, and in Anthropic's."""
_GRADABLE = ("", "empty")
"""An empty answer is graded like any other: it came, and it says nothing."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """What one variant answered: the answer that is judged, and the record that it is from (None: nobody was asked)."""

    answer: Answer
    result: Result | None

    @property
    def is_lost(self) -> bool:
        """Whether the answer may exist, and midshift lost it."""
        found = self.result
        return found is not None and found.ending is Ending.UNKNOWN and found.detail == INTERRUPTED


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One trial of one case, as both answered it."""

    case: EvalCase
    trial: int
    incumbent: Reply
    candidate: Reply

    @property
    def is_lost(self) -> bool:
        """Whether midshift lost an answer: there is nothing to judge, and the row is left out."""
        return self.incumbent.is_lost or self.candidate.is_lost

    @property
    def answers(self) -> Mapping[Side, Answer]:
        """Both answers."""
        return {Side.INCUMBENT: self.incumbent.answer, Side.CANDIDATE: self.candidate.answer}

    def reply(self, side: Side) -> Reply:
        """What was answered on one side."""
        return self.incumbent if side is Side.INCUMBENT else self.candidate


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What an eval is about: the cases, how often each is put, and the way to every variant, the incumbent's first."""

    cases: Sequence[EvalCase]
    trials: int
    lines: tuple[Line, ...]

    @property
    def incumbent(self) -> Line:
        """The way to the incumbent."""
        return self.lines[0]

    @property
    def calls(self) -> int:
        """How many answers it needs in all, if every prompt fits."""
        return len(self.cases) * self.trials * len(self.lines)

    def puts(self) -> Iterator[tuple[EvalCase, int]]:
        """Every trial of every case, in order."""
        for case in self.cases:
            for trial in range(1, self.trials + 1):
                yield case, trial


def pairs(plan: Plan, candidate: Line, calls: PaidCalls, grading: Grading) -> Iterator[Pair]:
    """Every trial of every case with both answers, in order.

    Raises:
        KeyError: if an answer is missing: it was never bought.
    """
    for part in in_parts(plan.puts(), AT_ONCE):
        sides = {
            side: [(line.key(case, trial), line, case) for case, trial in part]
            for side, line in ((Side.INCUMBENT, plan.incumbent), (Side.CANDIDATE, candidate))
        }
        found = dict(calls.results(key for keys in sides.values() for key, _, _ in keys))
        raw = [
            Pair(case, trial, *(_reply(found[key], line, case) for key, line, case in both))
            for (case, trial), *both in zip(part, *sides.values(), strict=True)
        ]
        yield from _graded(raw, grading, calls)


def judge_keys(plan: Plan, grading: Grading, calls: PaidCalls) -> Iterator[tuple[CallKey, Line]]:
    """Every call of every judge that the answers in the ledger ask for, each once."""
    seen = set[bytes]()
    for candidate in plan.lines[1:] if grading.benches else ():
        for pair in pairs(plan, candidate, calls, Grading(_ungraded)):
            for bench in grading.benches:
                for key in (bench.asked(pair.case, question)[0] for question in questions(bench, pair)):
                    if key.digest not in seen:
                        seen.add(key.digest)
                        yield key, bench.line


def _ungraded(case: EvalCase, answer: Answer, side: Side) -> Mapping[str, float]:
    return {}


def answer_of(result: Result) -> Answer:
    """A record as an answer that can be graded and judged."""
    usage = result.usage
    numbers = (
        usage.tokens_in,
        usage.tokens_out,
        usage.reasoning_out,
        result.latency_s,
        result.first_token_s,
        result.cost_usd if result.ending is Ending.ANSWERED else None,
    )
    has_error = result.ending is not Ending.ANSWERED or _is_blocked(result)
    has_error = has_error or (result.text is None and bool(result.detail))
    return Answer(
        result.text,
        len(result.tools),
        unanswered(result.text, len(result.tools), has_error),
        numbers=tuple(math.nan if number is None else float(number) for number in numbers),
        tools=tuple(ToolCall(tool.name, tool.arguments) for tool in result.tools),
    )


def row(pair: Pair) -> PairedRow:
    """The pair as a row of a table."""
    case = pair.case
    return PairedRow(
        place=case.place,
        id=case.id,
        incumbent=pair.incumbent.answer,
        candidate=pair.candidate.answer,
        slices=case.slices,
        cluster=case.cluster,
        trial=str(pair.trial),
        weight=case.weight,
        expects=case.expects,
    )


def line(pair: Pair, names: tuple[str, str], trials: int) -> bytes:
    """The pair as a line of a paired-outputs file; an answer that midshift lost is not in it."""
    case = pair.case
    replies = zip(names, (pair.incumbent, pair.candidate), strict=True)
    found: dict[str, Any] = {
        "id": case.id,
        "slice": list(case.slices),
        "cluster": case.cluster,
        "trial": pair.trial if trials > 1 else None,
        "weight": case.weight if case.weight != 1.0 else None,
        "expects": _expects(case.expects),
        **case.body,
        "reference": case.reference,
        "outputs": {name: _output(reply) for name, reply in replies if not reply.is_lost},
    }
    return msgspec.json.encode({name: value for name, value in found.items() if value is not None}) + b"\n"


def in_parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of so many at a time."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _reply(found: Result | None, line: Line, case: EvalCase) -> Reply:
    if found is not None:
        return Reply(answer_of(found), found)
    if line.order(CallKey("", ""), case) is None:
        return Reply(Answer(None, failure="error"), None)
    raise KeyError(f"case {case.id!r} was never put to {line.variant.model!r}")


def _expects(expects: str | Mapping[str, object] | None) -> object:
    return expects if expects is None or isinstance(expects, str) else {"schema": expects}


def _output(reply: Reply) -> dict[str, Any]:
    answer, result = reply.answer, reply.result
    found: dict[str, Any] = {"text": answer.text, "scores": dict(answer.scores)}
    if result is not None and result.tools:
        found["tool_calls"] = [{"name": tool.name, "arguments": tool.arguments} for tool in result.tools]
    if answer.failure == "error":
        found["error"] = _error(result)
    measured = zip(NUMBER_FIELDS, answer.numbers, strict=True)
    return found | {name: _whole(number) for name, number in measured if not math.isnan(number)}


def _error(result: Result | None) -> dict[str, Any]:
    if result is None:
        return {"kind": UNMATCHED}
    kind, message = result.ending.value, result.detail or None
    if _is_blocked(result):
        kind, message = BLOCKED, result.finish_reason
    said = {"kind": kind, "status": result.status, "message": message}
    return {name: value for name, value in said.items() if value is not None}


def _is_blocked(result: Result) -> bool:
    """Whether the provider gave less than an answer on purpose; what there is of a text is no measure of the model."""
    return result.ending is Ending.ANSWERED and result.finish_reason in _FILTERED


def _whole(number: float) -> float | int:
    return int(number) if number.is_integer() else number


def questions(bench: Bench, pair: Pair) -> Sequence[Question]:
    """What a judge asks about a pair; nothing about one that is not there on both sides to be read."""
    return () if pair.is_lost else bench.judge.questions(pair.case, pair.answers)


def _graded(raw: Sequence[Pair], grading: Grading, calls: PaidCalls) -> Iterator[Pair]:
    said = [replies(bench, raw, calls) for bench in grading.benches]
    for number, pair in enumerate(raw):
        scores: dict[Side, dict[str, float]] = {side: {} for side in Side}
        for side, answer in pair.answers.items():
            if answer.failure in _GRADABLE:
                scores[side] |= grading.grade(pair.case, answer, side)
        for bench, given in () if pair.is_lost else zip(grading.benches, said, strict=True):
            for side, found in bench.judge.scores(pair.case, pair.answers, given[number]).items():
                scores[side] |= found
        sides = (_scored(pair.reply(side), scores[side]) for side in Side)
        yield Pair(pair.case, pair.trial, *sides)


def replies(bench: Bench, raw: Sequence[Pair], calls: PaidCalls) -> list[list[str | None]]:
    """A judge's replies about each pair, in the order of its questions; None for one that never came as a whole."""
    keys = [[bench.asked(pair.case, question)[0] for question in questions(bench, pair)] for pair in raw]
    found = dict(calls.results(key for asked in keys for key in asked))
    return [[whole_text(found[key]) for key in asked] for asked in keys]


def whole_text(reply: Result | None) -> str | None:
    """What a judge said, if it came to its own end: one that was cut off may have been about to say something else."""
    return reply.text if reply is not None and reply.finish_reason in _STOPS else None


def _scored(reply: Reply, scores: Mapping[str, float]) -> Reply:
    return replace(reply, answer=replace(reply.answer, scores=scores))

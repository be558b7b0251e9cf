"""The grader of tool calls: names, and arguments where they are given, in one of four ways.

strict      the same calls in the same order
unordered   the same calls in any order
subset      no call that is not expected
superset    every call that is expected, and maybe more
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from midshift.evals.graders.documents import same
from midshift.evals.graders.options import Options
from midshift.evals.rows import Answer, ToolCall
from midshift.evals.suite_file import EvalCase

_MODES = ("strict", "unordered", "subset", "superset")


@dataclass(frozen=True, slots=True)
class Expected:
    """A call that is expected; `arguments` None leaves them open."""

    name: str
    arguments: Mapping[str, Any] | None = None

    def is_met_by(self, call: ToolCall) -> bool:
        """Whether it is this one. Arguments are compared as JSON; what is none, by the letter or in depth, is wrong."""
        if call.name != self.name:
            return False
        if self.arguments is None:
            return True
        try:
            return same(msgspec.json.decode(call.arguments or "{}"), self.arguments)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return False


def calls(options: Options) -> Callable[[EvalCase, Answer], float | None]:
    """1 where the answer calls the tools that it should; the reference is a list of calls too, if none is given."""
    mode = options.one_of("mode", _MODES)
    own = _expected(options, options.value("calls")) if options.has("calls") else None

    def score(case: EvalCase, answer: Answer) -> float | None:
        expected = own if own is not None else _of_reference(case.reference)
        if expected is None or len(answer.tools) < answer.tool_calls:
            return None  # calls that were counted and not kept cannot be compared
        return float(_agree(expected, answer.tools, mode))

    return score


def _agree(expected: Sequence[Expected], made: Sequence[ToolCall], mode: str) -> bool:
    match mode:
        case "strict":
            return len(expected) == len(made) and all(map(Expected.is_met_by, expected, made))
        case "unordered":
            return len(expected) == len(made) and _paired(expected, made) == len(made)
        case "subset":
            return _paired(expected, made) == len(made)
        case _:
            return _paired(expected, made) == len(expected)


def _paired(expected: Sequence[Expected], made: Sequence[ToolCall]) -> int:
    """How many calls and expectations can be paired at most, each used once (augmenting paths)."""
    taken: dict[int, int] = {}

    def place(at: int, seen: set[int]) -> bool:
        for number, call in enumerate(made):
            if number not in seen and expected[at].is_met_by(call):
                seen.add(number)
                if number not in taken or place(taken[number], seen):
                    taken[number] = at
                    return True
        return False

    return sum(place(at, set()) for at in range(len(expected)))


def _expected(options: Options, said: object) -> tuple[Expected, ...]:
    found = _of_reference(said)
    if found is None:
        raise options.fault("calls", 'a list of {"name": NAME, "arguments": {...}}')
    return found


def _of_reference(said: object) -> tuple[Expected, ...] | None:
    if not isinstance(said, list | tuple):
        return None
    made = []
    for item in said:
        match item:
            case {"name": str(name), **rest} if not rest:
                made.append(Expected(name))
            case {"name": str(name), "arguments": Mapping() as arguments, **rest} if not rest:
                made.append(Expected(name, arguments))
            case _:
                return None
    return tuple(made)

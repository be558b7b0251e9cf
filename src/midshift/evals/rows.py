"""One case as both variants answered it, and the ledger of everything that was wrong with a file.

A row that cannot be used is *excluded*; a value that cannot be used is *noted* and its row stays. Both are counted,
with the places of the first few, so that nothing is dropped in silence and nothing missing becomes a zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from midshift.domain.exposure import TextFeatures

PLACES_KEPT = 10
NUMBER_FIELDS = ("tokens_in", "tokens_out", "tokens_reasoning", "latency_s", "ttft_s", "cost_usd")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that an answer asks for; `arguments` is JSON text, as the model wrote it."""

    name: str
    arguments: str = "{}"


@dataclass(slots=True, eq=False)
class Answer:
    """What one variant answered to one case.

    `text` is None where there was none. `failure` names why the answer does not count as one (`null`, `empty`,
    `error`, `blocked`), and is empty for an answer. Numbers are NaN where the file has none. `measured` is what was
    measured on a text that may not be kept as a whole. `tools` are the calls themselves where they were kept,
    `tool_calls` is how many there were.
    """

    text: str | None
    tool_calls: int = 0
    failure: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    numbers: tuple[float, ...] = (math.nan,) * len(NUMBER_FIELDS)
    measured: TextFeatures | None = None
    tools: tuple[ToolCall, ...] = ()

    @property
    def answered(self) -> bool:
        """Whether there is an answer to speak of."""
        return not self.failure


@dataclass(slots=True, eq=False)
class PairedRow:
    """One case (or one trial of it) with the answers of incumbent and candidate; `place` is its line in the file."""

    place: int
    id: str
    incumbent: Answer
    candidate: Answer
    slices: tuple[str, ...] = ()
    cluster: str | None = None
    trial: str = ""
    weight: float = 1.0
    expects: str | Mapping[str, object] | None = None


class Side(StrEnum):
    """Which of the two variants a remark is about."""

    INCUMBENT = "incumbent"
    CANDIDATE = "candidate"


@dataclass(slots=True)
class Problem:
    """One kind of trouble: how often, where first, and an example in words."""

    reason: str
    excluded: bool
    count: int = 0
    places: list[int] = field(default_factory=list)
    example: str = ""


@dataclass(slots=True)
class Ledger:
    """Everything that was wrong with one file, by reason; `unit` is what a place counts (`line`, `result`)."""

    unit: str = "line"
    read: int = 0
    blank: int = 0
    problems: dict[str, Problem] = field(default_factory=dict)

    def exclude(self, reason: str, place: int, example: str = "") -> None:
        """Count a row that cannot be used."""
        self._add(reason, place, example, excluded=True)

    def note(self, reason: str, place: int, example: str = "") -> None:
        """Count a value that cannot be used, in a row that stays."""
        self._add(reason, place, example, excluded=False)

    def count(self, reason: str) -> int:
        """How often `reason` occurred."""
        return self.problems[reason].count if reason in self.problems else 0

    @property
    def excluded(self) -> dict[str, int]:
        """Reason to count, of the rows that could not be used."""
        return {problem.reason: problem.count for problem in self.problems.values() if problem.excluded}

    @property
    def noted(self) -> dict[str, int]:
        """Reason to count, of values that could not be used."""
        return {problem.reason: problem.count for problem in self.problems.values() if not problem.excluded}

    def _add(self, reason: str, place: int, example: str, excluded: bool) -> None:
        problem = self.problems.get(reason)
        if problem is None:
            problem = self.problems[reason] = Problem(reason, excluded, example=example)
        problem.count += 1
        if len(problem.places) < PLACES_KEPT:
            problem.places.append(place)


def unanswered(text: str | None, tool_calls: int, has_error: bool) -> str:
    """Why an output is no answer: `error`, `null`, `empty`; an empty string where it is one."""
    if has_error:
        return "error"
    if tool_calls:
        return ""
    if text is None:
        return "null"
    return "" if text.strip() else "empty"


def places_in_words(unit: str, places: Iterable[int], count: int) -> str:
    """`lines 3, 17 and 205 more`: where something happened, shortened."""
    shown = [str(place) for place in places]
    more = count - len(shown)
    plural = unit if count == 1 else f"{unit}s"
    if more > 0:
        return f"{plural} {', '.join(shown)} and {more:,} more"
    return f"{plural} {', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else f"{plural} {shown[0]}"

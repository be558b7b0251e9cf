"""A judge that grades one answer at a time on a scale, by a rubric."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from midshift.evals.grading import Answers, Question, Scores
from midshift.evals.judges import words
from midshift.evals.rows import Answer, Side
from midshift.evals.suite_file import EvalCase

_ASK = (
    "Grade the answer by this rubric:\n\n{rubric}\n\nThe scale goes from 1 (not at all) to {scale} (fully).\n\n"
    "{case}\n\n{reference}{answer}\n\nGive your reasons in a few sentences. Then end with one line, and nothing after "
    "it:\nVERDICT: a whole number from 1 to {scale}"
)


@dataclass(frozen=True, eq=False)
class RubricJudge:
    """Implements `grading.Judge`. The score is (verdict - 1) / (scale - 1), from 0 to 1.

    Raises:
        ValueError: for a scale of fewer than 2 steps.
    """

    score: str
    rubric: str
    scale: int = 5

    def __post_init__(self) -> None:
        if self.scale < 2:
            raise ValueError(f"a scale has at least 2 steps, got {self.scale}")

    @cached_property
    def name(self) -> str:
        """Changes with the rubric, so that a changed one is asked anew."""
        told = f"{words.SYSTEM}\0{_ASK}\0{self.rubric}\0{self.scale}"
        return f"{self.score}:{hashlib.sha256(told.encode()).hexdigest()[:12]}"

    def questions(self, case: EvalCase, answers: Answers) -> Sequence[Question]:
        """One for each side that has an answer, the incumbent's first."""
        return [self._question(case, answers[side]) for side in _sides(answers)]

    def scores(self, case: EvalCase, answers: Answers, replies: Sequence[str | None]) -> Scores:
        """Each side's grade; none where the judge gave none."""
        found: dict[Side, Mapping[str, float]] = {}
        for side, reply in zip(_sides(answers), replies, strict=True):
            grade = self.read(reply)
            found[side] = {} if grade is None else {self.score: grade}
        return found

    def read(self, reply: str | None) -> float | None:
        """The grade in a reply, from 0 to 1; None where it names none that is on the scale."""
        said = words.verdict(reply)
        grade = int(said) if said is not None and said.isdecimal() else 0
        return (grade - 1) / (self.scale - 1) if 1 <= grade <= self.scale else None

    def _question(self, case: EvalCase, answer: Answer) -> Question:
        reference = ""
        if isinstance(case.reference, str) and case.reference:
            reference = words.marked("reference", case.reference, self.rubric) + "\n\n"
        asked = _ASK.format(
            rubric=self.rubric,
            scale=self.scale,
            case=words.marked("conversation", words.conversation(case), self.rubric),
            reference=reference,
            answer=words.marked("answer", words.answered(answer), self.rubric),
        )
        return Question(({"role": "system", "content": words.SYSTEM}, {"role": "user", "content": asked}))


def _sides(answers: Answers) -> list[Side]:
    return [side for side in Side if answers[side].answered]

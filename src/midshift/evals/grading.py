"""How answers are graded: by functions at once, and by judges, who are models and are asked like any other.

A judge is two pure functions around paid calls. `questions` says what to ask about a pair, `scores` reads the replies;
the calls between go through the same ledger as the answers (kind `judge`, under the grader's name), with the same
limits, cap and resume. A question that two candidates share, such as a grade of the incumbent's answer, is asked once.
A reply that cannot be read leaves the score out: it is neither 0 nor 1.
Elsewhere: the graders (graders), asking judges (runner), who calls both (pairing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from midshift.domain.paid_call import CallKey
from midshift.evals.requests import Line
from midshift.evals.rows import Answer, Side
from midshift.evals.suite_file import EvalCase

Grade: TypeAlias = Callable[[EvalCase, Answer, Side], Mapping[str, float]]
Answers: TypeAlias = Mapping[Side, Answer]
Scores: TypeAlias = Mapping[Side, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Question:
    """What a judge is asked; the same words under the same grader and trial are the same paid call."""

    messages: tuple[Mapping[str, Any], ...]
    trial: int = 1


class Judge(Protocol):
    """A grader that asks a model. Both methods are pure; `name` changes whenever the rubric does."""

    @property
    def name(self) -> str:
        """Under which its calls are kept."""
        ...

    def questions(self, case: EvalCase, answers: Answers) -> Sequence[Question]:
        """What to ask about one pair; nothing where there is nothing to judge."""
        ...

    def scores(self, case: EvalCase, answers: Answers, replies: Sequence[str | None]) -> Scores:
        """What the replies say, one for each question and in their order; None where the judge gave none."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """A judge, and the way to the model behind it."""

    judge: Judge
    line: Line

    def asked(self, case: EvalCase, question: Question) -> tuple[CallKey, EvalCase]:
        """A question as a call: its key, and the case that it is put as."""
        key = self.line.judge_key(question.messages, question.trial, self.judge.name)
        return key, EvalCase(case.place, case.id, question.messages, ())


@dataclass(frozen=True, slots=True, eq=False)
class Grading:
    """Everything that gives scores to a pair."""

    grade: Grade
    benches: tuple[Bench, ...] = ()

"""A judge that says which of two answers is better, asked in both orders.

A judge that prefers the first place says A twice: that is no preference. So a side wins only where both orders agree,
and everything else that could be read is a tie. How often the orders agree, and how often the first place won, is
shown beside the score (`calibration`). Two answers of the same words are a tie that nobody needs to be asked about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from midshift.evals.grading import Answers, Question, Scores
from midshift.evals.judges import words
from midshift.evals.rows import Answer, Side
from midshift.evals.suite_file import EvalCase

_ASK = (
    "Two answers to the same conversation. Which one is better by this criterion?\n\n{criterion}\n\n{case}\n\n"
    "{first}\n\n{second}\n\nThe order in which they stand means nothing, and neither does length by itself. Give your "
    "reasons in a few sentences. Then end with one line, and nothing after it:\nVERDICT: A, B or TIE"
)


class Preference(StrEnum):
    """A verdict on two places."""

    FIRST = "A"
    SECOND = "B"
    TIE = "TIE"


@dataclass(frozen=True, eq=False)
class PairwiseJudge:
    """Implements `grading.Judge`. The preferred side scores 1 and the other 0, at a tie both score a half."""

    score: str
    criterion: str

    @cached_property
    def name(self) -> str:
        """Changes with the criterion, so that a changed one is asked anew."""
        told = f"{words.SYSTEM}\0{_ASK}\0{self.criterion}"
        return f"{self.score}:{hashlib.sha256(told.encode()).hexdigest()[:12]}"

    def questions(self, case: EvalCase, answers: Answers) -> Sequence[Question]:
        """Both orders; nothing unless both sides have an answer, or if they say the same."""
        if not _are_both_there(answers) or _say_the_same(answers):
            return ()
        old, new = answers[Side.INCUMBENT], answers[Side.CANDIDATE]
        return (self._question(case, old, new), self._question(case, new, old))

    def scores(self, case: EvalCase, answers: Answers, replies: Sequence[str | None]) -> Scores:
        """What both orders say together; none unless both could be read. A tie where both answers say the same."""
        if _are_both_there(answers) and _say_the_same(answers):
            return {side: {self.score: 0.5} for side in Side}
        if len(replies) != 2:
            return {}
        share = candidates_share(preference(replies[0]), preference(replies[1]))
        if share is None:
            return {}
        return {Side.INCUMBENT: {self.score: 1.0 - share}, Side.CANDIDATE: {self.score: share}}

    def _question(self, case: EvalCase, first: Answer, second: Answer) -> Question:
        asked = _ASK.format(
            criterion=self.criterion,
            case=words.marked("conversation", words.conversation(case), self.criterion),
            first=words.marked("answer-A", words.answered(first), self.criterion),
            second=words.marked("answer-B", words.answered(second), self.criterion),
        )
        return Question(({"role": "system", "content": words.SYSTEM}, {"role": "user", "content": asked}))


def _are_both_there(answers: Answers) -> bool:
    return all(answers[side].answered for side in Side)


def _say_the_same(answers: Answers) -> bool:
    old, new = (words.answered(answers[side]) for side in Side)
    return old == new


def preference(reply: str | None) -> Preference | None:
    """The verdict in a reply; None for any that is not on the menu."""
    try:
        return Preference(words.verdict(reply) or "")
    except ValueError:
        return None


def candidates_share(forwards: Preference | None, backwards: Preference | None) -> float | None:
    """1 where the candidate won in both orders, 0 where the incumbent did, else a half; None if one is unread.

    `forwards` has the incumbent in the first place, `backwards` the candidate.
    """
    if forwards is None or backwards is None:
        return None
    if (forwards, backwards) == (Preference.SECOND, Preference.FIRST):
        return 1.0
    return 0.0 if (forwards, backwards) == (Preference.FIRST, Preference.SECOND) else 0.5

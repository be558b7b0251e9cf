"""What calls come to at most before anybody makes them: how many, and how much money, judges included.

A search that has spent everything has bought a prompt that nobody may judge. So the verdict on the locked cases is
counted and priced before the search begins, and again for each prompt that is put to the candidate: a longer prompt
costs more on every case.

Contract. An answer costs at most what `Till.worst` says. What a judge will read is not written yet: an answer is taken
for four bytes to each token that it may have, and a judge's tokens are bounded by bytes. A judge's tokenizer that
needs four times as many as the writer's would cost more than this. What was paid before `began` costs nothing; what
the search itself has bought does, so that a repeated search holds back what the first run held back. A cost that
nobody can bound counts as nothing, as it does for the cap.
Elsewhere: who holds it back (search), the cap (providers.paid.budget).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from midshift.domain.paid_call import CallKey
from midshift.evals.grading import Bench, Grading
from midshift.evals.requests import Line
from midshift.evals.rows import Answer, Side
from midshift.evals.suite_file import EvalCase
from midshift.ports import PaidCalls
from midshift.providers.paid.till import Till
from midshift.retune.search import Ways

Worst: TypeAlias = dict[CallKey, Decimal]
"""Calls, each with the most that it costs in USD; each is made once, so what two parts share is in both."""
_BYTES_A_TOKEN = 4
_UNBOUNDED_TOKENS = 1000
"""Of an answer that nothing limits: its cost is not bounded anyway."""


@dataclass(frozen=True, slots=True, eq=False)
class Reserve:
    """What parts of one search come to, by the ways to its models and the prices of its till."""

    ways: Ways
    grading: Grading
    till: Till
    calls: PaidCalls
    began: datetime

    def incumbents(self, cases: Sequence[EvalCase]) -> Worst:
        """The incumbent's answers to these cases, graded."""
        return self._answers(self.ways.incumbent, cases) | self._judged(cases, self.ways.incumbent)

    def answers(self, text: str, cases: Sequence[EvalCase]) -> Worst:
        """The candidate's answers under a prompt, graded beside the incumbent's."""
        line = self.ways.candidate(text)
        return self._answers(line, cases) | self._judged(cases, line)

    def verdict(self, text: str, locked: Sequence[EvalCase]) -> Worst:
        """Everything that the verdict on a prompt takes."""
        return self.incumbents(locked) | self.answers(text, locked)

    def _answers(self, line: Line, cases: Sequence[EvalCase]) -> Worst:
        return self._worst(line, {line.key(case): case for case in cases})

    def _judged(self, cases: Sequence[EvalCase], line: Line) -> Worst:
        """What judges ask about the answers of this line beside the incumbent's, if both are as long as can be."""
        found: Worst = {}
        for bench in self.grading.benches:
            found |= self._worst(
                bench.line, {key: put for case in cases for key, put in self._asked(bench, case, line)}
            )
        return found

    def _asked(self, bench: Bench, case: EvalCase, line: Line) -> list[tuple[CallKey, EvalCase]]:
        old = _longest(self.ways.incumbent, case, "o")
        new = old if line is self.ways.incumbent else _longest(line, case, "n")
        sides = {Side.INCUMBENT: old, Side.CANDIDATE: new}
        return [bench.asked(case, question) for question in bench.judge.questions(case, sides)]

    def _worst(self, line: Line, asked: Mapping[CallKey, EvalCase]) -> Worst:
        paid = {key for key, found in self.calls.results(asked) if found is not None and found.at < self.began}
        return {key: Decimal(0) if key in paid else self._bound(line, key, case) for key, case in asked.items()}

    def _bound(self, line: Line, key: CallKey, case: EvalCase) -> Decimal:
        order = line.order(key, case)
        if order is None:
            return Decimal(0)
        return self.till.worst(order.variant, len(order.request.body), order.tokens_out) or Decimal(0)


def usd(worst: Worst) -> Decimal:
    """What these calls cost together at most."""
    return sum(worst.values(), Decimal(0))


def _longest(line: Line, case: EvalCase, letter: str) -> Answer:
    order = line.order(line.key(case), case)
    tokens = None if order is None else order.tokens_out
    return Answer(letter * (_BYTES_A_TOKEN * (tokens or _UNBOUNDED_TOKENS)))

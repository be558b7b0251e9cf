"""What a judge's own verdicts of one eval say about it: how many there are, how many cannot be read, both orders.

Elsewhere: the numbers themselves and agreement with people (calibration).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from midshift.evals.grading import Bench, Grading
from midshift.evals.judges.calibration import Consistency, consistency
from midshift.evals.judges.pairwise import PairwiseJudge, preference
from midshift.evals.judges.rubric import RubricJudge
from midshift.evals.pairing import AT_ONCE, Plan, in_parts, pairs, replies
from midshift.evals.requests import Line
from midshift.ports import PaidCalls


@dataclass(frozen=True, slots=True)
class Standing:
    """What a judge was asked about one candidate and its incumbent. `orders` is None for one that sees no pairs."""

    asked: int
    unread: int
    orders: Consistency | None = None


def standing(bench: Bench, plan: Plan, candidate: Line, calls: PaidCalls) -> Standing:
    """From the verdicts in the ledger; a verdict that never came is unread like one that is not on the menu."""
    given = list(_given(bench, plan, candidate, calls))
    match bench.judge:
        case PairwiseJudge():
            verdicts = [tuple(map(preference, both)) for both in given if both]
            unread = sum(verdict is None for both in verdicts for verdict in both)
            orders = consistency((forwards, backwards) for forwards, backwards in verdicts)
            return Standing(2 * len(verdicts), unread, orders)
        case RubricJudge() as judge:
            grades = [judge.read(reply) for said in given for reply in said]
            return Standing(len(grades), grades.count(None))
        case _:
            return Standing(sum(map(len, given)), sum(said.count(None) for said in given))


def _given(bench: Bench, plan: Plan, candidate: Line, calls: PaidCalls) -> Iterator[list[str | None]]:
    ungraded = Grading(lambda case, answer, side: {})
    for part in in_parts(pairs(plan, candidate, calls, ungraded), AT_ONCE):
        yield from replies(bench, part, calls)

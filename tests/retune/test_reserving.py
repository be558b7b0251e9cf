"""What a verdict costs at most: every call of it is counted, judges included, and none costs more."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.evals.grading import Bench, Grading
from midshift.evals.judges.pairwise import PairwiseJudge
from midshift.evals.judges.rubric import RubricJudge
from midshift.evals.requests import Line
from midshift.evals.runner import Progress
from midshift.evals.suite_file import EvalCase
from midshift.ports import PaidCalls
from midshift.providers.http.settings import Upstream
from midshift.providers.paid.budget import Budget
from midshift.providers.paid.buyer import Buyer
from midshift.providers.paid.desk import Desk
from midshift.providers.paid.pace import Limits
from midshift.retune.adapter import Ended
from midshift.retune.reserving import Reserve, usd
from midshift.retune.search import Purchases, Ways
from midshift.store.ledger import Ledger
from midshift.testing import ManualClock
from tests.providers.paid import fakes

TOKENS_OUT = 20
LONGEST = "four" * TOKENS_OUT
CASES = [EvalCase(number, f"c-{number}", ({"role": "user", "content": f"case {number}"},), ()) for number in range(5)]


def line(variant: Variant) -> Line:
    """The way to a model whose answers have at most 20 tokens."""
    return Line.of(variant, Upstream("http://127.0.0.1"), "app", TOKENS_OUT)


def candidate(text: str) -> Line:
    """The way to the candidate under a prompt."""
    return line(Variant("acme", "new", Prompt(PromptMode.REPLACE, text)))


JUDGE = line(Variant("acme", "judge"))
WAYS = Ways(line(Variant("acme", "old")), candidate)
GRADINGS = {
    "none": Grading(lambda case, answer, side: {}),
    "rubric": Grading(lambda case, answer, side: {}, (Bench(RubricJudge("kind", "Is kind."), JUDGE),)),
    "both": Grading(
        lambda case, answer, side: {},
        (Bench(RubricJudge("kind", "Is kind."), JUDGE), Bench(PairwiseJudge("better", "Is better."), JUDGE)),
    ),
}


class Models(fakes.FakeTransport):
    """Every model gives the longest answer there is, and no two answers are the same."""

    count = 0

    async def send(self, *args: object, **more: object) -> fakes.FakeCall:
        """See `Transport`."""
        self.count += 1
        text = f"{self.count:03}{LONGEST}"[: len(LONGEST)]
        return fakes.FakeCall(fakes.Reply(body=fakes.answer(text, 30, TOKENS_OUT)))


def purchases(calls: PaidCalls, grading: Grading, clock: ManualClock, cap_usd: str, reserve: Reserve) -> Purchases:
    """What a search buys with, the verdict on all cases held back."""
    desk = Desk(Models(clock), Limits(1), clock, lambda: 0.0)
    buyer = Buyer(calls, {"acme": desk}, fakes.till(), Budget(Decimal(cap_usd)), clock)

    def verdict_usd(text: str) -> Decimal:
        return usd(reserve.verdict(text, CASES))

    return Purchases(buyer, WAYS, grading, {"acme": 1}, Progress(), reserve.began, verdict_usd=verdict_usd)


def reserved(calls: PaidCalls, grading: Grading, began: datetime) -> Reserve:
    """What is to be held back of a search that began then."""
    return Reserve(WAYS, grading, fakes.till(), calls, began)


@pytest.mark.parametrize("graded", GRADINGS)
def test_a_verdict_makes_the_calls_that_were_counted_and_costs_no_more(graded: str) -> None:
    """Judges ask about both sides, and about the incumbent's alone: none of it may come as a surprise at the end."""
    clock, grading = ManualClock(), GRADINGS[graded]
    with Ledger() as calls:
        reserve = reserved(calls, grading, clock.machine_now())
        worst = reserve.verdict("Be kind.", CASES)
        bought = purchases(calls, grading, clock, str(usd(worst)), reserve)
        bought.judge_now(len(worst))

        async def judge() -> None:
            await bought.incumbents(CASES)
            await bought.answers("Be kind.", CASES)

        asyncio.run(judge())

    assert len(worst) == bought.calls
    assert bought.spent_usd is not None
    assert 0 < bought.spent_usd < usd(worst)


def test_a_repeated_search_holds_back_what_the_first_run_did() -> None:
    """What was paid before it began is there; what it paid itself counts again when it is asked for."""
    clock = ManualClock()
    with Ledger() as calls:
        before = clock.machine_now()
        first = reserved(calls, GRADINGS["none"], before).verdict("Be kind.", CASES)
        bought = purchases(calls, GRADINGS["none"], clock, "1", reserved(calls, GRADINGS["none"], before))
        asyncio.run(bought.incumbents(CASES))

        again = reserved(calls, GRADINGS["none"], before).verdict("Be kind.", CASES)
        later = reserved(calls, GRADINGS["none"], clock.machine_now() + timedelta(days=1))

        assert first == again
        assert Decimal(0) == usd(later.incumbents(CASES))
        assert usd(later.verdict("Be kind.", CASES)) == usd(later.answers("Be kind.", CASES)) > 0


def test_a_prompt_whose_verdict_cannot_be_paid_is_not_tried() -> None:
    """It might be chosen. What was held back for the prompt before it still is."""
    clock = ManualClock()
    with Ledger() as calls:
        reserve = reserved(calls, GRADINGS["none"], clock.machine_now())
        short = usd(reserve.verdict("Be kind.", CASES))
        bought = purchases(calls, GRADINGS["none"], clock, str(short), reserve)
        bought.hold_back("Be kind.")

        with pytest.raises(Ended, match="the verdict on the next prompt may cost up to"):
            asyncio.run(bought.answers("Be kind. " * 100, CASES[:1]))

        bought.judge_now(0)
        assert len(CASES) == len(asyncio.run(bought.incumbents(CASES)))

"""An eval without sockets: exact counts of calls, judges in the same ledger, several evals at once, and stopping."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from midshift.cli.buying import Shop, Terms, Undecided, Unfinished, buy
from midshift.domain.paid_call import INTERRUPTED, Ending, Intent, Result, Settled
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.errors import InputError, UsageError
from midshift.evals import runner
from midshift.evals.grading import Answers, Bench, Grading, Question, Scores
from midshift.evals.pairing import Pair, Plan, judge_keys, line, pairs, row
from midshift.evals.requests import Line
from midshift.evals.rows import Answer, Side
from midshift.evals.runner import Job, Progress
from midshift.evals.suite_file import EvalCase
from midshift.providers.http.messages import Call, Failure, Request
from midshift.providers.http.settings import Timeouts, Upstream
from midshift.providers.paid.budget import Budget
from midshift.providers.paid.buyer import Buyer, CapReached, OnUnknown
from midshift.providers.paid.desk import Desk
from midshift.providers.paid.journal import Journal
from midshift.providers.paid.pace import Limits
from midshift.store.ledger import Ledger
from midshift.testing import ManualClock
from tests.providers.paid.fakes import FakeCall, Reply, answer, till

UPSTREAM = Upstream("http://127.0.0.1")
OLD, NEW, OTHER = (Variant("acme", name) for name in ("old", "new", "other"))
AT = datetime(2026, 1, 1, tzinfo=UTC)


class Model:
    """Implements `Transport`: answers with the model's name and the question; counts, and fails where it is told to."""

    def __init__(self, failing: Mapping[str, Reply] | None = None) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self.on_call: Any = None
        self._failing = dict(failing or {})

    def begin(self, request: Request, streamed: bool, timeouts: Timeouts | None = None) -> Call | None:
        """See `Transport`."""
        return None

    async def send(self, request: Request, streamed: bool, timeouts: Timeouts | None = None) -> Call:
        """See `Transport`."""
        body = json.loads(request.body)
        words = body["messages"][-1]["content"]
        self.asked[body["model"], words] += 1
        if self.on_call is not None:
            self.on_call()
        said = "0.5" if "how good" in words else f"{body['model']}: {words}"
        return FakeCall(self._failing.get(words, Reply(200, answer(said))))

    def close(self) -> None:
        """See `Transport`."""


class HowGood:
    """A judge that asks about each answer alone."""

    name = "how-good/1"

    def questions(self, case: EvalCase, answers: Answers) -> Sequence[Question]:
        """See `Judge`."""
        return [Question(({"role": "user", "content": f"how good is {found.text!r}?"},)) for found in answers.values()]

    def scores(self, case: EvalCase, answers: Answers, replies: Sequence[str | None]) -> Scores:
        """See `Judge`."""
        return {
            side: {} if reply is None else {"judged": float(reply)}
            for side, reply in zip(answers, replies, strict=True)
        }


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger in memory."""
    with Ledger() as found:
        yield found


def cases(count: int = 5) -> list[EvalCase]:
    """Questions that differ."""
    return [
        EvalCase(n, f"t-{n}", ({"role": "user", "content": f"question {n}"},), ("a", "b")[n % 2 : n % 2 + 1])
        for n in range(1, count + 1)
    ]


def plan(*variants: Variant, count: int = 5, trials: int = 1) -> Plan:
    """An eval of these variants, the incumbent first."""
    return Plan(cases(count), trials, tuple(Line.of(variant, UPSTREAM, "app-model") for variant in variants))


def length(case: EvalCase, found: Answer, side: Side) -> Mapping[str, float]:
    """A grader."""
    return {"length": len(found.text or "") / 100.0}


PLAIN = Grading(length)


def shop(ledger: Ledger, model: Model) -> Shop:
    """Where answers are bought."""
    return Shop(ledger, {"acme": model}, till(), ManualClock())


def paired(found: Plan, ledger: Ledger, grading: Grading = PLAIN) -> list[Pair]:
    """The pairs of the last variant."""
    return list(pairs(found, found.lines[-1], ledger, grading))


async def test_each_case_is_asked_once_of_each_variant(ledger: Ledger) -> None:
    """The exact number of calls, no more and no fewer."""
    model = Model()

    progress = await buy(plan(OLD, NEW), PLAIN, shop(ledger, model), Terms())

    assert (10, 10) == (progress.bought, progress.done)
    assert {1} == set(model.asked.values())
    assert 10 == len(model.asked)


async def test_trials_are_calls_of_their_own_in_one_cluster_of_a_case(ledger: Ledger) -> None:
    """Three tries of a case are three draws, and one case."""
    model, found = Model(), plan(OLD, NEW, trials=3)

    await buy(found, PLAIN, shop(ledger, model), Terms())

    rows = [row(pair) for pair in paired(found, ledger)]
    assert 30 == model.asked.total()
    assert [("t-1", "1"), ("t-1", "2"), ("t-1", "3")] == [(one.id, one.trial) for one in rows[:3]]


async def test_a_second_candidate_buys_nothing_of_the_incumbent(ledger: Ledger) -> None:
    """Nor does more of the same eval."""
    model = Model()
    await buy(plan(OLD, NEW), PLAIN, shop(ledger, model), Terms())

    progress = await buy(plan(OLD, NEW, OTHER), PLAIN, shop(ledger, model), Terms())

    assert (5, {1}) == (progress.bought, set(model.asked.values()))


async def test_two_cases_of_the_same_words_are_two_draws(ledger: Ledger) -> None:
    """One answer for both would make the sample smaller than it says."""
    same = [EvalCase(n, f"t-{n}", ({"role": "user", "content": "hello"},), ("a",)) for n in (1, 2)]
    model = Model()

    await buy(Plan(same, 1, plan(OLD, NEW).lines), PLAIN, shop(ledger, model), Terms())

    assert 4 == model.asked.total()


async def test_several_evals_at_once_share_a_process_and_a_ledger(ledger: Ledger) -> None:
    """No state of the module; and what both need is bought by whoever comes first."""
    model = Model()
    together = shop(ledger, model)

    await asyncio.gather(
        buy(plan(OLD, NEW), PLAIN, together, Terms(Limits(concurrency=2))),
        buy(plan(OTHER, NEW), PLAIN, together, Terms(Limits(concurrency=3))),
        buy(plan(OLD, OTHER, count=3, trials=2), PLAIN, together, Terms()),
    )

    assert {1, 2} == set(model.asked.values())
    assert 3 * 5 + 2 * 3 == model.asked.total()


async def test_several_evals_at_once_share_the_limits_of_their_provider(ledger: Ledger) -> None:
    """They are those of one key: two evals at a rate each are not twice that rate."""
    together, limits = shop(ledger, Model()), Limits(requests_per_min=60_000.0)

    await asyncio.gather(*(buy(plan(OLD, one, count=1), PLAIN, together, Terms(limits)) for one in (NEW, OTHER)))

    assert ["acme"] == list(together.desks)
    with pytest.raises(UsageError, match="expected the same rates a minute"):
        await buy(plan(OLD, NEW), PLAIN, together, Terms(Limits(requests_per_min=90.0)))


@pytest.mark.parametrize(
    ("params", "parameters", "is_bounded"),
    [
        ({"max_tokens": 9}, {}, True),
        ({}, {"set": {"max_tokens": 9}}, True),
        ({}, {}, False),
        ({"max_tokens": 9}, {"drop": ("max_tokens",)}, False),
        ({"max_tokens": -1}, {}, False),
        ({}, {"set": {"max_tokens": -1}}, False),
    ],
    ids=["the case's", "the variant's", "nobody's", "dropped", "none of the case's", "none of the variant's"],
)
async def test_a_cap_needs_a_limit_of_the_answer_and_takes_that_of_the_cases(
    ledger: Ledger, params: dict[str, Any], parameters: dict[str, Any], is_bounded: bool
) -> None:
    """What apps say themselves need not be said again in a variant's file."""
    variants = [Variant("acme", name, parameters=parameters) for name in ("old", "new")]
    found = plan(*variants, count=2)
    limited = replace(found, cases=[replace(case, params=params) for case in found.cases])
    terms = Terms(cap_usd=Decimal(1))

    if is_bounded:
        assert 4 == (await buy(limited, PLAIN, shop(ledger, Model()), terms)).bought
    else:
        with pytest.raises(UsageError, match=r"nothing limits its answers .*max_tokens: N"):
            await buy(limited, PLAIN, shop(ledger, Model()), terms)


async def test_judges_are_paid_calls_like_any_other(ledger: Ledger) -> None:
    """In the same ledger, once, also where two candidates share the incumbent's answer."""
    model, found = Model(), plan(OLD, NEW, OTHER)
    grading = Grading(length, (Bench(HowGood(), Line.of(Variant("acme", "judge"), UPSTREAM, "judge")),))

    await buy(found, grading, shop(ledger, model), Terms())
    await buy(found, grading, shop(ledger, model), Terms())

    assert 15 + 15 == model.asked.total()
    assert {1} == set(model.asked.values())
    scores = [pair.candidate.answer.scores for pair in paired(found, ledger, grading)]
    assert {0.5} == {one["judged"] for one in scores}


async def test_what_judges_were_paid_before_counts_against_the_cap(ledger: Ledger) -> None:
    """However often the command is typed again: the cap is on all that the eval costs."""
    found, terms = plan(OLD, NEW, count=20), Terms(Limits(concurrency=1), cap_usd=Decimal("0.005"))
    grading = Grading(length, (Bench(HowGood(), Line.of(Variant("acme", "judge"), UPSTREAM, "judge", 100)),))
    lines = replace(found, lines=tuple(replace(one, most_tokens_out=100) for one in found.lines))

    for _ in range(5):
        with pytest.raises(CapReached):
            await buy(lines, grading, shop(ledger, Model()), terms)

    keys = [key for key, _ in judge_keys(lines, grading, ledger)] + [
        one.key(case, trial) for case, trial in lines.puts() for one in lines.lines
    ]
    paid = sum((one.known_usd for one in ledger.purchases(keys).values()), Decimal(0))
    assert Decimal("0.0024") < paid <= Decimal("0.005")


async def test_a_judge_that_says_nothing_leaves_no_score(ledger: Ledger) -> None:
    """Unscored is neither 0 nor 1."""
    unheard = {f"how good is 'new: question {n}'?": Reply(400) for n in range(1, 6)}
    model, found = Model(unheard), plan(OLD, NEW)
    grading = Grading(length, (Bench(HowGood(), Line.of(Variant("acme", "judge"), UPSTREAM, "judge")),))

    await buy(found, grading, shop(ledger, model), Terms())

    first = paired(found, ledger, grading)[0]
    assert ({"length", "judged"}, {"length"}) == (
        set(first.incumbent.answer.scores),
        set(first.candidate.answer.scores),
    )


async def test_a_refused_request_is_unanswered_and_not_missing(ledger: Ledger) -> None:
    """The candidate that cannot answer must not win by having fewer cases."""
    found = plan(OLD, NEW)

    await buy(found, PLAIN, shop(ledger, Model({"question 2": Reply(400)})), Terms())

    replies = [pair.candidate.answer.failure for pair in paired(found, ledger)]
    assert ["", "error", "", "", ""] == replies
    written = json.loads(line(paired(found, ledger)[1], ("old", "new"), 1))
    assert ("refused", 400) == (
        written["outputs"]["new"]["error"]["kind"],
        written["outputs"]["new"]["error"]["status"],
    )


async def test_an_answer_that_the_provider_blocked_is_unanswered_also_with_half_a_text(ledger: Ledger) -> None:
    """Half an answer is no measure of the model, and the answered rate is a gate of its own."""
    cut = answer("I am sorr").replace(b'"stop"', b'"content_filter"')
    found = plan(OLD, NEW, count=1)

    await buy(found, PLAIN, shop(ledger, Model({"question 1": Reply(200, cut)})), Terms())

    (pair,) = paired(found, ledger)
    written = json.loads(line(pair, ("old", "new"), 1))["outputs"]["new"]
    assert ("error", {}) == (pair.candidate.answer.failure, pair.candidate.answer.scores)
    assert {"kind": "blocked", "status": 200, "message": "content_filter"} == written["error"]


async def test_a_prompt_that_does_not_fit_costs_nothing_and_is_unanswered(ledger: Ledger) -> None:
    """In production the incumbent would serve there."""
    strict = Variant("acme", "new", Prompt(PromptMode.EDIT, '[{"replace": "not there", "with": "x"}]'))
    model, found = Model(), plan(OLD, strict)

    await buy(found, PLAIN, shop(ledger, model), Terms())

    assert 5 == model.asked.total()
    assert {"error"} == {pair.candidate.answer.failure for pair in paired(found, ledger)}


async def test_an_unknown_call_stops_the_eval_and_asks(ledger: Ledger) -> None:
    """With how many, and what it would cost at most; and before anything more is spent."""
    lost = {"question 2": Reply(fails=Failure.TOTAL_TIMEOUT)}
    terms = Terms()

    with pytest.raises(Undecided, match=r"2 calls .* at most 0\.\d+ USD.*--rebuy-unknown"):
        await buy(_limited(), PLAIN, shop(ledger, Model(lost)), terms)
    model = Model()
    with pytest.raises(Undecided):
        await buy(_limited(), PLAIN, shop(ledger, model), terms)

    assert 0 == model.asked.total()


def _limited() -> Plan:
    lines = tuple(Line.of(variant, UPSTREAM, "app-model", 100) for variant in (OLD, NEW))
    return Plan(cases(), 1, lines)


async def test_what_the_provider_never_answered_counts_as_unanswered_if_somebody_says_so(ledger: Ledger) -> None:
    """A timeout is the model's, unlike a crash of ours."""
    found = plan(OLD, NEW)
    terms = Terms(on_unknown=OnUnknown.SKIP)

    await buy(found, PLAIN, shop(ledger, Model({"question 2": Reply(fails=Failure.TOTAL_TIMEOUT)})), terms)

    second = paired(found, ledger)[1]
    assert ("error", False) == (second.candidate.answer.failure, second.candidate.is_lost)


async def test_a_cap_needs_a_bound(ledger: Ledger) -> None:
    """A cap over calls that may cost anything is none."""
    model = Model()
    with pytest.raises(UsageError, match=r"'old' at 'acme' cannot be bounded: nothing limits its answers"):
        await buy(plan(OLD, NEW), PLAIN, shop(ledger, model), Terms(cap_usd=Decimal(1)))

    assert 0 == model.asked.total()


async def test_stopping_lets_what_is_paid_for_come_to_its_end(ledger: Ledger) -> None:
    """No call is left unknown by it, and the rest goes on later."""
    model, found, progress = Model(), plan(OLD, NEW, count=50), Progress()
    clock = ManualClock()
    desk = Desk(model, Limits(concurrency=4), clock, lambda: 0.5)
    buyer = Buyer(ledger, {"acme": desk}, till(), Budget(), clock)

    def stop() -> None:
        progress.stopped = model.asked.total() >= 20

    model.on_call = stop
    await runner.run(runner.missing(found, buyer).missing, buyer, {"acme": 4}, progress)

    again = runner.missing(found, buyer)
    assert 20 <= model.asked.total() < 25
    assert (model.asked.total(), []) == (again.finished, again.held)


async def test_a_fault_lets_what_is_paid_for_come_to_its_end_too(ledger: Ledger) -> None:
    """One case that is no request must not cost the answers to others, and nobody has asked for a stop."""
    found, progress = plan(OLD, count=8), Progress()
    clock, model = ManualClock(), Model()
    desk = Desk(model, Limits(concurrency=4), clock, lambda: 0.5)
    buyer = Buyer(ledger, {"acme": desk}, till(), Budget(), clock)
    broken = EvalCase(9, "t-9", ({"role": "user", "content": "x"},), (), params={"messages": "none"})
    jobs = runner.missing(found, buyer).missing
    jobs.insert(2, Job(found.lines[0], broken, found.lines[0].key(broken), None))

    with pytest.raises(InputError, match="case 't-9' is no chat request"):
        await runner.run(jobs, buyer, {"acme": 4}, progress)

    assert [] == runner.missing(found, buyer).held
    assert not progress.stopped


async def test_an_engine_can_ask_as_it_goes(ledger: Ledger) -> None:
    """Re-tuning asks case by case; what an eval bought is there already."""
    found, model, clock = plan(OLD, NEW), Model(), ManualClock()
    await buy(found, PLAIN, shop(ledger, model), Terms())
    buyer = Buyer(ledger, {"acme": Desk(model, Limits(), clock, lambda: 0.5)}, till(), Budget(), clock)
    ask = runner.asking(found.lines[1], buyer)

    texts = [(await ask(found.cases[0], trial)).text for trial in (1, 2)]

    assert ["new: question 1"] * 2 == texts
    assert 11 == model.asked.total()


def test_stopping_and_failing_end_with_what_to_type() -> None:
    """Both are errors of their own kind, which go on with the same command."""
    assert 4 == Unfinished.exit_code
    assert 2 == Undecided.exit_code


def with_judge() -> Grading:
    """A grader and a judge."""
    return Grading(length, (Bench(HowGood(), Line.of(Variant("acme", "judge"), UPSTREAM, "judge")),))


async def test_a_lost_answer_leaves_its_pair_without_a_verdict(ledger: Ledger) -> None:
    """No judge was asked about it, so there is no reply to read: `--skip-unknown` leaves out the row, and goes on."""
    found = plan(OLD, NEW, count=2)
    (first, _), _ = found.puts()
    key = found.incumbent.key(first)
    await Journal(ledger).write(Intent(key, 1, "acme", "old", AT))
    await Journal(ledger).write(Settled(key, 1, Result(Ending.UNKNOWN, AT, detail=INTERRUPTED)))

    await buy(found, with_judge(), shop(ledger, Model()), Terms(on_unknown=OnUnknown.SKIP))

    lost, whole = paired(found, ledger, with_judge())
    assert ({"length"}, {"length", "judged"}) == (set(lost.candidate.answer.scores), set(whole.candidate.answer.scores))


@pytest.mark.parametrize("finish", ["length", "max_tokens", "content_filter", None])
async def test_a_verdict_that_was_cut_off_is_none(ledger: Ledger, finish: str | None) -> None:
    """A 1 may be the beginning of a 10."""
    cut = answer("0.1").replace(b'"stop"', json.dumps(finish).encode())
    model, found = Model({"how good is 'new: question 1'?": Reply(200, cut)}), plan(OLD, NEW, count=1)

    await buy(found, with_judge(), shop(ledger, model), Terms())

    (pair,) = paired(found, ledger, with_judge())
    assert {"length": 0.15, "judged": 0.5} == pair.incumbent.answer.scores
    assert {"length": 0.15} == pair.candidate.answer.scores


async def test_looking_for_what_judges_ask_grades_nothing(ledger: Ledger) -> None:
    """Graders may be slow, and their scores change no question."""

    def refusing(case: EvalCase, found: Answer, side: Side) -> Mapping[str, float]:
        raise AssertionError("graded")

    found = plan(OLD, NEW)
    await buy(found, with_judge(), shop(ledger, Model()), Terms())

    assert 10 == len(list(judge_keys(found, replace(with_judge(), grade=refusing), ledger)))

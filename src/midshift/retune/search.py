"""The search itself: waits for paid calls while GEPA asks from a thread, and ends within its budget.

The only part of this room that waits. Every answer goes through the ledger, under a key that says what is asked, so a
run that was killed is repeated by running it again: what was paid is read, and the search takes the same way.

Contract. Calls are counted by key, whether bought now or read from the ledger, and a batch that would break the count
is not begun: so the count ends a repeated search where it ended the first. Money is held before each call at the most
that the call can cost (providers.paid.budget), and includes what earlier runs of the same search have paid. The verdict
on every prompt that is put to the candidate is held back: one whose verdict cannot be paid is not tried.
Elsewhere: what GEPA is told (adapter), the prompt that is chosen (selecting), what a verdict costs (reserving),
durability (store.ledger).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from midshift.domain.paid_call import CallKey, Ending, Purchase, Result
from midshift.errors import MidshiftError, UsageError
from midshift.evals import runner
from midshift.evals.grading import Grading
from midshift.evals.pairing import Pair, Reply, answer_of, questions, whole_text
from midshift.evals.requests import Line
from midshift.evals.rows import Answer, Side
from midshift.evals.runner import Job, Progress
from midshift.evals.suite_file import EvalCase
from midshift.providers.paid.buyer import Buyer, CapReached
from midshift.retune import adapter as gepa_adapter
from midshift.retune import reflecting
from midshift.retune.adapter import MINIBATCH, Adapter, Ended, Record, Rules
from midshift.retune.measuring import Scored, with_contracts

T = TypeVar("T")
_LOST = Purchase(1, Ending.UNKNOWN)
_STOPPED = "stopped: what was paid is in the ledger. Type next: the same command goes on from here"
LEAST_ROUNDS = 3
"""A budget for fewer rounds of reflection is refused: such a search ends as if nothing could be found."""


class Unfinished(MidshiftError):
    """Some calls could not be made, or somebody stopped it; the same command goes on from there."""


class Undecided(UsageError):
    """Calls that may have been paid, and whose answers are lost, wait for a decision."""


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """The ways to the models: `candidate` makes one from a prompt, for each text is a variant of its own."""

    incumbent: Line
    candidate: Callable[[str], Line]
    reflection: Line | None = None


def _nothing(text: str) -> Decimal:
    """Where no verdict follows."""
    return Decimal(0)


class Purchases:
    """What a search buys: each key once, counted and bounded. One event loop, one batch at a time.

    `began` is when the first run of this search began: what was paid since is its own, what was paid before is not.
    `verdict_usd` is what the verdict on a prompt costs at most; so much of the cap is held back until `judge_now`.
    """

    def __init__(
        self,
        buyer: Buyer,
        ways: Ways,
        grading: Grading,
        concurrency: Mapping[str, int],
        progress: Progress,
        began: datetime,
        most_calls: int | None = None,
        verdict_usd: Callable[[str], Decimal] = _nothing,
    ) -> None:
        self.spent_usd: float | None = 0.0
        self.calls = 0
        self.most_calls = most_calls
        self._buyer = buyer
        self._ways = ways
        self._grading = grading
        self._concurrency = concurrency
        self._progress = progress
        self._began = began
        self._verdict_usd = verdict_usd
        self._seen: set[CallKey] = set()
        self._asked: dict[str, int] = {}
        self._lines: dict[str, Line] = {}
        self._incumbent: dict[str, Answer] = {}

    async def incumbents(self, cases: Sequence[EvalCase]) -> list[Scored]:
        """The incumbent's answers, graded; usually there since the eval."""
        found = await self._answers(self._ways.incumbent, cases)
        for case, (answer, _) in zip(cases, found, strict=True):
            self._incumbent[case.id] = answer
        return await self._graded(cases, found, Side.INCUMBENT)

    async def answers(self, text: str, cases: Sequence[EvalCase]) -> list[Scored]:
        """The candidate's answers under a prompt, graded. The incumbent's have to be there (`incumbents`)."""
        if text not in self._lines:
            self.hold_back(text)
            self._lines[text] = self._ways.candidate(text)
        return await self._graded(cases, await self._answers(self._lines[text], cases), Side.CANDIDATE)

    def hold_back(self, text: str) -> None:
        """Set the verdict on this prompt aside, or on a dearer one before it.

        Raises:
            Ended: if the money that is left does not pay it; what was set aside before still is.
        """
        budget = self._buyer.budget
        more = max(self._verdict_usd(text) - budget.reserved_usd, Decimal(0))
        if more and not budget.has_room(more):
            raise Ended(
                f"the verdict on the next prompt may cost up to {budget.reserved_usd + more:.4f} USD, expected so much "
                f"left of the cap of {budget.cap_usd} USD ({budget.spent_usd:.4f} USD are spent)"
            )
        budget.reserved_usd += more

    def judge_now(self, calls: int) -> None:
        """The search is over: what was held back may be spent, and so many calls more may be made."""
        self._verdict_usd, self._buyer.budget.reserved_usd = _nothing, Decimal(0)
        self.most_calls = None if self.most_calls is None else self.calls + calls

    async def reflection(self, messages: Sequence[Mapping[str, Any]]) -> str | None:
        """What the reflection model says; the same question again in one search is another trial of it."""
        line = self._ways.reflection
        if line is None:
            raise UsageError("found no reflection model, expected one. Type next: --reflection PROVIDER/MODEL")
        content = line.judge_key(messages, 1, reflecting.GRADER).request
        trial = self._asked[content] = self._asked.get(content, 0) + 1
        key = line.judge_key(messages, trial, reflecting.GRADER)
        (result,) = await self._bought([(line, EvalCase(0, "reflection", tuple(messages), ()), key)])
        return None if result is None else result.text

    @property
    def bought(self) -> int:
        """How many calls were made now, and not read from the ledger."""
        return self._buyer.bought

    @property
    def paid_usd(self) -> float | None:
        """What these cost; None if nobody knows."""
        return None if self._buyer.budget.unknown else float(self._buyer.budget.spent_usd)

    def missing(self, line: Line, cases: Sequence[EvalCase]) -> int:
        """How many of these answers the ledger lacks."""
        known = self._buyer.calls.purchases(line.key(case) for case in cases)
        return sum(self._buyer.wants(known.get(line.key(case))) for case in cases)

    async def _answers(self, line: Line, cases: Sequence[EvalCase]) -> list[tuple[Answer, float | None]]:
        results = await self._bought([(line, case, line.key(case)) for case in cases])
        return [
            (Answer(None, failure="error"), 0.0) if result is None else (answer_of(result), result.cost_usd)
            for result in results
        ]

    async def _graded(
        self, cases: Sequence[EvalCase], found: Sequence[tuple[Answer, float | None]], side: Side
    ) -> list[Scored]:
        judged = await self._judged(cases, [answer for answer, _ in found], side)
        try:
            return [
                Scored(case, answer, with_contracts(case, answer, self._functions(case, answer, side) | more), cost)
                for case, (answer, cost), more in zip(cases, found, judged, strict=True)
            ]
        except KeyboardInterrupt:  # a grader was at work (evals.time_limit), and no call is under way
            self._progress.stopped = True
            raise Unfinished(_STOPPED) from None

    def _functions(self, case: EvalCase, answer: Answer, side: Side) -> dict[str, float]:
        return dict(self._grading.grade(case, answer, side)) if answer.failure in ("", "empty") else {}

    async def _judged(self, cases: Sequence[EvalCase], answers: Sequence[Answer], side: Side) -> list[dict[str, float]]:
        """What judges say; all their questions about a batch are asked at once."""
        found: list[dict[str, float]] = [{} for _ in cases]
        pairs = [
            Pair(case, 1, Reply(self._incumbent[case.id], None), Reply(answer, None))
            for case, answer in zip(cases, answers, strict=True)
        ]
        for bench in self._grading.benches:
            asked = [[bench.asked(pair.case, question) for question in questions(bench, pair)] for pair in pairs]
            replies = iter(await self._bought([(bench.line, case, key) for one in asked for key, case in one]))
            for scores, pair, one in zip(found, pairs, asked, strict=True):
                said = [whole_text(next(replies)) for _ in one]
                scores |= bench.judge.scores(pair.case, pair.answers, said).get(side, {})
        return found

    async def _bought(self, asked: Sequence[tuple[Line, EvalCase, CallKey]]) -> list[Result | None]:
        """The results of these calls, in order; None where a prompt does not fit its case."""
        fresh = {key: (line, case) for line, case, key in asked if key not in self._seen}
        self._require_count(len(fresh))
        before = self._buyer.calls.purchases(fresh)
        jobs = [Job(line, case, key, before.get(key)) for key, (line, case) in fresh.items()]
        wanted = [job for job in jobs if self._buyer.wants(job.before)]
        self._take_into_account([job.key for job in jobs if job.before is not None])
        self._progress.needed += len(jobs)
        self._progress.done += len(jobs) - len(wanted)
        await self._run(wanted)
        self._seen.update(fresh)
        self.calls += len(fresh)
        results = dict(self._buyer.calls.results(key for _, _, key in asked))
        self._require_decided(results)
        self._spend(results[key] for key in fresh)
        return [results[key] for _, _, key in asked]

    def _require_count(self, more: int) -> None:
        if self.most_calls is not None and self.calls + more > self.most_calls:
            raise Ended(
                f"the next {more:,} call{'' if more == 1 else 's'} would be more than the {self.most_calls:,} that "
                "--max-calls leaves for the search"
            )

    def _take_into_account(self, keys: Sequence[CallKey]) -> None:
        """Money that earlier runs of this search paid belongs to its cap."""
        known = self._buyer.calls.purchases(keys)
        for key, result in self._buyer.calls.results(keys):
            self._buyer.budget.spent_usd += known[key].open_usd
            if result is not None and result.at >= self._began:
                self._buyer.budget.spent_usd += known[key].known_usd

    async def _run(self, wanted: Sequence[Job]) -> None:
        failed = self._progress.failed
        try:
            await runner.run(wanted, self._buyer, self._concurrency, self._progress)
        except CapReached as reached:
            raise Ended(str(reached)) from None
        if self._progress.stopped:
            raise Unfinished(_STOPPED)
        if self._progress.failed > failed:
            worst = max(self._progress.why, key=lambda detail: self._progress.why[detail])
            raise Unfinished(
                f"{self._progress.failed - failed:,} calls failed for now ({worst}); none of them is paid, and the "
                "rest is in the ledger. Type next: the same command asks for them again"
            )

    def _require_decided(self, results: Mapping[CallKey, Result | None]) -> None:
        lost = sum(result is not None and result.ending is Ending.UNKNOWN for result in results.values())
        if lost and not self._buyer.wants(_LOST):
            raise Undecided(
                f"found {lost:,} calls that may have been served and paid, and whose answers are not there; expected a "
                "decision, for without them the search goes another way. Type next: --rebuy-unknown (pays again)"
            )

    def _spend(self, results: Iterable[Result | None]) -> None:
        for result in results:
            cost_usd = 0.0 if result is None else result.cost_usd
            self.spent_usd = None if self.spent_usd is None or cost_usd is None else self.spent_usd + cost_usd


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What to search for: from which text, on which cases, by which luck."""

    text: str
    tune: Sequence[EvalCase]
    select: Sequence[EvalCase]
    rules: Rules
    seed: int = 0
    rounds: int = 200


@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """What came of it. `incumbent` is on the select cases; `ended` says what ended it, and is empty if nothing did."""

    record: Record
    incumbent: tuple[Scored, ...]
    ended: str

    @property
    def had_a_chance(self) -> bool:
        """Whether enough prompts were tried to say that none is good: one that was refused was none."""
        return self.record.proposed >= LEAST_ROUNDS

    @property
    def is_perfect(self) -> bool:
        """Whether a prompt leaves nothing to gain on the select cases."""
        incumbent = {one.case.id: one for one in self.incumbent}
        return any(gepa_adapter.is_perfect(tried, incumbent) for tried in self.record.tried)


def least_calls(incumbents: int, prompt: int, each: int = 1) -> int:
    """The fewest calls of a search that had a chance: the incumbent on its cases, then a prompt and `LEAST_ROUNDS`
    accepted edits. `prompt` is what one takes on the select cases, and `each` on one case, judges included."""
    return incumbents + prompt + LEAST_ROUNDS * (2 * MINIBATCH * each + 1 + prompt)


async def search(asked: Asked, purchases: Purchases, incumbents: Mapping[str, Scored]) -> Searched:
    """Search until the budget, the rounds or the failures end; `incumbents` are of tune and select cases, by id.

    Raises:
        Unfinished: for calls that failed, or if somebody stopped it.
        Undecided: for calls of unknown outcome.
        StoreError: if the ledger cannot be written.
    """
    record = Record()
    model = _Bridge(purchases, asyncio.get_running_loop())
    adapter = Adapter(model, incumbents, asked.select, asked.rules, record)
    try:
        await asyncio.to_thread(
            gepa_adapter.optimise,
            adapter,
            record,
            asked.text,
            list(asked.tune),
            list(asked.select),
            asked.seed,
            asked.rounds,
        )
    except Ended:
        pass  # it is in the record
    over = record.over
    if over is not None and not isinstance(over, Ended):
        raise over
    return Searched(record, tuple(incumbents[case.id] for case in asked.select), "" if over is None else str(over))


class _Bridge:
    """Implements `adapter.Model` for GEPA's thread: asks in the loop, and waits for it."""

    def __init__(self, purchases: Purchases, loop: asyncio.AbstractEventLoop) -> None:
        self._purchases = purchases
        self._loop = loop

    def answers(self, text: str, cases: Sequence[EvalCase]) -> list[Scored]:
        """See `Model`."""
        return self._waited(self._purchases.answers(text, cases))

    def reflection(self, messages: Sequence[Mapping[str, Any]]) -> str | None:
        """See `Model`."""
        return self._waited(self._purchases.reflection(messages))

    def spent_usd(self) -> float | None:
        """See `Model`."""
        return self._purchases.spent_usd

    def _waited(self, asked: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result()

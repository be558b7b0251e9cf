"""Buy what an eval needs: every answer of every variant, then what judges ask about them; each call once.

The only part of this room that waits. What is bought lies in the ledger; pairs, scores and verdicts are read from there
afterwards (pairing), so that a run that was killed and one that was not end the same. There is no state beside the
arguments: several evals may run in one process, on one `Buyer` or on several.

    missing   what the ledger does not have, case by case, so that both variants see the same hour
    run       buy that: for each provider as many workers as it takes calls at once
    asking    one variant as a function of case and trial, for engines that ask as they go

Elsewhere: limits, retries, cap and durability (providers.paid).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from midshift.domain.paid_call import CallKey, Ending, Purchase
from midshift.errors import MidshiftError
from midshift.evals.grading import Bench, Grading
from midshift.evals.pairing import AT_ONCE, Pair, Plan, answer_of, in_parts, judge_keys, pairs, questions
from midshift.evals.requests import Line
from midshift.evals.rows import Answer
from midshift.evals.suite_file import EvalCase
from midshift.providers.paid.buyer import Buyer

Ask: TypeAlias = Callable[[EvalCase, int], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One call to make; `before` is what the ledger has of it."""

    line: Line
    case: EvalCase
    key: CallKey
    before: Purchase | None


@dataclass(slots=True)
class Progress:
    """How far an eval is: goes along with it, and is shown by whoever wants to.

    `stopped` asks the workers to take no more; what is under way comes to its end. `held` are unknown calls that wait
    for a decision, `failed` those that may be asked again.
    """

    needed: int = 0
    done: int = 0
    bought: int = 0
    unmatched: int = 0
    held: int = 0
    failed: int = 0
    stopped: bool = False
    why: dict[str, int] = field(default_factory=dict)

    def note(self, ending: Ending, detail: str) -> None:
        """Take one ending into account."""
        self.done += 1
        self.held += ending is Ending.UNKNOWN
        self.failed += ending is Ending.FAILED
        if not ending.is_final:
            self.why[detail] = self.why.get(detail, 0) + 1


@dataclass(slots=True)
class Found:
    """What the ledger has of an eval already: `spent_usd` is known, `open_usd` bounds calls of unknown outcome."""

    finished: int = 0
    missing: list[Job] = field(default_factory=list)
    held: list[tuple[CallKey, Purchase]] = field(default_factory=list)
    spent_usd: Decimal = Decimal(0)
    open_usd: Decimal = Decimal(0)
    unknown_costs: int = 0

    def add(self, job: Job, wants: bool) -> None:
        """Take one call into account."""
        before = job.before
        if before is not None:
            self.spent_usd += before.known_usd
            self.open_usd += before.open_usd
            self.unknown_costs += before.has_unknown_cost
        if wants:
            self.missing.append(job)
        elif before is not None and before.ending is Ending.UNKNOWN:
            self.held.append((job.key, before))
        else:
            self.finished += 1


def missing(plan: Plan, buyer: Buyer) -> Found:
    """What has to be bought of the answers, in the order of the cases; each key once."""
    found = Found()
    for part in in_parts(plan.puts(), AT_ONCE):
        asked = {line.key(case, trial): (line, case) for case, trial in part for line in plan.lines}
        _sort_out(asked, buyer, found)
    return found


def _sort_out(asked: Mapping[CallKey, tuple[Line, EvalCase]], buyer: Buyer, found: Found) -> None:
    known = buyer.calls.purchases(asked)
    for key, (line, case) in asked.items():
        before = known.get(key)
        found.add(Job(line, case, key, before), buyer.wants(before))


async def run(jobs: Sequence[Job], buyer: Buyer, concurrency: Mapping[str, int], progress: Progress) -> None:
    """Make these calls, by provider at most so many at once; ends early where `progress.stopped` says so, or a failure.

    Raises:
        CapReached: if the next call could break the cap.
        StoreError: if the ledger cannot be written.
        InputError: for a case that cannot be put to a variant. Each when all that is under way has come to its end.
    """
    queues: dict[str, deque[Job]] = {}
    for job in jobs:
        queues.setdefault(job.line.variant.provider, deque()).append(job)
    failures: list[MidshiftError] = []

    async def work(queue: deque[Job]) -> None:
        while queue and not progress.stopped and not failures:
            try:
                await _one(queue.popleft(), buyer, progress)
            except MidshiftError as failure:  # the others finish what is paid for
                failures.append(failure)

    async with asyncio.TaskGroup() as workers:
        for provider, queue in queues.items():
            for _ in range(min(concurrency[provider], len(queue))):
                workers.create_task(work(queue))
    if failures:
        raise failures[0]


async def _one(job: Job, buyer: Buyer, progress: Progress) -> None:
    order = job.line.order(job.key, job.case)
    if order is None:
        progress.done += 1
        progress.unmatched += 1
        return
    result = await buyer.ask(order)
    progress.bought = buyer.bought
    progress.note(result.ending, result.detail)


async def run_judges(
    plan: Plan, grading: Grading, buyer: Buyer, concurrency: Mapping[str, int], progress: Progress
) -> Found:
    """Ask every judge about every pair, a few hundred pairs at a time; gives what could not be asked.

    What an earlier run paid for judges counts against the cap before the first of them is asked.

    Raises:
        CapReached: as `run`.
    """
    buyer.budget.spent_usd += _paid_for_judges(plan, grading, buyer)
    left = Found()
    for candidate in plan.lines[1:]:
        for part in in_parts(pairs(plan, candidate, buyer.calls, _ungraded(grading)), AT_ONCE):
            if progress.stopped:
                return left
            found = unjudged(part, grading.benches, buyer)
            progress.needed += len(found.missing)
            await run(found.missing, buyer, concurrency, progress)
            left.held += found.held
    return left


def _paid_for_judges(plan: Plan, grading: Grading, buyer: Buyer) -> Decimal:
    """What is known to be paid, and what may be, each key once: judges ask about an incumbent's answer many times."""
    paid = Decimal(0)
    asked = Grading(_ungraded(grading).grade, grading.benches)
    for part in in_parts(judge_keys(plan, asked, buyer.calls), AT_ONCE):
        for one in buyer.calls.purchases(key for key, _ in part).values():
            paid += one.known_usd + one.open_usd
    return paid


def _ungraded(grading: Grading) -> Grading:
    return Grading(lambda case, answer, side: {})


def unjudged(part: Sequence[Pair], benches: Iterable[Bench], buyer: Buyer) -> Found:
    """What has to be asked of judges about these pairs; each key once."""
    found = Found()
    for bench in benches:
        asked = {key: (bench.line, case) for key, case in _asked(part, bench)}
        _sort_out(asked, buyer, found)
    return found


def _asked(part: Sequence[Pair], bench: Bench) -> Iterator[tuple[CallKey, EvalCase]]:
    for pair in part:
        for question in questions(bench, pair):
            yield bench.asked(pair.case, question)


def asking(line: Line, buyer: Buyer) -> Ask:
    """One variant as a function of case and trial: the answer from the ledger, or bought now."""

    async def ask(case: EvalCase, trial: int) -> Answer:
        order = line.order(line.key(case, trial), case)
        return Answer(None, failure="error") if order is None else answer_of(await buyer.ask(order))

    return ask

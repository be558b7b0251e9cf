"""Ask both variants every case of a suite, and grade what comes back.

The only part of this room that waits. Each case is put to incumbent and candidate; what they answer becomes a
`PairedRow`, so that a live eval and a file of recorded outputs are judged by the same code. A call that fails is an
unanswered request, not a zero and not a missing row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from midshift.evals.rows import Answer, PairedRow, Side
from midshift.evals.suite_file import EvalCase

Ask = Callable[[EvalCase], Awaitable[Answer]]
Grade = Callable[[EvalCase, Answer, Side], Mapping[str, float]]
Progress = Callable[[int, int], None]


async def run(
    cases: Sequence[EvalCase],
    asks: Mapping[Side, Ask],
    grade: Grade,
    concurrency: int,
    progress: Progress = lambda done, total: None,
) -> list[PairedRow]:
    """The rows of all cases, in their order; at most `concurrency` cases are under way at once.

    An exception of `ask` or `grade` that is not theirs to give ends the run: nothing is swallowed.
    """
    places = asyncio.Semaphore(concurrency)
    done = 0

    async def one(case: EvalCase) -> PairedRow:
        nonlocal done
        async with places:
            incumbent, candidate = await asyncio.gather(asks[Side.INCUMBENT](case), asks[Side.CANDIDATE](case))
        done += 1
        progress(done, len(cases))
        return PairedRow(
            place=case.place,
            id=case.id,
            incumbent=_graded(case, incumbent, Side.INCUMBENT, grade),
            candidate=_graded(case, candidate, Side.CANDIDATE, grade),
            slices=case.slices,
            cluster=case.cluster,
            weight=case.weight,
            expects=case.expects,
        )

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one(case)) for case in cases]
    return [task.result() for task in running]


def _graded(case: EvalCase, answer: Answer, side: Side, grade: Grade) -> Answer:
    return replace(answer, scores=grade(case, answer, side)) if answer.answered else answer

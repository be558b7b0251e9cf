"""The bake-off of an eval: each candidate's pairs as a file, judged at the look that it is, with cost and guards.

The file is judged by the code of `midshift compare`: whoever compares it again sees what was judged. A prompt that came
out of a re-tuning is judged by the cases that it was not fitted to. Elsewhere: those cases (eval_tuned), looks
(eval_looks), findings (findings), the guards (domain.bakeoff).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from midshift.cli import compare, eval_tuned, findings, judging
from midshift.cli.buying import Taken, write_pairs
from midshift.cli.eval_looks import Looks
from midshift.cli.eval_wanted import Wanted, slug
from midshift.domain import bakeoff
from midshift.domain.bakeoff import Contender, Economy
from midshift.domain.cost import UnitPrices
from midshift.domain.cost_split import CostSplit, Spend, spend, split
from midshift.domain.gate import Decision, decide
from midshift.domain.paid_call import CallKey, PricedBy, Result
from midshift.domain.suite import SliceRole
from midshift.domain.variant import Variant
from midshift.evals.grading import Grading
from midshift.evals.pairing import AT_ONCE, Pair, Plan, in_parts, judge_keys
from midshift.evals.requests import Line
from midshift.ports import Clock, PaidCalls
from midshift.providers.prices.book import Priced
from midshift.reports import bakeoff as report
from midshift.reports.bakeoff import Bakeoff, Candidate
from midshift.reports.comparison import Comparison
from midshift.retune import looking


def all_keys(plan: Plan, grading: Grading, calls: PaidCalls) -> Iterator[tuple[CallKey, Line]]:
    """Every call that the eval is about, answers first."""
    for case, trial in plan.puts():
        for line in plan.lines:
            yield line.key(case, trial), line
    yield from judge_keys(plan, grading, calls)


def made(
    wanted: Wanted, plan: Plan, grading: Grading, calls: PaidCalls, book: str, clock: Clock, state: Path
) -> Bakeoff:
    candidates, first, comparison = [], None, None
    billed = judging.bills(plan, grading, calls)
    for name, line in zip(wanted.names[1:], plan.lines[1:], strict=True):
        file = wanted.folder / f"{slug(name)}.jsonl"
        names = wanted.names[0], name
        comparison, taken = _compared(wanted, plan, line, grading, calls, file, names, clock, state)
        comparison = replace(
            comparison,
            judges=judging.notes(plan, line, grading, calls, billed, wanted.pins, state),
            stand_ins=wanted.stand_ins,
            taken_on=wanted.taken_on,
        )
        first = first or taken[0]
        candidates.append(_candidate(comparison, taken, (plan.incumbent.variant, line.variant), name, wanted))
    assert first is not None and comparison is not None
    incumbent = Contender(wanted.names[0], report.quality(comparison, False), _economy(first))
    return Bakeoff(
        wanted.workload.name,
        incumbent,
        plan.incumbent.variant,
        candidates,
        plan.calls,
        wanted.bought,
        _spent(plan, grading, calls),
        book,
        wanted.files,
        wanted.python_graders,
    )


def _compared(
    wanted: Wanted,
    plan: Plan,
    line: Line,
    grading: Grading,
    calls: PaidCalls,
    file: Path,
    names: tuple[str, str],
    clock: Clock,
    state: Path,
) -> tuple[Comparison, tuple[Taken, Taken]]:
    """The comparison that gates, and what all calls took; a tuned prompt is judged by what it was not fitted to."""
    home, workload = wanted.home, wanted.workload
    divided = eval_tuned.divided(home, state, workload.name, plan, line, calls, grading)
    if divided is None:
        return _looked(wanted, plan, line, grading, calls, file, names, clock, state)
    taken = write_pairs(divided.gate, line, calls, grading, file, names)
    options = _options(file, names, wanted)
    found = _after_stage_two(wanted, compare.compare(options, clock, divided.look), line.variant)
    seen = again = None
    if divided.seen.cases:
        apart = file.with_suffix(".seen-in-tuning.jsonl")
        for one, more in zip(taken, write_pairs(divided.seen, line, calls, grading, apart, names), strict=True):
            one.extend(more)  # nothing was fitted to cost and latency
        seen = compare.compare(_options(apart, names, wanted), clock)
    if found.ruling.decision is Decision.COLLECT_MORE:
        again = compare.compare(options, clock, eval_tuned.next_look(divided))
    found = eval_tuned.ruled(found, divided, seen, again, workload.margin)
    eval_tuned.take(divided, home, state, workload.name, line, found.ruling.decision, clock.now())
    return found, taken


def _looked(
    wanted: Wanted,
    plan: Plan,
    line: Line,
    grading: Grading,
    calls: PaidCalls,
    file: Path,
    names: tuple[str, str],
    clock: Clock,
    state: Path,
) -> tuple[Comparison, tuple[Taken, Taken]]:
    """The comparison of all cases, at the level of the look that it is; on record when this returns.

    An eval that is no evidence opens no gate, so it is a first look whatever it sees.
    """
    seen: list[str] = []

    def see(pair: Pair) -> None:
        seen.append(looking.output(pair.case, pair.incumbent.answer, pair.candidate.answer))

    taken = write_pairs(plan, line, calls, grading, file, names, see)
    options = _options(file, names, wanted)
    if wanted.basis is None:
        return _after_stage_two(wanted, compare.compare(options, clock), line.variant), taken
    looks = Looks(state, wanted.workload.name, line.variant.id, wanted.looks)
    hashes = [case.content_hash for case in plan.cases]
    look = looks.look(hashes, seen)
    found = _after_stage_two(wanted, compare.compare(options, clock, look), line.variant)
    looks.take(look, hashes, seen, looking.cleared(found.ruling.decision), clock.now().isoformat(timespec="seconds"))
    return found, taken


def _after_stage_two(wanted: Wanted, comparison: Comparison, candidate: Variant) -> Comparison:
    """The same verdicts, and a ruling that knows whether re-tuning is still an answer."""
    tried = findings.stage_two(wanted.home, wanted.workload.name, candidate)
    if tried is None or not comparison.scores:
        return comparison
    return replace(comparison, ruling=decide(comparison.scores, tried.retuning))


def with_findings(wanted: Wanted, found: Bakeoff, clock: Clock) -> Bakeoff:
    """The same, with a finding on record for every candidate that is worse and has been through stage two."""
    made = []
    for one in found.candidates:
        if wanted.basis is not None and one.comparison.ruling.decision is Decision.STOP:
            name, day = wanted.workload.name, clock.now().date()
            tried = findings.stage_two(wanted.home, name, one.variant)
            path = findings.record(wanted.home, one, name, day, tried, found.spent_usd)
            one = replace(one, finding=path)
        made.append(one)
    return replace(found, candidates=made)


def _candidate(
    comparison: Comparison, taken: tuple[Taken, Taken], variants: tuple[Variant, Variant], name: str, wanted: Wanted
) -> Candidate:
    economies = _economy(taken[0]), _economy(taken[1])
    ruling = comparison.ruling
    is_worse = bool(ruling.regressed) or ruling.decision in (Decision.RETUNE, Decision.STOP)
    contender = Contender(
        name,
        report.quality(comparison, True),
        economies[1],
        ruling.decision,
        bakeoff.overridden(bakeoff.guards(ruling.decision, is_worse, variants, economies), wanted.overrides),
        bakeoff.over_budget(wanted.workload.budgets, economies[1]),
    )
    return Candidate(contender, variants[1], comparison, _split(taken), comparison.file)


def _options(file: Path, names: tuple[str, str], wanted: Wanted) -> compare.Options:
    workload = wanted.workload
    watched = tuple(part.name for part in workload.slices if part.role is SliceRole.WATCH) + tuple(wanted.watch)
    own = {name: f"{name}={margin}" for name, margin in sorted(wanted.own_margins.items())}
    return compare.Options(
        file,
        *names,
        margin=str(workload.margin),
        watch=_present(watched, file),
        slice_margin=tuple(own[name] for name in _present(tuple(own), file)),
    )


def _present(watched: Sequence[str], file: Path) -> tuple[str, ...]:
    """Those of the slices that the suite has: `compare` knows the names of its file only."""
    if not watched:
        return ()
    with file.open("rb") as rows:
        found = {name for row in rows for name in msgspec.json.decode(row, type=_Sliced).slice}
    return tuple(name for name in watched if name in found)


class _Sliced(msgspec.Struct):
    slice: list[str] = []


def _economy(taken: Taken) -> Economy:
    return bakeoff.economy(taken.latencies_s, taken.costs_usd, taken.first_tokens_s)


def _split(taken: tuple[Taken, Taken]) -> CostSplit:
    """Why the candidate costs differently, over the calls that both answered."""
    both = [
        (old, new)
        for old, new in zip(taken[0].results, taken[1].results, strict=True)
        if old is not None and new is not None and old.status == new.status == 200
    ]
    known: dict[PricedBy, UnitPrices] = {}
    sides: list[Spend] = []
    for side in (0, 1):
        calls = [one[side] for one in both]
        lengths = _total([one.characters_in for one in calls]), _total([one.characters_out for one in calls])
        sides.append(spend(((one.usage, _prices(one, known)) for one in calls), *lengths))
    return split(*sides)


def _total(counts: Sequence[int | None]) -> int | None:
    """The sum of counts, if all of them are known."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _prices(result: Result, known: dict[PricedBy, UnitPrices]) -> UnitPrices | None:
    priced = result.priced_by
    if priced is not None and priced not in known:
        known[priced] = msgspec.json.decode(priced.entry, type=Priced).prices
    return None if priced is None else known[priced]


def _spent(plan: Plan, grading: Grading, calls: PaidCalls) -> float | None:
    """What all attempts of all calls cost; None if that of one is not known."""
    total = 0.0
    for part in in_parts(all_keys(plan, grading, calls), AT_ONCE):
        for one in calls.purchases(key for key, _ in part).values():
            if one.has_unknown_cost or one.open_usd:
                return None
            total += float(one.known_usd)
    return total

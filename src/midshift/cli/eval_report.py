"""From a filled ledger to verdicts, files and a report: the part of an eval that spends nothing.

The pairs of each candidate become a file, and that file is judged by the code of `midshift compare`: whoever compares
it again later sees what was judged. Elsewhere: buying (eval, buying), the table (reports.bakeoff).
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import msgspec
from rich.console import Console

from midshift.cli import compare, findings, judging
from midshift.cli.buying import Taken, write_pairs
from midshift.cli.compare import EXIT_CODES
from midshift.cli.project import write_whole
from midshift.cli.serve import StateFolder
from midshift.domain import bakeoff
from midshift.domain.bakeoff import Contender, Economy
from midshift.domain.cost import UnitPrices
from midshift.domain.cost_split import CostSplit, Spend, spend, split
from midshift.domain.evidence import EvalEvidence
from midshift.domain.gate import Decision, decide
from midshift.domain.paid_call import CallKey, PricedBy, Result
from midshift.domain.suite import SliceRole
from midshift.domain.variant import Variant
from midshift.domain.workload import Workload
from midshift.errors import UsageError
from midshift.evals.grading import Grading
from midshift.evals.pairing import AT_ONCE, Plan, in_parts, judge_keys
from midshift.evals.requests import Line
from midshift.ports import Clock, PaidCalls
from midshift.providers.prices import pinned
from midshift.providers.prices.book import Priced
from midshift.reports import bakeoff as report
from midshift.reports import html, terminal
from midshift.reports.bakeoff import Bakeoff, Candidate
from midshift.reports.comparison import Comparison
from midshift.reports.text import visible

COMPARISON, CALLS = "eval.json", "calls.json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to judge: the workload, the names of the incumbent and of each candidate, and where to put what.

    `home` is the user's repository. `watch` are slices that only the suite speaks of, `overrides` the guards that a
    person stepped over, `pins` says of judges' variants, by id, whether they stay what they are. `stand_ins` are the
    providers whose answers are not a vendor's.
    """

    workload: Workload
    names: tuple[str, ...]
    folder: Path
    ledger: Path
    bought: int
    is_evidence: bool
    home: Path
    watch: frozenset[str] = frozenset()
    overrides: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    stand_ins: tuple[str, ...] = ()
    html: Path | None = None
    as_json: bool = False


def judged(wanted: Wanted, plan: Plan, grading: Grading, calls: PaidCalls, book: str, clock: Clock, state: Path) -> int:
    """Judge every candidate, write the run's files, report; gives the exit code of the best one."""
    _require_whole(plan, grading, calls)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    found = _with_findings(wanted, _bakeoff(wanted, plan, grading, calls, book, clock, state), clock)
    _write(wanted, found, plan, grading, calls, book)
    kept = [StateFolder(state, clock).write_eval(evidence(one)) for one in found.candidates if wanted.is_evidence]
    _show(wanted, found, kept)
    return min(map(_exit_code, found.candidates))


def evidence(found: Candidate) -> EvalEvidence:
    """What the controller needs to know of an eval; a guard that blocks is no proceeding."""
    ruling, blocking = found.comparison.ruling, [guard for guard in found.contender.guards if guard.blocks]
    is_blocked = bool(blocking) and ruling.decision in (Decision.PROCEED, Decision.PROCEED_WITH_CAUTION)
    return EvalEvidence(
        candidate=found.variant.id,
        decision=Decision.COLLECT_MORE if is_blocked else ruling.decision,
        reason="; ".join([*_simulated(found), *(f"{guard.code}: {guard.words}" for guard in blocking), ruling.reason]),
        unproven=tuple(sorted({name for _, name in ruling.unproven})),
        regressed=tuple(sorted({name for _, name in ruling.regressed})),
    )


def _simulated(found: Candidate) -> list[str]:
    """Whoever reads the upgrade's status must see that no vendor has answered."""
    names = found.comparison.stand_ins
    return [f"simulated: a stand-in answered for {', '.join(names)}"] if names else []


def _require_whole(plan: Plan, grading: Grading, calls: PaidCalls) -> None:
    """Offline there may be answers that nobody ever bought."""
    for part in in_parts(plan.puts(), AT_ONCE):
        asked = {line.key(case, trial): (line, case) for case, trial in part for line in plan.lines}
        known = calls.purchases(asked)
        for key, (line, case) in asked.items():
            if key not in known and line.order(key, case) is not None:
                _miss(f"answer of {line.variant.model!r} to case {case.id!r}")
    for judged in in_parts(judge_keys(plan, grading, calls), AT_ONCE):
        known = calls.purchases(key for key, _ in judged)
        for key, line in judged:
            if key not in known:
                _miss(f"verdict of the judge {key.grader!r} ({line.variant.model!r})")


def _miss(what: str) -> None:
    raise UsageError(
        f"the ledger has no {what}, expected all of them. Type next: the same command without --offline-from"
    )


def _all_keys(plan: Plan, grading: Grading, calls: PaidCalls) -> Iterator[tuple[CallKey, Line]]:
    """Every call that the eval is about, answers first."""
    for case, trial in plan.puts():
        for line in plan.lines:
            yield line.key(case, trial), line
    yield from judge_keys(plan, grading, calls)


def _bakeoff(
    wanted: Wanted, plan: Plan, grading: Grading, calls: PaidCalls, book: str, clock: Clock, state: Path
) -> Bakeoff:
    candidates, first, comparison = [], None, None
    billed = judging.bills(plan, grading, calls)
    for name, line in zip(wanted.names[1:], plan.lines[1:], strict=True):
        file = wanted.folder / f"{_slug(name)}.jsonl"
        names = wanted.names[0], name
        taken = write_pairs(plan, line, calls, grading, file, names)
        comparison = replace(
            compare.compare(_options(file, names, wanted), clock),
            judges=judging.notes(plan, line, grading, calls, billed, wanted.pins, state),
            stand_ins=wanted.stand_ins,
        )
        comparison = _after_stage_two(wanted, comparison, line.variant)
        first = first or taken[0]
        candidates.append(_candidate(comparison, taken, (plan.incumbent.variant, line.variant), name, wanted))
    assert first is not None and comparison is not None
    incumbent = Contender(wanted.names[0], report.quality(comparison, False), _economy(first))
    files = {"folder": wanted.folder, "comparison": wanted.folder / COMPARISON, "calls": wanted.folder / CALLS}
    return Bakeoff(
        wanted.workload.name,
        incumbent,
        plan.incumbent.variant,
        candidates,
        plan.calls,
        wanted.bought,
        _spent(plan, grading, calls),
        book,
        {what: str(path) for what, path in (files | {"ledger": wanted.ledger}).items()},
    )


def _after_stage_two(wanted: Wanted, comparison: Comparison, candidate: Variant) -> Comparison:
    """The same verdicts, and a ruling that knows whether re-tuning is still an answer."""
    tried = findings.stage_two(wanted.home, wanted.workload.name, candidate)
    if tried is None or not comparison.scores:
        return comparison
    return replace(comparison, ruling=decide(comparison.scores, tried.retuning))


def _with_findings(wanted: Wanted, found: Bakeoff, clock: Clock) -> Bakeoff:
    """The same, with a finding on record for every candidate that is worse and has been through stage two."""
    made = []
    for one in found.candidates:
        if wanted.is_evidence and one.comparison.ruling.decision is Decision.STOP:
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
    return compare.Options(file, *names, margin=str(workload.margin), watch=_present(watched, file))


def _present(watched: Sequence[str], file: Path) -> tuple[str, ...]:
    """Those of the watched slices that the suite has: `compare` knows the names of its file only."""
    if not watched:
        return ()
    with file.open("rb") as rows:
        found = {name for row in rows for name in msgspec.json.decode(row, type=_Sliced).slice}
    return tuple(name for name in watched if name in found)


class _Sliced(msgspec.Struct):
    slice: list[str] = []


def _economy(taken: Taken) -> Economy:
    return bakeoff.economy(taken.latencies_s, taken.costs_usd)


def _split(taken: tuple[Taken, Taken]) -> CostSplit:
    """Why the candidate costs differently, over the calls that both answered."""
    both = [
        (old, new)
        for old, new in zip(taken[0].results, taken[1].results, strict=True)
        if old is not None and new is not None and old.status == new.status == 200
    ]
    known: dict[PricedBy, UnitPrices] = {}
    sides: list[Spend] = [spend((one[side].usage, _prices(one[side], known)) for one in both) for side in (0, 1)]
    return split(*sides)


def _prices(result: Result, known: dict[PricedBy, UnitPrices]) -> UnitPrices | None:
    priced = result.priced_by
    if priced is not None and priced not in known:
        known[priced] = msgspec.json.decode(priced.entry, type=Priced).prices
    return None if priced is None else known[priced]


def _spent(plan: Plan, grading: Grading, calls: PaidCalls) -> float | None:
    """What all attempts of all calls cost; None if that of one is not known."""
    total = 0.0
    for part in in_parts(_all_keys(plan, grading, calls), AT_ONCE):
        for one in calls.purchases(key for key, _ in part).values():
            if one.has_unknown_cost or one.open_usd:
                return None
            total += float(one.known_usd)
    return total


def _write(wanted: Wanted, found: Bakeoff, plan: Plan, grading: Grading, calls: PaidCalls, book: str) -> None:
    text = json.dumps(report.as_document(found), indent=2) + "\n"
    write_whole(wanted.folder / COMPARISON, text.encode())
    made, priced = _calls(plan, grading, calls)
    entries = tuple(msgspec.json.decode(one.entry, type=Priced) for one in priced)
    books = sorted({one.book for one in priced}) or [book]
    write_whole(wanted.folder / CALLS, pinned.calls_file(pinned.PinnedPrices("+".join(books), entries), made))
    if wanted.html is not None:
        for candidate in found.candidates:
            write_whole(
                _page(wanted.html, candidate, len(found.candidates)), html.render(candidate.comparison).encode()
            )


def _calls(plan: Plan, grading: Grading, calls: PaidCalls) -> tuple[list[pinned.Call], list[PricedBy]]:
    made, priced = [], dict[PricedBy, None]()
    for part in in_parts(_all_keys(plan, grading, calls), AT_ONCE):
        lines = dict(part)
        for key, result in calls.results(lines):
            if result is not None and result.status == 200:
                variant = lines[key].variant
                made.append(pinned.Call(variant.provider, variant.model, result.at, result.usage, result.cost_usd))
                priced |= {} if result.priced_by is None else {result.priced_by: None}
    return made, list(priced)


def _show(wanted: Wanted, found: Bakeoff, kept: Sequence[Path]) -> None:
    if wanted.as_json:
        sys.stdout.write(json.dumps(report.as_document(found), indent=2) + "\n")
        return
    console = Console(highlight=False)
    if len(found.candidates) == 1:
        terminal.show(found.candidates[0].comparison, console)
    report.show(found, console)
    sys.stdout.write(f"pairs, comparison and calls: {visible(str(wanted.folder))}\n")
    for path in kept:
        sys.stdout.write(f"kept for the controller: {visible(str(path))}\n")
    for one in found.candidates:
        if one.finding is not None:
            sys.stdout.write(f"finding: {visible(str(wanted.home / one.finding))}\n")
    sys.stdout.write(_next(found) + "\n")


def _next(found: Bakeoff) -> str:
    best = found.cheapest
    first = next((one for one in found.candidates if one.contender is best), found.candidates[0])
    pairs = (
        f"midshift compare {_quoted(first.pairs)} --incumbent {_quoted(first.comparison.incumbent)} "
        f"--candidate {_quoted(first.comparison.candidate)}"
    )
    again = f"or to judge the same pairs again: {pairs}"
    if best is None and first.comparison.ruling.decision is Decision.RETUNE:
        return (
            "That the new model is worse is no finding before its prompt was tuned. Type next: midshift retune "
            f"{visible(found.workload)} --to VARIANT_FILE --reflection PROVIDER/MODEL --max-usd X, {again}"
        )
    return f"Type next: midshift upgrade status {visible(found.workload)}, {again}"


def _quoted(text: str) -> str:
    return shlex.quote(visible(text))


def _page(page: Path, candidate: Candidate, candidates: int) -> Path:
    return page if candidates == 1 else page.with_stem(f"{page.stem}-{_slug(candidate.contender.name)}")


def _exit_code(candidate: Candidate) -> int:
    code = EXIT_CODES[candidate.comparison.ruling.decision]
    return 1 if code == 0 and any(guard.blocks for guard in candidate.contender.guards) else code


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.@_-]+", "-", name).strip("-.") or "candidate"


def folder_of(state: Path, workload: str, at: datetime) -> Path:
    """Where a run leaves its files."""
    return state / "evals" / "runs" / f"{_slug(workload)}-{at:%Y%m%dT%H%M%S%fZ}"

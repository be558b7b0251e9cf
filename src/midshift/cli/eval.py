"""`midshift eval`: the suite put to the incumbent and any number of candidates, each call paid once.

Buy what the ledger lacks, write the pairs of each candidate into a file, and judge that file as `midshift compare`
would. A run leaves a folder: pairs by candidate, the comparison as JSON, and the calls with their prices.
Elsewhere: the options (eval_options), cases and ways (eval_setting), buying (buying), the verdicts (eval_report,
compare), upgrades (upgrade).
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import uvloop

from midshift.cli import basis, buying, judging, prices
from midshift.cli.buying import Shop, Show, Terms
from midshift.cli.choosing import candidate_of, defined, own_margins, require_suite
from midshift.cli.egress import approved
from midshift.cli.eval_events import Events, telling
from midshift.cli.eval_looks import Looks
from midshift.cli.eval_options import Named, Options, Subject, terms_of
from midshift.cli.eval_progress import showing
from midshift.cli.eval_setting import (
    EVALS,
    LEDGER,
    functions_of,
    grading_of,
    judges_of,
    lines_of,
    opened,
    stand_ins,
    suite_of,
    upstreams_of,
)
from midshift.cli.eval_wanted import Wanted, folder_of
from midshift.cli.pages import require_folder
from midshift.cli.project import Target
from midshift.cli.system import SystemClock
from midshift.domain.suite import SliceRole
from midshift.domain.variant import Variant
from midshift.errors import UsageError
from midshift.evals.grading import Bench, Grading
from midshift.evals.pairing import Plan
from midshift.evals.runner import Progress
from midshift.evals.suite_file import Suite
from midshift.ports import PaidCalls
from midshift.providers.http.settings import Upstream
from midshift.providers.paid.budget import Budget
from midshift.providers.paid.till import Till


def run(target: Target, workload: str, options: Options, environment: Mapping[str, str] = os.environ) -> int:
    """Evaluate the variants of files against the incumbent of the files; gives the exit code of the best candidate."""
    definition = defined(target, workload)
    if options.suite is None:
        require_suite(definition)
    definitions = target.definitions()
    incumbent = Named(Path(definition.incumbent.path).stem, definition.incumbent.variant)
    candidates = _swept([_named(target, to) for to in options.to] or [incumbent], options.sweep, incumbent)
    for candidate in candidates:
        approved(definition, definitions, candidate.variant, options.approve_data)
    return carried_out(target, Subject(definition, definitions, incumbent, candidates), options, environment)


def carried_out(target: Target, subject: Subject, options: Options, environment: Mapping[str, str]) -> int:
    """Buy, judge, write and report."""
    with telling(options.events, options.as_json, SystemClock()) as events:
        return _carried_out(target, subject, options, environment, events)


def _carried_out(
    target: Target, subject: Subject, options: Options, environment: Mapping[str, str], events: Events
) -> int:
    if options.html is not None:
        require_folder(options.html)
    terms, clock = terms_of(options), SystemClock()
    suite = suite_of(target, subject, options)
    judges = judges_of(target, subject, options, suite)
    for one in subject.candidates:
        Looks(options.state, subject.definition.name, one.variant.id, options.looks)  # refused before it is paid
    asked = [*(one.variant for one in (subject.incumbent, *subject.candidates)), *(variant for _, variant in judges)]
    upstreams = upstreams_of(target, subject, asked, environment)
    lines = tuple(lines_of(subject, asked, options, upstreams, environment))
    asked_now = (replace(line, is_streamed=options.stream) for line in lines[: 1 + len(subject.candidates)])
    plan = Plan(suite.cases, options.trials, tuple(asked_now))
    benches = tuple(Bench(judge, line) for (judge, _), line in zip(judges, lines[len(plan.lines) :], strict=True))
    python = functions_of(target, subject, suite)
    grading = grading_of(options, suite, benches, python)
    vendors = {name: provider.vendor for name, provider in subject.definitions.providers.items()}
    till = Till(prices.book(prices.Where(target, options.state, options.prices), vendors), clock.now())
    names = [one.name for one in (subject.incumbent, *subject.candidates)]
    events.started(subject.definition.name, names, plan.calls, terms.cap_usd)
    with opened(options) as calls:
        bought = 0
        if options.offline_from is None:
            bought = _bought(plan, grading, calls, till, terms, upstreams, environment, events)
        wanted = _wanted(target, subject, options, suite, [variant for _, variant in judges], bought)
        graders = {} if options.grader else {one.name: one.sha256 for one in python.values()}
        wanted = replace(
            wanted, stand_ins=stand_ins(subject.definitions, upstreams, environment), python_graders=graders
        )
        code = _judged(wanted, options, plan, grading, calls, till.book_id)
    events.finished(code, wanted.files)
    return code


def _named(target: Target, to: str) -> Named:
    return Named(Path(to).stem, candidate_of(target, to))


def _swept(found: Sequence[Named], efforts: Sequence[str], incumbent: Named) -> tuple[Named, ...]:
    """Each candidate at each effort; without a sweep as they are. One that is the incumbent itself is none."""
    every = [
        Named(f"{one.name}@{effort}", replace(one.variant, effort=effort)) for one in found for effort in efforts
    ] or list(found)
    kept = {one.variant.id: one for one in every if one.variant.id != incumbent.variant.id}
    if not kept:
        raise UsageError(
            "found no candidate beside the incumbent, expected at least one. Type next: --to VARIANT_FILE, or "
            "--sweep low,medium,high"
        )
    if len({one.name for one in kept.values()}) < len(kept) or incumbent.name in {one.name for one in kept.values()}:
        return tuple(Named(f"{one.name} [{one.variant.short_id}]", one.variant) for one in kept.values())
    return tuple(kept.values())


def _bought(
    plan: Plan,
    grading: Grading,
    calls: PaidCalls,
    till: Till,
    terms: Terms,
    upstreams: Mapping[str, Upstream],
    environment: Mapping[str, str],
    events: Events,
) -> int:
    from rich.console import Console

    from midshift.providers.http.pool import Pool

    async def buy() -> int:
        with ExitStack() as stack:
            pools = {name: Pool(found, found.api_key, environment) for name, found in upstreams.items()}
            for pool in pools.values():
                stack.callback(pool.close)
            show = stack.enter_context(showing(Console(stderr=True)))
            shop = Shop(calls, pools, till, SystemClock(), tell=events.occurred)
            progress = await buying.buy(plan, grading, shop, terms, _both(show, events))
        return progress.bought

    return uvloop.run(buy())


def _both(show: Show | None, events: Events) -> Show:
    """Progress for eyes, where there are any, and for machines."""

    def tell(progress: Progress, budget: Budget) -> None:
        events.progress(progress, budget)
        if show is not None:
            show(progress, budget)

    return tell


def _wanted(
    target: Target, subject: Subject, options: Options, suite: Suite, judges: Sequence[Variant], bought: int
) -> Wanted:
    """Only now are numerics loaded."""

    workload, ids = subject.definition.workload, [one.id for one in judges]
    unkept = basis.no_evidence(target, options, suite, ids)
    rests_on = basis.basis_of(
        target.main.parent,
        subject.definition,
        subject.definitions.graders,
        subject.incumbent.variant.id,
        suite,
        ids,
        options.trials,
    )
    known = {part.name for part in workload.slices}
    watch = {name for name, note in suite.slices.items() if note.role is SliceRole.WATCH and name not in known}
    return Wanted(
        workload=workload,
        names=(subject.incumbent.name, *(one.name for one in subject.candidates)),
        folder=folder_of(options.state, workload.name, SystemClock().now()),
        ledger=options.offline_from or options.state / EVALS / LEDGER,
        bought=bought,
        basis=None if unkept else rests_on,
        unkept=unkept,
        looks=options.looks,
        home=target.main.parent,
        watch=frozenset(watch),
        own_margins=own_margins(workload, suite),
        overrides=options.overrides,
        taken_on=options.taken_on,
        pins={one.id: judging.pin_of(one, subject.definitions, options.allow_floating) for one in judges},
        html=options.html,
        as_json=options.as_json,
        goes_on=_goes_on(workload.name, options),
    )


def _goes_on(workload: str, options: Options) -> str:
    """The command after an eval that opens the gate."""
    if options.is_upgrade:
        return f"midshift upgrade status {workload}"
    to = options.to[0] if len(options.to) == 1 and not options.sweep else "VARIANT_FILE"
    start = f"midshift upgrade start {workload} --to {shlex.quote(to)} --who NAME"
    which = "a file with the effort of your choice; " if options.sweep else ""
    return f"{start}   ({which}its eval, `midshift upgrade eval {workload}`, buys no call again)"


def _judged(wanted: Wanted, options: Options, plan: Plan, grading: Grading, calls: PaidCalls, book: str) -> int:
    """Only now are numerics loaded."""
    from midshift.cli import eval_report

    return eval_report.judged(wanted, plan, grading, calls, book, SystemClock(), options.state)

"""`midshift eval`: the suite put to the incumbent and any number of candidates, each call paid once.

Buy what the ledger lacks, write the pairs of each candidate into a file, and judge that file as `midshift compare`
would. A run leaves a folder: pairs by candidate, the comparison as JSON, and the calls with their prices.
Elsewhere: buying (buying), the verdicts (compare), cost and guards (domain.bakeoff), upgrades (upgrade).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import uvloop

from midshift import config
from midshift.cli import buying, functions, judging, prices
from midshift.cli.buying import Shop, Terms
from midshift.cli.choosing import candidate_of, defined, require_suite
from midshift.cli.egress import approved
from midshift.cli.eval_progress import showing
from midshift.cli.pages import require_folder
from midshift.cli.project import Target
from midshift.cli.system import SystemClock
from midshift.config import files, suite_files
from midshift.domain.suite import SliceRole
from midshift.domain.variant import Variant
from midshift.errors import ConfigError, UsageError
from midshift.evals import suite_file
from midshift.evals.graders import BY_NAME, Function, compiled
from midshift.evals.grading import Bench, Grading, Judge
from midshift.evals.judges import from_suite
from midshift.evals.pairing import Plan
from midshift.evals.requests import Line
from midshift.evals.suite_file import Suite
from midshift.ports import PaidCalls
from midshift.providers import catalogue
from midshift.providers.capability_sources import capabilities
from midshift.providers.http.settings import Upstream
from midshift.providers.paid.buyer import OnUnknown
from midshift.providers.paid.pace import Limits
from midshift.providers.paid.till import Till

if TYPE_CHECKING:
    from midshift.cli.eval_report import Wanted

EVALS, LEDGER = "evals", "calls.sqlite"
SIMULATED_VENDOR = "simulated"
JUDGED = ("rubric", "pairwise")


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `midshift eval`, as typed."""

    state: Path
    to: tuple[str, ...] = ()
    sweep: tuple[str, ...] = ()
    suite: Path | None = None
    grader: str | None = None
    judge: str | None = None
    trials: int = 1
    limit: int | None = None
    max_usd: str | None = None
    allow_unknown_cost: bool = False
    rebuy_unknown: bool = False
    skip_unknown: bool = False
    concurrency: int = 16
    requests_per_min: float | None = None
    tokens_per_min: float | None = None
    offline_from: Path | None = None
    prices: Path | None = None
    approve_data: str | None = None
    approved: frozenset[str] = frozenset()
    """Providers that the upgrade holds an approval for."""
    allow_floating: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Guards that a person stepped over: who and why, by code."""
    html: Path | None = None
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """A variant under the name that reports give it."""

    name: str
    variant: Variant


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is compared: the workload as it is defined, its incumbent, and the candidates."""

    definition: config.Definition
    definitions: config.Definitions
    incumbent: Named
    candidates: tuple[Named, ...]


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
    if options.html is not None:
        require_folder(options.html)
    terms, clock = terms_of(options), SystemClock()
    suite = suite_of(target, subject, options)
    judges = judges_of(target, subject, options, suite)
    asked = [*(one.variant for one in (subject.incumbent, *subject.candidates)), *(variant for _, variant in judges)]
    upstreams = upstreams_of(target, subject, asked, environment)
    lines = tuple(lines_of(subject, asked, options, upstreams, environment))
    plan = Plan(suite.cases, options.trials, lines[: 1 + len(subject.candidates)])
    benches = tuple(Bench(judge, line) for (judge, _), line in zip(judges, lines[len(plan.lines) :], strict=True))
    grading = grading_of(options, suite, benches, functions_of(target, subject, suite))
    vendors = {name: provider.vendor for name, provider in subject.definitions.providers.items()}
    till = Till(prices.book(prices.Where(target, options.state, options.prices), vendors), clock.now())
    with opened(options) as calls:
        bought = 0
        if options.offline_from is None:
            bought = _bought(plan, grading, calls, till, terms, upstreams, environment)
        wanted = _wanted(target, subject, options, suite, [variant for _, variant in judges], bought)
        wanted = replace(wanted, stand_ins=stand_ins(subject.definitions, upstreams, environment))
        return _judged(wanted, options, plan, grading, calls, till.book_id)


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


def terms_of(options: Options) -> Terms:
    """How it may spend, as the command line says."""
    if options.rebuy_unknown and options.skip_unknown:
        raise UsageError("found --rebuy-unknown and --skip-unknown, expected one of them. Type next: leave one out")
    on_unknown = (
        OnUnknown.REBUY if options.rebuy_unknown else OnUnknown.SKIP if options.skip_unknown else OnUnknown.HOLD
    )
    limits = Limits(options.concurrency, options.requests_per_min, options.tokens_per_min)
    return Terms(limits, _cap(options.max_usd), on_unknown, options.allow_unknown_cost)


def _cap(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        found = Decimal(text)
    except ArithmeticError:
        found = Decimal(-1)
    if not (found.is_finite() and found > 0):
        raise UsageError(f"--max-usd {text!r}: expected an amount of USD above 0. Type next: --max-usd 5")
    return found


def suite_of(target: Target, subject: Subject, options: Options) -> Suite:
    """The cases, with the graders that hold for all of them."""
    named = subject.definition.suite_path
    path = options.suite or (None if named is None else target.main.parent / named)
    if path is None:
        raise ConfigError(
            f"workload {subject.definition.name!r} has no suite, expected one. "
            f"Type next: midshift suite build {subject.definition.name} --from TRACE.jsonl"
        )
    suite = suite_files.load(path.name, lambda name: files.read(path.parent, name))
    cases = suite_file.gateable(list(suite.cases), str(path))
    return replace(suite, name=str(path), cases=tuple(cases[: options.limit]))


def judges_of(target: Target, subject: Subject, options: Options, suite: Suite) -> list[tuple[Judge, Variant]]:
    """The judges of the suite, each with the model that is asked: `judge` of its grader, or --judge in its place.

    Raises:
        UsageError: for a judge without a model.
        ConfigError: for one that may see no data, or may change under the eval.
    """
    from midshift.cli.egress import approved

    if options.grader is not None:
        return []
    judges = from_suite(suite)
    files = [said.get("judge") for said in suite.graders if said.get("type") in JUDGED]
    found: list[tuple[Judge, Variant]] = []
    for judge, file in zip(judges, files, strict=True):
        named = options.judge or file
        if not isinstance(named, str):
            raise UsageError(
                f"{suite.name}: the judge {judge.name!r} has no model, found {named!r}, expected a variant file. "
                "Type next: --judge VARIANT_FILE, or `judge: variants/NAME.yaml` at its grader"
            )
        variant = candidate_of(target, named)
        if variant.provider not in options.approved:
            approved(subject.definition, subject.definitions, variant, options.approve_data)
        judging.pin_of(variant, subject.definitions, options.allow_floating)
        found.append((judge, variant))
    return found


def functions_of(target: Target, subject: Subject, suite: Suite) -> dict[str, Function]:
    """The Python functions that the suite grades with, of those that the definitions allow."""
    return functions.functions(target.main.parent, subject.definitions.graders, suite)


def grading_of(
    options: Options,
    suite: Suite,
    benches: tuple[Bench, ...],
    python: Mapping[str, Function] = MappingProxyType({}),
) -> Grading:
    """The graders of the suite, or the one that was named; nothing is bought that nobody would judge."""
    if options.grader is not None:
        if options.grader not in BY_NAME:
            raise UsageError(
                f"--grader {options.grader!r} is none, expected one of: {', '.join(BY_NAME)}. Type next: --grader exact"
            )
        return Grading(BY_NAME[options.grader])
    if not any(suite.graders_of(case) or case.expects for case in suite.cases):
        raise UsageError(
            f"{suite.name}: found no graders, expected some: answers would be bought that nobody judges. Type next: "
            f"--grader {next(iter(BY_NAME))}, or `graders` in the cases"
        )
    return Grading(compiled(suite, python), benches)


def upstreams_of(
    target: Target, subject: Subject, asked: Sequence[Variant], environment: Mapping[str, str]
) -> dict[str, Upstream]:
    """Where the providers of these variants answer."""
    from midshift.cli.upstreams import upstreams

    names = {variant.provider for variant in asked}
    return upstreams(subject.definitions, names, (), environment, target.main.parent)


def stand_ins(definitions: config.Definitions, asked: Iterable[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """The providers that are simulated, and those for whom the environment puts a server of this machine."""
    from midshift.cli.upstreams import override

    found = []
    for name in sorted(asked):
        provider = definitions.provider(name)
        is_simulated = provider is not None and provider.vendor == SIMULATED_VENDOR
        if is_simulated or override(name, environment) is not None:
            found.append(name)
    return tuple(found)


def lines_of(
    subject: Subject,
    asked: Sequence[Variant],
    options: Options,
    upstreams: Mapping[str, Upstream],
    environment: Mapping[str, str],
) -> Iterator[Line]:
    """The way to each of these variants, as the workload's app would ask it."""
    from midshift.cli.upstreams import override
    from midshift.providers.definition import is_loopback

    known = catalogue.load(options.state)
    for variant in asked:
        name = variant.provider
        upstream, provider = upstreams[name], subject.definitions.provider(name)
        vendor = name if provider is None else provider.vendor
        able = capabilities(vendor, variant.model, known)
        host = upstream.base_url.split("/")[2].rpartition(":")[0]
        yield Line.of(
            variant,
            upstream,
            subject.definition.workload.claims[0],
            able.number("max_output_tokens"),
            override(name, environment) or "",
            is_loopback(host),
        )


@contextmanager
def opened(options: Options) -> Iterator[PaidCalls]:
    """The ledger of paid calls, for as long as the block runs."""
    from midshift.cli.serve import make_private
    from midshift.store.ledger import Ledger

    make_private(options.state)
    if options.offline_from is not None and not options.offline_from.is_file():
        raise UsageError(
            f"--offline-from {str(options.offline_from)!r}: found no such file, expected a ledger of calls. "
            f"Type next: --offline-from {options.state / EVALS / LEDGER}"
        )
    with Ledger(options.offline_from or options.state / EVALS / LEDGER) as calls:
        yield calls


def _bought(
    plan: Plan,
    grading: Grading,
    calls: PaidCalls,
    till: Till,
    terms: Terms,
    upstreams: Mapping[str, Upstream],
    environment: Mapping[str, str],
) -> int:
    from rich.console import Console

    from midshift.providers.http.pool import Pool

    async def buy() -> int:
        with ExitStack() as stack:
            pools = {name: Pool(found, found.api_key, environment) for name, found in upstreams.items()}
            for pool in pools.values():
                stack.callback(pool.close)
            show = stack.enter_context(showing(Console(stderr=True)))
            progress = await buying.buy(plan, grading, Shop(calls, pools, till, SystemClock()), terms, show)
        return progress.bought

    return uvloop.run(buy())


def _wanted(
    target: Target, subject: Subject, options: Options, suite: Suite, judges: Sequence[Variant], bought: int
) -> Wanted:
    """Only now are numerics loaded."""
    from midshift.cli import eval_report

    workload = subject.definition.workload
    known = {part.name for part in workload.slices}
    watch = {name for name, note in suite.slices.items() if note.role is SliceRole.WATCH and name not in known}
    return eval_report.Wanted(
        workload=workload,
        names=(subject.incumbent.name, *(one.name for one in subject.candidates)),
        folder=eval_report.folder_of(options.state, workload.name, SystemClock().now()),
        ledger=options.offline_from or options.state / EVALS / LEDGER,
        bought=bought,
        is_evidence=options.suite is None and options.limit is None and options.offline_from is None,
        home=target.main.parent,
        watch=frozenset(watch),
        overrides=options.overrides,
        pins={one.id: judging.pin_of(one, subject.definitions, options.allow_floating) for one in judges},
        html=options.html,
        as_json=options.as_json,
    )


def _judged(wanted: Wanted, options: Options, plan: Plan, grading: Grading, calls: PaidCalls, book: str) -> int:
    from midshift.cli import eval_report

    return eval_report.judged(wanted, plan, grading, calls, book, SystemClock(), options.state)

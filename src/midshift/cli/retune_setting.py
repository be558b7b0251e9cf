"""What a re-tuning works with: the command line, the models and the ways to them, the suite in its three parts.

Elsewhere: the search (retune), by hand (retune_manual), what `midshift eval` shares with it (eval_setting).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import SystemRandom

from rich.console import Console

from midshift import config
from midshift.cli import buying, eval_options, eval_setting, judging, prices, tuned
from midshift.cli.choosing import candidate_file, candidate_of, defined, own_margins, require_suite
from midshift.cli.egress import approved
from midshift.cli.eval_options import Named, Subject
from midshift.cli.project import Target
from midshift.cli.retune_progress import showing
from midshift.cli.system import SystemClock
from midshift.domain.suite import Margin, SliceRole
from midshift.domain.variant import Variant
from midshift.errors import UsageError
from midshift.evals.grading import Bench, Grading, Judge
from midshift.evals.requests import Line
from midshift.evals.runner import Progress
from midshift.evals.suite_file import EvalCase, Suite
from midshift.ports import PaidCalls
from midshift.providers.http.pool import Pool
from midshift.providers.http.settings import Upstream
from midshift.providers.paid.budget import Budget
from midshift.providers.paid.buyer import Buyer
from midshift.providers.paid.desk import Desk
from midshift.providers.paid.till import Till
from midshift.reports.judging import UNLABELLED, agreement_words
from midshift.retune import prompts, splits
from midshift.retune.prompts import Tunable
from midshift.retune.search import Purchases, Ways
from midshift.retune.splits import Kept, Splits


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `midshift retune`, as typed."""

    state: Path
    to: str
    reflection: str | None = None
    max_usd: str | None = None
    max_calls: int | None = None
    seed: int = 0
    manual: bool = False
    watch: bool = False
    grader: str | None = None
    judge: str | None = None
    plans: tuple[str, ...] = ()
    plan_tables: tuple[str, ...] = ()
    unlock: str | None = None
    who: str | None = None
    allow_unknown_cost: bool = False
    rebuy_unknown: bool = False
    concurrency: int = 16
    requests_per_min: float | None = None
    tokens_per_min: float | None = None
    prices: Path | None = None
    approve_data: str | None = None
    allow_floating: str | None = None
    why: str | None = None
    as_json: bool = False

    @property
    def of_eval(self) -> eval_options.Options:
        """What of it `midshift eval` knows as well."""
        return eval_options.Options(
            self.state,
            grader=self.grader,
            judge=self.judge,
            max_usd=self.max_usd,
            allow_unknown_cost=self.allow_unknown_cost,
            rebuy_unknown=self.rebuy_unknown,
            concurrency=self.concurrency,
            requests_per_min=self.requests_per_min,
            tokens_per_min=self.tokens_per_min,
            prices=self.prices,
            approve_data=self.approve_data,
            allow_floating=self.allow_floating,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """Everything that a re-tuning works with, whichever way."""

    target: Target
    subject: Subject
    start: config.VariantFile
    reflection: Named | None
    tunable: Tunable
    suite: Suite
    splits: Splits
    grading: Grading
    ways: Ways
    upstreams: Mapping[str, Upstream]
    till: Till
    terms: buying.Terms
    stand_ins: tuple[str, ...] = ()
    python_graders: Mapping[str, str | None] = field(default_factory=dict)
    judges: tuple[str, ...] = ()

    @property
    def watched(self) -> frozenset[str]:
        """The slices that are shown, and that nothing waits for."""
        slices = self.subject.definition.workload.slices
        return frozenset(part.name for part in slices if part.role is SliceRole.WATCH)

    @property
    def own_margins(self) -> Mapping[str, Margin]:
        """The margins of slices that have one of their own."""
        return own_margins(self.subject.definition.workload, self.suite)

    @property
    def lines(self) -> list[Line]:
        """The ways to all models that may be asked."""
        more = [bench.line for bench in self.grading.benches]
        found = [self.ways.incumbent, self.ways.candidate(self.tunable.text), self.ways.reflection, *more]
        return [line for line in found if line is not None]


def read(target: Target, workload: str, options: Options, environment: Mapping[str, str]) -> Setting:
    """Everything of it.

    Raises:
        UsageError: for a command line that lacks something, or names what is not there.
        ConfigError: for a workload without a suite, or a variant that cannot be read.
    """
    _require_terms(options)
    definition = defined(target, workload)
    require_suite(definition)
    definitions = target.definitions()
    start = candidate_file(target, options.to)
    reflection = None if options.reflection is None else _reflection(target, definitions, options.reflection)
    for variant in (start.variant, *(() if reflection is None else (reflection.variant,))):
        approved(definition, definitions, variant, options.approve_data)
    incumbent = Named(Path(definition.incumbent.path).stem, definition.incumbent.variant)
    if start.variant.id == incumbent.variant.id:
        raise UsageError(f"--to {options.to!r} is the incumbent itself, expected a candidate. Type next: --to ANOTHER")
    subject = Subject(definition, definitions, incumbent, (Named(Path(start.path).stem, start.variant),))
    asked = options.of_eval
    suite = eval_setting.suite_of(target, subject, asked)
    judges = eval_setting.judges_of(target, subject, asked, suite)
    variants = [incumbent.variant, start.variant, *(variant for _, variant in judges)]
    variants += [] if reflection is None else [reflection.variant]
    upstreams = eval_setting.upstreams_of(target, subject, variants, environment)
    lines = list(eval_setting.lines_of(subject, variants, asked, upstreams, environment))
    benches = tuple(Bench(judge, line) for (judge, _), line in zip(judges, lines[2 : 2 + len(judges)], strict=True))
    tunable = prompts.tunable(start.variant, suite.cases)
    python = eval_setting.functions_of(target, subject, suite)
    vendors = {name: provider.vendor for name, provider in definitions.providers.items()}
    return Setting(
        target=target,
        subject=subject,
        start=start,
        reflection=reflection,
        tunable=tunable,
        suite=suite,
        splits=dealt(suite.cases, workload, Kept(tuned.dealt(target.main.parent, workload))),
        grading=eval_setting.grading_of(asked, suite, benches, python),
        ways=Ways(lines[0], partial(_tuned, tunable, lines[1]), None if reflection is None else lines[-1]),
        upstreams=upstreams,
        till=Till(prices.book(prices.Where(target, options.state, options.prices), vendors), SystemClock().now()),
        terms=eval_options.terms_of(asked),
        stand_ins=eval_setting.stand_ins(definitions, upstreams, environment),
        judges=tuple(_judge_words(judge, variant, definitions, options) for judge, variant in judges),
        python_graders={} if options.grader else {one.name: one.sha256 for one in python.values()},
    )


def _judge_words(judge: Judge, variant: Variant, definitions: config.Definitions, options: Options) -> str:
    """What is to be known of a judge beside its numbers: its model, whether that stays, and whether people agree."""
    pin = judging.pin_of(variant, definitions, options.allow_floating)
    kept = judging.kept(options.state, judge, variant)
    agreement = [f"agreement with people {UNLABELLED}"] if kept is None else agreement_words(kept)
    name = judge.name.rpartition(":")[0]
    return f"judged: {name} by {judging.model_words(variant)} ({pin}): {'; '.join(agreement)}"


def dealt(cases: Sequence[EvalCase], workload: str, kept: Kept) -> Splits:
    """The suite in its parts. Not by --seed: another seed would deal the locked cases again."""
    return splits.split(cases, workload, kept=kept)


def _reflection(target: Target, definitions: config.Definitions, named: str) -> Named:
    """A variant file, or PROVIDER/MODEL."""
    if Path(named).exists() or (target.main.parent / named).exists() or named.endswith((".yaml", ".yml")):
        return Named(Path(named).stem, candidate_of(target, named))
    provider, _, model = named.partition("/")
    if not model or definitions.provider(provider) is None:
        raise UsageError(
            f"--reflection {named!r}: found neither a variant file nor a provider that is known, expected one of them. "
            "Type next: --reflection anthropic/MODEL"
        )
    return Named(named, Variant(provider, model))


def ways_of(setting: Setting, tunable: Tunable) -> Ways:
    """The same ways, to a candidate whose files were read again."""
    line = setting.ways.candidate(setting.tunable.text)
    return replace(setting.ways, candidate=partial(_tuned, tunable, line))


def _tuned(tunable: Tunable, line: Line, text: str) -> Line:
    """The way to the candidate under another prompt."""
    return Line.of(
        tunable.with_text(text),
        line.upstream,
        line.model,
        line.most_tokens_out,
        line.place,
        line.is_labelled,
    )


def _require_terms(options: Options) -> None:
    if not options.manual and (options.reflection is None or options.max_usd is None):
        missing = "--reflection" if options.reflection is None else "--max-usd"
        raise UsageError(
            f"found no {missing}, expected a reflection model and the most that the search may cost. Type next: "
            "--reflection PROVIDER/MODEL --max-usd 5, or --manual to edit the prompt yourself"
        )
    if options.unlock is not None and not (options.unlock.strip() and (options.who or "").strip()):
        raise UsageError(f"--unlock {options.unlock!r} --who {options.who!r}: expected a reason and a name")


def purchasing(
    setting: Setting,
    stack: ExitStack,
    calls: PaidCalls,
    environment: Mapping[str, str],
    began: datetime,
    most_calls: int | None = None,
    shown_calls: int | None = None,
    verdict_usd: Callable[[str], Decimal] = lambda text: Decimal(0),
) -> Purchases:
    """Everything between a question and the ledger, open as long as the stack is."""
    pools = {name: Pool(found, found.api_key, environment) for name, found in setting.upstreams.items()}
    for pool in pools.values():
        stack.callback(pool.close)
    clock, terms, progress = SystemClock(), setting.terms, Progress()
    desks = {name: Desk(pool, terms.limits, clock, SystemRandom().random) for name, pool in pools.items()}
    buyer = Buyer(calls, desks, setting.till, Budget(terms.cap_usd), clock, terms.on_unknown)
    show = stack.enter_context(showing(Console(stderr=True), shown_calls))
    stack.enter_context(buying.stoppable(progress))
    stack.enter_context(buying.shown(progress, buyer.budget, show))
    concurrency = dict.fromkeys(desks, terms.limits.concurrency)
    return Purchases(buyer, setting.ways, setting.grading, concurrency, progress, began, most_calls, verdict_usd)

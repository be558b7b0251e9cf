"""`midshift judge calibrate`: ask a judge about answers that people have graded, and keep how far they agree.

The judge is asked in the words of an eval, through the same ledger: what an eval has asked already costs nothing. The
result is kept for just this rubric and model, and every later eval prints it beside the judge's numbers.
Elsewhere: the file of labels (evals.judges.labels), where the result is kept (judging).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from midshift import config
from midshift.cli import buying, eval_options, eval_setting, judging, prices, suite
from midshift.cli.buying import Shop
from midshift.cli.eval_options import Named, Options, Subject
from midshift.cli.eval_progress import showing
from midshift.cli.project import Target, say
from midshift.cli.system import SystemClock
from midshift.domain.variant import Variant
from midshift.errors import InputError, UsageError
from midshift.evals.grading import Bench
from midshift.evals.judges import PairwiseJudge, RubricJudge, labels
from midshift.evals.judges.labels import Calibration, Labelled
from midshift.evals.pairing import Pair, questions, replies
from midshift.evals.rows import Side
from midshift.evals.suite_file import Suite
from midshift.ports import PaidCalls
from midshift.providers.http.pool import Pool
from midshift.providers.paid.till import Till
from midshift.reports import judging as report
from midshift.reports.text import visible

FORMAT = "midshift.calibration/1"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The command line of `midshift judge calibrate`, as typed; `options` are those that an eval has too."""

    suite: str
    labels: Path
    options: Options
    workload: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One judge, and how far it agrees with people."""

    bench: Bench
    calibration: Calibration
    cost_usd: float | None
    path: Path


def run(target: Target, wanted: Wanted, environment: Mapping[str, str] = os.environ) -> int:
    """Ask, count, keep and say; 3 if no verdict could be read."""
    subject, path = _subject(target, wanted)
    cases = suite.load(path)
    judges = eval_setting.judges_of(target, subject, wanted.options, cases)
    if not judges:
        raise UsageError(
            f"{path}: found no judge among its graders, expected one. Type next: graders: [{{type: rubric, rubric: "
            "...}], in a suite of YAML"
        )
    own = [(judge, variant) for judge, variant in judges if isinstance(judge, RubricJudge | PairwiseJudge)]
    said = _labels(wanted.labels, [judge for judge, _ in own])
    named = {one.score for one in said}
    asked = [(judge, variant) for judge, variant in own if judge.score in named]
    variants = [variant for _, variant in asked]
    upstreams = eval_setting.upstreams_of(target, subject, variants, environment)
    lines = eval_setting.lines_of(subject, variants, wanted.options, upstreams, environment)
    benches = [Bench(judge, line) for (judge, _), line in zip(asked, lines, strict=True)]
    till = _till(target, subject, wanted)

    async def ask(calls: PaidCalls) -> None:
        with ExitStack() as stack:
            pools = {name: Pool(found, found.api_key, environment) for name, found in upstreams.items()}
            for pool in pools.values():
                stack.callback(pool.close)
            show = stack.enter_context(showing(Console(stderr=True)))
            shop, terms = Shop(calls, pools, till, SystemClock()), eval_options.terms_of(wanted.options)
            for bench in benches:
                await buying.buy_verdicts(_pairs(bench, said, cases, wanted), [bench], shop, terms, show)

    with eval_setting.opened(wanted.options) as calls:
        uvloop.run(ask(calls))
        found = [_calibrated(bench, said, cases, wanted, calls) for bench in benches]
    _say(found, wanted.options.as_json)
    return 0 if any(one.calibration.same.n for one in found) else 3


def _subject(target: Target, wanted: Wanted) -> tuple[Subject, Path]:
    """The workload whose data the judge will see, and the file of its suite."""
    definitions = target.definitions()
    path = Path(wanted.suite)
    if wanted.workload is not None or wanted.suite in definitions.workloads:
        definition = suite.workload(target, wanted.workload or wanted.suite)
    else:
        definition = _owner(target, definitions, path)
    if wanted.suite in definitions.workloads:
        if definition.suite_path is None:
            raise UsageError(f"workload {definition.name!r} has no suite, expected one. Type next: a suite's file")
        path = target.main.parent / definition.suite_path
    incumbent = Named(Path(definition.incumbent.path).stem, definition.incumbent.variant)
    return Subject(definition, definitions, incumbent, ()), path


def _owner(target: Target, definitions: config.Definitions, path: Path) -> config.Definition:
    """The one workload of a file; where there are several, whose data it holds is for a person to say."""
    listed = list(definitions)
    own = [
        one for one in listed if one.suite_path and (target.main.parent / one.suite_path).resolve() == path.resolve()
    ]
    if len(own or listed) == 1:
        return (own or listed)[0]
    names = ", ".join(map(repr, definitions.workloads))
    raise UsageError(
        f"{str(path)!r} is the suite of no one workload, expected to know whose data the judge will see ({names}). "
        "Type next: --workload NAME"
    )


def _labels(path: Path, judges: Sequence[RubricJudge | PairwiseJudge]) -> list[Labelled]:
    if not path.is_file():
        raise InputError(
            f"--labels {str(path)!r}: found no such file, expected answers with people's grades. Type next: lines like "
            '{"id": "CASE", "text": "ANSWER", "score": "JUDGE", "label": 0.75}'
        )
    with path.open("rb") as lines:
        return labels.read(lines, str(path), judges)


def _till(target: Target, subject: Subject, wanted: Wanted) -> Till:
    vendors = {name: provider.vendor for name, provider in subject.definitions.providers.items()}
    where = prices.Where(target, wanted.options.state, wanted.options.prices)
    return Till(prices.book(where, vendors), SystemClock().now())


def _of(bench: Bench, every: Sequence[Labelled]) -> list[Labelled]:
    return [one for one in every if one.score == _score(bench)]


def _pairs(bench: Bench, every: Sequence[Labelled], cases: Suite, wanted: Wanted) -> list[Pair]:
    return labels.pairs(_of(bench, every), cases.cases, str(wanted.labels))


def _calibrated(bench: Bench, every: Sequence[Labelled], cases: Suite, wanted: Wanted, calls: PaidCalls) -> Found:
    judge, pairs = bench.judge, _pairs(bench, every, cases, wanted)
    assert isinstance(judge, RubricJudge | PairwiseJudge)
    at = SystemClock().machine_now().isoformat(timespec="seconds")
    found = labels.calibration(judge, _of(bench, every), _grades(bench, pairs, calls), at)
    path = judging.keep(wanted.options.state, judge, bench.line.variant, found)
    return Found(bench, found, _cost(bench, pairs, calls), path)


def _grades(bench: Bench, pairs: Sequence[Pair], calls: PaidCalls) -> list[float | None]:
    """The judge's grade of each labelled answer; None where there is none to read."""
    said = zip(pairs, replies(bench, pairs, calls), strict=True)
    scores = (bench.judge.scores(pair.case, pair.answers, given) for pair, given in said)
    return [next(iter(found.get(Side.CANDIDATE, {}).values()), None) for found in scores]


def _cost(bench: Bench, pairs: Sequence[Pair], calls: PaidCalls) -> float | None:
    keys = {bench.asked(pair.case, question)[0] for pair in pairs for question in questions(bench, pair)}
    made = calls.purchases(keys).values()
    unknown = any(one.has_unknown_cost or one.open_usd for one in made)
    return None if unknown else float(sum(one.known_usd for one in made))


def _say(found: Sequence[Found], as_json: bool) -> None:
    if as_json:
        say(json.dumps({"format": FORMAT, "judges": [_document(one) for one in found]}, indent=2))
        return
    for one in found:
        variant, measured = one.bench.line.variant, one.calibration
        say(f"{visible(_score(one.bench))} by {visible(judging.model_words(variant))}")
        say(*(f"  {line}" for line in report.agreement_words(measured)), f"  verdicts unread: {measured.unread:,}")
        say(f"  cost: {'unknown' if one.cost_usd is None else f'{one.cost_usd:.4f} USD'}")
        say(f"kept for every eval with this judge: {visible(str(one.path))}")
    say("Type next: midshift eval WORKLOAD --to VARIANT_FILE   (prints it beside the judge's numbers)")


def _score(bench: Bench) -> str:
    return bench.judge.name.rpartition(":")[0]


def _document(one: Found) -> dict[str, Any]:
    variant: Variant = one.bench.line.variant
    return {
        "score": _score(one.bench),
        "judge": one.bench.judge.name,
        "model": judging.model_words(variant),
        "variant": variant.id,
        "agreement": report.calibration_document(one.calibration),
        "cost_usd": one.cost_usd,
        "kept": str(one.path),
    }

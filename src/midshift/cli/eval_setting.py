"""What an eval works with: cases, graders, judges, the ways to the models and the ledger.

Shared by every command that buys answers. Elsewhere: the options (eval_options), buying (buying).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType

from midshift import config
from midshift.cli import functions, judging
from midshift.cli.choosing import candidate_of
from midshift.cli.egress import approved
from midshift.cli.eval_options import Options, Subject
from midshift.cli.places import Places
from midshift.cli.project import Target, note
from midshift.config import files, suite_files
from midshift.domain.variant import Variant
from midshift.errors import ConfigError, UsageError
from midshift.evals import suite_file
from midshift.evals.graders import BY_NAME, Function, compiled
from midshift.evals.grading import Bench, Grading, Judge
from midshift.evals.judges import from_suite
from midshift.evals.requests import Line
from midshift.evals.suite_file import Suite
from midshift.ports import PaidCalls
from midshift.providers import catalogue
from midshift.providers.capability_sources import capabilities
from midshift.providers.http.settings import Upstream

EVALS, LEDGER = "evals", "calls.sqlite"
SIMULATED_VENDOR = "simulated"
JUDGED = ("rubric", "pairwise")


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


def functions_of(target: Target, subject: Subject, suite: Suite) -> dict[str, functions.Imported]:
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
    return Grading(compiled(suite, python, _once(note)), benches)


def _once(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Answers are graded again for every candidate; what is wrong with a grader is said the first time."""
    said = set[str]()

    def told(text: str) -> None:
        if text not in said:
            said.add(text)
            tell(text)

    return told


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
    from midshift.cli.state_folder import make_private
    from midshift.cli.upstreams import override
    from midshift.providers.definition import is_loopback

    make_private(options.state)
    known = catalogue.load(options.state)
    ledger = options.offline_from or options.state / EVALS / LEDGER
    where = Places(ledger, note, is_read_only=options.offline_from is not None)
    for variant in asked:
        name = variant.provider
        upstream, provider = upstreams[name], subject.definitions.provider(name)
        vendor = name if provider is None else provider.vendor
        able = capabilities(vendor, variant.model, known)
        host = upstream.base_url.split("/")[2].rpartition(":")[0]
        line = Line.of(
            variant,
            upstream,
            subject.definition.workload.claims[0],
            able.number("max_output_tokens"),
            override(name, environment) or "",
            is_loopback(host),
        )
        yield line if line.place else replace(line, place=where.place(name, provider, upstream, line.wire.value))


@contextmanager
def opened(options: Options) -> Iterator[PaidCalls]:
    """The ledger of paid calls, for as long as the block runs."""
    from midshift.cli.state_folder import make_private
    from midshift.store.ledger import Ledger

    make_private(options.state)
    if options.offline_from is not None and not options.offline_from.is_file():
        raise UsageError(
            f"--offline-from {str(options.offline_from)!r}: found no such file, expected a ledger of calls. "
            f"Type next: --offline-from {options.state / EVALS / LEDGER}"
        )
    with Ledger(options.offline_from or options.state / EVALS / LEDGER) as calls:
        yield calls

"""`midshift compare`: open the file, read it once, judge, report."""

from __future__ import annotations

import difflib
import json
import mmap
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from rich.console import Console

from midshift.cli.pages import require_folder
from midshift.cli.progress import reading
from midshift.cli.system import SystemClock
from midshift.domain.gate import Decision, Ruling, decide
from midshift.domain.suite import AGGREGATE, Margin, Range, Score, SliceRole
from midshift.errors import InputError, UsageError
from midshift.evals import paired_outputs, promptfoo, regression
from midshift.evals.formats import Format, detect
from midshift.evals.rows import Ledger, PairedRow, places_in_words
from midshift.evals.table import Cases, Table
from midshift.ports import Clock
from midshift.reports import html as html_report
from midshift.reports import terminal
from midshift.reports.comparison import Comparison, document
from midshift.reports.text import visible
from midshift.shadow import drift
from midshift.shadow.columns import Columns
from midshift.stats.looks import Look

ALPHA = 0.05
Parsed = TypeVar("Parsed")
_HEAD_BYTES = 1 << 20
EXIT_CODES = {
    Decision.PROCEED: 0,
    Decision.PROCEED_WITH_CAUTION: 0,
    Decision.RETUNE: 1,
    Decision.STOP: 1,
    Decision.COLLECT_MORE: 3,
}


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `midshift compare`, as typed."""

    file: Path
    incumbent: str
    candidate: str
    scores: tuple[str, ...] = ()
    margin: str = "2pt"
    slice_margin: tuple[str, ...] = ()
    expect: str | None = None
    error_text: str | None = None
    skip: str | None = None
    watch: tuple[str, ...] = ()
    look: str = "1/1"
    html: Path | None = None
    as_json: bool = False
    full: bool = False


def run(options: Options) -> int:
    """Compare, print, and give the exit code of the decision."""
    if options.html is not None:
        require_folder(options.html)
    comparison = compare(options, SystemClock())
    if options.html is not None:
        write_whole(options.html, html_report.render(comparison))
    if options.as_json:
        sys.stdout.write(json.dumps(document(comparison), indent=2) + "\n")
    else:
        terminal.show(comparison, Console(highlight=False), options.full)
        if options.html is not None:
            sys.stdout.write(f"page: {visible(str(options.html))}\n")
    return EXIT_CODES[comparison.ruling.decision]


def compare(options: Options, clock: Clock, look: Look | None = None) -> Comparison:
    """Read the file and judge what it holds, at the look of the options or another one.

    Raises:
        UsageError: for an option that does not fit, or a variant or score that the file does not have.
        InputError: for a file that is not one of the two forms.
    """
    declared = [parse_score(text) for text in options.scores]
    margin, look = _parse(Margin.parse, "--margin", options.margin), look or parse_look(options.look)
    own = parse_margins(options.slice_margin)
    request = _request(options)
    ledger = Ledger()
    table, columns = Table(ledger), Columns()
    with _rows(options.file, request, ledger) as rows:
        for row in rows:
            table.append(row)
            columns.append(row)
    cases = table.finish()
    _require_variants(options, request, ledger, cases)
    _require_skip(options, request, table)
    _require_scores(options, declared, table)
    _require_slices(options, own, cases)
    scores = declared or [Score(name) for name in table.scores]
    rules = regression.Rules(margin, look.alpha(ALPHA), frozenset(options.watch), own)
    verdicts = regression.verdicts(table, cases, scores, rules) if cases.rows.size else []
    return Comparison(
        file=str(options.file),
        incumbent=options.incumbent,
        candidate=options.candidate,
        ruling=decide(verdicts) if verdicts else _nothing_to_judge(options.file, ledger),
        scores=verdicts,
        findings=drift.findings(columns, cases, table.ids.__getitem__) if cases.rows.size else [],
        ledger=ledger,
        paired=int(cases.rows.size),
        without_slice=cases.without_slice,
        margin=margin,
        alpha=rules.alpha,
        look=look,
        weighted=cases.is_weighted,
        made_at=clock.now(),
        own_margins=own,
    )


def parse_score(text: str) -> Score:
    """Read `NAME` or `NAME:LO..HI`.

    Raises:
        UsageError: saying what was expected.
    """
    number = r"[-+]?\d+(?:\.\d+)?"
    match = re.fullmatch(rf"(.+?)(?::({number})\.\.({number}))?", text.strip(), re.DOTALL)
    if match is None:
        raise UsageError(f"--score {text!r}: expected NAME or NAME:LO..HI, for example --score judge:1..10")
    if match[2] is None:
        if ".." in text:
            raise UsageError(f"--score {text!r}: expected a range of two numbers, for example --score judge:1..10")
        return Score(match[1])
    return Score(match[1], _parse(lambda _: Range(float(match[2]), float(match[3])), "--score", text))


def parse_margins(texts: Sequence[str]) -> dict[str, Margin]:
    """Read `SLICE=3pt`, each slice once.

    Raises:
        UsageError: saying what was expected.
    """
    found: dict[str, Margin] = {}
    for text in texts:
        name, _, margin = text.rpartition("=")
        if not name.strip() or name == AGGREGATE:
            raise UsageError(
                f"--slice-margin {text!r}: expected SLICE=MARGIN, for example --slice-margin german=3pt "
                "(--margin is that of all cases)"
            )
        if name in found:
            raise UsageError(f"--slice-margin {name!r} is given twice; give each slice once")
        found[name] = _parse(Margin.parse, f"--slice-margin {name}", margin)
    return found


def parse_look(text: str) -> Look:
    """Read `K/N`, or `N/N+F` for the F-th look after the plan was spent.

    Raises:
        UsageError: saying what was expected.
    """
    match = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*(?:\+\s*(\d{1,6})\s*)?", text)
    if match is None:
        raise UsageError(
            f"--look {text!r}: expected K/N, for example --look 2/3 for the second of three planned looks, or 3/3+1 "
            "for the first one after them"
        )
    return _parse(lambda _: Look(int(match[1]), int(match[2]), int(match[3] or 0)), "--look", text)


def again(comparison: Comparison) -> str:
    """The command that judges the same file again: the same numbers, at the same look."""
    look, margin = comparison.look, comparison.margin
    further = f"+{look.further}" if look.further else ""
    slices = {part.slice for score in comparison.scores for part in score.slices}
    watched = {part.name for part in slices if part.role is SliceRole.WATCH}
    options = [
        ("--incumbent", comparison.incumbent),
        ("--candidate", comparison.candidate),
        *([("--margin", str(margin))] if margin != Margin() else []),
        *(("--slice-margin", f"{name}={own}") for name, own in sorted(comparison.own_margins.items())),
        *(("--watch", name) for name in sorted(watched)),
        *([("--look", f"{look.number}/{look.planned}{further}")] if look != Look() else []),
    ]
    said = [f"{name} {shlex.quote(visible(value))}" for name, value in options]
    return " ".join(["midshift compare", shlex.quote(visible(comparison.file)), *said])


def _parse(parser: Callable[[str], Parsed], option: str, text: str) -> Parsed:
    try:
        return parser(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: {error}") from None


def _request(options: Options) -> paired_outputs.Request:
    if options.incumbent == options.candidate:
        raise UsageError(f"--incumbent and --candidate are both {options.candidate!r}; name two variants to compare")
    if options.expect not in (None, "json"):
        raise UsageError(f"--expect {options.expect!r}: expected json (a schema goes into the file, as `expects`)")
    try:
        error_text = None if options.error_text is None else re.compile(options.error_text)
    except re.error as error:
        raise UsageError(f"--error-text {options.error_text!r} is not a regular expression: {error}") from None
    return paired_outputs.Request(options.incumbent, options.candidate, options.skip, error_text, options.expect)


@contextmanager
def _rows(path: Path, request: paired_outputs.Request, ledger: Ledger) -> Iterator[Iterator[PairedRow]]:
    """The usable rows of a file in either form."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected a file of paired outputs (JSON lines) or promptfoo results")
    if path.exists() and not path.is_file():
        raise InputError(
            f"{path} is a pipe or a device; expected a file, which can be read twice. Save it as one first"
        )
    with path.open("rb") as file:
        form = detect(file.read(_HEAD_BYTES), str(path))
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        if form is not Format.PAIRED_OUTPUTS and request.skip is not None:
            raise UsageError("--skip goes with paired outputs; promptfoo results have no such field")
        if form is Format.PROMPTFOO:
            yield promptfoo.read(promptfoo.results_of(_mapped(file)), request, ledger)
        else:
            lines = reading(paired_outputs.lines(file), size, path.name)
            if form is Format.PROMPTFOO_LINES:
                yield promptfoo.read(promptfoo.results_of_lines(lines), request, ledger)
            else:
                yield paired_outputs.read(lines, request, ledger)


def _mapped(file: BinaryIO) -> memoryview:
    """The file as memory that the system may drop again, so that a large document costs no copy.

    It is unmapped when the last result that points into it is gone: closing it by hand fails while an error is on its
    way up, and hides that error.
    """
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _require_variants(options: Options, request: paired_outputs.Request, ledger: Ledger, cases: Cases) -> None:
    if cases.rows.size or not request.variants_seen:
        return
    seen = list(request.variants_seen)
    for option, name in (("--incumbent", options.incumbent), ("--candidate", options.candidate)):
        reason = f"no_{option[2:]}_output"
        if ledger.count(reason) and name not in request.variants_seen:
            close = difflib.get_close_matches(name, seen, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            listed = ", ".join(repr(variant) for variant in seen[:20])
            raise UsageError(f"{option} {name!r} is not in {options.file}; {hint}variants here: {listed}")
    pairs = ledger.count("no_incumbent_output") + ledger.count("no_candidate_output")
    if pairs == ledger.read:
        raise UsageError(
            f"no row of {options.file} has outputs of both {options.incumbent!r} and {options.candidate!r}; "
            "a comparison needs the same cases answered by both"
        )


def _require_skip(options: Options, request: paired_outputs.Request, table: Table) -> None:
    """A misspelt --skip would keep the very rows that were to be left out."""
    if options.skip is not None and len(table) and not request.skip_seen:
        raise UsageError(
            f"--skip {options.skip!r}: no row of {options.file} has this field; expected one that is true on the rows "
            "to leave out"
        )


def _require_scores(options: Options, declared: Sequence[Score], table: Table) -> None:
    if not len(table):
        return
    for score in declared:
        if score.name not in table.scores:
            known = ", ".join(sorted(map(repr, table.scores))) or "none"
            raise UsageError(f"--score {score.name!r} is not in {options.file}; scores of these two variants: {known}")
    names = [score.name for score in declared]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UsageError(f"--score {repeated[0]!r} is given twice; give each score once")


def _require_slices(options: Options, own: Mapping[str, Margin], cases: Cases) -> None:
    for option, name in (*(("--watch", name) for name in options.watch), *(("--slice-margin", name) for name in own)):
        if cases.rows.size and name not in cases.slice_names:
            known = ", ".join(map(repr, cases.slice_names[:20])) or "none"
            raise UsageError(f"{option} {name!r} is not a slice of {options.file}; slices here: {known}")


def _nothing_to_judge(path: Path, ledger: Ledger) -> Ruling:
    if not ledger.read and ledger.unit == "result":
        return Ruling(Decision.COLLECT_MORE, f"no data: {path} holds no result; expected a promptfoo run with tests")
    if not ledger.read:
        found = "is empty (0 bytes)" if not path.stat().st_size else "holds no row, only blank lines"
        return Ruling(Decision.COLLECT_MORE, f"no data: {path} {found}; expected one JSON object a line")
    worst = max(
        (problem for problem in ledger.problems.values() if problem.excluded), key=lambda problem: problem.count
    )
    where = places_in_words(ledger.unit, worst.places, worst.count)
    example = f" ({worst.example})" if worst.example else ""
    return Ruling(
        Decision.COLLECT_MORE, f"no data: none of {ledger.read:,} rows is usable; {worst.reason}: {where}{example}"
    )


def write_whole(path: Path, text: str) -> None:
    """Write a file so that nobody ever sees half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)

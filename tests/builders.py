"""Rows and files of paired outputs, as short as a test can say them.

A row's variants are `old` (the incumbent) and `new` (the candidate); a score that is not named is `s`.
Elsewhere: made-up answers in quantity (midshift.testing.simulated).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from midshift.domain.gate import ScoreVerdict, decide
from midshift.domain.suite import AGGREGATE, Score
from midshift.domain.verdict import Outcome, Verdict
from midshift.evals import paired_outputs, regression
from midshift.evals.paired_outputs import Request
from midshift.evals.rows import Ledger, PairedRow
from midshift.evals.table import Cases, Table
from midshift.reports.comparison import Comparison
from midshift.shadow import drift
from midshift.shadow.columns import Columns
from midshift.stats.looks import Look
from midshift.testing import ManualClock

OLD, NEW = "old", "new"
RULES = regression.Rules()


def an_output(score: object = 1, text: object = "An answer.", **fields: object) -> dict[str, object]:
    """One variant's output with one score; `scores=` and any other field replace or add."""
    return {"text": text, "scores": {"s": score}, **fields}


def a_row(
    identity: object, old: object = 1, new: object = 1, *, slice: object = "a", **fields: object
) -> dict[str, object]:
    """One case; `old` and `new` are scores, or whole outputs where they are objects."""
    outputs = {
        name: output if isinstance(output, dict) else an_output(output) for name, output in ((OLD, old), (NEW, new))
    }
    return {"id": identity, "slice": slice, "outputs": outputs, **fields}


def rows_of(grades: Sequence[tuple[object, object]], slice: object = "a", **fields: object) -> list[dict[str, object]]:
    """One row a pair of grades, with ids of their own; two calls for two slices do not collide."""
    return [a_row(f"{slice}-{number}", old, new, slice=slice, **fields) for number, (old, new) in enumerate(grades)]


def grades(right: int = 0, worse: int = 0, better: int = 0, wrong: int = 0) -> list[tuple[int, int]]:
    """Pairs of 0/1 grades by how many there are of each kind."""
    return [(1, 1)] * right + [(1, 0)] * worse + [(0, 1)] * better + [(0, 0)] * wrong


def lines_of(rows: Iterable[Mapping[str, object]]) -> list[bytes]:
    """The lines of a paired-outputs file, as Python would write them."""
    return [json.dumps(row).encode() + b"\n" for row in rows]


def read(lines: Iterable[bytes], ledger: Ledger, **request: Any) -> list[PairedRow]:
    """The usable rows of the lines."""
    return list(paired_outputs.read(lines, Request(OLD, NEW, **request), ledger))


def tabled(rows: Iterable[PairedRow], ledger: Ledger | None = None) -> tuple[Table, Cases]:
    """The rows as columns, and how they group."""
    table = Table(Ledger() if ledger is None else ledger)
    for row in rows:
        table.append(row)
    return table, table.finish()


def measured(rows: Iterable[PairedRow]) -> tuple[Columns, Table, Cases]:
    """The rows as columns of features beside those of scores."""
    table, columns = Table(Ledger()), Columns()
    for row in rows:
        table.append(row)
        columns.append(row)
    return columns, table, table.finish()


def judged(
    rows: Iterable[Mapping[str, object]],
    scores: Sequence[Score] = (Score("s"),),
    rules: regression.Rules = RULES,
    **request: Any,
) -> list[ScoreVerdict]:
    """The verdicts on rows, by the way of a file."""
    table, cases = tabled(read(lines_of(rows), Ledger(), **request))
    return regression.verdicts(table, cases, scores, rules)


def verdict(verdicts: Sequence[ScoreVerdict], score: str = "s", slice: str = AGGREGATE) -> Verdict:
    """The verdict on one score and slice."""
    found = next(item for item in verdicts if item.score.name == score)
    return (
        found.aggregate
        if slice == AGGREGATE
        else next(part.verdict for part in found.slices if part.slice.name == slice)
    )


def outcomes(verdicts: Sequence[ScoreVerdict]) -> dict[tuple[str, str], Outcome]:
    """Every outcome by score and slice."""
    return {
        (score.score.name, name): item.outcome
        for score in verdicts
        for name, item in [(AGGREGATE, score.aggregate), *((part.slice.name, part.verdict) for part in score.slices)]
    }


def problems(ledger: Ledger) -> list[tuple[str, bool, int, list[int], str]]:
    """What a ledger holds: reason, whether the row is out, how often, where, and an example."""
    return [(item.reason, item.excluded, item.count, item.places, item.example) for item in ledger.problems.values()]


def a_comparison(
    rows: Iterable[Mapping[str, object]],
    scores: Sequence[Score] = (Score("s"),),
    rules: regression.Rules = RULES,
    **request: Any,
) -> Comparison:
    """What a report is made from, of rows that name at least one case."""
    ledger = Ledger()
    table, columns = Table(ledger), Columns()
    for row in read(lines_of(rows), ledger, **request):
        table.append(row)
        columns.append(row)
    cases = table.finish()
    verdicts = regression.verdicts(table, cases, scores, rules)
    return Comparison(
        file="rows.jsonl",
        incumbent=OLD,
        candidate=NEW,
        ruling=decide(verdicts),
        scores=verdicts,
        findings=drift.findings(columns, cases, table.ids.__getitem__),
        ledger=ledger,
        paired=int(cases.rows.size),
        without_slice=cases.without_slice,
        margin=rules.margin,
        alpha=rules.alpha,
        look=Look(),
        weighted=cases.is_weighted,
        made_at=ManualClock().now(),
    )

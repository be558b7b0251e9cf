"""What an eval leaves behind: the comparison, the calls with their prices, pages, and what a person reads.

Elsewhere: the table (reports.bakeoff), the pairs (eval_bakeoff).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from midshift.cli import compare
from midshift.cli.eval_bakeoff import all_keys
from midshift.cli.eval_wanted import CALLS, COMPARISON, Wanted, slug
from midshift.cli.project import write_whole
from midshift.domain.gate import Decision
from midshift.domain.paid_call import PricedBy
from midshift.evals.grading import Grading
from midshift.evals.pairing import AT_ONCE, Plan, in_parts
from midshift.ports import PaidCalls
from midshift.providers.prices import pinned
from midshift.providers.prices.book import Priced
from midshift.reports import bakeoff as report
from midshift.reports import html, terminal
from midshift.reports.bakeoff import Bakeoff, Candidate
from midshift.reports.text import visible


def write(wanted: Wanted, found: Bakeoff, plan: Plan, grading: Grading, calls: PaidCalls, book: str) -> None:
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
    for part in in_parts(all_keys(plan, grading, calls), AT_ONCE):
        lines = dict(part)
        for key, result in calls.results(lines):
            if result is not None and result.status == 200:
                variant = lines[key].variant
                made.append(pinned.Call(variant.provider, variant.model, result.at, result.usage, result.cost_usd))
                priced |= {} if result.priced_by is None else {result.priced_by: None}
    return made, list(priced)


def show(wanted: Wanted, found: Bakeoff, kept: Sequence[Path]) -> None:
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
    if wanted.unkept:
        sys.stdout.write(f"no evidence for an upgrade: {visible(wanted.unkept, 400)}\n")
    for one in found.candidates:
        if one.finding is not None:
            sys.stdout.write(f"finding: {visible(str(wanted.home / one.finding))}\n")
    sys.stdout.write(_next(found, wanted.goes_on) + "\n")


def _next(found: Bakeoff, goes_on: str) -> str:
    best = found.cheapest
    first = next((one for one in found.candidates if one.contender is best), found.candidates[0])
    again = f"or to judge the same pairs again: {compare.again(first.comparison)}"
    if best is None and first.comparison.ruling.decision is Decision.RETUNE:
        return (
            "That the new model is worse is no finding before its prompt was tuned. Type next: midshift retune "
            f"{visible(found.workload)} --to VARIANT_FILE --reflection PROVIDER/MODEL --max-usd X, {again}"
        )
    if best is None and first.comparison.ruling.decision is Decision.COLLECT_MORE:
        check = f"midshift suite check {visible(found.workload)}"
        return f"Type next: {check}   (which slices want how many more cases), {again}"
    if best is None and first.comparison.ruling.decision is Decision.STOP:
        again = f"or, if the incumbent retires: midshift upgrade force {visible(found.workload)} --why WHY; {again}"
    return f"Type next: {visible(goes_on, 400)}, {again}"


def _page(page: Path, candidate: Candidate, candidates: int) -> Path:
    return page if candidates == 1 else page.with_stem(f"{page.stem}-{slug(candidate.contender.name)}")

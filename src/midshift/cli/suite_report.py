"""How `midshift suite` says what it found: for a terminal, and as JSON.

Texts of a suite are shown and never obeyed.
Elsewhere: what is said (evals.checking, evals.importers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from midshift.cli.project import say
from midshift.evals.building import NO_SLICE, Built
from midshift.evals.checking import DIFFERENT, SliceCheck, SuiteCheck
from midshift.evals.importers import Imported, Loss, Source
from midshift.evals.suite_file import Suite
from midshift.reports.text import visible

FORMAT = "midshift.suite/1"
_IDS_SHOWN = 5
_COLUMNS: Mapping[str, Literal["left", "right"]] = {
    "slice": "left",
    "role": "left",
    "cases": "right",
    "independent": "right",
    "at best": "right",
    "likely": "right",
    "": "left",
}


def document(path: str, suite: Suite, found: SuiteCheck) -> dict[str, Any]:
    """The check as JSON."""
    return {
        "format": FORMAT,
        "file": path,
        "name": suite.name,
        "cases": found.cases,
        "slices": [
            {
                "name": part.name,
                "role": part.role.value,
                "cases": part.cases,
                "clusters": part.clusters,
                "margin_pt": part.margin,
                "smallest_drop_at_best_pt": round(part.at_best, 2),
                "smallest_drop_likely_pt": round(part.likely, 2),
                "cases_for_the_margin": part.needed,
                "too_small": part.is_small,
            }
            for part in found.slices
        ],
        "assumed_share_that_differs": DIFFERENT,
        "graders": dict(found.graders),
        "without_slice": list(found.sliceless),
        "near_duplicates": [list(pair) for pair in found.repeated],
        "near_duplicates_of_other_slices": [list(pair) for pair in found.repeated_elsewhere],
        "without_grader": list(found.ungraded),
        "without_reference": list(found.without_reference),
        "draft_references": list(found.drafts),
    }


def show(path: str, suite: Suite, found: SuiteCheck) -> None:
    """The check for a person."""
    say(f"{visible(path)}: {found.cases:,} cases, graders: {_counts(found)}", "")
    table = Table(box=None, pad_edge=False)
    for name, side in _COLUMNS.items():
        table.add_column(name, justify=side)
    for part in found.slices:
        numbers = (f"{part.cases:,}", f"{part.clusters:,}", f"{part.at_best:.1f} pt", f"{part.likely:.1f} pt")
        table.add_row(escape(visible(part.name, 30)), part.role.value, *numbers, _needs(part))
    Console(highlight=False).print(table)
    say("", *_remarks(path, suite, found))


def _needs(part: SliceCheck) -> str:
    if part.is_small:
        return f"TOO SMALL: {part.needed:,} for {part.margin:g}pt"
    short = part.needed - part.clusters
    return f"{short:,} more for {part.margin:g}pt" if short > 0 else f"enough for {part.margin:g}pt"


def _remarks(path: str, suite: Suite, found: SuiteCheck) -> list[str]:
    lines = []
    if not found.slices:
        lines.append("no case has a slice: an average alone gates nothing. Type next: add `slice` to the cases")
    if found.sliceless and found.slices:
        lines.append(f"without a slice: {_some(found.sliceless)}: they count in the average alone")
    if found.repeated:
        pairs = [f"{left} ~ {right}" for left, right in found.repeated]
        lines.append(f"nearly the same as another of the same slices: {_some(pairs)}: they count twice")
    if found.repeated_elsewhere:
        pairs = [f"{left} ~ {right}" for left, right in found.repeated_elsewhere]
        lines.append(
            f"nearly the same as another of other slices: {_some(pairs)}: each slice keeps its own (suite build leaves "
            "them in), and over all cases they count twice"
        )
    if found.ungraded:
        lines.append(f"without a grader: {_some(found.ungraded)}: only whether they are answered is compared")
    if found.drafts:
        lines.append(
            f"draft references: {_some(found.drafts)}: no grader uses them before you have read and confirmed them. "
            f"Type next: midshift suite confirm {visible(path)} --id ID"
        )
    if found.without_reference:
        lines.append(f"without a reference: {_some(found.without_reference)}")
    lines.append(
        "smallest drop: what as many independent cases can rule out, at best if no case differs between the variants, "
        f"and likely if {DIFFERENT:.0%} do"
    )
    return lines


def imported_document(source: Source, out: str, imported: Imported) -> dict[str, Any]:
    """An import as JSON."""
    return {
        "format": FORMAT,
        "from": source.value,
        "written": out,
        "cases": len(imported.cases),
        "slices": _slices(imported),
        "not_carried": _loss_documents(imported.not_carried),
        "notes": list(imported.notes),
    }


def show_imported(source: Source, out: str, imported: Imported) -> None:
    """An import for a person."""
    slices = ", ".join(f"{visible(name, 40)} {count:,}" for name, count in _slices(imported).items())
    say(
        f"{len(imported.cases):,} cases from {source.value} -> {visible(out)}",
        f"slices: {slices or 'NONE; a suite of an average alone gates nothing'}",
        *losses(imported.not_carried),
        *(f"note: {visible(note, 300)}" for note in imported.notes),
        f"Type next: midshift suite check {visible(out)}",
    )


def exported_document(written: Sequence[str], not_carried: Sequence[Loss]) -> dict[str, Any]:
    """An export as JSON."""
    return {"format": FORMAT, "written": list(written), "not_carried": _loss_documents(not_carried)}


def losses(not_carried: Sequence[Loss]) -> list[str]:
    """What stayed behind, a line each."""
    head = [f"not carried ({len(not_carried)}):"] if not_carried else []
    lines = [
        f"  {visible(loss.what, 80)}{f' ({loss.count:,} times)' if loss.count > 1 else ''}: {visible(loss.why, 200)}"
        f"   [{visible(loss.place, 80)}]"
        for loss in not_carried
    ]
    return head + lines


def built_document(out: str, built: Built, notes: Sequence[str] = ()) -> dict[str, Any]:
    """A build as JSON."""
    return {
        "format": FORMAT,
        "written": out,
        "cases": len(built.cases),
        "slices": _taken(built),
        "requests_by_slice": dict(built.seen),
        "left_out": dict(built.left_out),
        "draft_references": sum(case.draft is not None for case in built.cases),
        "notes": list(notes),
    }


def show_built(out: str, built: Built, notes: Sequence[str] = ()) -> None:
    """A build for a person."""
    taken = _taken(built)
    say(f"{len(built.cases):,} cases -> {visible(out)}", "")
    for name, count in built.seen.items():
        label = visible(name, 40) if name != NO_SLICE else "(no slice)"
        say(f"  {label:<24} {taken.get(name, 0):>7,} of {count:,} requests")
    say("", *(f"left out {count:,}: {reason}" for reason, count in built.left_out.items()))
    say(*(f"note: {visible(note, 200)}" for note in notes))
    drafts = sum(case.draft is not None for case in built.cases)
    say(
        f"{drafts:,} have the incumbent's answer as a draft reference. No grader uses it before you have confirmed it.",
        f"Type next: midshift suite check {visible(out)}, then midshift suite confirm {visible(out)} --id ID",
    )


def _taken(built: Built) -> dict[str, int]:
    counts: dict[str, int] = {}
    for case in built.cases:
        for name in case.slices or (NO_SLICE,):
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def _slices(imported: Imported) -> dict[str, int]:
    counts: dict[str, int] = {}
    for case in imported.cases:
        for name in case.slices:
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def _loss_documents(not_carried: Sequence[Loss]) -> list[dict[str, Any]]:
    return [{"place": loss.place, "what": loss.what, "why": loss.why, "count": loss.count} for loss in not_carried]


def _counts(found: SuiteCheck) -> str:
    return ", ".join(f"{visible(name, 40)} {count:,}" for name, count in found.graders.items()) or "none"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(visible(name, 60) for name in names[:_IDS_SHOWN])
    more = f" and {len(names) - _IDS_SHOWN:,} more" if len(names) > _IDS_SHOWN else ""
    return f"{len(names):,} ({shown}{more})"

"""What an eval does with a prompt that came out of a re-tuning: it gates on the cases that nothing was fitted to.

The cases that the tuning learnt from or chose by are answered, compared apart and shown as seen in tuning. The rest are
its locked cases and whatever was added to the suite since; judging them is a look that is on record before anybody sees
it (retune.looking). The answers that the re-tuning was judged by are in the ledger, so the first eval after it shows
its very numbers and is no further look.
Elsewhere: which cases those are (tuned), the verdicts (compare), the reports (reports.words).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from midshift.cli import tuned
from midshift.cli.retune_files import Shelf
from midshift.cli.tuned import Past
from midshift.domain.gate import Decision
from midshift.domain.suite import Margin
from midshift.evals.grading import Grading
from midshift.evals.pairing import Plan, pairs
from midshift.evals.requests import Line
from midshift.evals.suite_file import EvalCase
from midshift.ports import PaidCalls
from midshift.reports.comparison import Comparison, Seen
from midshift.retune import gating, looking
from midshift.retune.looking import ALPHA, Taken
from midshift.stats.looks import Look


@dataclass(frozen=True, slots=True, eq=False)
class Divided:
    """An eval of a tuned prompt: the plan whose cases gate, and the one whose cases were seen in tuning."""

    past: Past
    gate: Plan
    seen: Plan
    look: Look
    outputs: tuple[str, ...]


def divided(
    folder: Path, state: Path, workload: str, plan: Plan, line: Line, calls: PaidCalls, grading: Grading
) -> Divided | None:
    """The two parts of an eval, and which look at the first this is; None for a prompt that nobody tuned."""
    past = tuned.past(folder, workload, line.variant, plan.incumbent.variant, plan.cases)
    if past is None:
        return None
    gate = replace(plan, cases=[case for case in plan.cases if not past.saw(case)])
    seen = replace(plan, cases=[case for case in plan.cases if past.saw(case)])
    outputs = tuple(
        looking.output(pair.case, pair.incumbent.answer, pair.candidate.answer)
        for pair in pairs(gate, line, calls, grading)
    )
    look = looking.look(_shelf(folder, state, workload).looks(), _hashes(gate.cases), outputs)
    return Divided(past, gate, seen, look, outputs)


def ruled(
    comparison: Comparison, found: Divided, seen: Comparison | None, again: Comparison | None, margin: Margin
) -> Comparison:
    """The comparison of the cases that gate, with what it cannot say. `again` is the same at the level of the next
    look, for the number of cases that are missing."""
    slices = {name for case in (*found.gate.cases, *found.seen.cases) for name in case.slices}
    ruling = gating.with_unseen(comparison.ruling, comparison.scores, slices)
    needs = _needs(found, again, margin) if ruling.decision is Decision.COLLECT_MORE else ""
    reason = ruling.reason if found.gate.cases else _nothing_left(found)
    ruling = replace(ruling, reason="; ".join(filter(None, (reason, needs, looking.words(found.look)))))
    scores = () if seen is None else seen.scores
    apart = Seen(found.past.records, len(found.seen.cases), not found.past.is_whole, scores, needs)
    return replace(comparison, ruling=ruling, seen=apart)


def next_look(found: Divided) -> Look:
    """The look that comes after this one, if this one does not clear."""
    return Look(further=found.look.further + 1)


def take(
    found: Divided, folder: Path, state: Path, workload: str, line: Line, decision: Decision, at: datetime
) -> None:
    """Put the look on record."""
    if found.outputs:
        hashes = _hashes(found.gate.cases)
        look = Taken("", "", line.variant.id, hashes, at.isoformat(timespec="seconds"), outputs=found.outputs)
        look = replace(look, further=found.look.further, cleared=looking.cleared(decision))
        _shelf(folder, state, workload).take(look)


def _nothing_left(found: Divided) -> str:
    if found.past.is_whole:
        return f"no data: all {len(found.seen.cases)} cases were seen in tuning"
    return f"no data: {', '.join(found.past.records)} does not say which cases the prompt was tuned on"


def _needs(found: Divided, again: Comparison | None, margin: Margin) -> str:
    """How many cases would settle it, at the level of the look that sees them."""
    level = next_look(found).alpha(ALPHA) if found.outputs else found.look.alpha(ALPHA)
    more = gating.cases_missing(again.scores, level) if again is not None and again.scores else None
    if more is None and not found.gate.cases:
        more = gating.least_cases(margin, level)
    at = f"at the next look, at {100 * level:.3g} %"
    return "" if more is None else f"{more:,} more cases that no tuning has seen would settle all of them together {at}"


def _shelf(folder: Path, state: Path, workload: str) -> Shelf:
    return Shelf(state, workload, tuned.looks(folder, workload))


def _hashes(cases: Sequence[EvalCase]) -> tuple[str, ...]:
    return tuple(case.content_hash for case in cases)

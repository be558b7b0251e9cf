"""What one comparison found, as a value, and its stable JSON form `midshift.compare/1`.

In the JSON, scores, shares and deltas are fractions of one or the score's own unit, never formatted text; what is
unknown is null. Fields may be added to the format, never renamed or removed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from midshift.domain.gate import Ruling, ScoreVerdict
from midshift.domain.suite import AGGREGATE, Margin, Score, margin_of
from midshift.domain.verdict import Outcome, Verdict
from midshift.evals.rows import Ledger
from midshift.reports import judging
from midshift.reports.judging import JudgeNote
from midshift.shadow.drift import Finding
from midshift.stats.looks import Look

FORMAT = "midshift.compare/1"
SIMULATED = "sim/"
"""Models under this prefix are simulated, and every report says so."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Everything that a report of one comparison shows.

    `stand_ins` are providers that are simulated, or for whom a server of this machine answered. `own_margins` are
    those of slices that were judged by another margin than the usual one. `seen` are cases of the suite that were shown
    to the tuning of the candidate's prompt. `taken_on` is what people took upon themselves in the upgrade that it is
    about, in sentences: a force, and waivers.
    """

    file: str
    incumbent: str
    candidate: str
    ruling: Ruling
    scores: Sequence[ScoreVerdict]
    findings: Sequence[Finding]
    ledger: Ledger
    paired: int
    without_slice: int
    margin: Margin
    alpha: float
    look: Look
    weighted: bool
    made_at: datetime
    judges: Sequence[JudgeNote] = ()
    stand_ins: Sequence[str] = ()
    own_margins: Mapping[str, Margin] = field(default_factory=dict)
    taken_on: Sequence[str] = ()
    seen: Seen | None = None

    def margin_of(self, part: str) -> Margin:
        """The margin that a slice was judged by; `*` is all cases."""
        return margin_of(part, self.margin, self.own_margins)

    @property
    def is_simulated(self) -> bool:
        """Whether a simulated model takes part."""
        return bool(self.stand_ins) or self.incumbent.startswith(SIMULATED) or self.candidate.startswith(SIMULATED)

    @property
    def flagged(self) -> list[Finding]:
        """The drift that survives the controlled test."""
        return [finding for finding in self.findings if finding.flagged]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Cases that the candidate's prompt was tuned on, compared apart: they flatter it, and no gate is on them.

    `records` are the files of the re-tunings, `unsaid` whether one of them does not tell its cases, `needs` what
    would settle the gate on the other cases, in words.
    """

    records: Sequence[str]
    cases: int
    unsaid: bool
    scores: Sequence[ScoreVerdict]
    needs: str = ""

    def rows(self) -> Iterator[Row]:
        """As `rows` of a comparison; outcomes in them are no verdicts."""
        return _rows(self.scores)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of verdicts: one score on one slice (`*` = all cases)."""

    score: Score
    slice: str
    verdict: Verdict


def rows(comparison: Comparison) -> Iterator[Row]:
    """The table of verdicts, each score's aggregate first."""
    return _rows(comparison.scores)


def _rows(scores: Sequence[ScoreVerdict]) -> Iterator[Row]:
    for score in scores:
        yield Row(score.score, AGGREGATE, score.aggregate)
        for part in score.slices:
            yield Row(score.score, part.slice.name, part.verdict)


def document(comparison: Comparison) -> dict[str, Any]:
    """The JSON form, made of plain values."""
    ledger = comparison.ledger
    return {
        "format": FORMAT,
        "file": comparison.file,
        "made_at": comparison.made_at.isoformat(),
        "simulated": comparison.is_simulated,
        "stand_ins": list(comparison.stand_ins),
        "incumbent": comparison.incumbent,
        "candidate": comparison.candidate,
        "decision": comparison.ruling.decision.value,
        "reason": comparison.ruling.reason,
        "regressed": [{"score": score, "slice": part} for score, part in comparison.ruling.regressed],
        "unproven": [{"score": score, "slice": part} for score, part in comparison.ruling.unproven],
        "alpha": comparison.alpha,
        "method": sorted(
            {row.verdict.evidence.interval.method.value for row in rows(comparison) if row.verdict.evidence}
        ),
        "looks": comparison.look.number,
        "looks_planned": comparison.look.planned,
        "looks_further": comparison.look.further,
        "aggregate": "weighted by weight" if comparison.weighted else "mean over cases",
        "rows": {
            "read": ledger.read,
            "paired": comparison.paired,
            "blank": ledger.blank,
            "without_slice": comparison.without_slice,
            "excluded": ledger.excluded,
            "noted": ledger.noted,
            "problems": [
                {
                    "reason": problem.reason,
                    "excluded": problem.excluded,
                    "count": problem.count,
                    f"{ledger.unit}s": list(problem.places),
                    "example": problem.example,
                }
                for problem in ledger.problems.values()
            ],
        },
        "scores": [
            {
                "name": score.score.name,
                "range": [score.score.range.low, score.score.range.high],
                "margin": comparison.margin.of(score.score.range),
                "role": score.score.role.value,
            }
            for score in comparison.scores
        ],
        "judges": judging.documents(comparison.judges),
        "taken_on": list(comparison.taken_on),
        "slices": [_verdict(row, comparison.margin_of(row.slice)) for row in rows(comparison)],
        "seen_in_tuning": None if comparison.seen is None else _seen(comparison.seen),
        "drift": [finding_record(finding) for finding in comparison.findings],
    }


def _seen(seen: Seen) -> dict[str, Any]:
    """Differences without bounds or verdicts: the prompt was chosen by them."""
    return {
        "records": list(seen.records),
        "cases": seen.cases,
        "needs": seen.needs or None,
        "slices": [
            {
                "score": row.score.name,
                "slice": row.slice,
                "n": evidence.interval.n,
                "incumbent": row.score.range.low + evidence.incumbent * row.score.range.width,
                "candidate": row.score.range.low + evidence.candidate * row.score.range.width,
                "delta": evidence.d * row.score.range.width,
            }
            for row in seen.rows()
            if (evidence := row.verdict.evidence) is not None
        ],
    }


def _verdict(row: Row, margin: Margin) -> dict[str, Any]:
    evidence, scale = row.verdict.evidence, row.score.range
    known: dict[str, Any] = dict.fromkeys(
        ("incumbent", "candidate", "delta", "low", "high", "p_not_worse", "p_adjusted", "method", "needs_n")
    )
    if evidence is not None:
        interval = evidence.interval
        known = {
            "incumbent": scale.low + evidence.incumbent * scale.width,
            "candidate": scale.low + evidence.candidate * scale.width,
            "delta": interval.estimate * scale.width,
            "low": interval.low * scale.width,
            "high": interval.high * scale.width,
            "p_not_worse": evidence.p_not_worse,
            "p_adjusted": evidence.p_adjusted,
            "method": interval.method.value,
            "needs_n": evidence.needs_n if row.verdict.outcome is Outcome.INCONCLUSIVE else None,
        }
    return {
        "score": row.score.name,
        "slice": row.slice,
        "n": 0 if evidence is None else evidence.interval.n,
        "clusters": 0 if evidence is None else evidence.interval.clusters,
        **known,
        "margin": margin.of(scale),
        "verdict": row.verdict.outcome.value,
        "reason": row.verdict.reason,
    }


def finding_record(finding: Finding) -> dict[str, Any]:
    """One finding of drift as plain values."""
    return {
        "kind": finding.kind.value,
        "metric": finding.metric,
        "unit": finding.unit.value,
        "slice": finding.slice,
        "n": finding.interval.n,
        "incumbent": finding.incumbent,
        "candidate": finding.candidate,
        "delta": finding.delta,
        "low": _finite(finding.interval.low),
        "high": _finite(finding.interval.high),
        "p": finding.p,
        "p_adjusted": finding.p_adjusted,
        "flagged": finding.flagged,
        "reason": finding.reason,
        "examples": list(finding.examples),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

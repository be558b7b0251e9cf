"""Scores of answers, by slice: the floors that no prompt may break, and intervals for people.

A score counts for a slice where the incumbent has it. Where the candidate's is missing it counts as the worst one: a
prompt cannot win by going ungraded. What the incumbent lacks says nothing about anybody, and is left out.
Elsewhere: bounds (stats.paired), verdicts (evals.regression).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from midshift.domain.suite import AGGREGATE, NO_MARGINS, Margin
from midshift.domain.verdict import MIN_CLUSTERS
from midshift.evals import contracts
from midshift.evals.rows import Answer
from midshift.evals.suite_file import EvalCase
from midshift.stats import paired
from midshift.stats.interval import Interval

ALPHA = 0.05
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """An answer with its scores, contracts among them, each from 0 to 1. `cost_usd` None: nobody knows."""

    case: EvalCase
    answer: Answer
    scores: Mapping[str, float] = field(default_factory=dict)
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """One score on one slice (`*`: all cases), candidate against another. `interval` is None for too few clusters."""

    score: str
    slice: str
    n: int
    before: float
    after: float
    interval: Interval | None = None

    @property
    def d(self) -> float:
        """What was gained."""
        return self.after - self.before


def with_contracts(case: EvalCase, answer: Answer, scores: Mapping[str, float]) -> dict[str, float]:
    """The scores of an answer, with the promises about its form that the case asks for."""
    kept: dict[str, float] = {contracts.ANSWERED: float(answer.answered)}
    text = answer.text or ""
    if case.expects == "json":
        kept[contracts.JSON_VALID] = float(contracts.is_json(text))
    elif isinstance(case.expects, Mapping):
        kept |= _fitting(text, case.expects)
    return {**scores, **kept}


def reward(one: Scored, incumbent: Scored) -> float:
    """The mean of the scores that the incumbent has on the same case, for an optimiser that wants one number; 0 where
    there is none to speak for it."""
    names = incumbent.scores.keys()
    return sum(one.scores.get(name, 0.0) for name in names) / len(names) if names else 0.0


def _fitting(text: str, schema: Mapping[str, object]) -> dict[str, float]:
    """Nothing where the schema itself cannot tell: that is no fault of the answer."""
    try:
        return {contracts.SCHEMA: float(contracts.fits_schema(text, schema))}
    except ValueError:
        return {}


def deltas(before: Sequence[Scored], after: Sequence[Scored], alpha: float = ALPHA) -> list[Delta]:
    """Every score on all cases and on every slice; both sides have the same cases in the same order."""
    names = dict.fromkeys(name for one in before for name in one.scores)
    slices = sorted({name for one in before for name in one.case.slices})
    return [
        delta
        for score in names
        for part in (AGGREGATE, *slices)
        if (delta := _delta(score, part, before, after, alpha)) is not None
    ]


def _delta(score: str, part: str, before: Sequence[Scored], after: Sequence[Scored], alpha: float) -> Delta | None:
    both = [
        (old.case, old.scores[score], new.scores.get(score, 0.0))
        for old, new in zip(before, after, strict=True)
        if score in old.scores and (part == AGGREGATE or part in old.case.slices)
    ]
    if not both:
        return None
    cases = [case for case, _, _ in both]
    values = np.clip(np.array([pair[1:] for pair in both], dtype=np.float64), 0.0, 1.0)
    clusters = np.unique([case.cluster or f"\0{case.id}" for case in cases], return_inverse=True)[1]
    weights = np.array([case.weight for case in cases])
    independent = np.unique(clusters).size == len(cases)
    sample = paired.paired_sample(
        values[:, 0], values[:, 1], None if independent else clusters.astype(np.int64), weights
    )
    interval = paired.difference(sample, alpha) if sample.clusters >= MIN_CLUSTERS else None
    return Delta(score, part, len(both), sample.incumbent, sample.candidate, interval)


@dataclass(frozen=True, slots=True)
class Floor:
    """A slice that lies below the incumbent by more than its margin; `short` is by how much more, on the unit range."""

    score: str
    slice: str
    incumbent: float
    candidate: float
    short: float


def broken(
    found: Sequence[Delta],
    margin: float,
    watch: frozenset[str] = frozenset(),
    own: Mapping[str, Margin] = NO_MARGINS,
) -> list[Floor]:
    """The floors that a candidate breaks, the worst first.

    `found` is against the incumbent; `margin` is a fraction of the score's range, `own` are those of slices that have
    one of their own, `watch` may fall.
    """
    floors = [
        Floor(one.score, one.slice, one.before, one.after, short)
        for one in found
        if one.slice not in watch and (short := -one.d - allowed(one.slice, margin, own)) > _ROUNDING
    ]
    return sorted(floors, key=lambda floor: (-floor.short, floor.score, floor.slice))


def allowed(part: str, margin: float, own: Mapping[str, Margin] = NO_MARGINS) -> float:
    """How far a slice may fall, as a fraction of the score's range: by its own margin, or else by `margin`."""
    return own[part].fraction if part != AGGREGATE and part in own else margin

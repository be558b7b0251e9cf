"""What a suite is good for before anything is spent: its slices, what they can show, and what is missing in it.

The smallest drop that n clusters can rule out is, at best, 1 - alpha^(1/n): below that, unseen failures could be
hiding (stats.power, the rule of three). With answers that differ it is more; `likely` takes it that one case in ten
differs between the variants.
Elsewhere: the numbers after a run (regression), reading suites (config.suite_files).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from midshift.domain.suite import SliceRole
from midshift.evals.near_duplicates import repeated, repeated_in_slices, said_in
from midshift.evals.suite_file import EvalCase, SliceNote, Suite
from midshift.stats.interval import Method
from midshift.stats.power import cases_needed, detectable_drop

ALPHA = 0.05
DIFFERENT = 0.1
"""The share of cases whose score is taken to differ between the variants, where nobody has run them yet."""

_ALL = SliceNote()


@dataclass(frozen=True, slots=True)
class SliceCheck:
    """One slice; drops in points. `clusters` are what counts as independent; `needed` are cases for its margin."""

    name: str
    role: SliceRole
    cases: int
    clusters: int
    margin: float
    at_best: float
    likely: float
    needed: int

    @property
    def is_small(self) -> bool:
        """Whether no outcome at all could show that a drop beyond the margin is ruled out."""
        return self.at_best > self.margin


@dataclass(frozen=True, slots=True)
class SuiteCheck:
    """Everything that `midshift suite check` says. Ids are of cases.

    `repeated` are near-duplicates of the very same slices, as `suite build` leaves them out; `repeated_elsewhere` those
    of a case with other slices, which a built suite may have: each slice keeps what it has.
    """

    cases: int
    slices: tuple[SliceCheck, ...]
    sliceless: tuple[str, ...]
    repeated: tuple[tuple[str, str], ...]
    ungraded: tuple[str, ...]
    without_reference: tuple[str, ...]
    drafts: tuple[str, ...]
    graders: Mapping[str, int]
    repeated_elsewhere: tuple[tuple[str, str], ...] = ()


def check(suite: Suite, margin: float, notes: Mapping[str, SliceNote] | None = None) -> SuiteCheck:
    """Look at a suite, with a margin in points and what a workload or the suite itself says of slices."""
    said = suite.slices if notes is None else notes
    names = sorted({name for case in suite.cases for name in case.slices})
    asked = [said_in(case.messages) for case in suite.cases]
    same = repeated_in_slices(asked, [case.slices for case in suite.cases])
    elsewhere = [other if mine is None else None for mine, other in zip(same, repeated(asked), strict=True)]
    return SuiteCheck(
        cases=len(suite.cases),
        slices=tuple(_slice(name, suite.cases, said.get(name, _ALL), margin) for name in names),
        sliceless=tuple(case.id for case in suite.cases if not case.slices),
        repeated=_pairs(suite, same),
        ungraded=tuple(case.id for case in suite.cases if not suite.graders_of(case) and case.expects is None),
        without_reference=tuple(case.id for case in suite.cases if case.reference is None and case.draft is None),
        drafts=tuple(case.id for case in suite.cases if case.draft is not None),
        graders=_counted(suite),
        repeated_elsewhere=_pairs(suite, elsewhere),
    )


def smallest_drop(clusters: int) -> float:
    """Points that as many cases can rule out if none of them differs."""
    return 100.0 * (1.0 - math.exp(math.log(ALPHA) / clusters))


def _slice(name: str, cases: Sequence[EvalCase], note: SliceNote, margin: float) -> SliceCheck:
    inside = [case for case in cases if name in case.slices]
    clusters = len({case.cluster if case.cluster is not None else (case.id,) for case in inside})
    own = margin if note.margin is None else note.margin.points
    spread = math.sqrt(DIFFERENT)
    at_best = smallest_drop(clusters)
    return SliceCheck(
        name=name,
        role=note.role,
        cases=len(inside),
        clusters=clusters,
        margin=own,
        at_best=at_best,
        likely=max(at_best, 100.0 * detectable_drop(spread, clusters, ALPHA)),
        needed=cases_needed(spread, own / 100.0, ALPHA, Method.TANGO),
    )


def _pairs(suite: Suite, same: Sequence[int | None]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (case.id, suite.cases[other].id) for case, other in zip(suite.cases, same, strict=True) if other is not None
    )


def _counted(suite: Suite) -> dict[str, int]:
    counts: dict[str, int] = {}
    for case in suite.cases:
        for grader in suite.graders_of(case):
            counts[str(grader["type"])] = counts.get(str(grader["type"]), 0) + 1
    return dict(sorted(counts.items()))

"""From columns to verdicts: is the candidate worse than the incumbent, for each score, overall and in every slice?

Order of work for one score: pair up, average the trials of a case, reduce to a `PairedSample`, bound the difference,
adjust the p-values of the slices by Holm, judge. Then the same once more with everything that is missing read as the
worst score; a gate that is open on one reading only is INCONCLUSIVE.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from midshift.domain.gate import ScoreVerdict, SliceVerdict
from midshift.domain.suite import AGGREGATE, Margin, Range, Score, ScoreRole, Slice, SliceRole, margin_of
from midshift.domain.verdict import Evidence, Outcome, Verdict, confirmed, judge, no_data
from midshift.errors import ScoreOutOfRange, UsageError
from midshift.evals.contracts import ANSWERED
from midshift.evals.rows import Side
from midshift.evals.table import Cases, Floats, Mask, Pairs, Table
from midshift.stats import binomial, multiplicity, paired, power
from midshift.stats.interval import Method

_UNSCORED_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Rules:
    """What the verdicts are judged by: margin, one-sided level of this look, and slices that are only watched.

    `own` are the margins of slices that have one of their own; all cases together have the usual one.
    """

    margin: Margin = Margin()
    alpha: float = 0.05
    watch: frozenset[str] = frozenset()
    own: Mapping[str, Margin] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """One score on the unit range, by kept row and side: NaN where missing; and which sides answered at all."""

    incumbent: Floats
    candidate: Floats
    incumbent_answered: Mask
    candidate_answered: Mask

    @property
    def complete(self) -> Mask:
        return ~(np.isnan(self.incumbent) | np.isnan(self.candidate))

    @property
    def unanswered(self) -> Mask:
        return ~(self.incumbent_answered & self.candidate_answered)

    def with_unanswered_as_worst(self) -> _Reading:
        """The same scores, but 0 on each side that did not answer, wherever the case is graded at all."""
        graded = ~(np.isnan(self.incumbent) & np.isnan(self.candidate))
        return replace(
            self,
            incumbent=np.where(graded & ~self.incumbent_answered, 0.0, self.incumbent),
            candidate=np.where(graded & ~self.candidate_answered, 0.0, self.candidate),
        )


def verdicts(table: Table, cases: Cases, scores: Sequence[Score], rules: Rules) -> list[ScoreVerdict]:
    """Judge each of `scores`, then the contracts that the cases ask for.

    Raises:
        ScoreOutOfRange: naming the value, its place, and the option that declares another range.
        UsageError: for a score with the name of a contract, which would be judged in its place.
    """
    for score in scores:
        _require_in_range(table, score)
        _require_own_name(table, score)
    contracts = [Score(name, Range(), ScoreRole.CONTRACT) for name in (*table.contracts, ANSWERED)]
    columns = {**table.scores, **table.contracts, ANSWERED: table.answered}
    everything = [Part(None, np.ones(cases.rows.size, bool))]
    parts = everything + [Part(_slice(name, rules), mask) for name, mask in cases.slices()]
    lost = [sum(table.ledger.count(reason) for reason in _lost(side)) for side in Side]
    return [
        _unless_lost(
            _judge_score(score, _reading(columns.get(score.name), table, cases, score.range), parts, cases, rules),
            *lost,
        )
        for score in (*scores, *contracts)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """All kept rows (`slice` is None), or those of one slice."""

    slice: Slice | None
    rows: Mask


def _slice(name: str, rules: Rules) -> Slice:
    return Slice(name, SliceRole.WATCH if name in rules.watch else SliceRole.CRITICAL, rules.own.get(name))


def _require_in_range(table: Table, score: Score) -> None:
    extremes = table.extremes.get(score.name)
    if extremes is None:
        return
    for value, place in ((extremes.low, extremes.low_place), (extremes.high, extremes.high_place)):
        if value not in score.range:
            low = min(math.floor(extremes.low), score.range.low)
            high = max(math.ceil(extremes.high), score.range.high)
            raise ScoreOutOfRange(
                f"score {score.name!r} is {value:g} at {table.ledger.unit} {place}, outside its range {score.range}. "
                f"Declare the range that its grader can give, for example --score {score.name}:{low:g}..{high:g} "
                f"(values here: {extremes.low:g}..{extremes.high:g})"
            )


def _require_own_name(table: Table, score: Score) -> None:
    if score.name == ANSWERED or score.name in table.contracts:
        raise UsageError(
            f"found the score {score.name!r}, expected another name: under this one midshift measures a contract on "
            "the answers themselves. Type next: another name for it in the file"
        )


def _reading(column: Pairs | None, table: Table, cases: Cases, score_range: Range) -> _Reading:
    answered = [side[cases.rows] == 1.0 for side in table.answered.arrays()]
    if column is None:
        nothing = np.full(cases.rows.size, math.nan)
        return _Reading(nothing, nothing, *answered)
    values = [(side[cases.rows] - score_range.low) / score_range.width for side in column.arrays()]
    return _Reading(values[0], values[1], *answered)


def _judge_score(score: Score, own: _Reading, parts: Sequence[Part], cases: Cases, rules: Rules) -> ScoreVerdict:
    verdicts = _judge_reading(own, parts, cases, rules)
    if score.name != ANSWERED and bool(own.unanswered.any()):
        worst = _judge_reading(own.with_unanswered_as_worst(), parts, cases, rules)
        verdicts = [
            confirmed(first, second, "unanswered requests") for first, second in zip(verdicts, worst, strict=True)
        ]
    verdicts = [_unless_unscored(verdict, own, part.rows) for verdict, part in zip(verdicts, parts, strict=True)]
    slices = [
        SliceVerdict(part.slice, verdict)
        for part, verdict in zip(parts, verdicts, strict=True)
        if part.slice is not None
    ]
    return ScoreVerdict(score, verdicts[0], tuple(slices))


def _judge_reading(reading: _Reading, parts: Sequence[Part], cases: Cases, rules: Rules) -> list[Verdict]:
    """A verdict a part: all cases unadjusted, the slices that have data by Holm."""
    samples = [_sample(reading, reading.complete & part.rows, cases) for part in parts]
    raw = [None if sample is None else paired.p_not_worse(sample) for sample in samples]
    family = [p for p, part in zip(raw, parts, strict=True) if p is not None and part.slice is not None]
    adjusted = iter(multiplicity.holm(family))
    verdicts = []
    for sample, p, part in zip(samples, raw, parts, strict=True):
        if sample is None or p is None:
            verdicts.append(no_data("no case has this score for both variants"))
        elif part.slice is None:
            verdicts.append(judge(_evidence(sample, rules, AGGREGATE, p, p, 1)))
        else:
            verdicts.append(judge(_evidence(sample, rules, part.slice.name, p, next(adjusted), len(family))))
    return verdicts


def _sample(reading: _Reading, usable: Mask, cases: Cases) -> paired.PairedSample | None:
    """The paired sample of the usable rows, trials of one case averaged first; None without any."""
    if not bool(usable.any()):
        return None
    incumbent, candidate = reading.incumbent[usable], reading.candidate[usable]
    weight, cluster = cases.weight[usable], cases.cluster[usable]
    _, first, index, trials = np.unique(cases.case[usable], return_index=True, return_inverse=True, return_counts=True)
    if first.size < incumbent.size:
        incumbent = np.bincount(index, incumbent) / trials
        candidate = np.bincount(index, candidate) / trials
        weight, cluster = weight[first], cluster[first]
    independent = np.unique(cluster).size == cluster.size
    return paired.paired_sample(
        np.clip(incumbent, 0.0, 1.0), np.clip(candidate, 0.0, 1.0), None if independent else cluster, weight
    )


def _evidence(
    sample: paired.PairedSample, rules: Rules, part: str, p: float, p_adjusted: float, family: int
) -> Evidence:
    interval = paired.difference(sample, rules.alpha)
    margin = margin_of(part, rules.margin, rules.own).fraction
    settled = interval.low > -margin or p_adjusted < rules.alpha
    return Evidence(
        interval=interval,
        incumbent=sample.incumbent,
        candidate=sample.candidate,
        margin=margin,
        p_not_worse=p,
        p_adjusted=p_adjusted,
        family=family,
        needs_n=None if settled else _needs(sample, margin, rules.alpha, interval.method),
    )


def _needs(sample: paired.PairedSample, margin: float, alpha: float, method: Method) -> int:
    """Cases in all that would settle the question if there is no difference, or else if it is the one seen."""
    clusters = (paired.design_effect(sample), paired.typical_cluster(sample))
    if_equal = power.cases_needed(sample.spread, margin, alpha, method, *clusters)
    if if_equal > sample.n:
        return if_equal
    seen = sample.estimate
    if seen > -margin:
        return max(sample.n + 1, power.cases_needed(sample.spread, margin + seen, alpha, method, *clusters))
    return max(sample.n + 1, power.cases_needed(sample.spread, -seen, alpha, method, *clusters))


def _lost(side: Side) -> tuple[str, ...]:
    """The reasons for which a row is left out because one side's output is not usable."""
    return (f"no_{side}_output", f"bad_{side}_output", f"bad_{side}_text")


def _unless_lost(score: ScoreVerdict, incumbent_lost: int, candidate_lost: int) -> ScoreVerdict:
    """No open gate where the candidate's outputs are missing from more rows than chance explains."""
    if not score.aggregate.outcome.clears or candidate_lost <= incumbent_lost:
        return score
    if binomial.sign_test(incumbent_lost, candidate_lost) >= _UNSCORED_LEVEL:
        return score
    reason = (
        f"{score.aggregate.outcome} on the rows that have both outputs, but the candidate's is missing from "
        f"{candidate_lost:,} rows (incumbent's: {incumbent_lost:,}); record what is missing, or --skip it knowingly"
    )
    return replace(score, aggregate=replace(score.aggregate, outcome=Outcome.INCONCLUSIVE, reason=reason))


def _unless_unscored(verdict: Verdict, own: _Reading, rows: Mask) -> Verdict:
    """No open gate where the candidate's answers go ungraded more often than the incumbent's: that is a signal too."""
    both_answered = rows & ~own.unanswered
    candidate_only = int((both_answered & np.isnan(own.candidate) & ~np.isnan(own.incumbent)).sum())
    incumbent_only = int((both_answered & np.isnan(own.incumbent) & ~np.isnan(own.candidate)).sum())
    if not verdict.outcome.clears or candidate_only <= incumbent_only:
        return verdict
    if binomial.sign_test(incumbent_only, candidate_only) >= _UNSCORED_LEVEL:
        return verdict
    reason = (
        f"{verdict.outcome} on what is graded, but {candidate_only} answers of the candidate have no score "
        f"(incumbent: {incumbent_only}); grade them"
    )
    return replace(verdict, outcome=Outcome.INCONCLUSIVE, reason=reason)

"""Numbers, ranges and decisions in words; the same in the terminal and on the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from midshift.domain.gate import Decision, ScoreVerdict
from midshift.domain.suite import AGGREGATE, Range, ScoreRole
from midshift.domain.verdict import MIN_CLUSTERS, Outcome, Verdict, points
from midshift.evals.rows import places_in_words
from midshift.reports.comparison import Comparison, Row, Seen
from midshift.shadow.drift import Finding, Unit
from midshift.stats.interval import Interval

MINUS = "\u2212"
UNKNOWN = "unknown"
SIMULATED_NOTE = "SIMULATED: no provider was called; the figures are measured on made-up answers"


def simulated_note(comparison: Comparison) -> str:
    """What to say where figures are not a provider's."""
    return stand_in_note(comparison.stand_ins) if comparison.stand_ins else SIMULATED_NOTE


def stand_in_note(names: Sequence[str]) -> str:
    """Whose figures these are, where a server of this machine answered for providers."""
    return f"SIMULATED: a stand-in answered for {', '.join(names)}, no vendor; every figure is its own"


def looks(comparison: Comparison) -> str:
    """Which look this is; nothing for the only one."""
    look, total = comparison.look, comparison.alpha * comparison.look.planned * 2**comparison.look.further
    if look.further:
        return (
            f"look {look.number + look.further} at cases that were judged before: with the looks before it "
            f"{100 * look.spent(total):.3g} % of error is spent"
        )
    return f"look {look.number} of {look.planned}" if look.planned > 1 else ""


def seen_in_tuning(seen: Seen) -> list[str]:
    """The cases that a prompt was tuned on: how many, and what they show, without a verdict."""
    told = f"seen in tuning, shown and never gating: {seen.cases:,} cases ({', '.join(seen.records)})"
    unsaid = ["the record does not say which cases it was tuned on, so it may have been any"] if seen.unsaid else []
    lines = []
    for row in seen.rows():
        evidence = row.verdict.evidence
        if evidence is not None and row.score.role is ScoreRole.QUALITY:
            old, new = score_value(row, evidence.incumbent), score_value(row, evidence.candidate)
            change = score_change(evidence.d, row.score.range)
            lines.append(f"  {row.score.name} {row.slice}: {old} → {new} ({change} on {evidence.interval.n:,})")
    return [*([seen.needs] if seen.needs else []), told, *unsaid, *lines]


TITLES = {
    Decision.PROCEED: "PROCEED",
    Decision.PROCEED_WITH_CAUTION: "PROCEED WITH CAUTION",
    Decision.COLLECT_MORE: "COLLECT MORE",
    Decision.RETUNE: "RETUNE",
    Decision.STOP: "STOP",
}

_EXCLUSIONS = {
    "not_json": "not JSON",
    "not_utf8": "not UTF-8",
    "not_an_object": "not a JSON object",
    "line_too_long": "line too long",
    "no_id": "no usable id",
    "no_outputs": "no outputs",
    "no_incumbent_output": "no output of the incumbent",
    "no_candidate_output": "no output of the candidate",
    "duplicate_id": "id seen before",
    "skipped": "skipped as asked",
}


def headline(comparison: Comparison) -> str:
    """What the data can decide, in one sentence; the decision's title stands before it."""
    ruling = comparison.ruling
    leading = leading_score(comparison)
    if leading is None or ruling.decision in (Decision.RETUNE, Decision.STOP):
        return ruling.reason
    said = [f"{leading.score.name}: {_overall(leading.aggregate)}"]
    unproven = {part for _, part in ruling.unproven}
    if unproven:
        said.append(f"shadow will settle {len(unproven)} slice{'' if len(unproven) == 1 else 's'}")
    regressed = {part for _, part in ruling.regressed}
    if regressed:
        said.append(f"regressed in {', '.join(sorted(regressed))}")
    return "; ".join(said)


def leading_score(comparison: Comparison) -> ScoreVerdict | None:
    """The score that the first line speaks of: the first that brought the decision about; None without any grade."""
    if not any(score.score.role is ScoreRole.QUALITY for score in comparison.scores):
        return None
    named = [score for score in comparison.scores if comparison.ruling.reason.startswith(f"{score.score.name}:")]
    return named[0] if named else comparison.scores[0]


def _overall(verdict: Verdict) -> str:
    """The aggregate's reason, with `overall` behind its first statement."""
    bound, _, rest = verdict.reason.partition("; ")
    return f"{bound} overall{f'; {rest}' if rest else ''}"


def rows_read(comparison: Comparison) -> str:
    """`824 pairs of 850 rows; left out: 26 skipped as asked`."""
    ledger = comparison.ledger
    excluded = [
        f"{count:,} {_EXCLUSIONS.get(reason, reason.replace('_', ' '))}" for reason, count in ledger.excluded.items()
    ]
    left_out = f"; left out: {', '.join(excluded)}" if excluded else ""
    return f"{comparison.paired:,} pairs of {ledger.read:,} rows{left_out}"


def troubles(comparison: Comparison) -> list[str]:
    """One line a kind of problem: how often, where first, and an example."""
    ledger = comparison.ledger
    told = []
    for problem in ledger.problems.values():
        if problem.reason == "skipped":
            continue
        name = _EXCLUSIONS.get(problem.reason, problem.reason.replace("_", " "))
        where = places_in_words(ledger.unit, problem.places, problem.count)
        example = f" ({problem.example})" if problem.example else ""
        told.append(f"{name}: {problem.count:,}, {where}{example}")
    if comparison.without_slice:
        told.append(f"no slice: {comparison.without_slice:,} rows count in {AGGREGATE} alone")
    return told


def settled_by(verdict: Verdict) -> str:
    """What an open question waits for: `+1,751 cases`; its sentence where no number of cases says it all."""
    if verdict.outcome.clears or verdict.outcome is Outcome.FAIL:
        return ""
    evidence = verdict.evidence
    if evidence is None or evidence.needs_n is None or evidence.interval.clusters < MIN_CLUSTERS:
        return verdict.reason
    return f"+{max(evidence.needs_n - evidence.interval.n, 1):,} cases"


def score_value(row: Row, side: float | None) -> str:
    """A mean score as a person reads it: per cent of a 0..1 score, else its own unit. `side` is on the unit range."""
    if side is None:
        return UNKNOWN
    scale = row.score.range
    return f"{100 * side:.1f}" if scale.is_unit else f"{scale.low + side * scale.width:.2f}"


def score_change(change: float | None, scale: Range) -> str:
    """A difference of a score (on the unit range) with its sign, in points or the score's own unit."""
    if change is None or not math.isfinite(change):
        return UNKNOWN
    return signed(100 * change, 1) if scale.is_unit else signed(change * scale.width, 2)


def score_bounds(interval: Interval, scale: Range) -> str:
    """The bounds of a difference, in points rounded as the verdict's sentence rounds them."""
    low = outwards(interval.low) if scale.is_unit else interval.low
    return f"{score_change(low, scale)} to {score_change(interval.high, scale)}"


def outwards(low: float) -> float:
    """A lower bound (on the unit range) in whole tenths of a point, as `domain.verdict` promises a drop: no smaller."""
    if not math.isfinite(low) or low >= 0.0:
        return low
    return -float(points(-low, up=True).split()[0]) / 100.0


def drift_value(value: float, unit: Unit) -> str:
    """A drift metric's value with its unit."""
    if not math.isfinite(value):
        return UNKNOWN
    match unit:
        case Unit.SHARE:
            return f"{100 * value:.1f} %"
        case Unit.SECONDS:
            return f"{value:.{_digits(value, 2)}f} s"
        case Unit.USD:
            return f"${value:.{_digits(value, 5)}f}"
        case _:
            return f"{value:,.{_digits(value, 0)}f} {unit.value}"


def drift_change(finding: Finding) -> str:
    """How far a metric moved: points for shares, per cent of the incumbent's value otherwise."""
    if not (math.isfinite(finding.incumbent) and math.isfinite(finding.delta)):
        return UNKNOWN
    if finding.unit is Unit.SHARE:
        return f"{signed(100 * finding.delta, 1)} pt"
    if finding.incumbent == 0.0:
        return "from 0" if finding.delta else "0"
    factor = 100 / finding.incumbent
    return f"{signed(factor * finding.delta, _digits_of_per_cent(finding, factor))} %"


def drift_bounds(finding: Finding) -> str:
    """The 95 % interval of the change, in the unit in which `drift_change` says it; from 0, in that of the metric."""
    low, high = finding.interval.low, finding.interval.high
    if not finding.interval.bounded:
        return UNKNOWN
    if finding.unit is Unit.SHARE:
        return f"{signed(100 * low, 1)} to {signed(100 * high, 1)} pt"
    if finding.incumbent > 0.0:
        factor = 100 / finding.incumbent
        digits = _digits_of_per_cent(finding, factor)
        return f"{signed(factor * low, digits)} to {signed(factor * high, digits)} %"
    digits = _digits(max(abs(low), abs(high)), {Unit.SECONDS: 2, Unit.USD: 5}.get(finding.unit, 0))
    return f"{signed(low, digits)} to {signed(high, digits)} {finding.unit.value}"


def _digits_of_per_cent(finding: Finding, factor: float) -> int:
    """One decimal where everything is below 10 %, so that a change and its bounds are not all `0 %`."""
    known = (value for value in (finding.delta, finding.interval.low, finding.interval.high) if math.isfinite(value))
    return int(0.0 < max(map(abs, known), default=0.0) * abs(factor) < 10.0)


def _digits(value: float, least: int) -> int:
    """Decimals that leave at least two digits that say something."""
    if value == 0.0 or not math.isfinite(value):
        return least
    return min(max(least, 1 - math.floor(math.log10(abs(value)))), 12) if abs(value) < 10.0 else least


def signed(value: float, digits: int) -> str:
    """`+1.2`, `−1.2`, `0.0`: a typographic minus, and no sign on what rounds to zero."""
    text = f"{abs(value):,.{digits}f}"
    if not text.strip("0.,"):
        return text
    return f"{MINUS if value < 0 else '+'}{text}"

"""From stored sums to the numbers that a decision sees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from midshift.domain.evidence import EvalEvidence, Evidence, Guard, Promise, ShadowEvidence
from midshift.domain.exposure import HistogramKey, ShadowAnswer, Sum, SumKey
from midshift.domain.histogram import Histogram
from midshift.domain.routing import BLOCKS, Arm
from midshift.domain.suite import AGGREGATE
from midshift.domain.upgrade import Stage, Upgrade
from midshift.stats import blocks

ALPHA = 0.05
_SHADOW_STEP = 0
_JUDGED = (Stage.SHADOW, Stage.CANARY, Stage.SOAK)
_GUARDS = (("error rate", "error"),)

METRICS = ("error", "paired", "cost_usd", "cost_unknown")
"""The metrics that evidence is made of."""
LATENCY = "latency_s"
"""The histogram that evidence is made of."""
_P99 = 0.99

StoredSums = Mapping[SumKey, Sum]
StoredHistograms = Mapping[HistogramKey, Histogram]


@dataclass(frozen=True, slots=True)
class Taken:
    """What unseen answers of a candidate took: of `n`, with the cost of `unknown` not known. None is unknown."""

    n: int = 0
    unknown: int = 0
    mean_cost_usd: float | None = None
    p99_latency_s: float | None = None


def gather(
    upgrade: Upgrade,
    sums: StoredSums,
    found: EvalEvidence | None,
    flagged: tuple[str, ...],
    histograms: StoredHistograms = MappingProxyType({}),
    unseen: Taken | None = None,
    eval_trouble: str = "",
) -> Evidence:
    """Everything that one decision about `upgrade` sees. `unseen` is what its answers in shadow took."""
    taken = _taken(upgrade, sums, histograms) if upgrade.stage.serves_candidate else unseen
    return Evidence(
        eval=found,
        shadow=_shadow(sums, flagged) if upgrade.stage is Stage.SHADOW else None,
        guards=tuple(_guard(upgrade, sums, *guard) for guard in _GUARDS) if upgrade.stage.serves_candidate else (),
        served=_count(sums, upgrade.step + 1, Arm.CANDIDATE) if upgrade.stage.serves_candidate else 0,
        promises=_promises(upgrade, taken) if upgrade.stage in _JUDGED else (),
        eval_trouble=eval_trouble,
    )


def taken_by(answers: Iterable[ShadowAnswer]) -> Taken | None:
    """What answers that nobody saw took; those that failed took nothing that can be compared. None without any."""
    n, costs, latencies = 0, list[float](), Histogram()
    for answer in answers:
        if answer.status != 200:
            continue
        n += 1
        if answer.cost_usd is not None:
            costs.append(answer.cost_usd)
        if answer.latency_s is not None:
            latencies.add(answer.latency_s)
    if n == 0:
        return None
    return Taken(n, n - len(costs), sum(costs) / len(costs) if costs else None, latencies.quantile(_P99))


def to_record(evidence: Evidence) -> dict[str, Any]:
    """The evidence as plain JSON, for the event log."""
    record: dict[str, Any] = msgspec.to_builtins(evidence)
    return record


def from_record(record: Mapping[str, object]) -> Evidence:
    """The evidence of a logged decision, to decide it again."""
    return msgspec.convert(record, Evidence)


def _guard(upgrade: Upgrade, sums: StoredSums, name: str, metric: str) -> Guard:
    """How much worse the candidate is in every step that served both arms, split over the guards' alpha.

    In soak nobody is left to compare with at the same time, so the incumbent of the canary stands in.
    """
    threshold = upgrade.plan.halts.error_rate_points / 100.0
    canary = range(1, len(upgrade.plan.steps))
    strata = [(_arm(sums, step, Arm.INCUMBENT, metric), _arm(sums, step, Arm.CANDIDATE, metric)) for step in canary]
    if upgrade.stage is Stage.SOAK:
        before = blocks.ArmSums(
            np.sum([old.counts for old, _ in strata], axis=0), np.sum([old.totals for old, _ in strata], axis=0)
        )
        strata = [(before, _arm(sums, upgrade.step + 1, Arm.CANDIDATE, metric))]
    seen = {
        "n_incumbent": round(sum(old.n for old, _ in strata)),
        "n_candidate": round(sum(new.n for _, new in strata)),
    }
    interval = blocks.difference(strata, ALPHA / len(_GUARDS))
    if interval is None:
        return Guard(name, threshold, **seen)
    return Guard(name, threshold, interval.estimate, interval.low, interval.high, **seen)


def _promises(upgrade: Upgrade, taken: Taken | None) -> tuple[Promise, ...]:
    budgets, seen = upgrade.plan.budgets, taken or Taken()
    found = []
    if budgets.cost_per_call_usd is not None:
        cost = seen.mean_cost_usd
        found.append(Promise("cost per call", budgets.cost_per_call_usd, "USD", cost, seen.n, seen.unknown))
    if budgets.p99_latency_ms is not None:
        p99_ms = None if seen.p99_latency_s is None else 1000.0 * seen.p99_latency_s
        found.append(Promise("p99 latency", budgets.p99_latency_ms, "ms", p99_ms, seen.n))
    return tuple(found)


def _taken(upgrade: Upgrade, sums: StoredSums, histograms: StoredHistograms) -> Taken:
    """What the candidate's answers took since its step began; one of which a gateway says nothing is unknown too."""
    step = upgrade.step + 1
    cost, asked = (_arm(sums, step, Arm.CANDIDATE, metric) for metric in ("cost_usd", "cost_unknown"))
    served = _count(sums, step, Arm.CANDIDATE)
    priced = round(cost.n)
    whole = Histogram()
    for key, found in histograms.items():
        if (key.step, key.arm, key.metric, key.slice) == (step, Arm.CANDIDATE, LATENCY, AGGREGATE):
            whole.merge(found.buckets)
    answered = served - round(float(_arm(sums, step, Arm.CANDIDATE, "error").totals.sum()))
    mean = float(cost.totals.sum()) / priced if priced else None
    unknown = round(float(asked.totals.sum())) + max(answered - round(asked.n), 0)
    return Taken(served, unknown, mean, whole.quantile(_P99))


def _arm(sums: StoredSums, step: int, arm: Arm, metric: str) -> blocks.ArmSums:
    counts, totals = np.zeros(BLOCKS), np.zeros(BLOCKS)
    for key, stored in sums.items():
        if key.step == step and key.arm is arm and key.metric == metric and key.slice == AGGREGATE:
            counts[key.block] += stored.n
            totals[key.block] += stored.total
    return blocks.ArmSums(counts, totals)


def _count(sums: StoredSums, step: int, arm: Arm) -> int:
    return round(_arm(sums, step, arm, "error").n)


def _shadow(sums: StoredSums, flagged: tuple[str, ...]) -> ShadowEvidence:
    pairs = _arm(sums, _SHADOW_STEP, Arm.INCUMBENT, "paired")
    return ShadowEvidence(eligible=round(pairs.n), paired=round(float(pairs.totals.sum())), flagged=flagged)

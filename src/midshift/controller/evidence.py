"""From stored sums to the numbers that a decision sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from midshift.domain.evidence import EvalEvidence, Evidence, Guard, ShadowEvidence
from midshift.domain.exposure import Sum, SumKey
from midshift.domain.routing import BLOCKS, Arm
from midshift.domain.suite import AGGREGATE
from midshift.domain.upgrade import Stage, Upgrade
from midshift.stats import blocks

ALPHA = 0.05
_SHADOW_STEP = 0
_GUARDS = (("error rate", "error"),)

METRICS = ("error", "paired")
"""The metrics that evidence is made of."""

StoredSums = Mapping[SumKey, Sum]


def gather(upgrade: Upgrade, sums: StoredSums, found: EvalEvidence | None, flagged: tuple[str, ...]) -> Evidence:
    """Everything that one decision about `upgrade` sees."""
    return Evidence(
        eval=found,
        shadow=_shadow(sums, flagged) if upgrade.stage is Stage.SHADOW else None,
        guards=tuple(_guard(upgrade, sums, *guard) for guard in _GUARDS) if upgrade.stage.serves_candidate else (),
        served=_count(sums, upgrade.step + 1, Arm.CANDIDATE) if upgrade.stage.serves_candidate else 0,
    )


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

"""Several candidates against one incumbent: quality, latency and cost of each, who is beaten by nobody, and the guards.

Quality is the verdict's business and is only repeated here. Cost is per call, all its tokens and their reasoning
included, and never per token: a cheaper token that is needed twice is no saving. Latency quantiles are those of the
sample, the value at rank ceil(q × n). Unknown is None, beats nobody and clears nothing.

Two guards of the playbook's eight:
    G7  cost down and quality down is called a regression, in those words
    G8  another effort is judged only with new cost and latency evidence of both
Elsewhere: verdicts and decision (gate), why costs differ (cost_split).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from midshift.domain.gate import Decision
from midshift.domain.variant import Variant
from midshift.domain.workload import Budgets

G7 = "G7"
G8 = "G8"
CHEAPER_BUT_WORSE = "cost down and quality down: a regression"


@dataclass(frozen=True, slots=True)
class Economy:
    """What one variant took over the same calls. `cost_usd` is per call; None with `why`, where one is unknown.

    `first_tokens` counts the calls whose first token was timed; its quantiles are those of these calls.
    """

    calls: int
    cost_usd: float | None = None
    p50_s: float | None = None
    p99_s: float | None = None
    why: str = ""
    p90_s: float | None = None
    first_tokens: int = 0
    first_token_p50_s: float | None = None
    first_token_p90_s: float | None = None


@dataclass(frozen=True, slots=True)
class Guarded:
    """A guard that speaks up: its code, and the sentence. `blocks` if the candidate may not go on without a person."""

    code: str
    words: str
    blocks: bool
    overridden: str = ""
    """By whom and why, if a person took it upon themselves."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One variant in the bake-off. `quality` is the mean of the first quality score, in the score's unit."""

    name: str
    quality: float | None
    economy: Economy
    decision: Decision | None = None
    guards: tuple[Guarded, ...] = ()
    over: tuple[str, ...] = ()
    """The budgets that it breaks, or that nobody can check, in words."""

    @property
    def clears(self) -> bool:
        """Whether every gate is open: the decision, the guards and the budgets."""
        return self.decision is Decision.PROCEED and not self.over and not any(guard.blocks for guard in self.guards)


def economy(
    latencies_s: Sequence[float | None],
    costs_usd: Sequence[float | None],
    first_tokens_s: Sequence[float | None] = (),
) -> Economy:
    """Cost and latency of one variant's calls; latency over those that were answered."""
    known, first = (sorted(value for value in values if value is not None) for values in (latencies_s, first_tokens_s))
    missing = sum(value is None for value in costs_usd)
    why = f"the cost of {missing:,} of {len(costs_usd):,} calls is unknown" if missing else ""
    cost = None if missing or not costs_usd else math.fsum(value or 0.0 for value in costs_usd) / len(costs_usd)
    return Economy(
        calls=len(costs_usd),
        cost_usd=cost,
        p50_s=quantile(known, 0.5),
        p90_s=quantile(known, 0.9),
        p99_s=quantile(known, 0.99),
        first_tokens=len(first),
        first_token_p50_s=quantile(first, 0.5),
        first_token_p90_s=quantile(first, 0.9),
        why=why,
    )


def quantile(ordered: Sequence[float], q: float) -> float | None:
    """The value at rank ceil(q × n) of an ordered sample; None of an empty one."""
    return ordered[max(math.ceil(q * len(ordered)) - 1, 0)] if ordered else None


def guards(
    decision: Decision, is_worse: bool, variants: tuple[Variant, Variant], economies: tuple[Economy, Economy]
) -> tuple[Guarded, ...]:
    """What the guards say of (incumbent, candidate); `is_worse` if a gate found the candidate's quality down."""
    found = [_cheaper_but_worse(decision, is_worse, economies), _effort(variants, economies)]
    return tuple(guard for guard in found if guard is not None)


def overridden(found: Sequence[Guarded], said: Mapping[str, str]) -> tuple[Guarded, ...]:
    """The guards, where those that a person stepped over block no more; `said` has who and why by code."""
    return tuple(
        replace(guard, blocks=False, overridden=said[guard.code]) if said.get(guard.code, "").strip() else guard
        for guard in found
    )


def over_budget(budgets: Budgets, found: Economy) -> tuple[str, ...]:
    """The promises of a workload that a variant breaks, or of which nobody knows; in words."""
    limits = (
        ("p99 latency", budgets.p99_latency_ms, None if found.p99_s is None else 1000.0 * found.p99_s, "ms"),
        ("cost a call", budgets.cost_per_call_usd, found.cost_usd, "USD"),
    )
    return tuple(
        f"{name} is unknown, at most {limit:g} {unit} is promised"
        if value is None
        else f"{name} is {value:.4g} {unit}, at most {limit:g} {unit} is promised"
        for name, limit, value, unit in limits
        if limit is not None and not (value is not None and value <= limit)
    )


def frontier(contenders: Sequence[Contender]) -> frozenset[str]:
    """Who is beaten by nobody: no other is as good, as cheap and as fast, and better in one of them."""
    full = [one for one in contenders if None not in _point(one)]
    return frozenset(one.name for one in full if not any(_beats(other, one) for other in full))


def cheapest_clear(contenders: Sequence[Contender]) -> Contender | None:
    """The cheapest candidate that clears every gate; of equally cheap ones the first. An unknown cost is never it."""
    clear = [one for one in contenders if one.clears and one.economy.cost_usd is not None]
    return min(clear, key=lambda one: one.economy.cost_usd or 0.0, default=None)


def _cheaper_but_worse(decision: Decision, is_worse: bool, economies: tuple[Economy, Economy]) -> Guarded | None:
    before, after = (found.cost_usd for found in economies)
    if not is_worse or before is None or after is None or after >= before:
        return None
    fewer = f"{100 * (1 - after / before):.1f} % less a call"
    return Guarded(G7, f"{CHEAPER_BUT_WORSE} ({fewer}); cheaper is no reason to accept it", True)


def _effort(variants: tuple[Variant, Variant], economies: tuple[Economy, Economy]) -> Guarded | None:
    before, after = (variant.effort for variant in variants)
    names = ("incumbent", "candidate")
    unknown = [
        f"the {name}'s {what}"
        for name, found in zip(names, economies, strict=True)
        for what, value in (("cost", found.cost_usd), ("latency", found.p99_s))
        if value is None
    ]
    if before == after or not unknown:
        return None
    crossed = f"effort {before or 'by default'} → {after or 'by default'}"
    return Guarded(G8, f"{crossed} without new evidence of {', '.join(unknown)}", True)


def _point(one: Contender) -> tuple[float | None, float | None, float | None]:
    cost, p99 = one.economy.cost_usd, one.economy.p99_s
    return (one.quality, None if cost is None else -cost, None if p99 is None else -p99)


def _beats(one: Contender, other: Contender) -> bool:
    ours, theirs = _point(one), _point(other)
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)

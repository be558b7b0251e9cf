"""Why two runs over the same cases cost differently: prices, tokens, reasoning, each with its share, and nothing left.

Method: the logarithmic mean Divisia index (LMDI-I; Ang 2004, "Decomposition analysis for policymaking in energy",
Energy Policy 32, 1131-1139). The cost of a case is a sum over kinds k (input, visible output, reasoning, searches) of

    cost_k = quantity_k × list price_k × mix_k

with `mix` what a token really cost over its list price: cache reads and writes, audio, long context. Each factor x adds
sum_k L(after_k, before_k) × ln(x_after / x_before), where L(a, b) = (a - b) / ln(a / b). The effects add up to the
difference exactly, need no order, and change sign when the runs are exchanged. As multipliers, exp(effect / L(after,
before)), their product is the ratio of the costs exactly.

A kind that one run does not have has no logarithm: the limit for a quantity that goes to zero gives the whole change to
the quantity (Ang and Liu 2007, Energy Policy 35, 238-246), and so to the price for one that goes to zero.
An unknown part on either side makes the whole split unknown. Elsewhere: the cost of one call (`domain.cost`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from midshift.domain.cost import UnitPrices, cost
from midshift.domain.usage import Usage

KINDS = ("input", "visible", "reasoning", "searches")
_INPUT = ("input", "cached_in", "cache_write", "cache_write_long", "audio_in", "cached_audio_in")
_PER_MILLION = Decimal("0.000001")
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Amount:
    """Of one kind: how much was used, what it would cost at the list price of the model, and what it cost."""

    quantity: int = 0
    at_list_usd: Decimal = _ZERO
    usd: Decimal = _ZERO

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.quantity + other.quantity, self.at_list_usd + other.at_list_usd, self.usd + other.usd)


@dataclass(frozen=True, slots=True)
class Spend:
    """What one run over `cases` cases used and cost, by kind; `why` says what is unknown, and then nothing else counts.

    `characters_in` is the length of all input texts, where it was measured: it tells a tokenizer from a longer prompt.
    """

    cases: int
    amounts: Mapping[str, Amount] = field(default_factory=dict)
    characters_in: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Effects:
    """One number for each cause: as USD per case they add up to the difference, as multipliers they give the ratio.

    `price` is the list price; `mix` is caching, audio and long context; the others are quantities.
    """

    price: float
    mix: float
    input: float
    visible: float
    reasoning: float
    searches: float


@dataclass(frozen=True, slots=True)
class CostSplit:
    """The difference between two runs in USD per case; None, with the reason as `why`, where it is unknown.

    `ratio` and `multipliers` are None where one of the runs cost nothing. Of the input's effect, `tokenizer_usd` is the
    part of more or fewer tokens for the same characters, and `text_usd` that of more or fewer characters; both are None
    where characters were not measured, or one of the runs had no input to pay for.
    """

    incumbent_usd: float | None = None
    candidate_usd: float | None = None
    effects_usd: Effects | None = None
    ratio: float | None = None
    multipliers: Effects | None = None
    tokenizer_usd: float | None = None
    text_usd: float | None = None
    why: str = ""


def spend(calls: Iterable[tuple[Usage, UnitPrices | None]], characters_in: int | None = None) -> Spend:
    """Add up the calls of one run, one a case. Visible output and reasoning must be told apart by the provider."""
    totals, number = dict.fromkeys(KINDS, Amount()), 0
    for number, (usage, prices) in enumerate(calls, start=1):
        found, why = _amounts(usage, prices)
        if why:
            return Spend(number, why=f"call {number}: {why}")
        totals = {kind: totals[kind] + found[kind] for kind in KINDS}
    return Spend(number, totals, characters_in, "" if number else "there are no calls")


def split(incumbent: Spend, candidate: Spend) -> CostSplit:
    """What makes the candidate's cost a case another than the incumbent's.

    Raises:
        ValueError: if the runs are not over equally many cases.
    """
    for name, run in (("incumbent", incumbent), ("candidate", candidate)):
        if run.why:
            return CostSplit(why=f"{name}: {run.why}")
    if incumbent.cases != candidate.cases:
        raise ValueError(f"a split is over the same cases, got {incumbent.cases} and {candidate.cases}")
    before, after = _per_case(incumbent), _per_case(candidate)
    effects = _effects(incumbent, candidate)
    tokenizer, text = _of_input(incumbent, candidate)
    is_ratio = before > 0 and after > 0
    return CostSplit(
        before,
        after,
        effects,
        after / before if is_ratio else None,
        _multipliers(effects, log_mean(after, before)) if is_ratio else None,
        tokenizer,
        text,
    )


def log_mean(a: float, b: float) -> float:
    """The logarithmic mean of two positive numbers: between geometric and arithmetic mean; `a` where they are equal."""
    if a == b:
        return a
    relative = (a - b) / b  # close to 0 the logarithm of the ratio has lost its digits
    return (a - b) / (math.log1p(relative) if abs(relative) < 0.5 else math.log(a) - math.log(b))


def _amounts(usage: Usage, prices: UnitPrices | None) -> tuple[dict[str, Amount], str]:
    if prices is None:
        return {}, "no prices"
    found = cost(usage, prices)
    if found.total_usd is None:
        return {}, found.why
    if usage.reasoning_out is None and usage.tokens_out:
        return {}, "reasoning_out was not reported"
    tokens_in, tokens_out, reasoning = usage.tokens_in or 0, usage.tokens_out or 0, usage.reasoning_out or 0
    rates, parts = prices.rates, found.parts
    rate_of_reasoning = rates.output if rates.reasoning is None else rates.reasoning
    spent = {
        "input": sum((parts.get(name, _ZERO) for name in _INPUT), _ZERO),
        "visible": parts.get("output", _ZERO) + parts.get("audio_out", _ZERO),
        "reasoning": parts.get("reasoning", _ZERO),
        "searches": parts.get("searches", _ZERO),
    }
    listed = (
        (tokens_in, rates.input, _PER_MILLION),
        (tokens_out - reasoning, rates.output, _PER_MILLION),
        (reasoning, rate_of_reasoning, _PER_MILLION),
        (usage.searches or 0, prices.search, Decimal(1)),
    )
    return {
        kind: Amount(quantity, quantity * rate * unit if rate else spent[kind], spent[kind])
        for kind, (quantity, rate, unit) in zip(KINDS, listed, strict=True)
    }, ""


def _per_case(run: Spend) -> float:
    return float(sum((amount.usd for amount in run.amounts.values()), _ZERO)) / run.cases


def _effects(incumbent: Spend, candidate: Spend) -> Effects:
    causes = dict.fromkeys(("price", "mix", *KINDS), 0.0)
    for kind in KINDS:
        for cause, usd in _of_kind(incumbent.amounts[kind], candidate.amounts[kind]):
            causes[kind if cause == "quantity" else cause] += usd / incumbent.cases
    return Effects(**causes)


def _of_kind(before: Amount, after: Amount) -> Iterator[tuple[str, float]]:
    """What quantity, price and mix add to the cost of one kind, in USD of the whole run."""
    if not before.usd or not after.usd:
        yield _vanished(before, after), float(after.usd - before.usd)
        return
    mean = log_mean(float(after.usd), float(before.usd))
    quantity = math.log(after.quantity / before.quantity)
    listed = math.log(after.at_list_usd / before.at_list_usd)
    yield "quantity", mean * quantity
    yield "price", mean * (listed - quantity)
    yield "mix", mean * (math.log(after.usd / before.usd) - listed)


def _vanished(before: Amount, after: Amount) -> str:
    """Which factor is zero on the side that cost nothing."""
    free = before if not before.usd else after
    if not free.quantity:
        return "quantity"
    return "mix" if free.at_list_usd else "price"


def _multipliers(effects: Effects, mean: float) -> Effects:
    causes = ("price", "mix", *KINDS)
    return Effects(**{cause: math.exp(getattr(effects, cause) / mean) for cause in causes})


def _of_input(incumbent: Spend, candidate: Spend) -> tuple[float | None, float | None]:
    """The input's effect as (tokenizer, text): tokens = characters × tokens a character."""
    before, after = incumbent.amounts["input"], candidate.amounts["input"]
    if not (incumbent.characters_in and candidate.characters_in and before.usd and after.usd):
        return None, None
    mean = log_mean(float(after.usd), float(before.usd)) / incumbent.cases
    text = math.log(candidate.characters_in / incumbent.characters_in)
    return mean * (math.log(after.quantity / before.quantity) - text), mean * text

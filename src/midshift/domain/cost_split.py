"""Why two runs over the same cases cost differently: prices, text, tokenizer, caching, reasoning, and nothing left.

Method: the logarithmic mean Divisia index (LMDI-I; Ang 2004, "Decomposition analysis for policymaking in energy",
Energy Policy 32, 1131-1139). The cost of a case is a sum over kinds k (input, visible output, reasoning, searches) of

    cost_k = quantity_k × list price_k × caching_k × mix_k

with `caching` what the tokens cost over their list price because some were read from the cache or written to it, and
`mix` the rest of what they really cost: audio, long context. Where the characters of a kind are known, its quantity is

    quantity_k = characters_k × tokens a character_k

so that a tokenizer that makes more of the same text is told from a model that writes more text. Each factor x adds
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
from dataclasses import dataclass, field, replace
from decimal import Decimal

from midshift.domain.cost import UnitPrices, cost
from midshift.domain.light import replaced
from midshift.domain.usage import Usage

KINDS = ("input", "visible", "reasoning", "searches")
_CAUSES = ("price", "caching", "mix", *KINDS)
_INPUT = ("input", "cached_in", "cache_write", "cache_write_long", "audio_in", "cached_audio_in")
_PER_MILLION = Decimal("0.000001")
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Amount:
    """Of one kind: how much was used, what it would cost at the list price of the model, with the cache, and did cost.

    `cached_usd` is at list prices too, but for what was read from the cache or written to it.
    """

    quantity: int = 0
    at_list_usd: Decimal = _ZERO
    cached_usd: Decimal = _ZERO
    usd: Decimal = _ZERO

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.quantity + other.quantity,
            self.at_list_usd + other.at_list_usd,
            self.cached_usd + other.cached_usd,
            self.usd + other.usd,
        )


@dataclass(frozen=True, slots=True)
class Spend:
    """What one run over `cases` cases used and cost, by kind; `why` says what is unknown, and then nothing else counts.

    `characters_in` and `characters_out` are the lengths of all texts that were sent and came back, None where one was
    not measured: they tell a tokenizer from more text.
    """

    cases: int
    amounts: Mapping[str, Amount] = field(default_factory=dict)
    characters_in: int | None = None
    characters_out: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Effects:
    """One number for each cause: as USD per case they add up to the difference, as multipliers they give the ratio.

    `price` is the list price; `caching` is the share of the cache, `mix` is audio and long context; the others are
    quantities.
    """

    price: float
    caching: float
    mix: float
    input: float
    visible: float
    reasoning: float
    searches: float


@dataclass(frozen=True, slots=True)
class Wording:
    """The effect of one quantity of tokens, in USD per case: of another tokenizer, and of more or fewer characters."""

    tokenizer: float
    text: float


@dataclass(frozen=True, slots=True)
class CostSplit:
    """The difference between two runs in USD per case; None, with the reason as `why`, where it is unknown.

    `ratio` and `multipliers` are None where one of the runs cost nothing. `of_input_usd` and `of_visible_usd` are the
    two parts of the effects `input` and `visible`; None where characters were not measured, or one of the runs had
    none of that kind to pay for.
    """

    incumbent_usd: float | None = None
    candidate_usd: float | None = None
    effects_usd: Effects | None = None
    ratio: float | None = None
    multipliers: Effects | None = None
    of_input_usd: Wording | None = None
    of_visible_usd: Wording | None = None
    why: str = ""


def spend(
    calls: Iterable[tuple[Usage, UnitPrices | None]],
    characters_in: int | None = None,
    characters_out: int | None = None,
) -> Spend:
    """Add up the calls of one run, one a case. Visible output and reasoning must be told apart by the provider."""
    totals, number = dict.fromkeys(KINDS, Amount()), 0
    for number, (usage, prices) in enumerate(calls, start=1):
        found, why = _amounts(usage, prices)
        if why:
            return Spend(number, why=f"call {number}: {why}")
        totals = {kind: totals[kind] + found[kind] for kind in KINDS}
    return Spend(number, totals, characters_in, characters_out, "" if number else "there are no calls")


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
    is_ratio = before > 0 and after > 0
    return CostSplit(
        before,
        after,
        effects,
        after / before if is_ratio else None,
        _multipliers(effects, log_mean(after, before)) if is_ratio else None,
        _wording(incumbent, candidate, "input", (incumbent.characters_in, candidate.characters_in)),
        _wording(incumbent, candidate, "visible", (incumbent.characters_out, candidate.characters_out)),
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
    made = dict[str, Amount]()
    for kind, (quantity, rate, unit) in zip(KINDS, listed, strict=True):
        at_list_usd = quantity * rate * unit if rate else spent[kind]
        made[kind] = Amount(quantity, at_list_usd, at_list_usd, spent[kind])
    return {**made, "input": replace(made["input"], cached_usd=_with_cache(usage, prices, made["input"]))}, ""


def _with_cache(usage: Usage, prices: UnitPrices, amount: Amount) -> Decimal:
    """What the input would cost if nothing but the cache set its tokens apart; as listed, if nobody can say."""
    found = cost(replaced(usage, audio_in=0, cached_audio_in=0), UnitPrices(prices.rates, search=prices.search))
    usd = sum((found.parts.get(name, _ZERO) for name in _INPUT), _ZERO)
    return amount.at_list_usd if found.total_usd is None else usd


def _per_case(run: Spend) -> float:
    return float(sum((amount.usd for amount in run.amounts.values()), _ZERO)) / run.cases


def _effects(incumbent: Spend, candidate: Spend) -> Effects:
    causes = dict.fromkeys(_CAUSES, 0.0)
    for kind in KINDS:
        for cause, usd in _of_kind(incumbent.amounts[kind], candidate.amounts[kind]):
            causes[kind if cause == "quantity" else cause] += usd / incumbent.cases
    return Effects(**causes)


def _of_kind(before: Amount, after: Amount) -> Iterator[tuple[str, float]]:
    """What quantity, price, caching and mix add to the cost of one kind, in USD of the whole run."""
    if not before.usd or not after.usd:
        yield _vanished(before, after), float(after.usd - before.usd)
        return
    mean = log_mean(float(after.usd), float(before.usd))
    quantity = math.log(after.quantity / before.quantity)
    listed = math.log(after.at_list_usd / before.at_list_usd)
    yield "quantity", mean * quantity
    cached = math.log((after.cached_usd or after.usd) / (before.cached_usd or before.usd))
    yield "price", mean * (listed - quantity)
    yield "caching", mean * (cached - listed)
    yield "mix", mean * (math.log(after.usd / before.usd) - cached)


def _vanished(before: Amount, after: Amount) -> str:
    """Which factor is zero on the side that cost nothing."""
    free = before if not before.usd else after
    if not free.quantity:
        return "quantity"
    if not free.at_list_usd:
        return "price"
    return "mix" if free.cached_usd else "caching"


def _multipliers(effects: Effects, mean: float) -> Effects:
    return Effects(**{cause: math.exp(getattr(effects, cause) / mean) for cause in _CAUSES})


def _wording(
    incumbent: Spend, candidate: Spend, kind: str, characters: tuple[int | None, int | None]
) -> Wording | None:
    """The effect of one kind's quantity as two: quantity = characters × tokens a character."""
    before, after = incumbent.amounts[kind], candidate.amounts[kind]
    if not (all(characters) and before.usd and after.usd):
        return None
    mean = log_mean(float(after.usd), float(before.usd)) / incumbent.cases
    text = math.log((characters[1] or 1) / (characters[0] or 1))
    return Wording(mean * (math.log(after.quantity / before.quantity) - text), mean * text)

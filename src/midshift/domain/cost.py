"""What a call costs: its usage at the unit prices that held, exactly, or not at all.

Prices are decimals in USD per million tokens, as vendors publish them, so a cost is the same to the last digit wherever
and whenever it is computed. Parts of the input and of the output are priced apart where they have a price of their own:

    input  = plain + cached + written to cache (for a short or a long time) + audio + cached audio
    output = visible + reasoning + audio

A request above a limit of input tokens is priced at the rates beyond it as a whole, not only what is beyond.

Unknown is never zero. A part is unknown where its count or its price is, and then so is the cost, with one reason:
- A count that was not reported can only be left out if it cannot matter: its whole is 0; its price is that of the
  whole; or nobody speaks of the part at all, the provider without a count and the price book without a price. Then all
  of it is priced as its whole.
- So a provider that never says what it read from cache, at a model whose cached input is cheaper, has no known cost.
  Whoever knows better writes a price without a cached rate, and all its input is plain.
- Reasoning without a price of its own is output: vendors say so. Cached tokens, cache writes and audio that were
  counted and have no price are unknown.
- A part larger than its whole contradicts itself and is unknown.
- Searches are no part of the tokens, and most providers do not count them in their usage. They are priced where they
  are counted; elsewhere the cost is that of the tokens alone.
Elsewhere: where prices come from (`providers.prices`); why two costs differ (`domain.cost_split`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal

from midshift.domain.usage import Usage

_PER_MILLION = Decimal("0.000001")
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens by kind; None where nobody states a price for it.

    `cache_write_long` is for what is kept longer than the provider's default. `reasoning` is stated only where it is
    not the output's.

    Raises:
        ValueError: for a price that is negative or not finite.
    """

    input: Decimal | None = None
    output: Decimal | None = None
    cached_in: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_long: Decimal | None = None
    reasoning: Decimal | None = None
    audio_in: Decimal | None = None
    cached_audio_in: Decimal | None = None
    audio_out: Decimal | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            _require_price(item.name, getattr(self, item.name))


@dataclass(frozen=True, slots=True)
class LongContext:
    """The rates of a whole request with more than `above` input tokens."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class UnitPrices:
    """What one model costs at one provider, in one tier. `search` is USD per search.

    Raises:
        ValueError: for a price that is none, or limits that do not rise.
    """

    rates: Rates
    long_context: tuple[LongContext, ...] = ()
    search: Decimal | None = None

    def __post_init__(self) -> None:
        _require_price("search", self.search)
        limits = [-1, *(tier.above for tier in self.long_context)]
        if not all(low < high for low, high in zip(limits, limits[1:], strict=False)):
            raise ValueError(f"long_context: limits must rise from 0 up, got {limits[1:]}")

    def at(self, tokens_in: int) -> Rates:
        """The rates of a request with so many input tokens."""
        rates = self.rates
        for tier in self.long_context:
            if tokens_in > tier.above:
                rates = tier.rates
        return rates


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call cost in USD, and its parts by kind; None, with the first reason as `why`, where that is unknown."""

    total_usd: Decimal | None
    parts: Mapping[str, Decimal] = field(default_factory=dict)
    why: str = ""


class _Unknown(Exception):
    """The first thing that is missing."""


def cost(usage: Usage, prices: UnitPrices) -> Cost:
    """The cost of one call. Its parts are named as in `Rates`, and `searches`; what is zero is left out."""
    try:
        parts = _parts(usage, prices)
    except _Unknown as missing:
        return Cost(None, why=str(missing))
    return Cost(sum(parts.values(), _ZERO), parts)


def _parts(usage: Usage, prices: UnitPrices) -> dict[str, Decimal]:
    """What is not zero. A kind without tokens needs no price."""
    rates = prices.at(_reported("tokens_in", usage.tokens_in))
    tokens = _input(usage, rates) | _output(usage, rates)
    found = {name: _priced(name, count, _rate(name, rates)) * _PER_MILLION for name, count in tokens.items() if count}
    if usage.searches:
        found["searches"] = _priced("searches", usage.searches, prices.search)
    return {name: usd for name, usd in found.items() if usd}


def _rate(name: str, rates: Rates) -> Decimal | None:
    rate: Decimal | None = getattr(rates, name)
    return rates.output if name == "reasoning" and rate is None else rate


def _input(usage: Usage, rates: Rates) -> dict[str, int]:
    """Input tokens by the name of their rate; no token is in two of them."""
    total = _reported("tokens_in", usage.tokens_in)
    cached = _part("cached_in", usage.cached_in, total, rates.cached_in, rates.input)
    audio = _part("audio_in", usage.audio_in, total, rates.audio_in, rates.input)
    both = _overlap(usage.cached_audio_in, cached, audio)
    written = _part("cache_write_in", usage.cache_write_in, total, rates.cache_write, rates.input)
    kept = _part("cache_write_long_in", usage.cache_write_long_in, written, rates.cache_write_long, rates.cache_write)
    return {
        "input": _rest("tokens_in", total, cached + written + audio - both),
        "cached_in": cached - both,
        "cache_write": written - kept,
        "cache_write_long": kept,
        "audio_in": audio - both,
        "cached_audio_in": both,
    }


def _output(usage: Usage, rates: Rates) -> dict[str, int]:
    total = _reported("tokens_out", usage.tokens_out)
    reasoning = _part("reasoning_out", usage.reasoning_out, total, rates.reasoning, rates.output)
    audio = _part("audio_out", usage.audio_out, total, rates.audio_out, rates.output)
    rest = _rest("tokens_out", total, reasoning + audio)
    return {"output": rest, "reasoning": reasoning, "audio_out": audio}


def _part(name: str, count: int | None, whole: int, rate: Decimal | None, rate_of_whole: Decimal | None) -> int:
    """How much of a whole is priced apart: what was reported, or 0 where that makes no difference."""
    if count is not None:
        _rest(name, whole, count)
        return count
    if whole == 0 or rate is None or rate == rate_of_whole:
        return 0
    raise _Unknown(f"{name} was not reported, and has a price of its own")


def _overlap(count: int | None, cached: int, audio: int) -> int:
    """Audio that was read from cache: counted among both."""
    smaller = min(cached, audio)
    if count is None and smaller > 0:
        raise _Unknown("cached_audio_in was not reported, and there are cached tokens and audio")
    _rest("cached_audio_in", smaller, count or 0)
    return count or 0


def _rest(name: str, whole: int, parts: int) -> int:
    if parts > whole:
        raise _Unknown(f"{name} contradicts itself: {parts} tokens are part of {whole}")
    return whole - parts


def _reported(name: str, count: int | None) -> int:
    if count is None:
        raise _Unknown(f"{name} was not reported")
    return count


def _priced(name: str, count: int, price: Decimal | None) -> Decimal:
    if price is None:
        raise _Unknown(f"no price for {name}")
    return count * price


def _require_price(name: str, price: Decimal | None) -> None:
    if price is not None and not (price.is_finite() and price >= 0):
        raise ValueError(f"{name}: a price is a finite number from 0 up, got {price}")

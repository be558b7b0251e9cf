"""The cost of a usual call in whole numbers: the same float as `cost.cost` gives, in a fifth of its time.

A usual call has no audio, no searches and nothing that is kept in a cache for longer, and its provider said what it
counted. Its cost is a sum of counts times prices, and prices are decimals: scaled to whole numbers they are summed
exactly and divided once, which Python rounds correctly, as it does a decimal. Whatever is not usual, or would need
more digits than decimals are computed with, is left to `cost.cost`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from midshift.domain.cost import Rates, UnitPrices, cost
from midshift.domain.usage import Usage

_MOST_TOKENS = 10**10
_MOST_SCALED = 10**16
"""With so many tokens of five kinds, a cost has 27 digits; decimals are computed with 28."""


@dataclass(frozen=True, slots=True)
class _Scaled:
    """Prices as whole numbers of 1 / `unit` USD a token; None where there is none, or where it is not that simple."""

    unit: int
    input: int | None
    output: int | None
    cached_in: int | None
    cache_write: int | None
    reasoning: int | None
    cached_as_input: bool
    written_as_input: bool
    kept_as_written: bool
    audio_in_as_input: bool
    reasoning_as_output: bool
    audio_out_as_output: bool

    @property
    def of_totals(self) -> tuple[int, int] | None:
        """The prices of input and output where that is all there is to say of a call without parts; else None."""
        as_whole = self.cached_as_input and self.written_as_input and self.audio_in_as_input
        if self.input is None or self.output is None or not (as_whole and self.reasoning_as_output):
            return None
        return (self.input, self.output) if self.audio_out_as_output else None


def priced_by(prices: UnitPrices) -> Callable[[Usage], float | None]:
    """A function from usage to USD, the same as `cost(usage, prices).total_usd` as a float."""
    scaled = _scaled(prices.rates)
    plain = None if scaled is None else scaled.of_totals
    longest = min(prices.long_context[0].above if prices.long_context else _MOST_TOKENS, _MOST_TOKENS)

    def priced(usage: Usage) -> float | None:
        tokens_in, tokens_out = usage.tokens_in, usage.tokens_out
        if tokens_in is None or tokens_out is None:
            return None
        is_rare = (
            usage.audio_in or usage.cached_audio_in or usage.audio_out or usage.searches or usage.cache_write_long_in
        )
        if scaled is None or is_rare or tokens_in > longest or tokens_out > _MOST_TOKENS:
            total = cost(usage, prices).total_usd
            return None if total is None else float(total)
        if plain is not None and not (usage.cached_in or usage.cache_write_in or usage.reasoning_out):
            return (tokens_in * plain[0] + tokens_out * plain[1]) / scaled.unit
        whole = _of_input(usage, tokens_in, scaled), _of_output(usage, tokens_out, scaled)
        return None if whole[0] is None or whole[1] is None else (whole[0] + whole[1]) / scaled.unit

    return priced


def _of_input(usage: Usage, tokens: int, at: _Scaled) -> int | None:
    """In units; None where it is not known."""
    cached, written = usage.cached_in, usage.cache_write_in
    if tokens and (
        (cached is None and not at.cached_as_input)
        or (written is None and not at.written_as_input)
        or (usage.audio_in is None and not at.audio_in_as_input)
    ):
        return None
    total = 0
    if cached:
        if at.cached_in is None:
            return None
        total += cached * at.cached_in
        tokens -= cached
    if written:
        if at.cache_write is None or (usage.cache_write_long_in is None and not at.kept_as_written):
            return None
        total += written * at.cache_write
        tokens -= written
    if not tokens:
        return total
    return None if tokens < 0 or at.input is None else total + tokens * at.input


def _of_output(usage: Usage, tokens: int, at: _Scaled) -> int | None:
    """In units; None where it is not known."""
    reasoning = usage.reasoning_out
    if tokens and (
        (reasoning is None and not at.reasoning_as_output) or (usage.audio_out is None and not at.audio_out_as_output)
    ):
        return None
    total = 0
    if reasoning:
        if at.reasoning is None:
            return None
        total += reasoning * at.reasoning
        tokens -= reasoning
    if not tokens:
        return total
    return None if tokens < 0 or at.output is None else total + tokens * at.output


def _scaled(rates: Rates) -> _Scaled | None:
    """None for prices of too many digits."""
    reasoning = rates.output if rates.reasoning is None else rates.reasoning
    needed = (rates.input, rates.output, rates.cached_in, rates.cache_write, reasoning)
    places = max((_places(price) for price in needed if price is not None), default=0)
    if any(price is not None and price.scaleb(places) > _MOST_SCALED for price in needed):
        return None
    return _Scaled(
        unit=10 ** (places + 6),
        input=_whole(rates.input, places),
        output=_whole(rates.output, places),
        cached_in=_whole(rates.cached_in, places),
        cache_write=_whole(rates.cache_write, places),
        reasoning=_whole(reasoning, places),
        cached_as_input=_as(rates.cached_in, rates.input),
        written_as_input=_as(rates.cache_write, rates.input),
        kept_as_written=_as(rates.cache_write_long, rates.cache_write),
        audio_in_as_input=_as(rates.audio_in, rates.input),
        reasoning_as_output=_as(rates.reasoning, rates.output),
        audio_out_as_output=_as(rates.audio_out, rates.output),
    )


def _whole(price: Decimal | None, places: int) -> int | None:
    return None if price is None else int(price.scaleb(places))


def _as(rate: Decimal | None, rate_of_whole: Decimal | None) -> bool:
    """Whether a count that was not reported makes no difference."""
    return rate is None or rate == rate_of_whole


def _places(price: Decimal) -> int:
    exponent = price.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0

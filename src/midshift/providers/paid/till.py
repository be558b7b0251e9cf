"""What a call costs by the prices that were pinned when the eval began, and what it can cost at most.

The bound of a call: a token is at least a byte, so a request has at most as many input tokens as bytes; its answer has
at most the tokens that the request allows, or that the model can give. Both at the dearest rate that may apply. It is
several times what a call usually costs, and no call costs more. Images and audio that are sent as addresses are outside
of it, for their size is not in the request.
Elsewhere: prices (providers.prices), the cap (budget).
"""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime
from decimal import Decimal

import msgspec

from midshift.domain.cost import Rates, UnitPrices, cost
from midshift.domain.paid_call import PricedBy
from midshift.domain.usage import Usage
from midshift.domain.variant import Variant
from midshift.providers.prices.book import Book, Priced

_PER_MILLION = Decimal("0.000001")
_OUTPUT = ("output", "reasoning", "audio_out")


class Till:
    """One book at one moment, for the models of an eval."""

    def __init__(self, book: Book, at: datetime) -> None:
        self._book = book
        self._at = at
        self._known: dict[tuple[str, str, str | None], tuple[UnitPrices, PricedBy] | None] = {}

    @property
    def book_id(self) -> str:
        """The id of the book that is asked."""
        return self._book.id

    def cost(self, variant: Variant, usage: Usage) -> tuple[Decimal | None, PricedBy | None]:
        """What a call cost, and by which prices; what the provider billed wins, for it knows."""
        found = self._prices(variant, usage.service_tier)
        if usage.cost_usd is not None and usage.cost_usd >= 0.0:  # a bill below nothing would widen the cap
            return Decimal(str(usage.cost_usd)), None if found is None else found[1]
        return (None, None) if found is None else (cost(usage, found[0]).total_usd, found[1])

    def worst(self, variant: Variant, bytes_in: int, tokens_out: int | None) -> Decimal | None:
        """The most that a call can cost; None where no price or no limit of the answer is known."""
        found = self._prices(variant, None)
        if found is None or tokens_out is None:
            return None
        every = [found[0].rates, *(tier.rates for tier in found[0].long_context)]
        dearest = [_dearest(rates) for rates in every]
        if any(rate_in is None or rate_out is None for rate_in, rate_out in dearest):
            return None
        return max(
            ((rate_in or 0) * bytes_in + (rate_out or 0) * tokens_out) * _PER_MILLION for rate_in, rate_out in dearest
        )

    def knows(self, variant: Variant) -> bool:
        """Whether there is a price for the tier that a variant asks for."""
        return self._prices(variant, None) is not None

    def _prices(self, variant: Variant, tier: str | None) -> tuple[UnitPrices, PricedBy] | None:
        asked = variant.parameters.get("service_tier")
        key = (variant.provider, variant.model, tier or (asked if isinstance(asked, str) else None))
        if key not in self._known:
            found = self._book.prices(key[0], key[1], self._at, key[2])
            self._known[key] = (found.prices, self._entry(found)) if isinstance(found, Priced) else None
        return self._known[key]

    def _entry(self, found: Priced) -> PricedBy:
        return PricedBy(self._book.id, msgspec.json.encode(replace(found, note=None)).decode())


def _dearest(rates: Rates) -> tuple[Decimal | None, Decimal | None]:
    """The dearest rate of input and of output, if the plain ones are known."""
    stated = {item.name: getattr(rates, item.name) for item in fields(rates)}
    if rates.input is None or rates.output is None:
        return None, None
    inputs = [usd for name, usd in stated.items() if usd is not None and name not in _OUTPUT]
    outputs = [usd for name, usd in stated.items() if usd is not None and name in _OUTPUT]
    return max(inputs), max(outputs)

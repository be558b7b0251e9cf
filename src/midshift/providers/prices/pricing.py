"""What a gateway asks for each call: the cost of a variant's usage, now.

What the provider says that it billed wins: it knows. Else the usage is priced by the book, in the tier that served, or
in the one that the variant asks for where the answer does not say. What the book says is asked once a quarter of an
hour, and made into a function of the usage alone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from midshift.domain.usage import Usage
from midshift.domain.usual_cost import priced_by
from midshift.domain.variant import Variant
from midshift.providers.prices.book import QUARTER_S, Book, Unpriced

_MOST_PREPARED = 1024

Priced = Callable[[Usage], float | None]


def pricing(book: Book, now: Callable[[], datetime]) -> Callable[[Variant, Usage], float | None]:
    """A function from variant and usage to USD; None where price or usage is unknown. `now` has a zone."""
    prepared: dict[tuple[str, str, str | None, int], Priced] = {}

    def priced(variant: Variant, usage: Usage) -> float | None:
        if usage.cost_usd is not None:
            return usage.cost_usd
        at, tier = now(), usage.service_tier or _asked_tier(variant)
        key = (variant.provider, variant.model, tier, int(at.timestamp()) // QUARTER_S)
        found = prepared.get(key)
        if found is None:
            if len(prepared) >= _MOST_PREPARED:
                prepared.clear()
            found = prepared[key] = _prepared(book, variant, at, tier)
        return found(usage)

    return priced


def _prepared(book: Book, variant: Variant, at: datetime, tier: str | None) -> Priced:
    found = book.prices(variant.provider, variant.model, at, tier)
    return _unknown if isinstance(found, Unpriced) else priced_by(found.prices)


def _unknown(usage: Usage) -> None:
    return None


def _asked_tier(variant: Variant) -> str | None:
    asked = variant.parameters.get("service_tier")
    return asked if isinstance(asked, str) else None

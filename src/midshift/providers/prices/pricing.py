"""What a gateway asks for each call: the cost of a variant's usage, now.

What the provider says that it billed wins: it knows. Else the usage is priced by the book, in the tier that served, or
in the one that the variant asks for where the answer does not say.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from midshift.domain.cost import cost
from midshift.domain.usage import Usage
from midshift.domain.variant import Variant
from midshift.providers.prices.book import Book, Unpriced


def pricing(book: Book, now: Callable[[], datetime]) -> Callable[[Variant, Usage], float | None]:
    """A function from variant and usage to USD; None where price or usage is unknown. `now` has a zone."""

    def priced(variant: Variant, usage: Usage) -> float | None:
        if usage.cost_usd is not None:
            return usage.cost_usd
        found = book.prices(variant.provider, variant.model, now(), _tier(variant, usage))
        if isinstance(found, Unpriced):
            return None
        total = cost(usage, found.prices).total_usd
        return None if total is None else float(total)

    return priced


def _tier(variant: Variant, usage: Usage) -> str | None:
    asked = variant.parameters.get("service_tier")
    return usage.service_tier or (asked if isinstance(asked, str) else None)

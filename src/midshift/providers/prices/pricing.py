"""What a gateway asks for each call: the cost of a variant's usage, now.

What the provider says that it billed wins: it knows. Else the usage is priced by the book, in the tier that served, or
in the one that the variant asks for where the answer does not say. What the book says is asked once a quarter of an
hour, and made into a function of the usage alone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from midshift.domain.usage import Usage
from midshift.domain.usual_cost import priced_by
from midshift.domain.variant import Variant
from midshift.providers.prices.book import QUARTER_S, Book, Unpriced

_MOST_PREPARED = 1024
_NEVER = datetime.min.replace(tzinfo=UTC)

Priced = Callable[[Usage], float | None]


def pricing(book: Book, now: Callable[[], datetime]) -> Callable[[Variant, Usage], float | None]:
    """A function from variant and usage to USD; None where price or usage is unknown. `now` has a zone."""
    prepared: dict[tuple[int, str | None], tuple[Variant, Priced]] = {}  # a variant that is held here keeps its id()
    begin = end = _NEVER

    def priced(variant: Variant, usage: Usage) -> float | None:
        nonlocal begin, end
        if usage.cost_usd is not None:
            return usage.cost_usd
        at = now()
        if not begin <= at < end:
            begin, end = _quarter(at)
            prepared.clear()
        key = (id(variant), usage.service_tier)
        found = prepared.get(key)
        if found is None:
            if len(prepared) >= _MOST_PREPARED:
                prepared.clear()
            found = prepared[key] = variant, _prepared(book, variant, at, usage.service_tier)
        return found[1](usage)

    return priced


def _quarter(at: datetime) -> tuple[datetime, datetime]:
    """The quarter of an hour that this moment is in."""
    begin = datetime.fromtimestamp(int(at.timestamp()) // QUARTER_S * QUARTER_S, UTC)
    return begin, begin + timedelta(seconds=QUARTER_S)


def _prepared(book: Book, variant: Variant, at: datetime, served_tier: str | None) -> Priced:
    found = book.prices(variant.provider, variant.model, at, served_tier or _asked_tier(variant))
    return _unknown if isinstance(found, Unpriced) else priced_by(found.prices)


def _unknown(usage: Usage) -> None:
    return None


def _asked_tier(variant: Variant) -> str | None:
    asked = variant.parameters.get("service_tier")
    return asked if isinstance(asked, str) else None

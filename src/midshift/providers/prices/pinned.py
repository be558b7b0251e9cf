"""What was used: the prices of a run as plain JSON, and the cost of its calls under another book.

Prices change backwards: a list price that was announced can be taken back. So each run keeps the unit prices that it
used and the id of the book, each call its usage, and a cost can be computed again whenever a better book is there.

A run's calls are `midshift.calls/1`: `prices` (a `PinnedPrices`), and `calls`, each with `provider`, `model`, `at`,
`usage`, and the `cost_usd` that was recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

import msgspec

from midshift.domain.cost import cost
from midshift.domain.usage import Usage
from midshift.errors import InputError
from midshift.providers.prices.book import Book, Priced, Unpriced, plain_tier

FORMAT = "midshift.calls/1"


@dataclass(frozen=True, slots=True)
class PinnedPrices:
    """The answers of one book, for the models and tiers of one run. `id` is the book's; a `Book` itself."""

    id: str
    entries: tuple[Priced, ...]

    def prices(self, provider: str, model: str, at: datetime, tier: str | None = None) -> Priced | Unpriced:
        """The price that was pinned, whatever the moment."""
        wanted = plain_tier(tier)
        for entry in self.entries:
            if (entry.provider, entry.model, entry.tier) == (provider, model, wanted):
                return entry
        return Unpriced(provider, model, wanted, f"no price for {model!r} at {provider!r} is pinned with this run")


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it was recorded. `usage.cost_usd` is what the provider billed, `cost_usd` what midshift said."""

    provider: str
    model: str
    at: datetime
    usage: Usage
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one run, with the prices that it used."""

    prices: PinnedPrices
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Recomputed:
    """A run under another book: `costs_usd` by call, None where unknown, and how often for which reason."""

    before: str
    after: str
    recorded_usd: tuple[float | None, ...]
    costs_usd: tuple[Decimal | None, ...]
    unknown: Mapping[str, int]

    @property
    def total_usd(self) -> Decimal | None:
        """The cost of the run; None if that of a single call is unknown."""
        known = [usd for usd in self.costs_usd if usd is not None]
        return sum(known, Decimal(0)) if len(known) == len(self.costs_usd) else None

    @property
    def recorded_total_usd(self) -> float | None:
        """The cost as it was recorded; None if that of a single call was unknown."""
        known = [usd for usd in self.recorded_usd if usd is not None]
        return sum(known) if len(known) == len(self.recorded_usd) else None


def pin(book: Book, wanted: Iterable[tuple[str, str, str | None]], at: datetime) -> PinnedPrices:
    """The book's prices of (provider, model, tier) at a moment, without notes; what it does not know is left out."""
    found = (book.prices(provider, model, at, tier) for provider, model, tier in dict.fromkeys(wanted))
    return PinnedPrices(book.id, tuple(replace(one, note=None) for one in found if isinstance(one, Priced)))


def recompute(run: Calls, book: Book) -> Recomputed:
    """The cost of each call from its usage and the book's prices at its time; what a provider billed does not enter."""
    costs: list[Decimal | None] = []
    unknown: Counter[str] = Counter()
    for call in run.calls:
        usd, why = _cost(call, book)
        costs.append(usd)
        if usd is None:
            unknown[why] += 1
    recorded = tuple(call.cost_usd for call in run.calls)
    return Recomputed(run.prices.id, book.id, recorded, tuple(costs), dict(unknown.most_common()))


def as_json(pinned: PinnedPrices) -> dict[str, object]:
    """Plain JSON of it, prices as texts, so that no digit is lost."""
    return msgspec.to_builtins(pinned)  # type: ignore[no-any-return]


def entry_as_json(entry: Priced) -> dict[str, object]:
    """Plain JSON of one price."""
    return msgspec.to_builtins(entry)  # type: ignore[no-any-return]


def from_json(content: object) -> PinnedPrices:
    """The reverse of `as_json`.

    Raises:
        InputError: naming the field that is wrong.
    """
    try:
        return msgspec.convert(content, PinnedPrices)
    except (msgspec.ValidationError, ValueError) as error:
        raise InputError(f"this is no record of pinned prices: {error}") from None


def calls_file(prices: PinnedPrices, calls: Sequence[Call]) -> bytes:
    """A run's calls as JSON."""
    return msgspec.json.encode({"format": FORMAT, "prices": prices, "calls": calls})


def read_calls(content: bytes, name: str) -> Calls:
    """Read what `calls_file` wrote; `name` is what errors call it.

    Raises:
        InputError: naming the field that is wrong.
    """
    try:
        found = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{name}: these are no calls of a run: {error}. Expected the format {FORMAT!r}") from None
    if found.format != FORMAT:
        raise InputError(f"{name}: found the format {found.format!r}, expected {FORMAT!r}")
    if any(call.at.tzinfo is None for call in found.calls):
        raise InputError(f"{name}: found an `at` without a zone, expected one such as 2026-11-01T12:00:00Z")
    return Calls(found.prices, found.calls)


class _File(msgspec.Struct):
    format: str
    prices: PinnedPrices
    calls: tuple[Call, ...]


def _cost(call: Call, book: Book) -> tuple[Decimal | None, str]:
    found = book.prices(call.provider, call.model, call.at, call.usage.service_tier)
    if isinstance(found, Unpriced):
        return None, found.why
    made = cost(call.usage, found.prices)
    return made.total_usd, made.why

"""The order in which sources are asked for a price, and the name of that whole.

The first source that knows a price gives all of it: rates of two sources are never mixed, so that a price always has
one origin. Whether a source knows a price depends on the moment and on the tier: a tier that a source does not state is
not known to it, and never the standard price.
Elsewhere: the sources (`own`, `genai`, `listed`), and keeping what was used (`pinned`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Protocol

from midshift.domain.cost import UnitPrices

STANDARD = frozenset({"standard", "default", "auto", "on_demand", "standard_only"})
"""Names that vendors have for the tier that is none."""

QUARTER_S = 900
"""For how long a price that was asked for holds."""

_MOST_CACHED = 4096


@dataclass(frozen=True, slots=True)
class Priced:
    """Unit prices with their origin: `source` and its `version`, the `entry` there, and the day it is `as_of`.

    `reference` is the page on which the source found it, where it says so; `note` is whatever else it says.
    """

    provider: str
    model: str
    tier: str | None
    prices: UnitPrices
    source: str
    version: str
    entry: str
    as_of: date | None = None
    reference: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Unpriced:
    """No source knows a price, so the cost is unknown."""

    provider: str
    model: str
    tier: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Query:
    """What a source is asked for: the price that held at a moment with a zone, for exactly this tier (None: standard).

    `provider` is what a variant calls it, `vendor` whose prices hold there, which may be the same name.
    """

    provider: str
    vendor: str
    model: str
    at: datetime
    tier: str | None


class Source(Protocol):
    """Something that states prices. `version` changes whenever what it says may have changed."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    @property
    def version(self) -> str:
        """Which state of it this is."""
        ...

    def find(self, query: Query) -> Priced | None:
        """The price that was asked for, if this source states it."""
        ...


class Book(Protocol):
    """What prices are asked of: a `PriceBook`, or the record of one."""

    @property
    def id(self) -> str:
        """Names all that the answers depend on."""
        ...

    def prices(self, provider: str, model: str, at: datetime, tier: str | None = None) -> Priced | Unpriced:
        """The price of a model at a provider at a moment."""
        ...


class PriceBook:
    """Sources in their order; the first that knows a price gives it.

    `vendors` says whose prices hold at a provider that goes by a name of its own. Answers are remembered for a quarter
    of an hour of `at`: the finest change that the sources state is half an hour.
    """

    def __init__(self, sources: Sequence[Source], vendors: Mapping[str, str] = MappingProxyType({})) -> None:
        self.sources = tuple(sources)
        self.id = _named([(source.name, source.version) for source in self.sources], vendors)
        self._vendors = dict(vendors)
        self._known: dict[tuple[str, str, str | None, int], Priced | Unpriced] = {}

    def prices(self, provider: str, model: str, at: datetime, tier: str | None = None) -> Priced | Unpriced:
        """The price of a model at a provider, at a moment with a zone; names for the standard tier are all one.

        Raises:
            ValueError: for a moment without a zone.
        """
        key = (provider, model, tier, int(_zoned(at).timestamp()) // QUARTER_S)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_CACHED:
                self._known.clear()
            found = self._known[key] = self._first(self._query(provider, model, at, tier))
        return found

    def all(self, provider: str, model: str, at: datetime, tier: str | None = None) -> tuple[Priced, ...]:
        """What each source that knows a price says, in their order.

        Raises:
            ValueError: for a moment without a zone.
        """
        query = self._query(provider, model, at, tier)
        found = (source.find(query) for source in self.sources)
        return tuple(one for one in found if one is not None)

    def _query(self, provider: str, model: str, at: datetime, tier: str | None) -> Query:
        return Query(provider, self._vendors.get(provider, provider), model, _zoned(at), plain_tier(tier))

    def _first(self, query: Query) -> Priced | Unpriced:
        for source in self.sources:
            found = source.find(query)
            if found is not None:
                return found
        names = ", ".join(source.name for source in self.sources) or "no source"
        in_tier = f" in the tier {query.tier!r}" if query.tier else ""
        why = f"no price for {query.model!r} at {query.provider!r}{in_tier}; asked: {names}"
        return Unpriced(query.provider, query.model, query.tier, why)


def plain_tier(tier: str | None) -> str | None:
    """The tier's name in lower case; None for all names of the standard tier."""
    name = tier.strip().lower() if tier is not None else ""
    return None if name in STANDARD or not name else name


def _named(sources: list[tuple[str, str]], vendors: Mapping[str, str]) -> str:
    """One name for all that the answers depend on."""
    return hashlib.sha256(json.dumps([sources, sorted(vendors.items())]).encode()).hexdigest()


def _zoned(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"a price is asked for at a moment with a zone, got {at!r}")
    return at

"""The price book of a product: which sources there are, in which order, for a command or for a gateway.

`prices.yaml` beside the main file (or `--prices FILE`), genai-prices, the catalogue. genai-prices is loaded when it is
first asked: a gateway listens before.
Elsewhere: the sources (providers.prices), showing and refreshing them (prices).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from midshift.cli.project import Target
from midshift.domain.variant import Variant
from midshift.providers import catalogue
from midshift.providers.prices import own
from midshift.providers.prices.book import PriceBook, Source, Unpriced
from midshift.providers.prices.deferred import Deferred
from midshift.providers.prices.listed import ListedPrices

LOG = logging.getLogger(__name__)

OWN_FILE = "prices.yaml"
GENAI = "genai-prices"


@dataclass(frozen=True, slots=True)
class Where:
    """Where prices are looked for, as typed: the product's files, the state folder, and a price file in their place."""

    target: Target
    state: Path
    prices: Path | None = None

    @property
    def own_file(self) -> Path | None:
        """The user's price file: the one named, or the one beside the main file if it is there."""
        beside = self.target.main.parent / OWN_FILE
        return self.prices or (beside if beside.is_file() else None)


def book(where: Where, vendors: Mapping[str, str]) -> PriceBook:
    """All sources in their order; `vendors` are those of the providers that the product names itself.

    Raises:
        InputError: if a file of prices, or the catalogue in the state folder, cannot be read as one.
    """
    sources: list[Source] = [Deferred(GENAI, version(GENAI), _genai), ListedPrices(catalogue.load(where.state))]
    if where.own_file is not None:
        sources.insert(0, own.read(where.own_file.read_bytes(), str(where.own_file)))
    return PriceBook(sources, vendors)


def ask_all(prices: PriceBook, variants: Iterable[Variant], now: datetime) -> None:
    """Load every source by asking it, and log which variants will have no known cost.

    A gateway does this in a thread as soon as it listens, so that no request waits for a source that is asked for the
    first time when it is done.
    """
    for one in variants:
        prices.all(one.provider, one.model, now)
        found = prices.prices(one.provider, one.model, now)
        if isinstance(found, Unpriced):
            LOG.warning(
                "the cost of variant %s is known only if its provider bills it: %s. Type next: %s",
                one.short_id,
                found.why,
                to_write(one.provider, one.model),
            )


def to_write(provider: str, model: str) -> str:
    """What makes a price known that no source has: a line of the user's own file."""
    rates = "{input: USD, output: USD}"
    return (
        f"{{provider: {provider}, model: {model}, source: WHO-SAYS-SO, date: YYYY-MM-DD, per_million_tokens: {rates}}} "
        f"under prices: in {OWN_FILE}, beside midshift.yaml"
    )


def _genai() -> Source:
    from midshift.providers.prices.genai import GenaiPrices

    return GenaiPrices()

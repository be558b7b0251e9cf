"""Prices of the package genai-prices: dated, with retired models, tiers and long contexts.

The one module that imports it, because it brings pydantic and an HTTP client: a gateway loads it only when a book is
built. Its bundled data are read, and never its updater, which would change prices under a running upgrade.
https://github.com/pydantic/genai-prices

What its rules mean here: of dated prices the last that had begun holds; a tier holds from the day it was verified, and
before that day it is not known; a rate that a tier does not restate keeps its standard value, as the package documents
for each. A model that only another vendor's list has (`fallback_model_providers`) is not known: that is not its price.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import genai_prices
from genai_prices import data
from genai_prices.types import ModelInfo, ModelPrice, PriceVariant, TieredPrices

from midshift.domain.cost import LongContext, Rates, UnitPrices
from midshift.providers.prices.book import Priced, Query

_PROVIDERS = {
    "anthropic": "anthropic",
    "azure": "azure",
    "bedrock": "aws",
    "bedrock_mantle": "aws",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "mistral": "mistral",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "vertex": "google",
    "xai": "x-ai",
}
_KEYS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_in": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_long": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_in": "input_audio_mtok",
    "cached_audio_in": "cache_audio_read_mtok",
    "audio_out": "output_audio_mtok",
}
_SEARCHES = "web_searches_kcount"
_READ = frozenset({*_KEYS.values(), _SEARCHES, "storage_searches_kcount"})


class GenaiPrices:
    """The package's bundled data as a source of prices."""

    name = "genai-prices"
    version = genai_prices.__version__

    def __init__(self) -> None:
        self._providers = {provider.id: provider for provider in data.providers}

    def find(self, query: Query) -> Priced | None:
        """The price of the model that the package's own rules find under this name."""
        theirs = self._providers.get(_PROVIDERS.get(query.vendor, ""))
        model = None if theirs is None else theirs.find_model(query.model.lower())
        context = _context(query.tier)
        if theirs is None or model is None or (context and not _knows(model, context, query.at)):
            return None
        prices = _prices(model.get_prices(query.at, context))
        if prices is None:
            return None
        return Priced(
            query.provider,
            query.model,
            query.tier,
            prices,
            self.name,
            self.version,
            f"{theirs.id}/{model.id}",
            reference=next(iter(theirs.pricing_urls or ()), None),
            note=model.price_comments,
        )


def _context(tier: str | None) -> dict[str, str]:
    match tier:
        case None:
            return {}
        case "batch":
            return {"processing": "batch"}
        case "fast":
            return {"service_tier": "fast", "speed": "fast"}
        case _:
            return {"service_tier": tier}


def _knows(model: ModelInfo, context: dict[str, str], at: datetime) -> bool:
    """Whether a tier had a price of its own at that moment."""
    return any(_applies(variant, context, at) for variant in model.price_variants or ())


def _applies(variant: PriceVariant, context: dict[str, str], at: datetime) -> bool:
    has_begun = variant.constraint is None or variant.constraint.active(at)
    return has_begun and all(context.get(key) == value for key, value in variant.when.items())


def _prices(found: ModelPrice) -> UnitPrices | None:
    """Our form of a price; None where a part of it is no price of ours, such as one for pages or hours."""
    stated = {key: value for key, value in vars(found).items() if value is not None}
    if not stated.keys() <= _READ or "input_mtok" not in stated or "output_mtok" not in stated:
        return None
    limits = sorted(
        {tier.start for value in stated.values() if isinstance(value, TieredPrices) for tier in value.tiers}
    )
    search = stated.get(_SEARCHES)
    return UnitPrices(
        _rates(stated, 0),
        tuple(LongContext(limit, _rates(stated, limit + 1)) for limit in limits),
        search / 1000 if isinstance(search, Decimal) else None,
    )


def _rates(stated: dict[str, Decimal | TieredPrices], tokens_in: int) -> Rates:
    found = {kind: _at(stated[key], tokens_in) for kind, key in _KEYS.items() if key in stated}
    if found.get("reasoning") == found["output"]:
        del found["reasoning"]
    return Rates(**found)


def _at(price: Decimal | TieredPrices, tokens_in: int) -> Decimal:
    if isinstance(price, Decimal):
        return price
    return next((tier.price for tier in reversed(price.tiers) if tokens_in > tier.start), price.base)

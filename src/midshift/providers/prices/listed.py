"""Prices of the catalogue: the fields of LiteLLM's price file, read strictly.

Field names are `COMPONENT[_above_200k_tokens][_TIER]`, in USD a token. They know no dates: what they say holds as of
the day of the snapshot, for any moment. A rate that the file states for the standard tier or for short requests and not
for the one that is asked about is unknown, although LiteLLM itself would then use the other one.
A zero beside a price is read as "not stated" (a cache write never costs less than the input it is), and so are zeros
for both input and output: there they stand for previews and gaps. A price that depends on the hour is left to others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from midshift.domain.cost import LongContext, Rates, UnitPrices
from midshift.providers.catalogue import Catalogue
from midshift.providers.prices.book import Priced, Query

_VENDORS = {"bedrock_mantle": "bedrock"}
_SUFFIXES = {"batch": "_batches", "flex": "_flex", "priority": "_priority", "ultrafast": "_ultrafast"}
_COMPONENTS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached_in": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "reasoning": "output_cost_per_reasoning_token",
    "audio_in": "input_cost_per_audio_token",
    "cached_audio_in": "cache_read_input_audio_token_cost",
    "audio_out": "output_cost_per_audio_token",
}
_LONG_WRITES = ("cache_creation_input_token_cost_above_1hr", "cache_creation_input_token_cost_above_12hr")
_ABOVE = re.compile(r"(?:input|output)_cost_per_token_above_(\d+)k_tokens")
_MILLION = Decimal(1_000_000)


class ListedPrices:
    """A catalogue as a source of prices."""

    name = "catalogue"

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.version = f"{catalogue.version} of {catalogue.taken_on.isoformat()}, sha256 {catalogue.sha256[:12]}"

    def find(self, query: Query) -> Priced | None:
        """The price of an entry of exactly this vendor and model; the moment does not matter."""
        entry = self._catalogue.entry(_VENDORS.get(query.vendor, query.vendor), query.model)
        prices = None if entry is None or "off_peak_pricing" in entry.facts else _prices(entry.facts, query.tier)
        if entry is None or prices is None:
            return None
        return Priced(
            query.provider,
            query.model,
            query.tier,
            prices,
            self.name,
            self.version,
            f"{entry.provider}/{entry.model}",
            self._catalogue.taken_on,
            entry.source,
        )


def _prices(facts: Mapping[str, object], tier: str | None) -> UnitPrices | None:
    times = _multiplier(facts, tier)
    if tier is not None and times is None and tier not in _SUFFIXES:
        return None
    suffix = "" if tier is None or times is not None else _SUFFIXES[tier]
    base = _rates(facts, "", suffix, times)
    if base.input is None or base.output is None or base.input == base.output == 0:
        return None
    limits = sorted({int(match[1]) for name in facts if (match := _ABOVE.fullmatch(name))})
    long_context = tuple(
        LongContext(limit * 1000, _rates(facts, f"_above_{limit}k_tokens", suffix, times)) for limit in limits
    )
    return UnitPrices(base, long_context, _search(facts))


def _multiplier(facts: Mapping[str, object], tier: str | None) -> Decimal | None:
    """A tier that multiplies the standard price, such as inference in a region of one's choice."""
    stated = facts.get("provider_specific_entry")
    found = stated.get(tier) if isinstance(stated, Mapping) and tier is not None else None
    return _decimal(found)


def _rates(facts: Mapping[str, object], above: str, suffix: str, times: Decimal | None) -> Rates:
    found = {kind: _rate(facts, f"{name}{above}{suffix}", times) for kind, name in _COMPONENTS.items()}
    longer = (_rate(facts, f"{name}{above}{suffix}", times) for name in _LONG_WRITES)
    found["cache_write_long"] = next((rate for rate in longer if rate is not None), None)
    if found["input"] or found["output"]:
        free = [kind for kind, rate in found.items() if rate == 0 and kind not in ("input", "output")]
        found |= dict.fromkeys(free)
    if found["reasoning"] == found["output"]:
        found["reasoning"] = None
    return Rates(**found)


def _rate(facts: Mapping[str, object], name: str, times: Decimal | None) -> Decimal | None:
    usd = _decimal(facts.get(name))
    return None if usd is None else (usd * _MILLION * (1 if times is None else times)).normalize()


def _search(facts: Mapping[str, object]) -> Decimal | None:
    """USD per search, where it is the same for every size of context."""
    stated = facts.get("search_context_cost_per_query")
    sizes = {_decimal(value) for value in stated.values()} if isinstance(stated, Mapping) else set()
    return sizes.pop() if len(sizes) == 1 else None


def _decimal(value: object) -> Decimal | None:
    """A number as it is written; None for what is no price."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    found = Decimal(repr(value))
    return found if found.is_finite() and found >= 0 else None

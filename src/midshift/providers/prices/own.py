"""Prices that users write: negotiated rates, models of their own, corrections. They win over every other source.

The file is YAML or JSON (`midshift.prices/1`, described in docs/reference/prices.md): a list of entries, each with
provider and model as a variant names them, USD per million tokens, and where the figure comes from and when. Of two
entries for the same model and tier, the one whose `from` is later holds as soon as that day has come, in UTC.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date
from decimal import Decimal

import msgspec
import yaml

from midshift.domain.cost import LongContext, Rates, UnitPrices
from midshift.errors import InputError
from midshift.providers.prices.book import Priced, Query, plain_tier

FORMAT = "midshift.prices/1"


class _Rates(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    input: Decimal | None = None
    output: Decimal | None = None
    cached_in: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_long: Decimal | None = None
    reasoning: Decimal | None = None
    audio_in: Decimal | None = None
    cached_audio_in: Decimal | None = None
    audio_out: Decimal | None = None


class _LongContext(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    above: int
    per_million_tokens: _Rates


class _Entry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    provider: str
    model: str
    per_million_tokens: _Rates
    source: str
    as_of: date = msgspec.field(name="date")
    tier: str | None = None
    since: date | None = msgspec.field(default=None, name="from")
    until: date | None = None
    long_context: list[_LongContext] = []
    per_search: Decimal | None = None
    note: str | None = None


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    format: str
    prices: list[_Entry]


class OwnPrices:
    """The entries of one file as a source of prices."""

    name = "own"

    def __init__(self, version: str, entries: tuple[tuple[_Entry, Priced], ...]) -> None:
        self.version = version
        self._entries: dict[tuple[str, str, str | None], list[tuple[_Entry, Priced]]] = defaultdict(list)
        for entry, priced in entries:
            self._entries[priced.provider, priced.model, priced.tier].append((entry, priced))

    def find(self, query: Query) -> Priced | None:
        """The entry that held on that day: for the provider by its own name, or else for its vendor."""
        day = query.at.astimezone(UTC).date()
        for name in dict.fromkeys((query.provider, query.vendor)):
            for entry, priced in reversed(self._entries.get((name, query.model, query.tier), ())):
                if (entry.since is None or entry.since <= day) and (entry.until is None or day < entry.until):
                    return replace(priced, provider=query.provider)
        return None


def read(content: bytes, name: str) -> OwnPrices:
    """Read a file of prices; `name` is what errors call it.

    Raises:
        InputError: naming the entry and the field, for anything that is no price file.
    """
    found = _decoded(content, name)
    version = f"sha256 {hashlib.sha256(content).hexdigest()[:12]}"
    made: list[tuple[_Entry, Priced]] = []
    for number, entry in enumerate(found.prices):
        try:
            made.append((entry, _priced(entry, version, f"prices[{number}]")))
        except ValueError as error:
            raise InputError(f"{name}: prices[{number}] ({entry.model!r}): {error}") from None
    made.sort(key=lambda one: one[0].since or date.min)
    _require_distinct(made, name)
    return OwnPrices(version, tuple(made))


def _decoded(content: bytes, name: str) -> _File:
    try:
        found = msgspec.convert(yaml.safe_load(content), _File, strict=False)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError, msgspec.ValidationError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"{name}: this is no file of prices: {why}. See docs/reference/prices.md") from None
    if found.format != FORMAT:
        raise InputError(f"{name}: found the format {found.format!r}, expected {FORMAT!r}")
    return found


def _priced(entry: _Entry, version: str, place: str) -> Priced:
    if entry.since is not None and entry.until is not None and entry.until <= entry.since:
        raise ValueError(f"until: found {entry.until}, expected a day after from ({entry.since})")
    prices = UnitPrices(
        _rates(entry.per_million_tokens),
        tuple(LongContext(tier.above, _rates(tier.per_million_tokens)) for tier in entry.long_context),
        entry.per_search,
    )
    return Priced(
        entry.provider,
        entry.model,
        plain_tier(entry.tier),
        prices,
        OwnPrices.name,
        version,
        place,
        entry.as_of,
        entry.source,
        entry.note,
    )


def _rates(stated: _Rates) -> Rates:
    if stated.input is None or stated.output is None:
        raise ValueError("per_million_tokens: expected both input and output")
    found = msgspec.structs.asdict(stated)
    return Rates(**found | {"reasoning": None} if found["reasoning"] == found["output"] else found)


def _require_distinct(made: list[tuple[_Entry, Priced]], name: str) -> None:
    seen: dict[tuple[str, str, str | None, date | None], str] = {}
    for entry, priced in made:
        key = (priced.provider, priced.model, priced.tier, entry.since)
        if key in seen:
            raise InputError(
                f"{name}: {seen[key]} and {priced.entry} both price {entry.model!r} at {entry.provider!r} from the "
                "same day; expected one of them"
            )
        seen[key] = priced.entry

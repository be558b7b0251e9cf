"""What a model costs and what it takes, each in a line for people; None where nobody knows.

Elsewhere: the whole of either (`midshift prices show`, `midshift preflight --show`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from midshift.providers.capabilities import Capabilities, effort_ladder
from midshift.providers.capability_sources import capabilities
from midshift.providers.catalogue import Catalogue
from midshift.providers.prices.book import Book, Unpriced

_MILLION, _THOUSAND = 1_000_000, 1_000


@dataclass(frozen=True, slots=True)
class Facts:
    """Both lines."""

    price: str | None = None
    capabilities: str | None = None


def facts(vendor: str, model: str, book: Book, known: Catalogue, at: datetime) -> Facts:
    """What is known of a model at a vendor, at a moment."""
    return Facts(_price(vendor, model, book, at), _abilities(capabilities(vendor, model, known)))


def _price(vendor: str, model: str, book: Book, at: datetime) -> str | None:
    found = book.prices(vendor, model, at)
    if isinstance(found, Unpriced):
        return None
    rates = found.prices.rates
    said = f"{_usd(rates.input)} in, {_usd(rates.output)} out"
    cached = f", {_usd(rates.cached_in)} cached" if rates.cached_in is not None else ""
    return f"{said}{cached} (USD per million tokens, {found.source})"


def _usd(price: Decimal | None) -> str:
    return "unknown" if price is None else f"{price.normalize():f}"


def _abilities(able: Capabilities) -> str | None:
    efforts = effort_ladder(able)
    said = [
        _tokens("context", able.number("context_tokens")),
        _tokens("output", able.number("max_output_tokens")),
        f"effort {', '.join(efforts)}" if efforts else None,
        _sampling(able.word("sampling")),
        _flag(able, "tools"),
        _flag(able, "images"),
        _flag(able, "pdf"),
        _flag(able, "response_schema", "JSON schema"),
        _flag(able, "assistant_prefill", "prefill"),
    ]
    known = [words for words in said if words is not None]
    return " · ".join(known) if known else None


def _tokens(name: str, count: int | None) -> str | None:
    if count is None:
        return None
    unit, letter = (_MILLION, "M") if count >= _MILLION else (_THOUSAND, "k")
    return f"{name} {count / unit:.3g}{letter}"


def _sampling(rule: str | None) -> str | None:
    words = {"any": None, "rejected": "no temperature", "default_only": "default temperature only"}
    return words.get(rule, "temperature only without effort") if rule is not None else None


def _flag(able: Capabilities, name: str, words: str | None = None) -> str | None:
    state = able.flag(name)
    said = words or name
    return None if state is None else said if state else f"no {said}"

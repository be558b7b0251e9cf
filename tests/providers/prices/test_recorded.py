"""206 usages in the shapes of their vendors, priced by the book, against sums that were written out by hand.

Each line of `data/usages.jsonl` has the products as text (`6302*1.25 + 297*0.125`, tokens times USD per million) and
their total. The factors are those of `PRICES`, typed here and not taken from the code under test. What this proves is
the reading and the arithmetic; that a list price is right, only its vendor can say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from midshift.domain.cost import cost
from midshift.domain.usage import Usage
from midshift.providers import catalogue
from midshift.providers.prices.book import PriceBook, Priced
from midshift.providers.prices.genai import GenaiPrices
from midshift.providers.prices.listed import ListedPrices
from midshift.wire import usage as usage_of

ROWS = [json.loads(line) for line in (Path(__file__).parent / "data" / "usages.jsonl").read_text("utf-8").splitlines()]
READERS: Mapping[str, Callable[[object, object], Usage]] = {
    "openai_chat": usage_of.openai_chat,
    "openai_responses": usage_of.openai_responses,
    "anthropic": usage_of.anthropic,
    "gemini": usage_of.gemini,
    "bedrock_converse": usage_of.bedrock_converse,
}
PRICES = {
    "gpt-5": "1.25 0.125 10",
    "gpt-5 flex": "0.625 0.0625 5",
    "gpt-5 batch": "0.625 0.0625 5",
    "gpt-4o": "2.5 1.25 10",
    "gpt-audio": "2.5 32 10 64",
    "gpt-5.4": "2.5 0.25 15 5 0.5 22.5",
    "gpt-5.6-sol": "4 0.4 5 20 0.5 6.25 30",
    "claude-sonnet-4-6": "3 0.3 3.75 6 15 10000",
    "claude-sonnet-4-6 batch": "1.5 0.15 1.875 3 7.5",
    "claude-3-7-sonnet-20250219": "3 0.3 3.75 6 15",
    "claude-haiku-5-5": "0.1 0.01 0.125 0.2 0.5 0.05 0.625 1 2.5",
    "gemini-2.5-pro": "1.25 0.125 10 2.5 0.25 15",
    "gemini-2.5-pro batch": "0.625 0.125 5",
    "gemini-2.5-flash": "0.3 0.03 1 0.1 2.5",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0": "3.3 0.33 4.125 6.6 16.5",
    "amazon.nova-pro-v1:0": "0.8 0.2 3.2",
    "mistral-large-2411": "2 6",
    "meta-llama/Llama-3.3-70B-Instruct-Turbo": "0.88",
    "perplexity/sonar-deep-research": "2 8 3",
}
"""Every factor that may stand in a line of that model, in USD per million tokens (and per million searches)."""


@pytest.fixture(scope="module")
def book() -> PriceBook:
    """The book without prices of a user."""
    return PriceBook([GenaiPrices(), ListedPrices(catalogue.bundled())])


def tier_of(row: Mapping[str, Any]) -> str | None:
    """The tier that served: beside the usage, or in Anthropic's."""
    found = row["tier"] or row["usage"].get("service_tier")
    return None if found in (None, "default", "standard") else str(found)


def test_the_lines_cover_what_makes_prices_differ() -> None:
    """Without this the table could shrink to the easy cases and stay green."""
    used = {(row["shape"], row["model"], tier_of(row)) for row in ROWS}
    kinds = json.dumps([row["usage"] for row in ROWS])

    assert 200 <= len(ROWS)
    assert {"batch", "flex", None} == {tier for _, _, tier in used}
    assert set(READERS) == {shape for shape, _, _ in used}
    assert catalogue.bundled().entry("anthropic", "claude-3-7-sonnet-20250219") is None  # retired, and still priced
    for field in ("ephemeral_1h_input_tokens", "cache_write_tokens", "AUDIO", "thinking_tokens", "web_search_requests"):
        assert field in kinds


def test_the_sums_are_those_of_the_typed_prices() -> None:
    """The expectation itself: the products add up, and no factor is foreign to its model."""
    for row in ROWS:
        products = [term.split("*") for term in row["terms"].split(" + ")]
        name = " ".join(filter(None, (row["model"], tier_of(row))))

        assert {price for _, price in products} <= set(PRICES[name].split())
        assert Fraction(row["usd"]) * 10**6 == sum(Fraction(tokens) * Fraction(price) for tokens, price in products)


def test_each_usage_costs_what_was_worked_out_by_hand(book: PriceBook) -> None:
    """To the last digit: a cost that is a little off is a wrong verdict on a cheap model."""
    wrong = []
    for number, row in enumerate(ROWS, start=1):
        usage = READERS[row["shape"]](row["usage"], row["tier"])
        found = book.prices(row["provider"], row["model"], datetime.fromisoformat(row["at"]), usage.service_tier)
        assert isinstance(found, Priced), (number, found)
        made = cost(usage, found.prices)
        if made.total_usd is None or Fraction(made.total_usd) != Fraction(row["usd"]):
            wrong.append((number, row["model"], row["usd"], made))

    assert [] == wrong

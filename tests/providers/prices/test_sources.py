"""The three sources: the user's file, genai-prices, the catalogue."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import data
from genai_prices.types import ConditionalPrice, TimeOfDateConstraint

from midshift.domain.cost import Rates
from midshift.errors import InputError
from midshift.providers import catalogue
from midshift.providers.prices import own
from midshift.providers.prices.book import Priced, Query
from midshift.providers.prices.genai import GenaiPrices
from midshift.providers.prices.listed import ListedPrices

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
OWN = """
format: midshift.prices/1
prices:
  - provider: openai
    model: gpt-5
    per_million_tokens: {input: 1.1, output: 9, cached_in: "0.11"}
    per_search: 0.008
    long_context:
      - {above: 100000, per_million_tokens: {input: 2.2, output: 18}}
    source: contract 17
    date: 2026-03-01
    note: until the next talks
  - provider: openai
    model: gpt-5
    from: 2026-06-01
    per_million_tokens: {input: 1, output: 8}
    source: contract 18
    date: 2026-05-20
  - provider: openai
    model: gpt-5
    tier: Batch
    until: 2026-07-01
    per_million_tokens: {input: 0.5, output: 4}
    source: contract 17
    date: 2026-03-01
"""


def a_catalogue(**facts: Any) -> ListedPrices:
    """One model of one provider, as LiteLLM's file would have it."""
    models = {"m": {"litellm_provider": "openai", "mode": "chat", **facts}}
    return ListedPrices(catalogue.read(catalogue.taken(json.dumps(models).encode(), "o", "v1", date(2026, 11, 1))))


def asked(provider: str, model: str, tier: str | None = None, at: datetime = NOON) -> Query:
    """A query at a provider that goes by its vendor's name."""
    return Query(provider, provider, model, at, tier)


def rates(found: Priced | None) -> Rates:
    """The rates of a price that must be there."""
    assert found is not None
    return found.prices.rates


class TestOwn:
    """Prices that users write."""

    source = own.read(OWN.encode(), "prices.yaml")

    def test_an_entry_keeps_all_that_was_written(self) -> None:
        found = self.source.find(asked("openai", "gpt-5", at=datetime(2026, 5, 31, 23, 59, tzinfo=UTC)))

        assert Rates(Decimal("1.1"), Decimal(9), cached_in=Decimal("0.11")) == rates(found)
        assert found is not None
        assert (100_000, Decimal("2.2")) == (
            found.prices.long_context[0].above,
            found.prices.long_context[0].rates.input,
        )
        assert Decimal("0.008") == found.prices.search
        assert ("own", "prices[0]", date(2026, 3, 1)) == (found.source, found.entry, found.as_of)
        assert ("contract 17", "until the next talks") == (found.reference, found.note)

    def test_the_latest_price_that_has_begun_holds(self) -> None:
        assert Decimal(1) == rates(self.source.find(asked("openai", "gpt-5"))).input

    def test_a_price_ends_on_its_day(self) -> None:
        last = datetime(2026, 6, 30, 23, 59, tzinfo=UTC)

        assert Decimal("0.5") == rates(self.source.find(asked("openai", "gpt-5", "batch", last))).input
        assert None is self.source.find(asked("openai", "gpt-5", "batch", datetime(2026, 7, 1, tzinfo=UTC)))

    def test_a_provider_may_be_named_by_its_vendor(self) -> None:
        found = self.source.find(Query("mine", "openai", "gpt-5", NOON, None))

        assert found is not None
        assert "mine" == found.provider

    def test_json_is_read_as_well(self) -> None:
        entry = {
            "provider": "sim",
            "model": "a",
            "per_million_tokens": {"input": 1, "output": 2},
            "source": "x",
            "date": "2026-01-01",
        }

        found = own.read(json.dumps({"format": own.FORMAT, "prices": [entry]}).encode(), "p.json")

        assert Rates(Decimal(1), Decimal(2)) == rates(found.find(asked("sim", "a")))

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("input: 1.1", "inptu: 1.1", "inptu"),
            ("input: 1.1, ", "", "expected both input and output"),
            ("input: 1.1", "input: -1", "finite number from 0 up"),
            ("input: 1.1", "input: .nan", "finite number from 0 up"),
            ("input: 1.1", "input: cheap", r"prices\[0\].per_million_tokens.input"),
            ("until: 2026-07-01", "from: 2026-07-01\n    until: 2026-07-01", "expected a day after"),
            ("    from: 2026-06-01\n", "", "both price 'gpt-5'"),
            ("    source: contract 17\n", "", "source"),
            ("midshift.prices/1", "midshift.prices/9", "expected 'midshift.prices/1'"),
            ("prices:", "prices: [", "no file of prices"),
            ("above: 100000", "above: -5", "limits must rise"),
        ],
    )
    def test_a_fault_is_named_with_its_place(self, old: str, new: str, said: str) -> None:
        with pytest.raises(InputError, match=said) as caught:
            own.read(OWN.replace(old, new, 1).encode(), "prices.yaml")

        assert "prices.yaml" in str(caught.value)


class TestGenai:
    """The package, read as it is installed."""

    source = GenaiPrices()

    def test_a_retired_model_keeps_its_price(self) -> None:
        """The incumbent of an upgrade is often one: the comparison needs its price."""
        found = rates(self.source.find(asked("anthropic", "claude-3-7-sonnet-20250219")))

        assert (Decimal(3), Decimal(15), Decimal(6)) == (found.input, found.output, found.cache_write_long)

    def test_the_price_of_the_day_holds(self) -> None:
        before = asked("openai", "gpt-5.6-sol", at=datetime(2026, 8, 20, tzinfo=UTC))

        assert Decimal(5) == rates(self.source.find(before)).input
        assert Decimal(4) == rates(self.source.find(asked("openai", "gpt-5.6-sol"))).input

    def test_a_tier_is_not_known_before_it_was_verified(self) -> None:
        """The package itself then gives the standard price, twice that of a batch."""
        early = asked("openai", "gpt-5", "batch", datetime(2026, 10, 13, tzinfo=UTC))

        assert None is self.source.find(early)
        assert Decimal("0.625") == rates(self.source.find(asked("openai", "gpt-5", "batch"))).input

    @pytest.mark.parametrize(
        ("provider", "model"),
        [
            ("openai", "no-such"),
            ("sim", "gpt-5"),
            ("azure", "gpt-5"),
            ("openai", "whisper-1"),
            ("mistral", "mistral-ocr-2505"),
        ],
    )
    def test_what_is_not_this_vendors_price_by_the_token_is_none(self, provider: str, model: str) -> None:
        assert None is self.source.find(asked(provider, model))

    @pytest.mark.slow
    def test_every_model_of_the_package_can_be_read(self) -> None:
        """A form of price that we cannot hold must be None, not an error in a gateway."""
        names = {"aws": "bedrock", "google": "gemini", "x-ai": "xai"}
        tiers = (None, "batch", "flex", "priority", "fast")
        found = [
            self.source.find(asked(names.get(provider.id, provider.id), model.id, tier))
            for provider in data.providers
            for model in provider.models
            for tier in tiers
        ]

        assert 1000 < sum(one is not None for one in found)

    def test_hours_change_on_quarters(self) -> None:
        """A book remembers for a quarter of an hour; a finer change would come late."""
        conditions = [
            price.constraint
            for provider in data.providers
            for model in provider.models
            for price in (model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)])
        ]
        hours = [one for one in conditions if isinstance(one, TimeOfDateConstraint)]
        moments: list[time] = [moment for one in hours for moment in (one.start_time, one.end_time)]

        assert moments
        assert {(0, 0)} == {(moment.minute % 15, moment.second) for moment in moments}


class TestListed:
    """The catalogue's fields, read strictly."""

    PLAIN = {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1.5e-05}

    def test_fields_become_rates_to_the_digit(self) -> None:
        found = a_catalogue(
            **self.PLAIN,
            cache_read_input_token_cost=2.5e-07,
            cache_creation_input_token_cost=3.125e-06,
            cache_creation_input_token_cost_above_12hr=5e-06,
            output_cost_per_reasoning_token=6e-05,
            input_cost_per_audio_token=3.2e-05,
            cache_read_input_audio_token_cost=1e-07,
            output_cost_per_audio_token=6.4e-05,
            search_context_cost_per_query={"low": 0.01, "high": 0.01},
            source="https://vendor",
        ).find(asked("openai", "m"))

        assert Rates(*map(Decimal, "2.5 15 0.25 3.125 5 60 32 0.1 64".split())) == rates(found)
        assert found is not None
        assert (Decimal("0.01"), date(2026, 11, 1), "https://vendor") == (
            found.prices.search,
            found.as_of,
            found.reference,
        )

    def test_a_tier_has_its_own_rates_and_no_others(self) -> None:
        source = a_catalogue(
            **self.PLAIN,
            cache_read_input_token_cost=2.5e-07,
            input_cost_per_token_batches=1.25e-06,
            output_cost_per_token_batches=7.5e-06,
        )

        assert Rates(Decimal("1.25"), Decimal("7.5")) == rates(source.find(asked("openai", "m", "batch")))
        assert None is source.find(asked("openai", "m", "flex"))
        assert None is source.find(asked("openai", "m", "scale"))

    def test_a_long_request_has_its_own_rates_and_no_others(self) -> None:
        found = a_catalogue(
            **self.PLAIN,
            cache_read_input_token_cost=2.5e-07,
            input_cost_per_token_above_200k_tokens=5e-06,
            output_cost_per_token_above_200k_tokens=2e-05,
            input_cost_per_token_batches=1e-06,
            output_cost_per_token_batches=1e-06,
        )

        standard, batch = (found.find(asked("openai", "m", tier)) for tier in (None, "batch"))

        assert standard is not None
        assert batch is not None
        assert (200_000, Rates(Decimal(5), Decimal(20))) == (
            standard.prices.long_context[0].above,
            standard.prices.long_context[0].rates,
        )
        assert Rates() == batch.prices.at(200_001)  # nobody states them: unknown, and not those of short requests

    def test_a_region_of_ones_choice_multiplies(self) -> None:
        found = a_catalogue(**self.PLAIN, provider_specific_entry={"us": 1.1}).find(asked("openai", "m", "us"))

        assert (Decimal("2.75"), Decimal("16.5")) == (rates(found).input, rates(found).output)

    @pytest.mark.parametrize(
        "facts",
        [
            {},
            {"input_cost_per_token": 1e-06},
            {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
            {"input_cost_per_token": True, "output_cost_per_token": 1e-06},
            {"input_cost_per_token": -1e-06, "output_cost_per_token": 1e-06},
            {**PLAIN, "off_peak_pricing": {"input_cost_per_token": 1e-06}},
        ],
    )
    def test_what_is_not_stated_is_no_price(self, facts: dict[str, Any]) -> None:
        assert None is a_catalogue(**facts).find(asked("openai", "m"))

    def test_a_zero_beside_a_price_is_not_stated(self) -> None:
        """DeepSeek's cache writes stand there as 0: they are plain input."""
        found = a_catalogue(**self.PLAIN, cache_creation_input_token_cost=0.0).find(asked("openai", "m"))

        assert None is rates(found).cache_write

    @pytest.mark.slow
    def test_every_entry_of_the_bundled_catalogue_can_be_read(self) -> None:
        entries = list(catalogue.bundled())
        source = ListedPrices(catalogue.bundled())
        found = [
            source.find(asked(entry.provider, entry.model, tier))
            for entry in entries
            for tier in (None, "batch", "flex", "priority", "us")
        ]

        assert 1500 < sum(one is not None for one in found)

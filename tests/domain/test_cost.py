"""What a call costs: exact, additive, and unknown as soon as something that matters is."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.cost import Cost, LongContext, Rates, UnitPrices, cost
from midshift.domain.light import replaced
from midshift.domain.usage import UNKNOWN, Usage

USUAL = Rates(input=Decimal(3), output=Decimal(15), cached_in=Decimal("0.3"), cache_write=Decimal("3.75"))
PRICES = UnitPrices(USUAL, search=Decimal("0.01"))
PLAIN = UnitPrices(Rates(input=Decimal(3), output=Decimal(15)))
COUNTS = st.integers(0, 10**6)
MONEY = st.decimals(0, 1000, places=4)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """A usage that says everything, and does not contradict itself."""
    plain, cached, written, kept, audio, both, out, reasoning, spoken, searches = (draw(COUNTS) for _ in range(10))
    return Usage(
        tokens_in=plain + cached + both + written + kept + audio,
        tokens_out=out + reasoning + spoken,
        cached_in=cached + both,
        cache_write_in=written + kept,
        cache_write_long_in=kept,
        reasoning_out=reasoning,
        audio_in=audio + both,
        cached_audio_in=both,
        audio_out=spoken,
        searches=searches,
    )


@st.composite
def price_lists(draw: st.DrawFn) -> UnitPrices:
    """Prices for everything, the same at any length."""
    return UnitPrices(Rates(*(draw(MONEY) for _ in range(9))), search=draw(MONEY))


def added(one: Usage, other: Usage) -> Usage:
    """The usage of two calls together."""
    pairs = ((name, getattr(one, name), getattr(other, name)) for name in Usage.__struct_fields__)
    return replaced(one, **{name: a + b for name, a, b in pairs if isinstance(a, int)})


def usd(usage: Usage, prices: UnitPrices) -> Decimal:
    """A cost that must be known."""
    total = cost(usage, prices).total_usd
    assert total is not None
    return total


@given(usages(), usages(), price_lists())
def test_two_calls_cost_what_they_cost_together(one: Usage, other: Usage, prices: UnitPrices) -> None:
    """Exactly: sums by day, by slice and by run must agree."""
    assert usd(added(one, other), prices) == usd(one, prices) + usd(other, prices)


@given(usages(), price_lists(), st.sampled_from(["tokens_in", "tokens_out", "searches"]), COUNTS)
def test_more_use_never_costs_less(usage: Usage, prices: UnitPrices, name: str, more: int) -> None:
    assert usd(usage, prices) <= usd(replaced(usage, **{name: getattr(usage, name) + more}), prices)


@given(usages(), price_lists())
def test_the_parts_add_up_to_the_total(usage: Usage, prices: UnitPrices) -> None:
    found = cost(usage, prices)

    assert found.total_usd == sum(found.parts.values(), Decimal(0))


@given(usages(), st.sampled_from(sorted(set(Usage.__struct_fields__) - {"service_tier", "cost_usd", "searches"})))
def test_a_count_that_matters_and_is_missing_makes_the_cost_unknown(usage: Usage, name: str) -> None:
    """Every part has a price of its own here, and every part of this usage is there."""
    rates = Rates(*map(Decimal, range(1, 10)))
    usage = added(usage, Usage(9, 9, 3, 3, 1, 2, 3, 1, 2, 0))

    found = cost(replaced(usage, **{name: None}), UnitPrices(rates, search=Decimal(1)))

    assert found.total_usd is None
    assert name in found.why
    assert {} == dict(found.parts)


@pytest.mark.parametrize("name", ["input", "output", "cached_in", "cache_write", "cache_write_long", "audio_in"])
def test_a_price_that_nobody_knows_is_unknown_and_not_zero(name: str) -> None:
    usage = Usage(100, 10, 20, 20, 5, 0, 20, 0, 0, 0)

    found = cost(usage, UnitPrices(replace(Rates(*map(Decimal, range(1, 10))), **{name: None})))

    assert Cost(None, why=f"no price for {name}") == found


def test_nothing_reported_costs_an_unknown_amount() -> None:
    assert Cost(None, why="tokens_in was not reported") == cost(UNKNOWN, PRICES)


def test_a_part_of_which_nobody_speaks_is_priced_as_its_whole() -> None:
    """Neither the provider counts cached tokens nor does the book price them: most servers of open models."""
    assert Decimal("0.00045") == usd(Usage(tokens_in=100, tokens_out=10), PLAIN)


def test_a_provider_that_is_silent_about_a_cheaper_cache_has_no_known_cost() -> None:
    """All of it might have been read from cache, at a tenth of the price."""
    found = cost(Usage(tokens_in=100, tokens_out=10, cache_write_in=0), PRICES)

    assert Cost(None, why="cached_in was not reported, and has a price of its own") == found


@pytest.mark.parametrize(
    ("usage", "rates"),
    [
        (Usage(100, 10, cached_in=None, cache_write_in=0), replace(USUAL, cached_in=USUAL.input)),
        (Usage(0, 10, cached_in=None, cache_write_in=None), USUAL),
        (Usage(100, 10, cached_in=0, cache_write_in=0, reasoning_out=None), USUAL),
        (Usage(100, 10, cached_in=0, cache_write_in=0), replace(USUAL, cache_write_long=Decimal(6))),
        (Usage(100, 0, cached_in=0, cache_write_in=0), replace(USUAL, reasoning=Decimal(60))),
    ],
    ids=["same price", "no input", "reasoning is output", "nothing written", "no output"],
)
def test_a_missing_count_that_cannot_matter_does_no_harm(usage: Usage, rates: Rates) -> None:
    assert usd(usage, UnitPrices(rates)) >= 0


def test_reasoning_has_the_price_of_output_unless_it_has_its_own() -> None:
    usage = Usage(tokens_in=0, tokens_out=1000, reasoning_out=400)

    assert {"output": Decimal("0.009"), "reasoning": Decimal("0.006")} == dict(cost(usage, PLAIN).parts)
    apart = UnitPrices(replace(PLAIN.rates, reasoning=Decimal(60)))
    assert {"output": Decimal("0.009"), "reasoning": Decimal("0.024")} == dict(cost(usage, apart).parts)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(10, 1, cached_in=11, cache_write_in=0),
        Usage(10, 1, cached_in=6, cache_write_in=6),
        Usage(10, 1, cached_in=0, cache_write_in=2, cache_write_long_in=3),
        Usage(10, 1, cached_in=0, cache_write_in=0, reasoning_out=2),
        Usage(10, 1, cached_in=2, cache_write_in=0, audio_in=2, cached_audio_in=3),
    ],
)
def test_parts_beyond_their_whole_are_unknown(usage: Usage) -> None:
    """Whoever sends this counts differently from what we believe; any price would be a guess."""
    found = cost(usage, PRICES)

    assert found.total_usd is None
    assert "contradicts itself" in found.why


def test_audio_from_the_cache_must_be_told_apart_where_there_is_both() -> None:
    prices = UnitPrices(replace(USUAL, audio_in=Decimal(10), cached_audio_in=Decimal(1)))
    usage = Usage(100, 0, cached_in=30, cache_write_in=0, audio_in=40)

    assert "cached_audio_in was not reported" in cost(usage, prices).why
    assert {
        "input": Decimal("0.000150"),
        "cached_in": Decimal("0.000003"),
        "audio_in": Decimal("0.000200"),
        "cached_audio_in": Decimal("0.000020"),
    } == dict(cost(replaced(usage, cached_audio_in=20), prices).parts)


@pytest.mark.parametrize(("tokens_in", "expected"), [(200_000, "0.60"), (200_001, "1.200006"), (300_001, "2.700009")])
def test_a_long_request_moves_as_a_whole(tokens_in: int, expected: str) -> None:
    """Not only the tokens beyond the limit: that is how vendors bill it."""
    tiers = tuple(
        LongContext(above, replace(PLAIN.rates, input=Decimal(price))) for above, price in ((200_000, 6), (300_000, 9))
    )

    assert Decimal(expected) == usd(Usage(tokens_in, 0), UnitPrices(PLAIN.rates, tiers))


def test_searches_are_priced_where_they_are_counted() -> None:
    """Most providers do not count them: silence cannot make every call unknown. A count without a price does."""
    usage = Usage(0, 0)

    assert Decimal(0) == usd(usage, PRICES)
    assert Decimal("0.03") == usd(replaced(usage, searches=3), PRICES)
    assert Cost(None, why="no price for searches") == cost(replaced(usage, searches=3), PLAIN)


@pytest.mark.parametrize("price", ["-1", "NaN", "Infinity"])
def test_a_price_is_a_finite_number_from_zero_up(price: str) -> None:
    with pytest.raises(ValueError, match="cached_in"):
        Rates(cached_in=Decimal(price))
    with pytest.raises(ValueError, match="search"):
        UnitPrices(PLAIN.rates, search=Decimal(price))


def test_limits_of_long_requests_rise() -> None:
    with pytest.raises(ValueError, match="must rise"):
        UnitPrices(PLAIN.rates, (LongContext(200, PLAIN.rates), LongContext(100, PLAIN.rates)))

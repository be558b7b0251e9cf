"""The order of sources, and what is remembered."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from midshift.domain.cost import Rates, UnitPrices
from midshift.domain.usage import Usage
from midshift.domain.variant import Variant
from midshift.providers.prices import pinned
from midshift.providers.prices.book import PriceBook, Priced, Query, Unpriced
from midshift.providers.prices.pricing import pricing

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass
class Fixed:
    """A source that knows some models, in some tiers, at one price; it notes what it is asked."""

    name: str
    known: dict[tuple[str, str | None], str]
    version: str = "1"
    asked: list[Query] = field(default_factory=list)

    def find(self, query: Query) -> Priced | None:
        """The price, if the vendor's model is known."""
        self.asked.append(query)
        usd = self.known.get((f"{query.vendor}/{query.model}", query.tier))
        if usd is None:
            return None
        prices = UnitPrices(Rates(Decimal(usd), Decimal(usd)))
        return Priced(query.provider, query.model, query.tier, prices, self.name, self.version, "there", note="long")


def rate(found: Priced | Unpriced) -> Decimal | None:
    """The input's rate of a price that must be there."""
    assert isinstance(found, Priced), found
    return found.prices.rates.input


def test_the_first_source_that_knows_a_price_gives_it() -> None:
    first, second = Fixed("first", {("v/a", None): "1"}), Fixed("second", {("v/a", None): "2", ("v/b", None): "3"})
    book = PriceBook([first, second])

    assert 1 == rate(book.prices("v", "a", NOON))
    assert 3 == rate(book.prices("v", "b", NOON))
    assert ["first", "second"] == [one.source for one in book.all("v", "a", NOON)]


def test_a_tier_that_no_source_states_has_no_price() -> None:
    """Half of the standard price would be a guess, and the standard price wrong."""
    book = PriceBook([Fixed("list", {("v/a", None): "1"})])

    found = book.prices("v", "a", NOON, "batch")

    assert Unpriced("v", "a", "batch", "no price for 'a' at 'v' in the tier 'batch'; asked: list") == found


@pytest.mark.parametrize("tier", [None, "", "default", "Standard", "auto"])
def test_all_names_of_the_standard_tier_are_one(tier: str | None) -> None:
    assert 1 == rate(PriceBook([Fixed("list", {("v/a", None): "1"})]).prices("v", "a", NOON, tier))


def test_a_provider_of_ones_own_name_has_its_vendors_prices() -> None:
    book = PriceBook([Fixed("list", {("v/a", None): "1"})], {"mine": "v"})

    found = book.prices("mine", "a", NOON)

    assert 1 == rate(found)
    assert "mine" == found.provider


def test_a_source_is_asked_once_in_a_quarter_of_an_hour() -> None:
    """A gateway asks for each call; prices that depend on the hour must still change on time."""
    source = Fixed("list", {("v/a", None): "1"})
    book = PriceBook([source])

    for minutes in (0, 7, 14.9, 15):
        book.prices("v", "a", NOON + timedelta(minutes=minutes))
        book.prices("v", "unknown", NOON + timedelta(minutes=minutes))

    assert ["a", "unknown"] * 2 == [query.model for query in source.asked]


def test_a_moment_without_a_zone_is_refused() -> None:
    """Half a day more or less decides which price held."""
    book = PriceBook([])

    with pytest.raises(ValueError, match="zone"):
        book.prices("v", "a", NOON.replace(tzinfo=None))


def test_the_id_names_sources_versions_order_and_vendors() -> None:
    one, two = Fixed("one", {}), Fixed("two", {})
    ids = [
        PriceBook([one, two]).id,
        PriceBook([two, one]).id,
        PriceBook([one]).id,
        PriceBook([one, Fixed("two", {}, version="2")]).id,
        PriceBook([one, two], {"mine": "v"}).id,
    ]

    assert 5 == len(set(ids))
    assert ids[0] == PriceBook([Fixed("one", {}), Fixed("two", {})]).id


def test_pinned_prices_survive_plain_json_and_answer_as_the_book_did() -> None:
    book = PriceBook([Fixed("list", {("v/a", None): "0.1", ("v/a", "batch"): "0.05"})])

    pins = pinned.pin(book, [("v", "a", None), ("v", "a", "batch"), ("v", "a", None), ("v", "gone", None)], NOON)
    back = pinned.from_json(json.loads(json.dumps(pinned.as_json(pins))))

    assert pins == back
    assert (book.id, 2) == (back.id, len(back.entries))
    assert Decimal("0.05") == rate(back.prices("v", "a", NOON, "Batch"))
    assert "no price for 'gone'" in getattr(back.prices("v", "gone", NOON), "why", "")


def test_a_run_is_recomputed_under_another_book() -> None:
    """List prices are taken back: what a run cost must not stay wrong for ever."""
    before, after = PriceBook([Fixed("list", {("v/a", None): "1"})]), PriceBook([Fixed("list", {("v/a", None): "3"})])
    pins = pinned.pin(before, [("v", "a", None)], NOON)
    calls = [pinned.Call("v", "a", NOON, Usage(10, 5, cost_usd=9.0), cost_usd=0.000015)] * 2
    run = pinned.read_calls(pinned.calls_file(pins, calls), "run.json")

    same, other = pinned.recompute(run, run.prices), pinned.recompute(run, after)

    assert Decimal("0.00003") == same.total_usd
    assert pytest.approx(0.00003) == same.recorded_total_usd == other.recorded_total_usd
    assert Decimal("0.00009") == other.total_usd
    assert (before.id, after.id) == (other.before, other.after)


def test_a_run_with_one_unknown_call_has_no_total_and_says_why() -> None:
    book = PriceBook([Fixed("list", {("v/a", None): "1"})])
    calls = (pinned.Call("v", "a", NOON, Usage(10, 5)), pinned.Call("v", "a", NOON, Usage(10)))

    found = pinned.recompute(pinned.Calls(pinned.PinnedPrices("", ()), calls), book)

    assert None is found.total_usd
    assert {"tokens_out was not reported": 1} == found.unknown
    assert (Decimal("0.000015"), None) == found.costs_usd


class TestPricing:
    """What a gateway calls for each answer."""

    book = PriceBook([Fixed("list", {("v/a", None): "1", ("v/a", "flex"): "0.5"})])

    def priced(self, usage: Usage, variant: Variant | None = None) -> float | None:
        """The cost of one call."""
        return pricing(self.book, lambda: NOON)(variant or Variant("v", "a"), usage)

    def test_usage_has_its_price_in_the_tier_that_served(self) -> None:
        flex = Variant("v", "a", parameters={"service_tier": "flex"})

        assert 0.000015 == self.priced(Usage(10, 5))
        assert 0.0000075 == self.priced(Usage(10, 5, service_tier="flex"))
        assert 0.0000075 == self.priced(Usage(10, 5), flex)
        assert 0.000015 == self.priced(Usage(10, 5, service_tier="default"), flex)

    def test_each_variant_has_its_own_price(self) -> None:
        """Two of one model may ask for two tiers, and an answer may have been served in a third."""
        priced = pricing(self.book, lambda: NOON)
        standard, flex = Variant("v", "a"), Variant("v", "a", parameters={"service_tier": "flex"})

        for _ in range(2):
            assert (0.000015, 0.0000075) == (priced(standard, Usage(10, 5)), priced(flex, Usage(10, 5)))
            assert 0.0000075 == priced(standard, Usage(10, 5, service_tier="flex"))

    def test_what_the_provider_billed_wins(self) -> None:
        assert 7.0 == self.priced(Usage(10, 5, cost_usd=7.0))

    def test_unknown_usage_or_price_is_none_and_not_zero(self) -> None:
        assert None is self.priced(Usage(10))
        assert None is self.priced(Usage(10, 5, service_tier="batch"))
        assert None is self.priced(Usage(10, 5), Variant("v", "unknown"))

    def test_a_price_is_asked_for_again_every_quarter_of_an_hour(self) -> None:
        """What was made of it must not outlive it: a gateway runs for weeks."""
        now, asked, variant = [NOON], list[datetime](), Variant("v", "a")

        class Rising(Fixed):
            def find(self, query: Query) -> Priced | None:
                asked.append(query.at)
                return Fixed("list", {("v/a", None): str(len(asked))}).find(query)

        priced = pricing(PriceBook([Rising("list", {})]), lambda: now[0])
        found = []
        for minutes in (0, 14, 15, 29, 30):
            now[0] = NOON + timedelta(minutes=minutes)
            found.append(priced(variant, Usage(10, 5)))

        assert 3 == len(asked)
        assert [found[0]] * 2 == found[:2]
        assert [2 * (found[0] or 0)] * 2 == found[2:4]


@pytest.mark.slow
def test_a_gateway_that_is_only_imported_loads_no_price_package() -> None:
    """It brings pydantic and an HTTP client; whoever builds a book loads it."""
    program = (
        "import sys, midshift.gateway.server, midshift.gateway.app, midshift.providers.prices.pricing;"
        "print(sorted({'genai_prices', 'pydantic', 'httpx2'} & set(sys.modules)))"
    )

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "[]" == run.stdout.strip()

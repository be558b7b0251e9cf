"""Assignment: deterministic, monotone, and forgotten at once by a rollback."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.routing import BLOCKS, Arm, Route, assign, block, position, ring_of

UNITS = st.text(min_size=1, max_size=40)


def a_route(share: float = 0.0, salt: str = "s") -> Route:
    return Route("w", "old", epoch=7, candidate="new", share=share, salt=salt, upgrade="u")


@given(unit=UNITS, low=st.floats(0, 1), high=st.floats(0, 1))
def test_raising_the_share_only_adds_units(unit: str, low: float, high: float) -> None:
    """Nobody goes back and forth between two models while a canary grows."""
    low, high = sorted((low, high))

    assert assign(unit, a_route(low)) is Arm.INCUMBENT or assign(unit, a_route(high)) is Arm.CANDIDATE


@given(unit=UNITS)
def test_a_rollback_overrides_everything_at_once(unit: str) -> None:
    """There is no memory that could keep a unit with the candidate."""
    assert Arm.INCUMBENT is assign(unit, a_route(1.0).rolled_back())


def test_a_rollback_is_a_later_epoch() -> None:
    """Gateways tell new from old by it."""
    assert 8 == a_route(1.0).rolled_back().epoch


@pytest.mark.parametrize("share", [0.01, 0.05, 0.25])
def test_the_share_that_is_served_is_the_share_that_was_asked_for(share: float) -> None:
    """Six standard errors of 40,000 units."""
    served = sum(assign(f"user-{number}", a_route(share)) is Arm.CANDIDATE for number in range(40_000)) / 40_000

    assert abs(served - share) < 6 * (share * (1 - share) / 40_000) ** 0.5


def test_another_salt_deals_the_units_anew() -> None:
    """Or the same users would be first in every upgrade."""
    both = sum(
        assign(f"u{n}", a_route(0.5, "a")) is Arm.CANDIDATE and assign(f"u{n}", a_route(0.5, "b")) is Arm.CANDIDATE
        for n in range(10_000)
    )

    assert abs(both / 10_000 - 0.25) < 0.03


def test_blocks_are_even_and_say_nothing_about_the_arm() -> None:
    """A block that leaned to one arm would bias every standard error."""
    counts = [0] * BLOCKS
    candidates = 0
    for number in range(51_200):
        unit = f"user-{number}"
        index = block(unit, "s")
        counts[index] += 1
        candidates += index < BLOCKS // 2 and position(unit, "s") < 0.5

    assert 120 < min(counts) and max(counts) < 290
    assert abs(candidates / 51_200 - 0.25) < 0.015


def test_a_position_is_pinned_for_good() -> None:
    """Changing the hash would move users between models in the middle of an upgrade."""
    assert pytest.approx(0.8664929919624323) == position("user-1", "salt")


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    """A typing error must not become traffic."""
    with pytest.raises(ValueError, match=r"shares lie in 0\.\.1"):
        a_route(share)


def test_traffic_for_a_candidate_that_is_not_there_is_refused() -> None:
    """The gateway would have nothing to serve."""
    with pytest.raises(ValueError, match="a candidate that is not there"):
        Route("w", "old", 1, share=0.1)


@given(unit=UNITS, shares=st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_a_ramp_moves_a_unit_at_most_once(unit: str, shares: list[float]) -> None:
    """From the incumbent to the candidate, and never back."""
    arms = [assign(unit, a_route(share)) for share in sorted(shares)]

    assert sorted(arms, key=[Arm.INCUMBENT, Arm.CANDIDATE].index) == arms


def test_the_salts_of_two_upgrades_know_nothing_of_each_other() -> None:
    """Who was early in one upgrade is early in the next as often as anybody: six standard errors, by tenths."""
    counts = Counter(
        (int(10 * position(f"u{number}", "a")), int(10 * position(f"u{number}", "b"))) for number in range(40_000)
    )

    assert 100 == len(counts)
    assert all(abs(count - 400) < 6 * 400**0.5 for count in counts.values())


def test_units_lie_evenly() -> None:
    """The largest gap between the shares of 20,000 units and a uniform law stays within Kolmogorov's 1 in 10^6."""
    found = sorted(position(f"user-{number}", "salt") for number in range(20_000))
    gap = max(max(index / 20_000 - at, at - (index - 1) / 20_000) for index, at in enumerate(found, start=1))

    assert gap < 2.7 / 20_000**0.5


def a_ringed_route(**fields: Any) -> Route:
    return Route("w", "old", epoch=7, candidate="new", salt="s", rings=("opt-in", "staff"), **fields)


@pytest.mark.parametrize(
    ("member_of", "ring"),
    [(set(), ""), ({"other"}, ""), ({"staff"}, "staff"), ({"staff", "opt-in", "other"}, "opt-in")],
)
def test_a_ring_counts_where_the_row_names_it(member_of: set[str], ring: str) -> None:
    """The row's first, so that a person is in one ring and in the same one in every gateway."""
    assert ring == ring_of(member_of, a_ringed_route())


def test_rings_do_not_change_who_draws_what() -> None:
    """Everybody else is compared, and must not move because staff have the candidate."""
    units = [f"user-{number}" for number in range(500)]

    assert [assign(unit, a_route(0.3)) for unit in units] == [assign(unit, a_ringed_route(share=0.3)) for unit in units]


def test_a_row_serves_its_candidate_to_a_share_or_a_ring() -> None:
    """Shadow alone is no service."""
    assert a_ringed_route().serves_candidate
    assert a_route(0.1).serves_candidate
    assert not a_route(0.0).serves_candidate
    assert not a_ringed_route().rolled_back().serves_candidate


def test_a_ring_for_a_candidate_that_is_not_there_is_refused() -> None:
    """As a share of traffic is."""
    with pytest.raises(ValueError, match="a candidate that is not there"):
        Route("w", "old", 1, rings=("staff",))

"""Bounds on what an app sends: nothing inside is touched, and nothing outside goes through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.clamping import EFFORTS, Bounds, bounds_by_field
from midshift.domain.variant import Json


@given(st.integers(), st.integers(), st.integers())
def test_a_number_inside_stays_and_one_outside_becomes_the_nearer_bound(one: int, other: int, value: int) -> None:
    low, high = sorted((one, other))

    assert min(max(value, low), high) == Bounds(low, high).clamped(value)


@pytest.mark.parametrize("value", EFFORTS)
def test_an_effort_is_held_by_the_scale_and_not_by_the_alphabet(value: str) -> None:
    expected = {"none": "low", "minimal": "low", "xhigh": "high", "max": "high"}.get(value, value)

    assert expected == Bounds("low", "high").clamped(value)


@pytest.mark.parametrize("value", [None, True, "7000", [9000], {"a": 9000}])
def test_what_is_no_number_is_not_touched_by_numbers(value: Json) -> None:
    """The provider says best what is wrong with it."""
    assert value == Bounds(1, 100).clamped(value)


@pytest.mark.parametrize("value", [None, 3, "extreme", "LOW"])
def test_an_effort_that_the_scale_does_not_have_is_not_touched(value: Json) -> None:
    assert value == Bounds("low", "high").clamped(value)


def test_a_fraction_has_bounds_as_well() -> None:
    """Temperatures go to 2 at one vendor and to 1 at another."""
    assert (0.2, 1) == (Bounds(0, 1).clamped(0.2), Bounds(0, 1).clamped(1.4))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ((1, 2), "holds fields"),
        ({"max_tokens": 5}, "a list of two bounds"),
        ({"max_tokens": (1, 2, 3)}, "a list of two bounds"),
        ({"max_tokens": (True, 3)}, "a list of two bounds"),
        ({"max_tokens": (9, 3)}, "from the lower to the higher"),
        ({"max_tokens": ("low", "high")}, "two numbers"),
        ({"effort": (1, 2)}, "two efforts"),
        ({"effort": ("low", 2)}, "two numbers or two efforts"),
        ({"effort": ("low", "extreme")}, "no effort"),
        ({"effort": ("high", "low")}, "from the lower to the higher"),
    ],
)
def test_bounds_that_cannot_be_are_found_beforehand(written: Json, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        bounds_by_field(written)

"""The two root finders: against functions whose root is known."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.stats.roots import bisect, illinois

MONOTONE: list[Callable[[float], float]] = [
    lambda x: x,
    lambda x: x**3,
    math.tanh,
    math.expm1,
    lambda x: x + 0.5 * x**3,
]


@given(st.sampled_from(MONOTONE), st.floats(-0.99, 0.99), st.sampled_from([-1.0, 1.0]))
def test_both_find_where_a_monotone_function_changes_sign(
    f: Callable[[float], float], root: float, direction: float
) -> None:
    """Every bound is a root of one of these; rising or falling must not matter."""

    def shifted(x: float) -> float:
        return direction * (f(x) - f(root))

    found = bisect(shifted, -1.0, 1.0), illinois(shifted, -1.0, 1.0, 1e-12)

    assert pytest.approx((root, root), abs=1e-4) == found
    assert pytest.approx((0.0, 0.0), abs=1e-9) == tuple(map(shifted, found))


@pytest.mark.parametrize(("expected", "offset"), [(1.0, -2.0), (-1.0, 2.0)])
def test_bisect_gives_the_nearer_end_where_nothing_changes_sign(expected: float, offset: float) -> None:
    """A bound beyond the range is the end of the range."""
    assert expected == bisect(lambda x: x + offset, -1.0, 1.0)


@pytest.mark.parametrize("root", [-1.0, 1.0])
def test_a_root_at_an_end_is_found(root: float) -> None:
    """The estimate itself can be the bound's limit."""
    assert root == illinois(lambda x: x - root, -1.0, 1.0, 1e-9)


def test_illinois_refuses_ends_of_one_sign() -> None:
    """Extrapolating beyond the ends would invent a bound."""
    with pytest.raises(ValueError, match=r"no sign change between -1.0 \(1.0\) and 1.0 \(3.0\)"):
        illinois(lambda x: x + 2.0, -1.0, 1.0, 1e-9)


def test_illinois_is_quick_on_nearly_straight_functions() -> None:
    """Each evaluation is a pass over the data: that is why it is there beside bisection."""
    asked = []

    def curved(x: float) -> float:
        asked.append(x)
        return x - 0.3 + 0.05 * x**2

    illinois(curved, -1.0, 1.0, 1e-9)

    assert 10 > len(asked)

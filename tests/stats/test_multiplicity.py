"""Holm's step-down: against its definition as a closed test, and its own promises."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.stats.multiplicity import holm

p_values = st.floats(0.0, 1.0)


def closed_bonferroni(p: list[float]) -> list[float]:
    """Holm by definition: a hypothesis falls when every set of hypotheses that holds it falls by Bonferroni."""
    everyone = range(len(p))
    families = [set(chosen) for size in range(1, len(p) + 1) for chosen in combinations(everyone, size)]
    return [max(min(1.0, len(f) * min(p[j] for j in f)) for f in families if i in f) for i in everyone]


@given(st.lists(p_values, min_size=1, max_size=6))
def test_holm_is_closed_testing_with_bonferroni(p: list[float]) -> None:
    """The definition over all subsets is what controls the error; the sorting is only its shortcut."""
    assert pytest.approx(closed_bonferroni(p), abs=1e-15) == holm(p)


@pytest.mark.parametrize(
    ("expected", "p"),
    [
        # Wikipedia, "Holm-Bonferroni method", example: at 5 % only the fourth and the first fall.
        ([0.03, 0.06, 0.06, 0.02], [0.01, 0.04, 0.03, 0.005]),
        ([0.05], [0.05]),
        ([1.0, 1.0], [0.6, 0.9]),
        ([0.0, 1.0], [0.0, 1.0]),
        ([], []),
    ],
)
def test_holm_gives_the_published_values(expected: list[float], p: list[float]) -> None:
    """A second opinion from outside this repository."""
    assert pytest.approx(expected) == holm(p)


@given(st.lists(p_values, min_size=1, max_size=20))
def test_adjusting_never_helps(p: list[float]) -> None:
    """Asking more questions must not make any answer more certain."""
    assert all(raw <= adjusted <= 1.0 for raw, adjusted in zip(p, holm(p), strict=True))


@pytest.mark.slow
@given(
    st.lists(p_values, min_size=1, max_size=12).flatmap(lambda p: st.tuples(st.just(p), st.permutations(range(len(p)))))
)
def test_the_order_of_the_slices_changes_nothing(shuffled: tuple[list[float], list[int]]) -> None:
    """Slices come in the order of a file; a verdict must not depend on it."""
    p, order = shuffled

    assert [holm(p)[i] for i in order] == holm([p[i] for i in order])


@given(st.lists(p_values, min_size=2, max_size=12))
def test_adjusted_values_keep_the_order_of_the_raw_ones(p: list[float]) -> None:
    """Otherwise a slice could FAIL while one with stronger evidence does not."""
    adjusted = holm(p)

    assert all(adjusted[i] <= adjusted[j] for i in range(len(p)) for j in range(len(p)) if p[i] <= p[j])


@pytest.mark.parametrize("p", [[-0.1], [1.1, 0.5], [float("nan")]])
def test_what_is_no_probability_is_refused(p: list[float]) -> None:
    """NaN would sort anywhere, and could accuse any slice."""
    with pytest.raises(ValueError, match=r"p-values must lie in \[0, 1\]"):
        holm(p)

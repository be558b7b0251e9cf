"""Looking more than once costs, and the price is set before the first look."""

import pytest

from midshift.stats.looks import Look


@pytest.mark.parametrize("planned", [1, 2, 3, 10])
def test_all_planned_looks_together_spend_exactly_alpha(planned: int) -> None:
    """A 95 % bound that is read ten times is a 60 % bound unless each reading pays its share."""
    looks = [Look(number, planned) for number in range(1, planned + 1)]

    assert pytest.approx(0.05) == sum(look.alpha(0.05) for look in looks)
    assert pytest.approx(0.05) == looks[-1].spent(0.05)


def test_what_is_spent_is_the_sum_of_the_looks_so_far() -> None:
    """A report says what is left, and must not say too much."""
    looks = [Look(number, 4) for number in (1, 2, 3)]

    assert pytest.approx(sum(look.alpha(0.05) for look in looks)) == looks[-1].spent(0.05)


def test_a_single_look_spends_everything() -> None:
    """Who looks once has nothing to save for."""
    assert 0.05 == Look().alpha(0.05)


@pytest.mark.parametrize(("number", "planned"), [(0, 1), (2, 1), (-1, 3), (4, 3), (1, 0)])
def test_an_unplanned_look_is_refused(number: int, planned: int) -> None:
    """The eleventh of ten looks is the one that finds something."""
    with pytest.raises(ValueError, match=f"look {number} of {planned}: expected 1 <= look <= planned looks"):
        Look(number, planned)


def test_looks_after_the_plan_spend_half_of_the_one_before() -> None:
    """They are not free, and however many there are, together they are bounded."""
    looks = [Look(2, 2, further) for further in range(3)]

    assert [pytest.approx(0.025), pytest.approx(0.0125), pytest.approx(0.00625)] == [one.alpha(0.05) for one in looks]
    assert [pytest.approx(0.05), pytest.approx(0.0625), pytest.approx(0.06875)] == [one.spent(0.05) for one in looks]
    assert Look(further=60).spent(0.05) <= 0.1


@pytest.mark.parametrize(("number", "planned", "further"), [(1, 2, 1), (1, 1, -1)])
def test_a_further_look_comes_after_the_plan(number: int, planned: int, further: int) -> None:
    """Planned looks that were not taken are taken first."""
    with pytest.raises(ValueError, match="further"):
        Look(number, planned, further)

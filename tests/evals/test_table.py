"""Rows as columns: what repeats, what groups, and that nothing moves to another row."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.errors import InputError
from midshift.evals.rows import Answer, Ledger, PairedRow
from midshift.evals.table import MOST_SLICES, Extremes, Names, Pairs, Table
from tests.builders import problems, tabled


def a_paired_row(
    identity: str = "x",
    old: dict[str, float] | None = None,
    new: dict[str, float] | None = None,
    place: int = 1,
    slices: tuple[str, ...] = (),
    cluster: str | None = None,
    trial: str = "",
    weight: float = 1.0,
) -> PairedRow:
    """One row with scores on each side."""
    incumbent, candidate = Answer("a", scores=old or {}), Answer("b", scores=new or {})
    return PairedRow(place, identity, incumbent, candidate, slices, cluster, trial, weight)


@given(st.lists(st.text()))
def test_names_come_back_as_they_were_put(names: list[str]) -> None:
    """An example in a report points at a case: the wrong name points at the wrong case."""
    kept = Names()
    for name in names:
        kept.append(name)

    assert names == [kept[row] for row in range(len(kept))]


def test_a_name_may_hold_half_a_character() -> None:
    """Files have them, and a report that cannot name the row cannot be acted on."""
    names = Names()
    names.append("\ud83d")

    assert "\ud83d" == names[0]


def test_a_column_that_starts_late_or_pauses_stays_in_step_with_the_rows() -> None:
    """A score that appears in row 3 must not be read as that of row 1."""
    column = Pairs()
    column.put(2, 0.5, 1.0)
    column.put(4, 0.25, math.nan)
    column.fill(6)

    incumbent, candidate = column.arrays()

    np.testing.assert_array_equal([math.nan, math.nan, 0.5, math.nan, 0.25, math.nan], incumbent)
    np.testing.assert_array_equal([math.nan, math.nan, 1.0, math.nan, math.nan, math.nan], candidate)


def test_the_first_place_of_an_extreme_value_is_remembered() -> None:
    """A value outside of its range is named with a line that an editor can open."""
    extremes = Extremes()
    for place, value in enumerate([0.5, 2.0, -1.0, 2.0, -1.0], start=1):
        extremes.see(value, place)

    assert Extremes(-1.0, 2.0, 3, 2) == extremes


def test_scores_of_one_side_leave_the_other_unknown() -> None:
    """A missing grade is not the grade 0."""
    table, _ = tabled([a_paired_row("x", {"s": 1.0}, {"t": 0.5}), a_paired_row("y", {}, {"s": 0.0})])

    assert {"s", "t"} == set(table.scores)
    np.testing.assert_array_equal([1.0, math.nan], table.scores["s"].arrays()[0])
    np.testing.assert_array_equal([math.nan, 0.0], table.scores["s"].arrays()[1])
    np.testing.assert_array_equal([math.nan, math.nan], table.scores["t"].arrays()[0])


def test_the_first_of_rows_with_one_id_and_trial_stays_and_the_others_are_named() -> None:
    """A case that was pasted twice would count twice, and make every bound too narrow."""
    ledger = Ledger()
    rows = [
        a_paired_row(identity, place=place, trial=trial)
        for place, (identity, trial) in enumerate(
            [("x", ""), ("y", ""), ("x", ""), ("x", "1"), ("x", "1"), ("x", "2")], start=1
        )
    ]

    _, cases = tabled(rows, ledger)

    assert [0, 1, 3, 5] == cases.rows.tolist()
    assert [("duplicate_id", True, 2, [3, 5], "id 'x' again; trials need a `trial`")] == problems(ledger)


def test_trials_of_one_case_share_its_label_and_its_cluster() -> None:
    """Ten trials of a case are one case that was measured well, not ten cases."""
    _, cases = tabled([a_paired_row("x", trial="1"), a_paired_row("y"), a_paired_row("x", trial="2")])

    assert cases.case[0] == cases.case[2] != cases.case[1]
    assert cases.cluster[0] == cases.cluster[2] != cases.cluster[1]


def test_cases_of_one_cluster_share_its_label_and_others_stand_alone() -> None:
    """Requests of one customer are not independent of each other."""
    _, cases = tabled([a_paired_row(name, cluster=group) for name, group in [("w", "c"), ("x", "c"), ("y", None)]])

    assert cases.cluster[0] == cases.cluster[1] != cases.cluster[2]
    assert 3 == len(set(cases.case.tolist()))


def test_a_row_counts_in_each_of_its_slices() -> None:
    """A German escalation is German, and an escalation."""
    rows = [a_paired_row("w", slices=("b", "a")), a_paired_row("x", slices=("a",)), a_paired_row("y")]

    _, cases = tabled(rows)

    assert {"a": [True, True, False], "b": [True, False, False]} == {
        name: mask.tolist() for name, mask in cases.slices()
    }
    assert 1 == cases.without_slice


def test_a_slice_of_rows_that_were_left_out_is_no_slice() -> None:
    """A slice without a case would be reported as unproven for ever."""
    _, cases = tabled([a_paired_row("x", slices=("a",)), a_paired_row("x", slices=("ghost",))])

    assert ["a"] == cases.slice_names


def test_a_field_with_a_thousand_different_slices_is_refused() -> None:
    """Ids in the slice field would make a thousand gates with one case each, and hours of work."""
    table = Table(Ledger())
    for number in range(MOST_SLICES):
        table.append(a_paired_row(f"x{number}", slices=(f"s{number}",), place=number + 1))

    with pytest.raises(InputError) as refused:
        table.append(a_paired_row("last", slices=("s1000",), place=1001))

    assert (
        "line 1001: more than 1000 different slices, latest ['s1000']. A slice is a kind of request with many cases; "
        "ids and texts belong in other fields"
    ) == str(refused.value)


@pytest.mark.parametrize(("weights", "weighted"), [([], False), ([3.0, 3.0], False), ([3.0, 3.0, 1.0], True)])
def test_equal_weights_are_no_weights(weights: list[float], weighted: bool) -> None:
    """The report says which mean it shows; a constant changes nothing."""
    _, cases = tabled([a_paired_row(str(number), weight=weight) for number, weight in enumerate(weights)])

    assert weighted == cases.is_weighted


def test_an_empty_file_is_a_table_without_cases() -> None:
    """No data must come out as no data, not as an error of numpy."""
    table, cases = tabled([])

    assert (0, 0, [], 0) == (len(table), cases.rows.size, cases.slice_names, cases.without_slice)

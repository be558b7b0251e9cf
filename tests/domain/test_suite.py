"""Slices, cases, ranges and margins: what they accept, and what they refuse in which words."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.suite import AGGREGATE, Case, Margin, Range, Score, ScoreRole, Slice, SliceRole

# --- Margin -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (2.0, "2pt"),
        (2.0, "2"),
        (2.0, " 2 pt "),
        (0.5, "0.5pt"),
        (2.5, "2.5 pt"),
        (100.0, "100pt"),
        (2.0, "02pt"),
        (2.0, "2.0"),
    ],
)
def test_a_margin_is_read_with_or_without_its_unit(expected: float, text: str) -> None:
    """People write it both ways, and mean points."""
    assert Margin(expected) == Margin.parse(text)


@pytest.mark.parametrize(
    "text", ["", "pt", "two", "2%", "2 %", "-2pt", "+2pt", "2,5pt", "1e1pt", ".5pt", "2.pt", "2ptx", "nan", "2pt 3pt"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    """Two per cent of what? A unit that is guessed at moves a gate."""
    with pytest.raises(ValueError) as raised:
        Margin.parse(text)

    assert f"expected a margin in points of the score's range, like 2pt, got {text!r}" == str(raised.value)


@pytest.mark.parametrize(
    ("shown", "points"), [("0", 0.0), ("-1", -1.0), ("100.1", 100.1), ("nan", math.nan), ("inf", math.inf)]
)
def test_a_margin_lies_above_0_and_at_most_at_the_whole_range(shown: str, points: float) -> None:
    """At 0 no sample is ever large enough; beyond the range everything passes."""
    with pytest.raises(ValueError) as raised:
        Margin(points)

    assert f"a margin lies above 0pt and at most at 100pt, got {shown}pt" == str(raised.value)


def test_a_margin_of_nothing_cannot_be_typed_either() -> None:
    """The text is fine and the value is not: the message is the one about values."""
    with pytest.raises(ValueError, match="a margin lies above 0pt"):
        Margin.parse("0pt")


@given(st.integers(1, 10_000))
def test_a_margin_is_read_back_as_it_is_written(hundredths: int) -> None:
    """Reports print it, and people paste it into a file."""
    margin = Margin(hundredths / 100.0)

    assert margin == Margin.parse(str(margin))


def test_a_point_is_a_hundredth_of_the_range() -> None:
    """2pt of a 0..1 score is 0.02, of a 1..10 grade 0.18."""
    assert pytest.approx(0.02) == Margin(2.0).fraction
    assert pytest.approx(0.02) == Margin(2.0).of(Range())
    assert pytest.approx(0.18) == Margin(2.0).of(Range(1.0, 10.0))
    assert Margin(2.0) == Margin()


# --- Range --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "value"), [(True, 1.0), (True, 10.0), (True, 5.5), (False, 0.999), (False, 10.001), (False, math.nan)]
)
def test_a_range_includes_its_ends(expected: bool, value: float) -> None:
    """The best grade is a grade; what is not a number is none."""
    assert expected is (value in Range(1.0, 10.0))


@pytest.mark.parametrize(
    ("low", "high"),
    [(1.0, 1.0), (1.0, 0.0), (0.0, math.inf), (-math.inf, 0.0), (math.nan, 1.0), (0.0, math.nan)],
)
def test_a_range_has_two_finite_ends_in_order(low: float, high: float) -> None:
    """Bounds are a share of the range: it must have a width."""
    with pytest.raises(ValueError) as raised:
        Range(low, high)

    assert f"a range needs two finite ends, low below high, got {low}..{high}" == str(raised.value)


@pytest.mark.parametrize(
    ("shown", "width", "is_unit", "score_range"),
    [
        ("0..1", 1.0, True, Range()),
        ("1..10", 9.0, False, Range(1.0, 10.0)),
        ("-1..1", 2.0, False, Range(-1.0, 1.0)),
        ("0..0.5", 0.5, False, Range(0.0, 0.5)),
    ],
)
def test_a_range_knows_its_width_and_how_it_is_written(
    shown: str, width: float, is_unit: bool, score_range: Range
) -> None:
    """Only shares of one are read as percentages."""
    assert (shown, width, is_unit) == (str(score_range), score_range.width, score_range.is_unit)


# --- Slices, cases, scores ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", " ", "\t", AGGREGATE])
def test_a_slice_has_a_name_that_is_its_own(name: str) -> None:
    """`*` is all cases together: a slice of that name would stand where the aggregate does."""
    with pytest.raises(ValueError) as raised:
        Slice(name)

    assert f"a slice needs a name other than '*', got {name!r}" == str(raised.value)


def test_a_slice_is_critical_unless_it_says_otherwise() -> None:
    """Forgetting to mark a slice must not make it count for less."""
    assert SliceRole.CRITICAL is Slice("refunds").role


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_a_case_weighs_something_finite(weight: float) -> None:
    """A weight of 0 would hide a case; an infinite one all others."""
    with pytest.raises(ValueError) as raised:
        Case("a", weight=weight)

    assert f"case 'a': weight must be a finite number above 0, got {weight!r}" == str(raised.value)


def test_a_case_has_an_id() -> None:
    """Pairing is by id: an empty one pairs with every other empty one."""
    with pytest.raises(ValueError, match="^a case needs an id$"):
        Case("")


def test_what_is_not_said_of_a_score_is_the_usual() -> None:
    """A quality score between 0 and 1."""
    assert Score("s", Range(0.0, 1.0), ScoreRole.QUALITY) == Score("s")

"""Numbers and decisions in words: what a person reads, to the digit."""

import math
from dataclasses import replace

import pytest

from midshift.domain.suite import Range, Score
from midshift.domain.verdict import points
from midshift.evals.regression import Rules
from midshift.reports import words
from midshift.reports.comparison import Row, rows
from midshift.shadow.drift import Finding, Kind, Unit
from midshift.stats.interval import Interval, Method
from tests.builders import a_comparison, a_row, grades, rows_of, verdict

M = words.MINUS


def a_finding(old: float, new: float, unit: Unit, low: float = -math.inf, high: float = math.inf) -> Finding:
    """One metric that moved."""
    interval = Interval(new - old, low, high, 9, 9, 0.025, Method.SIGN_FLIP)
    return Finding(Kind.LENGTH, "metric", unit, "*", old, new, interval, 0.5, 0.5, 1, ())


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (1.25, 1, "+1.2"),
        (-1.26, 1, f"{M}1.3"),
        (0.0, 1, "0.0"),
        (-0.04, 1, "0.0"),
        (0.04, 1, "0.0"),
        (-0.0, 0, "0"),
        (1234.5, 0, "+1,234"),
        (-1234567.0, 0, f"{M}1,234,567"),
        (0.00012, 5, "+0.00012"),
    ],
)
def test_a_change_has_a_sign_unless_it_rounds_to_nothing(value: float, digits: int, expected: str) -> None:
    """ "-0.0" makes a reader look for a loss that is not there."""
    assert expected == words.signed(value, digits)


@pytest.mark.parametrize(
    ("scale", "side", "change", "value", "moved"),
    [
        (Range(), 0.6288, -0.0259, "62.9", f"{M}2.6"),
        (Range(), 1.0, 0.0, "100.0", "0.0"),
        (Range(1, 10), 0.5, -0.05, "5.50", f"{M}0.45"),
        (Range(0, 100), 0.5, 0.012, "50.00", "+1.20"),
    ],
)
def test_a_score_is_read_in_per_cent_or_in_its_own_unit(
    scale: Range, side: float, change: float, value: str, moved: str
) -> None:
    """A 0..1 score is a share; a grade from 1 to 10 is a grade."""
    row = Row(Score("s", scale), "*", verdict(a_comparison(rows_of(grades(right=1))).scores))

    assert (value, moved) == (words.score_value(row, side), words.score_change(change, scale))
    assert (words.UNKNOWN, words.UNKNOWN) == (words.score_value(row, None), words.score_change(None, scale))


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.125, Unit.SHARE, "12.5 %"),
        (1.234, Unit.SECONDS, "1.23 s"),
        (0.01234, Unit.USD, "$0.01234"),
        (1234.4, Unit.CHARS, "1,234 chars"),
        (99.6, Unit.WORDS, "100 words"),
        (12.0, Unit.TOKENS, "12 tokens"),
        (math.nan, Unit.TOKENS, "unknown"),
    ],
)
def test_a_measurement_is_read_with_its_unit(value: float, unit: Unit, expected: str) -> None:
    """A number without one is a guess."""
    assert expected == words.drift_value(value, unit)


@pytest.mark.parametrize(
    ("old", "new", "unit", "expected"),
    [
        (0.336, 0.27, Unit.SHARE, f"{M}6.6 pt"),
        (800.0, 400.0, Unit.CHARS, f"{M}50 %"),
        (2.0, 2.5, Unit.SECONDS, "+25 %"),
        (0.0, 3.0, Unit.TOKENS, "from 0"),
        (0.0, 0.0, Unit.TOKENS, "0"),
        (100.0, 100.0, Unit.USD, "0 %"),
    ],
)
def test_a_change_of_a_share_is_in_points_and_of_anything_else_in_per_cent(
    old: float, new: float, unit: Unit, expected: str
) -> None:
    """Points and per cent are different things, and mixing them up is how reports lie."""
    assert expected == words.drift_change(a_finding(old, new, unit))


def test_bounds_are_in_the_unit_of_the_change_and_name_it_or_unknown() -> None:
    """`-14 %` beside `-13 to -11` reads as an interval that excludes its own estimate. Half an interval is none."""
    share = a_finding(0.3, 0.2, Unit.SHARE, -0.155, -0.045)
    chars = a_finding(88, 76, Unit.CHARS, -13, -10)
    tiny = a_finding(100, 100.4, Unit.CHARS, 0.1, 0.7)

    assert f"{M}15.5 to {M}4.5 pt" == words.drift_bounds(share)
    assert (f"{M}14 %", f"{M}15 to {M}11 %") == (words.drift_change(chars), words.drift_bounds(chars))
    assert ("+0.4 %", "+0.1 to +0.7 %") == (words.drift_change(tiny), words.drift_bounds(tiny))
    assert "+2.0 to +4.0 tokens" == words.drift_bounds(a_finding(0, 3, Unit.TOKENS, 2, 4))
    assert "unknown" == words.drift_bounds(a_finding(100, 110, Unit.CHARS, low=-20))


def test_rows_are_accounted_for_in_one_sentence() -> None:
    """The first thing to check: is this my whole file?"""
    whole = a_comparison(rows_of(grades(right=6)))
    partial = a_comparison(
        [*rows_of(grades(right=6)), {"id": 1}, a_row("x", weight=0), a_row("y", gone=True), a_row("z", gone=True)],
        skip="gone",
    )

    assert "6 pairs of 6 rows" == words.rows_read(whole)
    assert "6 pairs of 10 rows; left out: 1 no outputs, 1 bad weight, 2 skipped as asked" == words.rows_read(partial)


def test_every_kind_of_trouble_is_told_with_its_places_and_an_example() -> None:
    """Except for what was asked for."""
    bad = {"text": "x", "scores": {"s": "1"}}
    comparison = a_comparison(
        [a_row("x", 1, bad), {"id": ""}, {"id": ""}, a_row("y", slice=None), a_row("z", gone=True)], skip="gone"
    )

    assert [
        "candidate bad score: 1, line 1 (score 's' is \"1\", expected a number or null)",
        'no usable id: 2, lines 2 and 3 (the id is "", expected a string or a whole number)',
        "no slice: 1 rows count in * alone",
    ] == words.troubles(comparison)


def test_the_headline_says_what_the_data_can_decide() -> None:
    """It is the line that gets forwarded."""
    passed = a_comparison(rows_of(grades(right=300)))
    failed = a_comparison(rows_of(grades(right=60, worse=20)))
    mixed = rows_of(grades(right=900, better=60), "a") + rows_of(grades(right=30, worse=20), "b")
    caution = a_comparison(mixed + rows_of(grades(right=9), "c"), rules=Rules(watch=frozenset("b")))

    assert "s: can rule out drops over 1.0 point overall" == words.headline(passed)
    assert failed.ruling.reason == words.headline(failed)
    assert words.headline(caution).endswith("; shadow will settle 1 slice; regressed in b")


def test_the_headline_speaks_of_the_score_that_decided() -> None:
    """The first score passed: the second is why nothing moves."""
    output = {"text": "x", "scores": {"s": 1, "t": None}}
    comparison = a_comparison([a_row(number, output, output) for number in range(300)], [Score("s"), Score("t")])

    leading = words.leading_score(comparison)

    assert leading is not None
    assert "t" == leading.score.name
    assert words.leading_score(replace(comparison, scores=comparison.scores[2:])) is None


def test_an_open_question_is_settled_by_cases_and_a_settled_one_by_nothing() -> None:
    """A number to plan with, where a number says it all."""
    comparison = a_comparison(
        rows_of(grades(right=300), "a") + rows_of(grades(right=20), "b") + rows_of([(1, None)], "c")
    )

    found = {row.slice: words.settled_by(row.verdict) for row in rows(comparison) if row.score.name == "s"}

    assert ("", "no case has this score for both variants") == (found["a"], found["c"])
    assert found["b"].startswith("+")
    assert found["b"].endswith(" cases")


@pytest.mark.parametrize("low", [-0.3934, -0.39301, -0.393, -0.02, -0.0001, 0.0, 0.0325, -math.inf])
def test_a_bound_in_a_table_is_the_one_of_the_sentence(low: float) -> None:
    """`39.4 points` above a table that shows -39.3 makes a reader doubt both."""
    interval = Interval(0.05, low, 0.1, 90, 90, 0.05, Method.TANGO)
    shown = words.score_bounds(interval, Range(0.0, 1.0)).split(" to ")[0]

    if math.isinf(low):
        assert words.UNKNOWN == shown
    elif low < 0.0:
        assert f"{M}{points(-low, up=True).split()[0]}" == shown
    else:
        assert points(low).split()[0] == shown.removeprefix("+")

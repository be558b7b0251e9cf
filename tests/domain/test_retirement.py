"""When a model shuts down, and whether an upgrade is over by then."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.plan import Plan
from midshift.domain.retirement import (
    FitVerdict,
    ModelName,
    Notice,
    Retirement,
    Role,
    Source,
    State,
    Use,
    end_of_soak,
    fits,
    sighting,
    worst,
)
from midshift.domain.workload import Stakes

TODAY = date(2026, 11, 22)
SOAK = date(2027, 1, 10)
HALF_A_YEAR = Notice(timedelta(days=181), "at least 6 months of notice", "a page")


def ending(day: date | None, state: State = State.DEPRECATED) -> Retirement:
    """A model that shuts down then, as its vendor says today."""
    return Retirement("sim", "old", state, day, source=Source.LIVE_API, as_of=TODAY)


@pytest.mark.parametrize(
    ("days_after_soak", "verdict"),
    [
        (-400, FitVerdict.TOO_LATE),
        (-1, FitVerdict.TOO_LATE),
        (0, FitVerdict.TOO_LATE),
        (1, FitVerdict.TIGHT),
        (6, FitVerdict.TIGHT),
        (7, FitVerdict.CLEAR),
        (400, FitVerdict.CLEAR),
    ],
)
def test_a_date_has_to_clear_the_end_of_soak_by_a_day(days_after_soak: int, verdict: FitVerdict) -> None:
    """Hold-back and rollback need the incumbent on the last day of soak too, and nobody knows the hour."""
    fit = fits(ending(SOAK + timedelta(days=days_after_soak)), SOAK, TODAY)

    assert verdict is fit.verdict
    assert days_after_soak == fit.days_spare
    assert (SOAK - TODAY).days + days_after_soak == fit.days_left


@given(
    st.dates(date(2026, 1, 1), date(2029, 1, 1)), st.dates(date(2026, 1, 1), date(2029, 1, 1)), st.sampled_from(State)
)
def test_nothing_that_ends_by_the_end_of_soak_ever_fits(shutdown: date, soak: date, state: State) -> None:
    fit = fits(ending(shutdown, state), soak, TODAY)

    assert (fit.verdict in (FitVerdict.CLEAR, FitVerdict.TIGHT)) == (
        state is not State.RETIRED and shutdown > soak and shutdown >= TODAY
    )


@pytest.mark.parametrize("state", [State.ACTIVE, State.DEPRECATED, State.UNKNOWN])
def test_a_date_that_nobody_states_is_unknown_and_not_clear(state: State) -> None:
    fit = fits(ending(None, state), SOAK, TODAY)

    assert FitVerdict.UNKNOWN is fit.verdict
    assert (None, None) == (fit.days_left, fit.days_spare)


def test_a_retired_model_is_too_late_whatever_its_date_says() -> None:
    """A vendor can end a model before the day that it announced."""
    assert FitVerdict.TOO_LATE is fits(ending(None, State.RETIRED), SOAK, TODAY).verdict
    assert FitVerdict.TOO_LATE is fits(ending(date(2030, 1, 1), State.RETIRED), SOAK, TODAY).verdict


def test_a_shutdown_that_is_overdue_is_too_late_though_the_model_still_answers() -> None:
    fit = fits(ending(TODAY - timedelta(days=3)), TODAY - timedelta(days=10), TODAY)

    assert FitVerdict.TOO_LATE is fit.verdict
    assert "its shutdown is overdue by 3 days" == fit.words


def test_a_model_that_its_vendor_does_not_know_never_fits_by_a_date_from_a_list() -> None:
    """The list may be right about the day, and the key or the id wrong; either way nobody can roll back to it."""
    fit = fits(replace(ending(SOAK + timedelta(days=300)), callable=False), SOAK, TODAY)

    assert FitVerdict.UNKNOWN is fit.verdict
    assert "never there" in fit.words


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (8, "shuts down in 8 days, 41 days before the end of soak"),
        (1, "shuts down tomorrow, 48 days before the end of soak"),
        (0, "shuts down today, 49 days before the end of soak"),
        (48, "shuts down in 48 days, 1 day before the end of soak"),
        (49, "shuts down in 49 days, on the last day of soak"),
        (50, "shuts down in 50 days, 1 day after the end of soak"),
    ],
)
def test_the_words_count_from_today_and_from_the_end_of_soak(left: int, words: str) -> None:
    assert words == fits(ending(TODAY + timedelta(days=left)), SOAK, TODAY).words


def test_a_promise_of_notice_is_stated_and_is_no_success() -> None:
    """It has exceptions; a plan that leans on it should say so itself."""
    fit = fits(replace(ending(None, State.ACTIVE), notice=HALF_A_YEAR), SOAK, TODAY)

    assert FitVerdict.UNKNOWN is fit.verdict
    assert (
        "no shutdown is announced; with at least 6 months of notice not before 2027-05-22, "
        "132 days after the end of soak"
    ) == fit.words


def test_a_promise_counts_only_from_a_day_on_which_the_vendor_said_that_none_is_announced() -> None:
    """A catalogue that lacks a date may only be behind: the announcement can be months old."""
    found = replace(ending(None, State.UNKNOWN), notice=HALF_A_YEAR, source=Source.CATALOGUE)

    fit = fits(found, SOAK, TODAY)

    assert "nobody states a date; the vendor promises at least 6 months of notice" == fit.words


def test_a_promise_at_the_end_of_a_sentence_has_no_comma_left() -> None:
    """Its words go on in the middle of another sentence: safety excepted, not before a day."""
    excepted = replace(HALF_A_YEAR, words="6 months of notice, safety excepted,")
    found = replace(ending(None, State.UNKNOWN), notice=excepted, source=Source.CATALOGUE)

    assert fits(found, SOAK, TODAY).words.endswith("promises 6 months of notice, safety excepted")


def test_the_end_of_soak_is_the_sum_of_all_minimums() -> None:
    """Eval 1, re-tune 4, shadow 7, canary 2 + 4 + 7, soak 14: 39 days for low stakes."""
    assert TODAY + timedelta(days=39) == end_of_soak(Plan.for_stakes(Stakes.LOW), TODAY)
    assert TODAY + timedelta(days=60) == end_of_soak(Plan.for_stakes(Stakes.HIGH), TODAY)


def test_part_of_a_day_counts_as_a_day() -> None:
    assert TODAY + timedelta(days=47) == end_of_soak(Plan(shadow=timedelta(days=14, hours=1)), TODAY)


def test_a_model_is_held_against_the_last_day_on_which_anyone_needs_it() -> None:
    """The incumbent of one workload can be the safe harbour of another, with a longer shadow."""
    uses = [Use("a", Role.INCUMBENT, SOAK), Use("b", Role.SAFE_HARBOUR, SOAK + timedelta(days=30))]

    found = sighting(ending(SOAK + timedelta(days=10)), uses, TODAY)

    assert FitVerdict.TOO_LATE is found.fit.verdict
    assert SOAK + timedelta(days=30) == found.end_of_soak


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], FitVerdict.CLEAR),
        ([FitVerdict.CLEAR, FitVerdict.TIGHT], FitVerdict.TIGHT),
        ([FitVerdict.TIGHT, FitVerdict.UNKNOWN, FitVerdict.CLEAR], FitVerdict.UNKNOWN),
        ([FitVerdict.UNKNOWN, FitVerdict.TOO_LATE], FitVerdict.TOO_LATE),
    ],
)
def test_one_model_that_fails_decides_and_then_one_that_is_unknown(
    verdicts: list[FitVerdict], expected: FitVerdict
) -> None:
    assert expected is worst(verdicts)


@pytest.mark.parametrize("text", ["", "old", "/old", "sim/"])
def test_a_model_is_named_with_its_provider(text: str) -> None:
    with pytest.raises(ValueError, match="PROVIDER/MODEL"):
        ModelName.parse(text)


def test_a_model_may_have_slashes_in_its_id() -> None:
    assert ModelName("fireworks", "accounts/f/models/m") == ModelName.parse("fireworks/accounts/f/models/m")


def test_the_age_of_a_source_is_never_below_zero() -> None:
    """A catalogue that was taken in a zone ahead of ours."""
    found = ending(None)

    assert 0 == found.age_days(TODAY - timedelta(days=1))
    assert 9 == found.age_days(TODAY + timedelta(days=9))
    assert Retirement("sim", "old", State.UNKNOWN).age_days(TODAY) is None

"""Who is believed about one model, and what is said about the rest."""

from __future__ import annotations

from datetime import date

import pytest

from midshift.domain.retirement import ModelName, Source, State
from midshift.providers.lifecycle.answers import Found
from midshift.providers.lifecycle.settle import IN_CONFIG, Heard, settle
from tests.providers.lifecycle.fakes import COLLECTED_ON, TAKEN, lists

TODAY = date(2026, 11, 22)
OLD, NEW, GONE = ModelName("openai", "gpt-old"), ModelName("openai", "gpt-new"), ModelName("openai", "gpt-gone")
LISTED = date(2027, 3, 1)
NO_ANSWER = Heard("https://vendor", why="vendor's API: it was away")


def said(state: State, day: date | None = None, replacement: str | None = None) -> Heard:
    """What the vendor says."""
    return Heard("https://vendor", Found(state, day, replacement), callable=True)


def test_the_vendors_date_goes_before_the_catalogues_and_both_are_shown() -> None:
    found = settle(OLD, said(State.DEPRECATED, date(2027, 1, 1), "gpt-new"), lists(), TODAY)

    assert (date(2027, 1, 1), Source.LIVE_API, TODAY) == (found.shuts_down_on, found.source, found.as_of)
    assert ("catalogue says 2027-03-01, read 2026-11-01",) == found.others
    assert "gpt-new" == found.replacement
    assert "https://vendor" == found.origin


def test_without_the_vendor_it_is_the_catalogues_date_with_its_age_and_the_reason() -> None:
    found = settle(OLD, NO_ANSWER, lists(), TODAY)

    assert (LISTED, Source.CATALOGUE, TAKEN) == (found.shuts_down_on, found.source, found.as_of)
    assert State.DEPRECATED is found.state
    assert 21 == found.age_days(TODAY)
    assert ("vendor's API: it was away",) == found.notes
    assert "list 1: https://page" == found.origin


def test_a_vendor_that_has_announced_nothing_does_not_silence_the_catalogue() -> None:
    """The field is new, the page can be ahead of it; a warning too many is cheaper than one too few."""
    found = settle(OLD, said(State.ACTIVE), lists(), TODAY)

    assert (LISTED, Source.CATALOGUE, State.ACTIVE) == (found.shuts_down_on, found.source, found.state)
    assert ("vendor's API says that none is announced",) == found.others


def test_a_listed_date_that_is_over_is_refuted_by_a_vendor_that_calls_the_model_active() -> None:
    found = settle(GONE, said(State.ACTIVE), lists(), TODAY)

    assert (None, State.ACTIVE, Source.LIVE_API) == (found.shuts_down_on, found.state, found.source)
    assert "catalogue says 2026-02-01, read 2026-11-01" in found.others


def test_a_listed_date_that_is_over_means_retired_where_nobody_else_was_heard() -> None:
    found = settle(GONE, NO_ANSWER, lists(), TODAY)

    assert (date(2026, 2, 1), State.RETIRED) == (found.shuts_down_on, found.state)
    assert ("bundled list says 2026-03-01, read 2026-10-01",) == found.others
    assert "gpt-new" == found.replacement


def test_a_model_that_its_vendor_still_lists_is_overdue_and_not_retired() -> None:
    """Gemini's endpoint says that a model is there, and nothing more."""
    found = settle(GONE, said(State.UNKNOWN), lists(), TODAY)

    assert (date(2026, 2, 1), State.DEPRECATED) == (found.shuts_down_on, found.state)


def test_the_bundled_list_answers_for_what_the_catalogue_lacks_and_names_hearsay() -> None:
    found = settle(ModelName("mistral", "gone"), NO_ANSWER, lists(), TODAY)

    assert (date(2026, 5, 31), Source.COLLECTED, COLLECTED_ON) == (found.shuts_down_on, found.source, found.as_of)
    assert State.RETIRED is found.state
    assert "a third party says so of the vendor" in found.notes


def test_the_users_date_goes_first_and_never_silently() -> None:
    """A contract can outlive a page; whoever reads the radar must see that it does."""
    found = settle(OLD, said(State.DEPRECATED, date(2027, 1, 1)), lists({OLD: date(2027, 9, 1)}), TODAY)

    assert (date(2027, 9, 1), Source.USER, IN_CONFIG) == (found.shuts_down_on, found.source, found.origin)
    assert ("vendor's API says 2027-01-01", "catalogue says 2027-03-01, read 2026-11-01") == found.others


def test_a_users_date_that_the_vendor_confirms_needs_no_warning() -> None:
    found = settle(NEW, said(State.DEPRECATED, LISTED), lists({NEW: LISTED}), TODAY)

    assert () == found.others


def test_a_users_date_does_not_bring_a_retired_model_back() -> None:
    found = settle(OLD, said(State.RETIRED), lists({OLD: date(2030, 1, 1)}), TODAY)

    assert State.RETIRED is found.state


def test_a_model_that_its_vendor_does_not_know_is_not_retired_on_that_word_alone() -> None:
    """It may as well be a typing error, or a key without access."""
    gone = Heard("https://vendor", why="vendor's API: 404", callable=False)

    found = settle(NEW, gone, lists(), TODAY)

    assert (State.UNKNOWN, False, Source.LIVE_API) == (found.state, found.callable, found.source)
    assert State.RETIRED is settle(GONE, gone, lists(), TODAY).state


@pytest.mark.parametrize("model", ["gpt-new", "gpt-odd"])
def test_a_catalogue_without_a_date_is_heard_and_says_nothing(model: str) -> None:
    found = settle(ModelName("openai", model), NO_ANSWER, lists(), TODAY)

    assert (None, State.UNKNOWN, Source.CATALOGUE) == (found.shuts_down_on, found.state, found.source)


def test_a_model_that_nobody_lists_has_no_source() -> None:
    found = settle(ModelName("sim", "old"), NO_ANSWER, lists(), TODAY)

    assert (None, State.UNKNOWN, Source.NOBODY, None) == (found.shuts_down_on, found.state, found.source, found.as_of)


def test_a_profile_is_looked_up_as_its_model_and_says_so() -> None:
    """The entry of the profile has no date, the one of the model behind it has."""
    found = settle(ModelName("bedrock", "us.amazon.old"), NO_ANSWER, lists(), TODAY)

    assert LISTED == found.shuts_down_on
    assert "listed as 'amazon.old'" in found.notes


def test_a_deployment_at_azure_is_not_looked_up_by_its_name() -> None:
    """It may be called after one model and serve another."""
    assert settle(ModelName("azure", "gpt-old"), NO_ANSWER, lists(), TODAY).shuts_down_on is None


def test_a_provider_of_another_name_is_looked_up_as_its_vendor() -> None:
    """Two entries for one vendor, in two regions or with two keys."""
    name = ModelName("openai-eu", "gpt-old")

    found = settle(name, Heard("", why="", vendor="openai"), lists(), TODAY)

    assert (name, LISTED) == (found.name, found.shuts_down_on)
    assert found.notice is not None
    assert (
        date(2028, 1, 1)
        == settle(name, Heard("", vendor="openai"), lists({OLD: date(2028, 1, 1)}), TODAY).shuts_down_on
    )

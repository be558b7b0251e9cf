"""Facts about models: layers, what is not known, and the two things that others make of them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.clamping import EFFORTS, Bounds
from midshift.errors import InputError
from midshift.providers.capabilities import (
    NAMES,
    Capabilities,
    Evidence,
    Fact,
    Value,
    checked,
    effort_bounds,
    effort_ladder,
    guard,
    layered,
)
from midshift.wire.protocol import WireName

DAY = date(2026, 11, 1)


def known(value: Value, source: str = "a page") -> Fact[Value]:
    """A fact."""
    return Fact(value, source, DAY, Evidence.DOCUMENTED)


def a_model(**facts: Value) -> Capabilities:
    """A model of which this is known."""
    return Capabilities("p", "m", {name: known(value) for name, value in facts.items()})


def test_the_first_layer_that_knows_a_fact_decides_it() -> None:
    found = layered("p", "m", [{"pdf": known(True, "user")}, {"pdf": known(False), "images": known(True, "catalogue")}])

    assert (True, "user") == (found.flag("pdf"), found.fact("pdf").source)
    assert "catalogue" == found.fact("images").source


def test_a_layer_that_does_not_know_a_fact_leaves_it_to_the_next() -> None:
    found = layered("p", "m", [{"max_output_tokens": Fact()}, {"max_output_tokens": known(8000)}])

    assert 8000 == found.number("max_output_tokens")


@pytest.mark.parametrize("name", NAMES)
def test_what_nobody_states_is_unknown_and_neither_yes_nor_no(name: str) -> None:
    found = Capabilities("p", "m")

    assert (None, None, None) == (found.flag(name), found.number(name), found.word(name))


def test_a_capability_without_a_name_is_a_mistake_and_not_unknown() -> None:
    with pytest.raises(KeyError, match="imagse"):
        a_model().flag("imagse")


@pytest.mark.parametrize(
    ("name", "value"),
    [("imagse", True), ("images", 1), ("context_tokens", True), ("context_tokens", 0), ("sampling", "yes")],
)
def test_a_fact_that_cannot_be_is_refused(name: str, value: object) -> None:
    with pytest.raises(InputError, match=name):
        checked(name, value, "file")


def test_the_ladder_holds_what_is_known_to_be_taken() -> None:
    """An eval that pays for an effort which the model refuses has paid for nothing."""
    assert ("low", "max") == effort_ladder(a_model(effort_low=True, effort_max=True, effort_none=False))
    assert () == effort_ladder(a_model())


@given(st.dictionaries(st.sampled_from(EFFORTS), st.booleans()), st.sets(st.sampled_from(EFFORTS)))
def test_bounds_change_only_what_is_refused_and_into_what_is_known_to_be_taken(
    taken: dict[str, bool], seen: set[str]
) -> None:
    """An app's `low` must not become `xhigh` because nobody wrote down that `low` is fine."""
    bounds = effort_bounds(a_model(**{f"effort_{level}": flag for level, flag in taken.items()}), seen)

    if bounds is not None:
        moved = {level: Bounds(*bounds).clamped(level) for level in seen}
        moved = {level: to for level, to in moved.items() if to != level}
        assert moved
        assert all(taken.get(level) is False for level in moved)
        assert all(taken.get(str(to)) is True for to in moved.values())


@pytest.mark.parametrize(
    ("refused", "seen", "expected"),
    [
        ({"minimal"}, {"minimal"}, ("low", "max")),
        ({"minimal"}, {"minimal", "high"}, ("low", "max")),
        ({"minimal"}, set(EFFORTS), None),
        ({"none", "minimal"}, set(EFFORTS), ("low", "max")),
        ({"xhigh", "max"}, set(EFFORTS), ("none", "high")),
        ({"minimal"}, {"low"}, None),
        (set(EFFORTS), set(EFFORTS), None),
    ],
)
def test_bounds_hold_the_ends_of_the_scale_and_no_gap(
    refused: set[str], seen: set[str], expected: tuple[str, str] | None
) -> None:
    """A model without `minimal` that takes `none`: who asks for none must not get low."""
    model = a_model(**{f"effort_{level}": level not in refused for level in EFFORTS})

    assert expected == effort_bounds(model, seen)


def test_a_guard_drops_and_bounds_what_is_known_to_be_refused() -> None:
    model = a_model(
        sampling="default_only", max_output_tokens=8000, effort_none=False, effort_minimal=False, effort_low=True
    )

    assert {
        "drop": ("temperature", "top_p", "top_k"),
        "clamp": {"max_tokens": (1, 8000), "effort": ("low", "max")},
    } == guard(model, WireName.ANTHROPIC)


def test_a_guard_of_an_unknown_model_does_nothing() -> None:
    assert {} == guard(a_model(), WireName.OPENAI_CHAT)


@pytest.mark.parametrize(
    ("effort", "default", "dropped"),
    [("none", "medium", False), ("low", "none", True), (None, "none", False), (None, "medium", True)],
)
def test_a_guard_knows_the_effort_that_sampling_depends_on(effort: str | None, default: str, dropped: bool) -> None:
    model = a_model(sampling="with_effort_none", default_effort=default)

    assert dropped == ("drop" in guard(model, WireName.OPENAI_CHAT, effort))


def test_a_guard_names_the_limit_as_the_wire_does() -> None:
    model = a_model(max_output_tokens=9, max_tokens_field="max_completion_tokens")

    assert {"clamp": {"max_completion_tokens": (1, 9)}} == guard(model, WireName.OPENAI_CHAT)
    assert {"clamp": {"max_output_tokens": (1, 9)}} == guard(model, WireName.OPENAI_RESPONSES)
    assert {"clamp": {"maxOutputTokens": (1, 9)}} == guard(model, WireName.GEMINI)

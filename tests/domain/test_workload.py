"""Workloads: what is refused, and in which words."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.suite import Slice, SliceRole
from midshift.domain.variant import Variant
from midshift.domain.workload import (
    BodyEquals,
    Budgets,
    Capture,
    DataPolicy,
    HeaderEquals,
    LanguageIs,
    SliceRule,
    Stakes,
    UnitKind,
    UnitSource,
    Workload,
)

INCUMBENT = Variant("anthropic", "claude-x-20250101")


def a_workload(**changed: Any) -> Workload:
    fields: dict[str, Any] = {
        "name": "support",
        "claims": ("claude-x",),
        "incumbent": INCUMBENT,
        "slices": (Slice("refunds"), Slice("greetings", SliceRole.WATCH)),
    }
    return Workload(**{**fields, **changed})


def test_a_workload_with_a_critical_slice_is_accepted() -> None:
    """One slice that is waited for is enough; the rest may be watched."""
    assert "support" == a_workload().name


@pytest.mark.parametrize(
    ("fault", "changed"),
    [
        ("a workload needs a name, got ''", {"name": ""}),
        ("a workload needs a name, got ' '", {"name": " "}),
        ("workload 'support': claims is empty, expected at least one", {"claims": ()}),
        (
            "workload 'support': claims must be unique, repeated: 'claude-x'",
            {"claims": ("claude-x", "claude-y", "claude-x")},
        ),
        (
            "workload 'support': claims must be unique, repeated: 'a', 'b'",
            {"claims": ("b", "a", "b", "a", "c")},
        ),
        ("workload 'support': slices is empty, expected at least one", {"slices": ()}),
        (
            "workload 'support': slices must be unique, repeated: 'refunds'",
            {"slices": (Slice("refunds"), Slice("refunds", SliceRole.WATCH))},
        ),
        (
            "workload 'support': at least one slice must be critical, all are only watched",
            {"slices": (Slice("refunds", SliceRole.WATCH), Slice("greetings", SliceRole.WATCH))},
        ),
        (
            "workload 'support': the safe harbour is the incumbent; it must be another variant",
            {"safe_harbour": Variant("anthropic", "claude-x-20250101")},
        ),
        (
            "workload 'support': unit must be unique, repeated: 'header:x-user-id'",
            {"unit": (UnitSource.parse("header:x-user-id"), UnitSource.parse("header:X-User-Id"))},
        ),
        (
            "workload 'support': a rule for slice 'refund', which is not one of its slices",
            {"rules": (SliceRule("refund", LanguageIs("de")),)},
        ),
    ],
)
def test_a_workload_that_cannot_be_upgraded_safely_is_refused(fault: str, changed: dict[str, Any]) -> None:
    """Each message names the workload and the field: there may be forty of them in one folder."""
    with pytest.raises(ValueError) as raised:
        a_workload(**changed)

    assert fault == str(raised.value)


def test_a_safe_harbour_is_any_other_variant() -> None:
    """It is where a rollback goes when the incumbent is no longer there."""
    harbour = Variant("anthropic", "claude-x-20250101", effort="low")

    assert harbour == a_workload(safe_harbour=harbour).safe_harbour


@pytest.mark.parametrize("when", [HeaderEquals("x-team", "legal"), BodyEquals("metadata.n", 3), LanguageIs("de")])
def test_a_rule_puts_requests_into_one_of_the_slices(when: HeaderEquals | BodyEquals | LanguageIs) -> None:
    """Three kinds of condition, one kind of rule."""
    rules = (SliceRule("refunds", when),)

    assert rules == a_workload(rules=rules).rules


@pytest.mark.parametrize(("weeks", "stakes"), [(1, Stakes.LOW), (2, Stakes.NORMAL), (4, Stakes.HIGH)])
def test_higher_stakes_are_shadowed_for_longer(weeks: int, stakes: Stakes) -> None:
    """One to four weeks, by what a bad answer costs."""
    assert weeks == stakes.shadow_weeks


# --- Where the data may go ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "vendor", "vendors"),
    [
        (True, "anthropic", ()),
        (False, "openai", ()),
        (True, "openai", ("anthropic", "openai")),
        (False, "anthropic", ("openai",)),
    ],
)
def test_data_go_to_the_incumbents_vendor_unless_others_are_named(
    expected: bool, vendor: str, vendors: tuple[str, ...]
) -> None:
    """A new vendor needs a named approval before the first byte."""
    assert expected is a_workload(data=DataPolicy(vendors=vendors)).admits(vendor)


@pytest.mark.parametrize(
    ("fault", "capture"),
    [
        ("a captured share lies in 0..1, got 1.5", {"share": 1.5}),
        ("a captured share lies in 0..1, got -0.1", {"share": -0.1}),
        ("a captured share lies in 0..1, got nan", {"share": math.nan}),
        ("captured texts are kept for some time, got 0:00:00", {"share": 0.1}),
        ("captured texts are kept for some time, got -1 day, 0:00:00", {"keep": timedelta(days=-1)}),
    ],
)
def test_texts_are_kept_only_as_far_as_it_is_said(fault: str, capture: dict[str, Any]) -> None:
    """By default none are."""
    with pytest.raises(ValueError) as raised:
        Capture(**capture)

    assert fault == str(raised.value)
    assert (0.0, timedelta(), ()) == (Capture().share, Capture().keep, Capture().redact)


@pytest.mark.parametrize("field", ["p99_latency_ms", "cost_per_call_usd"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_budget_is_a_finite_number_above_0(field: str, value: float) -> None:
    """A budget of 0 would halt every canary, an infinite one none."""
    with pytest.raises(ValueError) as raised:
        Budgets(**{field: value})

    assert f"budget {field} must be a finite number above 0, got {value!r}" == str(raised.value)


# --- Units --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (UnitSource(UnitKind.HEADER, "x-user-id"), "header:x-user-id"),
        (UnitSource(UnitKind.HEADER, "x-user-id"), "header:X-User-ID"),
        (UnitSource(UnitKind.BODY, "metadata.user_id"), "body:metadata.user_id"),
        (UnitSource(UnitKind.BODY, "messages.0.Role"), "body:messages.0.Role"),
        (UnitSource(UnitKind.CONVERSATION), "conversation"),
    ],
)
def test_a_unit_is_read_from_where_it_is_said_to_be(expected: UnitSource, text: str) -> None:
    """Header names know no case, JSON keys do."""
    assert expected == UnitSource.parse(text)
    assert expected == UnitSource.parse(str(expected))


@pytest.mark.parametrize(
    "text",
    ["", "user", "cookie:sid", "header", "header:", "header:x user", "header:a:b", "body:", "body:a..b", "body:a b",
     "conversation:", "conversation:x", "HEADER:x"],
)  # fmt: skip
def test_a_unit_from_nowhere_is_refused(text: str) -> None:
    """Without a unit each request is assigned by itself, so a typing error must not pass for one."""
    with pytest.raises(ValueError, match=r"^expected header:NAME, body:DOTTED\.PATH or conversation, got "):
        UnitSource.parse(text)


@given(st.text(max_size=12))
def test_a_unit_is_read_or_refused_and_nothing_else(text: str) -> None:
    """The text comes from a file that a person wrote."""
    try:
        source = UnitSource.parse(text)
    except ValueError:
        return

    assert source == UnitSource.parse(str(source))

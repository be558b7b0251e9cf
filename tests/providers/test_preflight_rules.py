"""The rules as data: each says where it is from, and is about something that there is."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest

from midshift.errors import InputError
from midshift.providers import preflight_rules
from midshift.providers.capabilities import Evidence
from midshift.providers.preflight_rules import Outcome
from midshift.providers.request_places import Aspect
from midshift.wire.protocol import WireName

DAY = date(2026, 11, 1)
RULE: dict[str, Any] = {
    "id": "no-images",
    "aspects": ["image"],
    "condition": "capability_is",
    "capability": "images",
    "values": [False],
    "outcome": "fatal",
    "why": "it sees none",
    "source": "a page",
    "evidence": "D",
    "as_of": "2026-11-01",
}


def a_file(*rules: dict[str, Any]) -> bytes:
    """A file of rules."""
    return msgspec.json.encode({"format": preflight_rules.FORMAT, "rules": rules})


def test_no_rule_is_without_a_source() -> None:
    rules = preflight_rules.bundled()

    assert [] == [rule.id for rule in rules if not rule.source.strip() or not rule.why.strip()]
    assert len(rules) > 30


def test_a_file_names_every_rule_without_a_source() -> None:
    with pytest.raises(InputError, match="without a source: one, two"):
        preflight_rules.read(a_file({**RULE, "id": "one", "source": " "}, RULE, {**RULE, "id": "two", "source": ""}))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"evidence": "Q"}, "Invalid enum value 'Q'"),
        ({"capability": "imagse"}, "no name for: no-images"),
        ({"capability": "eyesight_{value}", "condition": "value_flag"}, "no name for: no-images"),
        ({"aspects": ["images"]}, "Invalid enum value"),
        ({"outcome": "bad"}, "Invalid enum value"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        preflight_rules.read(a_file({**RULE, **change}))


def test_two_rules_of_one_name_are_refused() -> None:
    """A report counts by name."""
    with pytest.raises(InputError, match="same id"):
        preflight_rules.read(a_file(RULE, RULE))


def test_every_aspect_that_a_model_can_refuse_has_a_rule() -> None:
    ruled = {aspect for rule in preflight_rules.bundled() for aspect in rule.aspects}

    assert {Aspect.OTHER} == set(Aspect) - ruled


def test_true_is_not_one() -> None:
    """In Python it is; on the wire `n: true` is another mistake than `n: 1`."""
    rule = msgspec.convert({**RULE, "except_values": [1]}, preflight_rules.Rule)

    assert (False, True, True) == (rule.is_about_value(1), rule.is_about_value(True), rule.is_about_value(2))


def test_a_user_s_rule_is_about_a_field_and_his_own_word() -> None:
    rule = preflight_rules.overrides({"fields": [{"field": "store", "provider": "openai"}]}, "mine.yaml", DAY)[0]

    assert (("store",), Outcome.FATAL, Evidence.USER) == (rule.fields, rule.outcome, rule.evidence)
    assert rule.is_about("openai", "any", WireName.OPENAI_CHAT)
    assert not rule.is_about("mistral", "any", WireName.OPENAI_CHAT)


@pytest.mark.parametrize("values", [3, {"fields": {}}, {"fields": [{}]}, {"fields": [{"field": "a", "model": "("}]}])
def test_a_user_s_file_that_is_none_is_refused_by_name(values: object) -> None:
    with pytest.raises(InputError, match=r"mine\.yaml"):
        preflight_rules.overrides(values, "mine.yaml", DAY)

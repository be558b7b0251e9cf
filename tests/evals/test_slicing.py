"""A recorded request falls into the slices that it had on the path, and into those of its language."""

from typing import Any

import pytest

from midshift.domain.suite import Slice
from midshift.domain.variant import Variant
from midshift.domain.workload import BodyEquals, HeaderEquals, LanguageIs, SliceRule, When, Workload
from midshift.evals.slicing import Recorded, holds, language_of_user, never_told, slices_of
from tests.domain.test_language import TEXTS

BODY: dict[str, Any] = {
    "tier": "gold",
    "n": 1,
    "on": True,
    "text": '{"tier": "gold"}',
    "metadata": {"team": "a", "x.y": 2},
    "messages": [{"role": "user", "content": "hi"}],
}


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (HeaderEquals("x-queue", "a"), True),
        (HeaderEquals("X-Queue", "a"), True),
        (HeaderEquals("x-queue", "A"), False),
        (HeaderEquals("x-other", "a"), False),
        (BodyEquals("tier", "gold"), True),
        (BodyEquals("metadata.team", "a"), True),
        (BodyEquals("messages.0.role", "user"), True),
        (BodyEquals("messages.9.role", "user"), False),
        (BodyEquals("n", 1), True),
        (BodyEquals("n", 1.0), True),
        (BodyEquals("n", "1"), False),
        (BodyEquals("n", True), False),
        (BodyEquals("on", True), True),
        (BodyEquals("on", 1), False),
        (BodyEquals("text.tier", "gold"), False),
        (BodyEquals("metadata.x.y", 2), False),
        (BodyEquals("nothing", "gold"), False),
        (LanguageIs("de"), True),
        (LanguageIs("de-at"), True),
        (LanguageIs("en"), False),
        (LanguageIs("sw"), False),
    ],
)
def test_every_kind_of_rule_holds_as_on_the_path(when: When, expected: bool) -> None:
    """Text is no number, a text that holds JSON is no object, and a list has places."""
    assert expected is holds(when, Recorded({"x-queue": "a"}, BODY, "de"))


@pytest.mark.parametrize("body", [None, [], "text", {"tier": None}])
def test_a_body_of_any_shape_is_asked(body: Any) -> None:
    """A trace holds what it holds."""
    assert not holds(BodyEquals("tier", "gold"), Recorded({}, body))


def test_a_language_that_is_not_told_is_no_slice() -> None:
    """Also where the rule's language is one that no text tells."""
    assert not any(holds(LanguageIs(tag), Recorded({}, {}, None)) for tag in ("de", "sw"))


RULES = (
    SliceRule("queue", HeaderEquals("x-queue", "a")),
    SliceRule("german", LanguageIs("de")),
    SliceRule("swahili", LanguageIs("sw")),
    SliceRule("german", BodyEquals("metadata.lang", "de")),
)
SLICES = tuple(Slice(name) for name in ("german", "queue", "vip", "swahili"))


def test_slices_come_in_the_order_of_the_workload_and_what_was_said_last() -> None:
    """By any rule, by the header in which an app names them, by the line itself; each once."""
    workload = Workload("support", ("old",), Variant("p", "old"), SLICES, rules=RULES)
    headers = {"x-queue": "a", "x-midshift-slice": "vip, unknown,german"}

    assert ("german", "queue", "vip", "own") == slices_of(workload, Recorded(headers, {}, "en"), ("queue", "own"))
    assert ("german",) == slices_of(workload, Recorded({}, {"metadata": {"lang": "de"}}))
    assert [("swahili", "sw")] == never_told(workload)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"role": "system", "content": TEXTS["en"]}, {"role": "user", "content": TEXTS["de"]}], "de"),
        ([{"role": "user", "content": TEXTS["de"]}, {"role": "user", "content": "4711"}], "de"),
        ([{"role": "user", "content": TEXTS["en"]}, {"role": "user", "content": TEXTS["fr"]}], "fr"),
        ([{"role": "user", "content": [{"type": "text", "text": TEXTS["es"]}, {"type": "image_url"}]}], "es"),
        ([{"role": "assistant", "content": TEXTS["de"]}], None),
        ([{"role": "user", "content": None}, "odd", {"role": "user"}], None),
        ([], None),
    ],
)
def test_the_language_is_that_of_the_users_last_words(messages: list[Any], expected: str | None) -> None:
    """Not of the prompt, nor of the answers; and of earlier words, where the last are none."""
    assert expected == language_of_user(messages)

"""Records that are made for every request."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from msgspec.structs import fields

from midshift.domain.capture import CapturedRequest
from midshift.domain.exposure import Exposure, Pair, ShadowAnswer, TextFeatures
from midshift.domain.light import Light, replaced
from midshift.domain.rendering import Changes
from midshift.domain.unseen import Unseen
from midshift.domain.usage import Usage

ANSWER = ShadowAnswer("Hi.", 200)
RECORDS = (CapturedRequest, Exposure, Pair, ShadowAnswer, TextFeatures, Changes, Unseen, Usage)


def test_a_record_cannot_be_assigned_to() -> None:
    """At run time as well: what is recorded is what was seen."""
    with pytest.raises(AttributeError):
        ANSWER.status = 500  # type: ignore[misc]


def test_a_changed_copy_leaves_the_record_as_it_was() -> None:
    """And equal records are one key."""
    other = replaced(ANSWER, status=500)

    assert (200, 500, "Hi.") == (ANSWER.status, other.status, other.text)
    assert {ANSWER, replaced(other, status=200)} == {ANSWER}


@pytest.mark.parametrize("kind", RECORDS)
def test_no_default_is_a_description_of_one(kind: type[Light]) -> None:
    """`dataclasses.field` says nothing to a struct: it would be the value of the field."""
    assert [] == [one.name for one in fields(kind) if isinstance(one.default, dataclasses.Field)]


def test_what_is_made_in_turn_shares_nothing() -> None:
    """A default that can be changed is each record's own."""
    one, other = (CapturedRequest(name, "support", "", "", None, datetime(2026, 1, 1, tzinfo=UTC)) for name in "ab")
    one.headers["a"] = "b"

    assert {} == other.headers

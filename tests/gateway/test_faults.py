"""Whose fault it is that a candidate gave no answer."""

from __future__ import annotations

import pytest

from midshift.gateway.faults import UNASKED, UNCARRIED, is_the_requests, may_be_the_requests


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, True), (404, True), (422, True), (401, False), (429, False), (200, False), (500, False)],
)
def test_a_refusal_is_the_requests_fault_unless_it_is_about_the_key_or_the_moment(status: int, expected: bool) -> None:
    """A candidate must not be left alone because of an app that sends nonsense."""
    assert expected is is_the_requests(status)
    assert expected is may_be_the_requests(str(status))


@pytest.mark.parametrize("fell_back", ["", "breaker", "busy", "broken", "first_byte_timeout"])
def test_a_failure_without_an_answer_is_never_the_requests(fell_back: str) -> None:
    """The incumbent's answer explains nothing then."""
    assert not may_be_the_requests(fell_back)


def test_what_cannot_be_carried_may_be_the_requests_and_was_not_asked() -> None:
    """No provider has heard of it."""
    assert may_be_the_requests(UNCARRIED)
    assert ("busy", UNCARRIED) == UNASKED

"""Which of what waits the store will never take: only what it refuses while it takes others."""

from __future__ import annotations

from datetime import UTC, datetime

from midshift.domain.exposure import Credit
from midshift.domain.routing import Arm
from midshift.gateway.refusals import MOST_REFUSALS, Refusals
from midshift.gateway.spool import Waiting

CREDIT = Credit("support", "up-1", 0, Arm.CANDIDATE, (), 7)


def waiting(request: str) -> Waiting:
    """One that waits."""
    return Waiting(request, CREDIT, datetime(2026, 1, 1, tzinfo=UTC), 1.0, False)


POISONED, OTHER, LATER = waiting("poisoned"), waiting("other"), waiting("later")


def test_a_store_that_is_away_is_held_against_nothing_that_waits() -> None:
    """It may be away for a week."""
    refusals = Refusals()

    assert not any(refusals.is_the_last(POISONED) for _ in range(100 * MOST_REFUSALS))


def test_what_is_refused_while_others_are_taken_is_given_up_after_some_tries() -> None:
    """Once could be a connection that broke."""
    refusals = Refusals()
    found = []
    for _ in range(MOST_REFUSALS + 1):
        found.append(refusals.is_the_last(POISONED))
        refusals.took(OTHER)

    assert [False] * MOST_REFUSALS + [True] == found


def test_many_tries_after_one_success_are_one_try() -> None:
    """The store has gone away since."""
    refusals = Refusals()
    refusals.is_the_last(POISONED)
    refusals.took(OTHER)

    assert not any(refusals.is_the_last(POISONED) for _ in range(100 * MOST_REFUSALS))


def test_what_was_taken_begins_anew() -> None:
    """Its tries were the store's fault."""
    refusals = Refusals()
    for _ in range(MOST_REFUSALS):
        refusals.is_the_last(POISONED)
        refusals.took(OTHER)
    refusals.took(POISONED)

    assert not refusals.is_the_last(POISONED)


def test_what_failed_is_tried_after_what_did_not() -> None:
    """Oldest first otherwise."""
    refusals = Refusals()
    refusals.is_the_last(POISONED)

    assert [OTHER, LATER, POISONED] == refusals.in_order([POISONED, OTHER, LATER])
    refusals.took(POISONED)
    assert [POISONED, OTHER, LATER] == refusals.in_order([POISONED, OTHER, LATER])

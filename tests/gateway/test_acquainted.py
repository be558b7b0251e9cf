"""Who is new to a gateway."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from midshift.gateway.acquainted import GENERATION, MOST, Acquainted

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_unit_is_known_by_workload_and_row() -> None:
    """The same user of another product, or under another share, is new."""
    units = Acquainted()
    units.meet("support", 1, "ann", NOW)

    found = [units.knows(*asked) for asked in (("support", 1, "ann"), ("support", 2, "ann"), ("other", 1, "ann"))]

    assert [True, False, False] == found


def test_memory_is_bounded_and_the_last_ones_stay() -> None:
    """A gateway that runs for a month must not hold a month's users."""
    units = Acquainted()
    for number in range(3 * MOST):
        units.meet("support", 1, f"user-{number}", NOW)

    known = [number for number in range(3 * MOST) if units.knows("support", 1, f"user-{number}")]

    assert MOST <= len(known) <= 2 * MOST
    assert list(range(3 * MOST - len(known), 3 * MOST)) == known


def test_who_has_not_come_for_two_generations_is_new() -> None:
    """Forgotten is the safe side; who comes now and then is not forgotten."""
    units = Acquainted()
    units.meet("support", 1, "once", NOW)
    for hour in range(1, 4):
        units.meet("support", 1, "often", NOW + hour * (GENERATION + timedelta(seconds=1)))

    assert (False, True) == (units.knows("support", 1, "once"), units.knows("support", 1, "often"))

"""The clock that moves when it is told to."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from midshift.ports import Clock
from midshift.testing import ManualClock


def test_a_manual_clock_stands_still() -> None:
    """A test must not depend on how long it takes."""
    clock: Clock = ManualClock()

    assert (clock.now(), clock.monotonic_s()) == (clock.now(), clock.monotonic_s())
    assert clock.now() == clock.machine_now()


def test_both_times_move_together_when_told_to() -> None:
    """Eight weeks pass in one call."""
    start = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    clock = ManualClock(start)

    clock.advance(0.5)
    clock.advance(56 * 86400)

    assert (start + timedelta(days=56, seconds=0.5), 56 * 86400 + 0.5) == (clock.now(), clock.monotonic_s())


def test_the_first_moment_is_the_same_in_every_run() -> None:
    """Dates on reports are compared to the letter."""
    assert datetime(2026, 1, 1, tzinfo=UTC) == ManualClock().now()


def test_a_time_without_a_zone_is_refused() -> None:
    """A hold that starts at a naive time ends at the wrong hour somewhere."""
    with pytest.raises(ValueError, match="a clock needs a zone"):
        ManualClock(datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


def test_time_does_not_run_backwards() -> None:
    """A test that needs it has found a fault in its own story."""
    clock = ManualClock()

    with pytest.raises(ValueError, match="time does not run backwards, got -1 s"):
        clock.advance(-1)
    assert 0.0 == clock.monotonic_s()

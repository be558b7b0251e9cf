"""The clock on which weeks pass in minutes."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.testing import ManualClock, ScaledClock

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WEEK_IN_SECONDS = 20_160.0  # eight weeks in four minutes


class Machine:
    """A machine whose sleeps end after a share of their time, and are remembered."""

    def __init__(self, monotonic_s: float = 0.0, sleeps_for: float = 1.0) -> None:
        self.clock = ManualClock()
        self.clock.advance(monotonic_s)
        self.slept: list[float] = []
        self._sleeps_for = sleeps_for

    async def sleep(self, seconds: float) -> None:
        """Let the machine's time pass."""
        self.slept.append(seconds)
        self.clock.advance(seconds * self._sleeps_for)

    def scaled(self, factor: float) -> ScaledClock:
        """A playbook clock on this machine."""
        return ScaledClock(factor, START, self.clock.machine_now, self.clock.monotonic_s, self.sleep)


def test_playbook_time_runs_by_the_factor() -> None:
    """A demo shows eight weeks of holds through the controller that production runs."""
    machine = Machine(monotonic_s=5000.0)
    clock = machine.scaled(WEEK_IN_SECONDS)

    machine.clock.advance(240.0)

    assert START + timedelta(weeks=8) == clock.now()


def test_machine_time_is_never_scaled() -> None:
    """A lease of ten minutes must not run out in thirty milliseconds because a demo is in a hurry."""
    machine = Machine()
    clock = machine.scaled(WEEK_IN_SECONDS)

    machine.clock.advance(12.5)

    assert 12.5 == clock.monotonic_s()
    assert machine.clock.machine_now() == clock.machine_now()


def test_waiting_for_a_moment_takes_its_distance_by_the_factor() -> None:
    """Traffic for a week is paced through a demo's thirty seconds."""
    machine = Machine()
    clock = machine.scaled(WEEK_IN_SECONDS)

    asyncio.run(clock.until(START + timedelta(weeks=1)))

    assert [30.0] == machine.slept


def test_a_moment_that_has_passed_is_not_waited_for() -> None:
    """A driver that fell behind sends at once."""
    machine = Machine()
    clock = machine.scaled(60.0)

    asyncio.run(clock.until(START))
    asyncio.run(clock.until(START - timedelta(days=1)))

    assert [] == machine.slept


@settings(max_examples=50)
@given(
    factor=st.floats(0.01, 1e6),
    wait_s=st.floats(0.0, 1e8),
    monotonic_s=st.floats(0.0, 1e7),
    sleeps_for=st.floats(0.3, 1.0),
)
def test_waiting_ends_and_never_early(factor: float, wait_s: float, monotonic_s: float, sleeps_for: float) -> None:
    """Timers wake early and floats round: neither may start a step before its hold is over, or hang."""
    machine = Machine(monotonic_s, sleeps_for)
    clock = machine.scaled(factor)
    moment = START + timedelta(seconds=wait_s)

    asyncio.run(clock.until(moment))

    assert moment <= clock.now()


@pytest.mark.parametrize("factor", [0.0, -1.0, float("inf"), float("nan")])
def test_a_factor_that_stops_time_is_refused(factor: float) -> None:
    """A clock that stands still makes every hold endless, silently."""
    with pytest.raises(ValueError, match="expected a finite number above 0"):
        Machine().scaled(factor)


def test_a_start_without_a_zone_is_refused() -> None:
    """A naive date is a wrong hold at the next change to summer time."""
    clock = ManualClock()

    with pytest.raises(ValueError, match="needs a zone"):
        ScaledClock(1.0, datetime(2026, 1, 1), clock.machine_now, clock.monotonic_s, asyncio.sleep)  # noqa: DTZ001 - the case

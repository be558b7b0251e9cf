"""A gateway's name is its own: on a host by a lock, elsewhere by what the store hears."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from midshift.cli.own_name import WAITS_FOR, own_name
from midshift.domain.gateways import GatewayProcess, GatewayReport
from midshift.errors import UsageError
from midshift.testing import ManualClock

ME = GatewayProcess("g1", "me")


class Names:
    """What a store knows of gateways."""

    def __init__(self, *reports: GatewayReport) -> None:
        self.known = list(reports)
        self.entered: list[tuple[GatewayProcess, set[str]]] = []

    def reports(self) -> Sequence[GatewayReport]:
        """All that was said."""
        return self.known

    def enter(self, process: GatewayProcess, dead: Collection[str], at: datetime) -> None:
        """Keep it."""
        self.entered.append((process, set(dead)))


def heard(clock: ManualClock, seconds_ago: float, instance: str = "other", name: str = "g1") -> GatewayReport:
    """A gateway that said something."""
    return GatewayReport(name, "support", 3, clock.machine_now() - timedelta(seconds=seconds_ago), "", instance)


def test_one_that_runs_on_this_host_keeps_its_name(tmp_path: Path) -> None:
    """Whatever the store knows: the lock is the system's, and goes with the process."""
    clock, names = ManualClock(), Names()
    with own_name(ME, tmp_path, names, clock, clock.advance):
        with (
            pytest.raises(UsageError, match="runs here already.*Type next: --name g1-2"),
            own_name(GatewayProcess("g1", "you"), tmp_path, names, clock, clock.advance),
        ):
            pass
    with own_name(GatewayProcess("g1", "you"), tmp_path, names, clock, clock.advance):
        assert [(ME, set()), (GatewayProcess("g1", "you"), {"me"})] == names.entered


def test_the_one_before_on_this_host_is_dead_and_not_waited_for(tmp_path: Path) -> None:
    """It had the lock; a gateway that was killed must be back at once."""
    clock, names = ManualClock(), Names()
    with own_name(ME, tmp_path, names, clock, clock.advance):
        names.known.append(heard(clock, 0.0, "me"))
    before_s = clock.monotonic_s()

    with own_name(GatewayProcess("g1", "again"), tmp_path, names, clock, clock.advance):
        assert before_s == clock.monotonic_s()


def test_one_that_lives_on_another_host_keeps_its_name(tmp_path: Path) -> None:
    """It says something while this one waits."""
    clock = ManualClock()
    names = Names(heard(clock, 2.0))

    def pause(seconds: float) -> None:
        clock.advance(seconds)
        if clock.monotonic_s() > 3.0:
            names.known = [heard(clock, 0.0)]

    with pytest.raises(UsageError, match="runs elsewhere"), own_name(ME, tmp_path, names, clock, pause):
        pass
    assert [] == names.entered


@pytest.mark.parametrize(
    ("known", "waits"),
    [
        (lambda clock: heard(clock, 2.0), True),
        (lambda clock: heard(clock, 31.0), False),
        (lambda clock: heard(clock, 2.0, name="g2"), False),
    ],
)
def test_one_that_says_nothing_more_is_dead(
    known: Callable[[ManualClock], GatewayReport], waits: bool, tmp_path: Path
) -> None:
    """A host that is gone must not keep its gateway's name for long."""
    clock = ManualClock()
    names = Names(known(clock))

    with own_name(ME, tmp_path, names, clock, clock.advance):
        assert waits is (clock.monotonic_s() >= WAITS_FOR.total_seconds())
        assert [(ME, {"other"} if waits else set())] == names.entered

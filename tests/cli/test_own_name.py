"""A gateway's name is its own: on a host by a lock, elsewhere by what the store hears."""

import resource
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from midshift.cli.own_name import LOCK, WAITS_FOR, Entering, own_name
from midshift.domain.gateways import GatewayProcess, GatewayReport, Told
from midshift.errors import StoreError, UsageError
from midshift.testing import ManualClock

ME = GatewayProcess("g1", "me")


class Names:
    """What a store knows of gateways."""

    def __init__(self, *reports: GatewayReport) -> None:
        self.known = list(reports)
        self.trouble: Exception | None = None

    def reports(self) -> Sequence[GatewayReport]:
        """All that was said."""
        if self.trouble is not None:
            raise self.trouble
        return self.known


class Written:
    """A store that takes what it is told, or not."""

    def __init__(self) -> None:
        self.said: list[tuple[str, object]] = []
        self.trouble: dict[str, Exception] = {}

    def _take(self, verb: str, told: object) -> None:
        if verb in self.trouble:
            raise self.trouble[verb]
        self.said.append((verb, told))

    def enter(self, process: GatewayProcess, dead: Collection[str], at: datetime) -> None:
        """Forget the dead."""
        self._take("enter", set(dead))

    def report(self, process: GatewayProcess, told: Mapping[str, Told], at: datetime) -> None:
        """Take note of it."""
        self._take("report", dict(told))

    def leave(self, process: GatewayProcess, at: datetime) -> None:
        """It ends."""
        self._take("leave", process)


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
    with own_name(GatewayProcess("g1", "you"), tmp_path, names, clock, clock.advance) as dead:
        assert {"me"} == dead


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

    with own_name(ME, tmp_path, names, clock, clock.advance) as dead:
        assert waits is (clock.monotonic_s() >= WAITS_FOR.total_seconds())
        assert set() == dead  # it may be cut off from the store, and serve on: only the lock proves an end


@pytest.mark.parametrize("error", [StoreError("the store is away"), OSError(28, "No space left on device")])
def test_a_store_that_cannot_be_read_keeps_no_gateway_from_starting(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway is there for users; a name that is taken is the only thing that may stop it."""
    clock, names = ManualClock(), Names()
    names.trouble = error

    with own_name(ME, tmp_path, names, clock, clock.advance) as dead:
        assert set() == dead
    assert "does not say whether a gateway of this name runs elsewhere" in caplog.text


@pytest.mark.parametrize("what", ["no folder", "no file", "full"])
def test_a_folder_that_cannot_be_written_is_a_warning_with_its_path(
    what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk must not keep users from their answers."""
    folder, clock = tmp_path / "g1", ManualClock()
    match what:
        case "no folder":
            folder.write_text("a file")
        case "no file":
            (folder / LOCK).mkdir(parents=True)
        case _:
            folder.mkdir()
            (folder / LOCK).symlink_to("/dev/full")

    with own_name(ME, folder, Names(), clock, clock.advance) as dead:
        assert set() == dead
    assert str(folder / LOCK) in caplog.text and "Make room there" in caplog.text


def test_a_full_disk_does_not_lose_who_was_before(tmp_path: Path) -> None:
    """It is dead for certain, and only this file says so."""
    clock, names = ManualClock(), Names()
    with own_name(ME, tmp_path, names, clock, clock.advance):
        pass
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with own_name(GatewayProcess("g1", "unwritten"), tmp_path, names, clock, clock.advance):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    with own_name(GatewayProcess("g1", "next"), tmp_path, names, clock, clock.advance) as dead:
        assert {"me"} == dead


def test_the_last_few_are_known_for_the_store_may_not_have_heard_of_them(tmp_path: Path) -> None:
    """Some started and ended while it was away. Room for all of them there is not."""
    clock, names = ManualClock(), Names()
    for number in range(20):
        with own_name(GatewayProcess("g1", f"{number:016x}"), tmp_path, names, clock, clock.advance) as dead:
            pass

    assert {f"{number:016x}" for number in range(11, 19)} == dead


def test_the_dead_are_forgotten_once_a_report_arrives() -> None:
    """The start writes nothing, so a store that is locked, full or read-only does not hold it up."""
    store, at = Written(), ManualClock().machine_now()
    reports = Entering(store, {"before"})

    store.trouble = {"report": StoreError("locked")}
    with pytest.raises(StoreError, match="locked"):
        reports.report(ME, {"support": Told(3)}, at)
    store.trouble = {}
    reports.report(ME, {"support": Told(3)}, at)
    reports.report(ME, {"support": Told(4)}, at)

    assert ["report", "enter", "report"] == [verb for verb, _ in store.said]
    assert ("enter", {"before"}) == store.said[1]


def test_a_store_that_forgets_nobody_is_asked_again_and_hears_what_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """A rollback waits for the report, and not for the room."""
    store, at = Written(), ManualClock().machine_now()
    reports = Entering(store, {"before"})

    store.trouble = {"enter": StoreError("locked")}
    reports.report(ME, {"support": Told(3)}, at)
    assert "locked" in caplog.text
    store.trouble = {}
    reports.report(ME, {"support": Told(3)}, at)
    reports.leave(ME, at)

    assert ["report", "report", "enter", "leave"] == [verb for verb, _ in store.said]

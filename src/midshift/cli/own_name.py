"""A gateway's name is its own: two of one name would each speak for the other, and share their last-known routes.

On a host a lock in the state folder holds it, which the system lets go of with the process, however that ends; a
gateway that was killed starts again at once. On other hosts the store knows who said something lately: if one of that
name says something again while this one waits, it lives.

Contract. Only a name that is taken keeps a gateway from starting: a store that cannot be read and a folder that cannot
be written are warnings. Nothing is written to the store before the gateway reports (`Entering`).
Elsewhere: what two of one name look like all the same (in_force), how long a report counts (domain.gateways).
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from midshift.cli.project import say
from midshift.domain.gateways import REPORTS_EVERY, GatewayProcess, GatewayReport, Told
from midshift.errors import MidshiftError, UsageError
from midshift.ports import Clock
from midshift.reports.text import visible

LOG = logging.getLogger(__name__)

LOCK = "lock"
WAITS_FOR = REPORTS_EVERY + timedelta(seconds=3)
_LOOKS_EVERY_S = 0.2
_REMEMBERED = 8
_LONGEST = 200
"""Bytes: eight names of 16 digits, with room."""


class Names(Protocol):
    """What the store knows of gateways; the part of `ports.GatewayReports` that a start needs."""

    def reports(self) -> Sequence[GatewayReport]:
        """The last report of each process."""
        ...


class Lives(Protocol):
    """The store as a gateway reports to it; the part of `ports.GatewayReports` for that."""

    def enter(self, process: GatewayProcess, dead: Collection[str], at: datetime) -> None:
        """Forget the dead ones of that name."""
        ...

    def report(self, process: GatewayProcess, told: Mapping[str, Told], at: datetime) -> None:
        """Take note of what a gateway serves."""
        ...

    def leave(self, process: GatewayProcess, at: datetime) -> None:
        """It ends."""
        ...


class Entering:
    """Implements `gateway.reporting.Reports`: once a report has arrived, the `dead` of its name are forgotten.

    What could not be forgotten is tried again with the next report, and never keeps one from being said.
    """

    def __init__(self, lives: Lives, dead: Collection[str]) -> None:
        self._lives = lives
        self._dead = frozenset(dead)
        self._has_entered = False

    def report(self, process: GatewayProcess, told: Mapping[str, Told], at: datetime) -> None:
        """Take note of it."""
        self._lives.report(process, told, at)
        if self._has_entered:
            return
        try:
            self._lives.enter(process, self._dead, at)
            self._has_entered = True
        except (MidshiftError, OSError) as error:
            LOG.warning("the store does not forget the processes of this name that ended: %s", error)

    def leave(self, process: GatewayProcess, at: datetime) -> None:
        """It ends."""
        self._lives.leave(process, at)


@contextmanager
def own_name(
    process: GatewayProcess, folder: Path, store: Names, clock: Clock, pause: Callable[[float], object]
) -> Iterator[frozenset[str]]:
    """Hold the name while the block lasts; `folder` is the gateway's part of the state folder.

    Yields the processes of that name that are dead for certain: they had the lock.

    Raises:
        UsageError: if another process has it.
    """
    handle = _opened(folder)
    try:
        is_locked = handle is not None and _lock(handle, process.name, folder)
        before = _held(handle) if handle is not None and is_locked else []
        _wait_for_others(process, before, store, clock, pause)
        if handle is not None and is_locked:
            _sign(handle, [*before, process.instance], folder)
        yield frozenset(before)
    finally:
        if handle is not None:
            os.close(handle)


def _opened(folder: Path) -> int | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        _warn_of(folder, error, "two gateways of one name are told by the store alone")
        return None


def _held(handle: int) -> list[str]:
    """Who had the lock, the last one last. A file that a crash left half-written says nothing of some of them."""
    said = os.pread(handle, _LONGEST, 0).decode("ascii", "replace").split()
    return [one for one in said if one.isalnum()]


def _sign(handle: int, instances: Sequence[str], folder: Path) -> None:
    """Put down who has had the lock. Several, for the store may not have heard of the last ones.

    Over what is there, which is cut only afterwards: a full disk must not lose it.
    """
    said = " ".join(instances[-_REMEMBERED:]).encode()
    try:
        os.pwrite(handle, said, 0)
        os.ftruncate(handle, len(said))
    except OSError as error:
        _warn_of(folder, error, "after a kill, the next start takes this process for one that may live elsewhere")


def _warn_of(folder: Path, error: OSError, so: str) -> None:
    where = str(folder / LOCK)
    LOG.warning("%r cannot be written (%s): %s. Make room there, or mend its rights", where, error.strerror, so)


def _lock(handle: int, name: str, folder: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"--name {name!r}: a gateway of that name runs here already (it holds {str(folder / LOCK)!r}), expected "
            f"one that no other has. Type next: --name {name}-2"
        ) from None
    except OSError as error:
        LOG.warning(
            "the state folder knows no locks (%s): two gateways of one name are told by the store alone", error.strerror
        )
        return False
    return True


def _wait_for_others(
    process: GatewayProcess, before: Collection[str], store: Names, clock: Clock, pause: Callable[[float], object]
) -> None:
    try:
        _listen(process, before, store, clock, pause)
    except UsageError:
        raise
    except (MidshiftError, OSError) as error:
        LOG.warning("the store does not say whether a gateway of this name runs elsewhere: %s", error)


def _listen(
    process: GatewayProcess, before: Collection[str], store: Names, clock: Clock, pause: Callable[[float], object]
) -> None:
    """Where others of that name fell silent a short while ago, wait to see that none of them says anything more."""
    found = {one.instance: one.at for one in _living(process, before, store, clock)}
    if not found:
        return
    ago_s = (clock.machine_now() - max(found.values())).total_seconds()
    say(
        f"gateway {visible(process.name)}: another one of that name was heard {ago_s:.0f} s ago; "
        f"waiting up to {WAITS_FOR.total_seconds():.0f} s to see whether it lives"
    )
    until_s = clock.monotonic_s() + WAITS_FOR.total_seconds()
    while clock.monotonic_s() < until_s:
        pause(_LOOKS_EVERY_S)
        for one in _living(process, before, store, clock):
            if one.at > found.get(one.instance, one.at) or one.instance not in found:
                raise UsageError(
                    f"--name {process.name!r}: a gateway of that name runs elsewhere, and said so just now, expected "
                    f"one that no other has. Type next: --name {process.name}-2"
                )


def _living(process: GatewayProcess, before: Collection[str], store: Names, clock: Clock) -> list[GatewayReport]:
    now = clock.machine_now()
    return [
        one
        for one in store.reports()
        if one.gateway == process.name and one.instance not in before and one.standing(0, now).is_heard
    ]

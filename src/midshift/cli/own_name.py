"""A gateway's name is its own: two of one name would each speak for the other, and share their last-known routes.

On a host a lock in the state folder holds it, which the system lets go of with the process, however that ends; a
gateway that was killed starts again at once. On other hosts the store knows who said something lately: if one of that
name says something again while this one waits, it lives.
Elsewhere: what two of one name look like all the same (in_force), how long a report counts (domain.gateways).
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from midshift.cli.project import say
from midshift.domain.gateways import REPORTS_EVERY, GatewayProcess, GatewayReport
from midshift.errors import UsageError
from midshift.ports import Clock
from midshift.reports.text import visible

LOG = logging.getLogger(__name__)

LOCK = "lock"
WAITS_FOR = REPORTS_EVERY + timedelta(seconds=3)
_LOOKS_EVERY_S = 0.2


class Names(Protocol):
    """What the store knows of gateways; the part of `ports.GatewayReports` that this needs."""

    def reports(self) -> Sequence[GatewayReport]:
        """The last report of each process."""
        ...

    def enter(self, process: GatewayProcess, dead: Collection[str], at: datetime) -> None:
        """Forget the dead ones of that name."""
        ...


@contextmanager
def own_name(
    process: GatewayProcess, folder: Path, store: Names, clock: Clock, pause: Callable[[float], object]
) -> Iterator[None]:
    """Hold the name while the block lasts; `folder` is the gateway's part of the state folder.

    Raises:
        UsageError: if another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        is_locked = _lock(handle, process.name, folder)
        before = os.pread(handle, 200, 0).decode("ascii", "replace").strip() if is_locked else ""
        silent = _elsewhere(process, before, store, clock, pause)
        store.enter(process, {*silent, before} - {""}, clock.machine_now())
        if is_locked:
            os.ftruncate(handle, 0)
            os.pwrite(handle, process.instance.encode(), 0)
        yield
    finally:
        os.close(handle)


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


def _elsewhere(
    process: GatewayProcess, before: str, store: Names, clock: Clock, pause: Callable[[float], object]
) -> set[str]:
    """The others of that name that fell silent a short while ago, once it is sure that none of them lives."""
    found = {one.instance: one.at for one in _living(process, before, store, clock)}
    if not found:
        return set()
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
    return set(found)


def _living(process: GatewayProcess, before: str, store: Names, clock: Clock) -> list[GatewayReport]:
    now = clock.machine_now()
    return [
        one
        for one in store.reports()
        if one.gateway == process.name and (not before or one.instance != before) and one.standing(0, now).is_heard
    ]

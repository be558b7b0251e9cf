"""What gateways say of themselves, and what it means: the one rule by which status and rollback know who serves what.

A gateway that listens says every few seconds which row it knows, and whether it is home in spite of it; when it ends
in order it says so. Whoever was not heard for half a minute is dead, or cut off from the store: nobody can tell which.
One that is cut off serves by the last row that it knew, below a share of 100 % for ten minutes at most (gateway.route).
Somebody who has looked can say that it is dead; that holds until it says anything again.
Elsewhere: who asks (cli.status, cli.rollback), where it is kept (store).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from midshift.domain.routing import Route

REPORTS_EVERY = timedelta(seconds=5)
SILENT_AFTER = timedelta(seconds=30)
"""Six reports that did not come."""

LONGEST_CUT_OFF = timedelta(minutes=10)
"""How long a gateway serves a candidate to less than everybody without hearing from the store."""

FORGOTTEN_AFTER = timedelta(days=1)
"""When one that is silent, or has stopped, is no news any more. A rollback asks on (`hidden`)."""

ERASED_AFTER = timedelta(days=30)
"""When it is forgotten that there ever was one that fell silent."""

UNROUTED = "unrouted"
"""At home for want of a row: it serves what was applied, which may be anything that ever served."""


class Standing(StrEnum):
    """How a gateway stands to the row in force. `HOME` is the incumbent for everybody, whatever the row says."""

    SERVES = "serves"
    BEHIND = "behind"
    HOME = "home"
    SILENT = "silent"
    DEAD = "dead"
    STOPPED = "stopped"

    @property
    def is_heard(self) -> bool:
        """Whether it lives, as far as one can know."""
        return self not in (Standing.SILENT, Standing.DEAD, Standing.STOPPED)


@dataclass(frozen=True, slots=True)
class GatewayProcess:
    """One process: the gateway's name, and what tells it from any other of that name (empty if it does not say)."""

    name: str
    instance: str = ""

    @property
    def key(self) -> str:
        """Under which its batches are counted, so that two of one name cannot take each other's numbers."""
        return f"{self.name}/{self.instance}" if self.instance else self.name


@dataclass(frozen=True, slots=True)
class Told:
    """What a gateway says of one workload: the epoch of the row that it knows, and why it is home all the same."""

    epoch: int
    home: str = ""


@dataclass(frozen=True, slots=True)
class Death:
    """Who says that a process serves nobody any more, for what reason, and when (machine time)."""

    who: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """What one process said last of one workload, at `at` (machine time).

    `home` says why it gives everybody the incumbent although the row of `epoch` may say otherwise; empty where the row
    is in force. It is a text, for a gateway of another version may know another reason. `death` is None where nobody
    has said it since.
    """

    gateway: str
    workload: str
    epoch: int
    at: datetime
    home: str = ""
    instance: str = ""
    is_stopped: bool = False
    death: Death | None = None

    @property
    def process(self) -> GatewayProcess:
        """Who said it."""
        return GatewayProcess(self.gateway, self.instance)

    def standing(self, epoch: int, now: datetime) -> Standing:
        """How it stands to the row of `epoch`."""
        if self.is_stopped:
            return Standing.STOPPED
        if now - self.at > SILENT_AFTER:
            return Standing.SILENT if self.death is None else Standing.DEAD
        if self.home:
            return Standing.HOME
        return Standing.SERVES if self.epoch >= epoch else Standing.BEHIND

    def may_serve_candidate(self, epoch: int, known: Route | None, now: datetime) -> bool:
        """Whether a user may get a candidate there that the row of `epoch` withdrew; `known` is its own row, if known.

        Unknown is never no: a process that fell silent may be cut off, and serve on by the row that it knew.
        """
        standing = self.standing(epoch, now)
        if standing is Standing.HOME:
            return self.home == UNROUTED and self.epoch < epoch
        if standing in (Standing.SERVES, Standing.DEAD, Standing.STOPPED) or self.epoch >= epoch:
            return False
        if known is None or standing is Standing.BEHIND:
            return True
        return known.serves_candidate and (known.share >= 1.0 or now - self.at <= LONGEST_CUT_OFF)


def present(reports: Iterable[GatewayReport], workload: str, now: datetime) -> list[GatewayReport]:
    """The reports to show of a workload: of every name all processes that live, or else the last one that did.

    A restart is no dead gateway: the process before is left out once another of its name is heard.
    Who wants to know what users may get has to ask the `hidden` ones too.
    """
    by_name: dict[str, list[GatewayReport]] = {}
    for report in reports:
        if report.workload == workload and now - report.at <= FORGOTTEN_AFTER:
            by_name.setdefault(report.gateway, []).append(report)
    found = []
    for name in sorted(by_name):
        heard = [one for one in by_name[name] if one.standing(0, now).is_heard]
        found += heard or [max(by_name[name], key=lambda one: one.at)]
    return found


def hidden(reports: Sequence[GatewayReport], workload: str, now: datetime) -> list[GatewayReport]:
    """The silent processes that `present` leaves out. They may be cut off, and serve on under a name that is heard."""
    shown = {report.process for report in present(reports, workload, now)}
    return [
        report
        for report in reports
        if report.workload == workload and report.standing(0, now) is Standing.SILENT and report.process not in shown
    ]


def doubled(reports: Iterable[GatewayReport], now: datetime) -> list[str]:
    """The names under which more than one process lives."""
    living: dict[str, set[str]] = {}
    for report in reports:
        if report.standing(0, now).is_heard:
            living.setdefault(report.gateway, set()).add(report.instance)
    return sorted(name for name, instances in living.items() if len(instances) > 1)

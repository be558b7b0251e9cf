"""`midshift dead`: somebody says of silent gateways that they serve nobody any more.

Contract: nobody can say it of a process that is heard, and it is void once the process says anything again. A name
that cannot be meant stops all of it, before anything is written.
Elsewhere: what it means for a rollback (domain.gateways).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from midshift.cli.in_force import spoken
from midshift.cli.project import Target, say
from midshift.cli.system import SystemClock
from midshift.domain.gateways import Death, GatewayProcess, GatewayReport, Standing
from midshift.errors import UsageError
from midshift.reports.text import visible


def say_dead(target: Target, gateways: Sequence[str], who: str, why: str) -> int:
    """Put it down for every silent process of these names. Returns the exit code.

    Raises:
        UsageError: for a name of which no process is silent, and for a reason that says nothing.
    """
    if not why.strip():
        raise UsageError(f"--why: found {why!r}, expected how you know. Type next: --why 'node-7 is gone'")
    with target.open_store() as store:
        now = SystemClock().machine_now()
        last = _last_said(store.reports())
        dying = [report for name in dict.fromkeys(gateways) for report in _silent(last, name, now)]
        for report in dying:
            store.say_dead(report.process, report.at, Death(who, why, now))
            say(f"{visible(report.gateway)} is dead, says {visible(who)}. It was heard last {_ago(report, now)} ago")
    say("That holds until it says anything again. Type next: midshift status")
    return 0


def _last_said(reports: Iterable[GatewayReport]) -> dict[GatewayProcess, GatewayReport]:
    """The newest report of each process, on whichever workload."""
    return {report.process: report for report in sorted(reports, key=lambda one: one.at)}


def _silent(last: dict[GatewayProcess, GatewayReport], name: str, now: datetime) -> list[GatewayReport]:
    of_name = [report for report in last.values() if report.gateway == name]
    found = [report for report in of_name if report.standing(0, now) is Standing.SILENT]
    if found:
        return found
    if not of_name:
        names = sorted({report.gateway for report in last.values()})
        known = ", ".join(visible(repr(one)) for one in names) or "none: no gateway has ever reported"
        raise UsageError(f"gateway {name!r}: not known, expected one of {known}. Type next: midshift status")
    newest = max(of_name, key=lambda one: one.at)
    raise UsageError(
        f"gateway {name!r}: {newest.standing(0, now).value}, heard last {_ago(newest, now)} ago; expected one that is "
        "silent. Type next: midshift status"
    )


def _ago(report: GatewayReport, now: datetime) -> str:
    return spoken((now - report.at).total_seconds())

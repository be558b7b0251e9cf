"""What each workload is served with, at which gateways, and who decides about it: as lines, and as plain values.

What a report of a gateway means is said in one place for all who ask (domain.gateways). Elsewhere: where upgrades
stand (standing).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from midshift.cli.project import named
from midshift.cli.system import SystemClock
from midshift.domain.gateways import GatewayReport, Standing, doubled, present
from midshift.domain.routing import Route
from midshift.reports.text import visible

if TYPE_CHECKING:
    from midshift.ports import Lease
    from midshift.store.sql import SqlStore

_NO_CONTROLLER = "Type next: midshift serve controller"
_REASONS = {
    "forced": "the force file is there, or MIDSHIFT_FORCE is set",
    "flipped": "by its admin port",
    "stale": "the store was silent for too long",
    "lease": "no controller watches",
    "unservable": "it cannot ask the candidate: restart it, with the candidate's provider",
    "unrouted": "it has no row that it can serve; what was applied serves there",
}


# Gateways


def records(store: SqlStore, workload: str | None) -> list[dict[str, Any]]:
    """Each workload's row, and how every gateway stands to it."""
    now, reports = SystemClock().machine_now(), store.reports()
    routes = (route for route in store.routes() if workload in (None, route.workload))
    return [_record(store, route, present(reports, route.workload, now), now) for route in routes]


def _record(store: SqlStore, route: Route, reports: Iterable[GatewayReport], now: datetime) -> dict[str, Any]:
    until = route.lease_until
    return {
        "workload": route.workload,
        "epoch": route.epoch,
        "incumbent": {"id": route.incumbent, "name": named(store, route.incumbent)},
        "candidate": route.candidate and {"id": route.candidate, "name": named(store, route.candidate)},
        "share": route.share,
        "shadow_share": route.shadow_share,
        "noise_share": route.noise_share,
        "pair_share": route.pair_share,
        "reverse_share": route.reverse_share,
        "lease_until": until and until.isoformat(),
        "is_watched": None if until is None else now < until,
        "gateways": [_gateway(report, route.epoch, now) for report in reports],
    }


def _gateway(report: GatewayReport, epoch: int, now: datetime) -> dict[str, Any]:
    standing = report.standing(epoch, now)
    return {
        "name": report.gateway,
        "instance": report.instance or None,
        "epoch": report.epoch,
        "standing": standing.value,
        "is_current": standing is Standing.SERVES,
        "home": report.home or None,
        "seconds_ago": round((now - report.at).total_seconds(), 1),
        "death": None if report.death is None else {"who": report.death.who, "why": report.death.why},
    }


def lines(store: SqlStore, workload: str | None) -> list[str]:
    """The same for eyes."""
    from rich.markup import escape

    found = []
    for route in records(store, workload):
        found.append(_route_line(route))
        if route["is_watched"] is False and route["share"] < 1.0:
            found.append("  ⚠ no controller watches it: its lease is over, so nobody new gets the candidate")
        found += [_gateway_line(item) for item in route["gateways"]]
        if not route["gateways"]:
            found.append("  ◌ no gateway has reported")
        elif _all_home(route):
            found.append("  ⚠ every gateway is home: nobody gets the candidate, whatever share the row gives it")
    now = SystemClock().machine_now()
    found += [
        f"✖ several gateways run as {name!r}: give each a --name of its own" for name in doubled(store.reports(), now)
    ]
    return [escape(line) for line in found] or ["no workload. Type next: midshift apply"]


def _all_home(route: Mapping[str, Any]) -> bool:
    heard = [item for item in route["gateways"] if Standing(item["standing"]).is_heard]
    return bool(heard) and all(item["standing"] == Standing.HOME for item in heard)


def _route_line(route: Mapping[str, Any]) -> str:
    served = f"{100 - 100 * route['share']:.4g} % of units to {visible(route['incumbent']['name'])}"
    if route["candidate"] is not None:
        served += f", {100 * route['share']:.4g} % to {visible(route['candidate']['name'])}"
        shadow = route["shadow_share"]
        served += f", which also answers {100 * shadow:.4g} % of the others unseen (shadow)" if shadow else ""
        pairs = route["pair_share"] or route["reverse_share"]
        served += f", {100 * pairs:.4g} % of requests answered by both" if pairs else ""
    return f"{route['workload']}: {served} (epoch {route['epoch']})"


def _gateway_line(item: Mapping[str, Any]) -> str:
    name, epoch = visible(item["name"]), item["epoch"]
    ago = spoken(item["seconds_ago"])
    match Standing(item["standing"]):
        case Standing.SERVES:
            return f"  ✔ {name} serves epoch {epoch}; heard {ago} ago"
        case Standing.BEHIND:
            return f"  ◌ {name} serves epoch {epoch}, which is not the present one; heard {ago} ago"
        case Standing.HOME:
            why = _REASONS.get(item["home"], "")
            said = f"{visible(item['home'])}" + (f" ({why})" if why else "")
            return f"  ⚠ {name} is home: {said}. Everybody gets the incumbent there; heard {ago} ago"
        case Standing.SILENT:
            return f"  ✖ {name} is silent for {ago}: dead, or cut off from the store. It served epoch {epoch}"
        case Standing.DEAD:
            who, why = visible(item["death"]["who"]), visible(item["death"]["why"])
            return f"  · {name} is dead, says {who}: {why}; heard last {ago} ago"
        case Standing.STOPPED:
            return f"  · {name} stopped {ago} ago"


def spoken(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 120.0:
        return f"{max(0.0, seconds):.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200.0 else f"{seconds / 3600:.0f} h"


# The controller


def controller_record(store: SqlStore) -> dict[str, Any] | None:
    """Who decides, and when it looked last; None if none ever did."""
    lease = store.lease()
    if lease is None:
        return None
    now = SystemClock().machine_now()
    looked_at = _looked_at(lease)
    return {
        "name": lease.owner,
        "is_looking": now < lease.until,
        "seconds_ago": round((now - looked_at).total_seconds(), 1),
    }


def controller_line(store: SqlStore) -> str:
    """The same for eyes."""
    from rich.markup import escape

    found = controller_record(store)
    if found is None:
        return f"no controller has ever looked. {_NO_CONTROLLER}"
    name, ago = visible(found["name"]), spoken(found["seconds_ago"])
    if found["is_looking"]:
        return escape(f"controller: {name}, looked {ago} ago")
    return escape(f"no controller has looked for {ago} (the last was {name}). {_NO_CONTROLLER}")


def _looked_at(lease: Lease) -> datetime:
    """When its holder looked last; a version that does not say so took it for as long as any does."""
    from midshift.controller.loop import LEADERSHIP

    assumed = lease.until - LEADERSHIP
    return assumed if lease.looked_at is None else max(lease.looked_at, assumed)

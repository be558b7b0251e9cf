"""What was applied and what serves: reads in plain SQL, for whoever has a connection. Gateways follow these.

Elsewhere: how rows are written (definitions, routing, upgrades).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from midshift.domain.gateways import Death, GatewayProcess, GatewayReport
from midshift.domain.routing import Route
from midshift.domain.upgrade import Upgrade
from midshift.domain.variant import Variant
from midshift.errors import StoreError
from midshift.ports import Definition
from midshift.store import documents
from midshift.store.plain import Plain, moment

_DEFINITIONS = (
    "SELECT workload, hash, content, applied_at, who, git_commit FROM definitions "
    "WHERE number IN (SELECT max(number) FROM definitions GROUP BY workload) ORDER BY workload"
)
_ROUTE = (
    *("workload", "epoch", "incumbent", "candidate", "share", "shadow_share", "salt", "step", "upgrade", "lease_until"),
    *("noise_share", "pair_share", "reverse_share", "others", "rings"),
)
_ROUTES = f"SELECT {', '.join(_ROUTE)} FROM routes ORDER BY workload"
_UPGRADES = "SELECT state FROM upgrades ORDER BY number"
_LIVES = (
    "SELECT gateway, workload, epoch, at, home, instance, stopped FROM gateway_lives "
    "ORDER BY gateway, instance, workload"
)
_EARLIER = "SELECT gateway, workload, epoch, at FROM gateway_reports ORDER BY gateway, workload"
_DEATHS = "SELECT gateway, instance, heard_at, at, who, why FROM gateway_deaths"
_VARIANT = "SELECT content FROM variants WHERE id = ?"


def definitions(connection: Plain) -> Sequence[Definition]:
    """The newest of each workload, by name."""
    return [
        Definition(workload, digest, documents.decode_plain(content), moment(applied_at), who, git_commit)
        for workload, digest, content, applied_at, who, git_commit in connection.execute(_DEFINITIONS).fetchall()
    ]


def routes(connection: Plain) -> list[Route]:
    """Every routing row, by workload."""
    return [_route(row) for row in connection.execute(_ROUTES).fetchall()]


def upgrades(connection: Plain) -> Sequence[Upgrade]:
    """All, in the order in which they began."""
    return [documents.decode(Upgrade, text) for (text,) in connection.execute(_UPGRADES).fetchall()]


def reports(connection: Plain) -> list[GatewayReport]:
    """What each process of a gateway said last; of gateways before version 0007, what their name did."""
    lives = connection.execute(_LIVES).fetchall()
    earlier = [(*row, "", "", 0) for row in connection.execute(_EARLIER).fetchall()]
    found = [
        GatewayReport(name, workload, epoch, moment(at), home, instance, bool(stopped))
        for name, workload, epoch, at, home, instance, stopped in [*lives, *earlier]
    ]
    return _with_deaths(connection, found)


def _with_deaths(connection: Plain, reports: list[GatewayReport]) -> list[GatewayReport]:
    """The same, with what was said of those that have said nothing since."""
    heard_at: dict[GatewayProcess, datetime] = {}
    for one in reports:
        heard_at[one.process] = max(one.at, heard_at.get(one.process, one.at))
    deaths = {}
    for name, instance, last, at, who, why in connection.execute(_DEATHS).fetchall():
        process = GatewayProcess(name, instance)
        if heard_at.get(process) == moment(last):
            deaths[process] = Death(who, why, moment(at))
    return [replace(one, death=deaths.get(one.process)) for one in reports] if deaths else reports


def variant(connection: Plain, variant_id: str) -> Variant:
    """A variant by its hash.

    Raises:
        StoreError: if it is not there.
    """
    row = connection.execute(_VARIANT, (variant_id,)).fetchone()
    if row is None:
        raise StoreError(
            f"no variant {variant_id!r} in the store, expected one that was applied. Type next: midshift apply"
        )
    return documents.decode_variant(variant_id, row[0])


def _route(row: Sequence[Any]) -> Route:
    fields = dict(zip(_ROUTE, row, strict=True))
    until = fields["lease_until"]
    read = {
        "lease_until": None if until is None else moment(until),
        "others": documents.decode_others(fields["others"]),
        "rings": documents.decode_names(fields["rings"]),
    }
    return Route(**fields | read)

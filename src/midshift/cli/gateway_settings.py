"""What `midshift serve gateway` is told, by its command line, its environment and what was applied.

Whatever is missing is named with what to type: a gateway that starts has all that it needs.
Elsewhere: what the settings mean (gateway.settings), addresses and keys of providers (upstreams), the process (serve).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midshift.cli.limits import SaidLimits, limits_of
from midshift.config import Definitions
from midshift.errors import ConfigError

if TYPE_CHECKING:
    from midshift.gateway.settings import Admin, ClientKey, GatewaySettings
    from midshift.store.gateway_side import GatewaySide
    from midshift.store.sql import SqlStore

LOG = logging.getLogger(__name__)

FORCE_FILE = "force-incumbent"


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """The command line of `midshift serve gateway`, as typed."""

    state: Path
    name: str
    host: str
    port: int
    admin_port: int | None = None
    shadow_budget_usd: float | None = None
    limits: SaidLimits = SaidLimits()


def gateway_settings(
    store: GatewaySide | SqlStore,
    definitions: Definitions,
    options: GatewayOptions,
    environment: Mapping[str, str],
    folder: Path = Path(),
) -> GatewaySettings:
    """What a gateway needs to know, of what was applied and of the environment; `folder` is where keys' files lie.

    Raises:
        ConfigError: naming what is missing, and what to type.
    """
    from midshift.cli.upstreams import upstreams
    from midshift.gateway.settings import GatewaySettings, Shadow, is_loopback

    if not definitions.workloads:
        raise ConfigError("the store has no workload, expected one that was applied. Type next: midshift apply")
    needed = {variant.provider for variant in definitions.variants.values()}
    wanted = {vendor for item in definitions for vendor in item.workload.data.vendors} | set(definitions.providers)
    candidates = {store.variant(item.candidate).provider for item in store.upgrades() if not item.stage.is_final}
    candidates |= {store.variant(other.variant).provider for route in store.routes() for other in route.others}
    found = upstreams(definitions, needed, wanted | candidates, environment, folder)
    for name in sorted(candidates - set(found)):
        LOG.warning("provider %r of a candidate has no address or no key here: the incumbent answers instead", name)
    return GatewaySettings(
        name=options.name,
        workloads=tuple(item.workload for item in definitions),
        upstreams=found,
        unit_key=_unit_key(environment),
        client_keys=_client_keys(environment, is_required=not is_loopback(options.host)),
        host=options.host,
        port=options.port,
        admin=_admin(options.admin_port, environment),
        state_dir=options.state / "gateways" / options.name,
        force_file=options.state / FORCE_FILE,
        shadow=Shadow(budget_usd_per_day=options.shadow_budget_usd),
        limits=limits_of(options.limits),
    )


def _unit_key(environment: Mapping[str, str]) -> bytes:
    from midshift.gateway.settings import SHORTEST_KEY

    key = environment.get("MIDSHIFT_UNIT_KEY", "")
    if not key:
        raise ConfigError(
            "found no MIDSHIFT_UNIT_KEY, expected the key that all gateways of this environment share: stored units "
            f"are HMACs under it. Type next: {_export('MIDSHIFT_UNIT_KEY')}   (and keep it: another key is other units)"
        )
    if len(key.encode()) < SHORTEST_KEY:
        raise ConfigError(
            f"MIDSHIFT_UNIT_KEY has {len(key.encode())} bytes, expected at least {SHORTEST_KEY} that nobody can guess. "
            f"Type next: {_export('MIDSHIFT_UNIT_KEY')}   (and keep it: another key is other units)"
        )
    return key.encode()


def _client_keys(environment: Mapping[str, str], is_required: bool) -> tuple[ClientKey, ...]:
    from midshift.gateway.settings import ClientKey

    found = [key.strip() for key in environment.get("MIDSHIFT_CLIENT_KEYS", "").split(",")]
    keys = tuple(ClientKey(f"client-{index}", key, True) for index, key in enumerate(filter(None, found), start=1))
    if is_required and not keys:
        raise ConfigError(
            "the gateway would listen beyond loopback, found no MIDSHIFT_CLIENT_KEYS, expected the keys that apps "
            f"show, with commas between. Type next: {_export('MIDSHIFT_CLIENT_KEYS')}"
        )
    return keys


def _admin(port: int | None, environment: Mapping[str, str]) -> Admin | None:
    from midshift.gateway.settings import Admin

    key = environment.get("MIDSHIFT_ADMIN_KEY", "")
    if port is None:
        return None
    if not key:
        raise ConfigError(
            f"--admin-port {port}: found no MIDSHIFT_ADMIN_KEY, expected the key of that port. "
            f"Type next: {_export('MIDSHIFT_ADMIN_KEY')}"
        )
    return Admin(key, port=port)


def _export(variable: str) -> str:
    return f"export {variable}=$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')"

"""What `midshift check` says of providers: where each answers, and where its key comes from; never the key.

Elsewhere: what is wrong or odd about them (config), calling them (upstreams).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from midshift import config
from midshift.cli.keys import Resolved, credentials
from midshift.cli.upstreams import variable
from midshift.providers.definition import Provider
from midshift.reports.text import visible


def described(definitions: config.Definitions, environment: Mapping[str, str], folder: Path) -> list[dict[str, Any]]:
    """Every provider that is defined or that a variant names, in plain JSON; `key_is_set` is as seen from here."""
    used = {variant.provider for variant in definitions.variants.values()}
    known = {name: definitions.provider(name) for name in sorted({*definitions.providers, *used})}
    providers = [provider for provider in known.values() if provider is not None]
    found = credentials(providers, environment, folder)
    return [
        {**_described(provider, found[provider.name]), "stand_in": _stand_in(provider.name, environment)}
        for provider in providers
    ]


def lines(described: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The same for people."""
    for item in described:
        where = item["host"] or "no address (a server of this machine, while developing)"
        region = f", region {item['region']}" if item["region"] else ""
        instead = f"; HERE {item['stand_in']} puts a server of this machine in its place" if item["stand_in"] else ""
        yield visible(f"{item['name']}: {where}{region}; {', '.join(item['wires'])}; {_key(item)}{instead}", 400)


def _stand_in(name: str, environment: Mapping[str, str]) -> str | None:
    """The variable of this shell that exchanges the provider's address: what comes from there is no vendor's word."""
    said = f"{variable(name)}_URL"
    return said if environment.get(said, "").strip() else None


def _described(provider: Provider, keys: Resolved) -> dict[str, Any]:
    return {
        "name": provider.name,
        "vendor": provider.vendor,
        "host": provider.host,
        "address": provider.address,
        "wires": [wire.value for wire in provider.paths],
        "region": provider.region,
        "auth": provider.shows_key_by.value,
        "key": None if provider.key_ref is None else str(provider.key_ref),
        "key_is_set": None if provider.key_ref is None else keys.key is not None,
        "shadow_key": None if provider.shadow_key is None else str(provider.shadow_key),
        "shadow_key_is_set": None if provider.shadow_key is None else keys.shadow_key is not None,
    }


def _key(item: Mapping[str, Any]) -> str:
    if item["key"] is None:
        return "asked without a key"
    parts = [f"key from {item['key']} ({_is_set(item['key_is_set'])})"]
    if item["shadow_key"] is not None:
        parts.append(f"shadow key from {item['shadow_key']} ({_is_set(item['shadow_key_is_set'])})")
    return ", ".join(parts)


def _is_set(is_set: bool) -> str:
    return "set here" if is_set else "not set here"

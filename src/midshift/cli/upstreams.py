"""From the providers that were applied to the addresses and keys that a process calls.

Addresses come from applied files. While developing, MIDSHIFT_PROVIDER_NAME_URL puts an address of this very machine in
the place of a provider's; the provider's own key does not go there, MIDSHIFT_PROVIDER_NAME_KEY does.
Elsewhere: what a provider is (providers.definition), its keys (keys), its connections (providers.http).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from midshift import config
from midshift.cli.keys import Resolved, credentials, require_key
from midshift.errors import ConfigError
from midshift.providers.definition import Provider, is_loopback
from midshift.providers.http.settings import Upstream


def upstreams(
    definitions: config.Definitions,
    needed: Iterable[str],
    wanted: Iterable[str],
    environment: Mapping[str, str],
    folder: Path = Path(),
) -> dict[str, Upstream]:
    """The upstreams of providers by name: all that are `needed`, and those of `wanted` that have address and key.

    Raises:
        ConfigError: for a needed one that lacks something, naming it, and what to type; for an override of the
            environment that leads off this machine.
    """
    must = set(needed)
    found = {}
    for name in sorted(must | set(wanted)):
        provider = definitions.provider(name)
        if provider is None and name in must:
            raise ConfigError(
                f"provider {name!r} is neither a known vendor nor defined in what was applied, expected one of them. "
                f"Type next: providers: {{{name}: {{vendor: openai_compatible, base_url: https://HOST/v1}}}} in "
                "midshift.yaml, and: midshift apply"
            )
        if provider is not None and (name in must or _is_ready(provider, environment, folder)):
            found[name] = upstream(provider, environment, folder)
    return found


def upstream(provider: Provider, environment: Mapping[str, str], folder: Path = Path()) -> Upstream:
    """Where a provider answers, and with which key.

    Raises:
        ConfigError: if it has no address, or no key where it asks for one.
    """
    own = override(provider.name, environment)
    if own is not None:
        return _upstream(provider, own, Resolved(None, environment.get(f"{variable(provider.name)}_KEY") or None))
    if provider.address is None:
        raise ConfigError(_no_address(provider))
    keys = credentials([provider], environment, folder)[provider.name]
    require_key(provider.name, keys)
    return _upstream(provider, provider.address, keys)


def override(name: str, environment: Mapping[str, str]) -> str | None:
    """The address of this machine that the environment puts in the place of a provider's; None if it does not.

    Raises:
        ConfigError: for an address elsewhere, or a key without an address.
    """
    prefix = variable(name)
    address = environment.get(f"{prefix}_URL", "").strip()
    if not address:
        if environment.get(f"{prefix}_KEY"):
            raise ConfigError(
                f"found {prefix}_KEY without {prefix}_URL, which it goes with, expected the key by reference. Type "
                f"next: providers: {{{name}: {{key: env:NAME}}}} in midshift.yaml, and: midshift apply"
            )
        return None
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"{prefix}_URL: found no http(s) address in it, expected one of this machine. "
            f"Type next: export {prefix}_URL=http://127.0.0.1:PORT/v1"
        )
    if not is_loopback(parts.hostname):
        raise ConfigError(
            f"{prefix}_URL: found the host {parts.hostname!r}, expected one of this machine: addresses come from "
            f"applied files, and the environment puts only a local server in their place. Type next: "
            f"providers: {{{name}: {{base_url: https://HOST/v1}}}} in midshift.yaml, and: midshift apply"
        )
    return address


def variable(name: str) -> str:
    """How the environment's variables about a provider begin."""
    return f"MIDSHIFT_PROVIDER_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"


def _is_ready(provider: Provider, environment: Mapping[str, str], folder: Path) -> bool:
    if override(provider.name, environment) is not None:
        return True
    return provider.address is not None and credentials([provider], environment, folder)[provider.name].is_usable


def _upstream(provider: Provider, address: str, keys: Resolved) -> Upstream:
    return Upstream(
        address,
        keys.key,
        keys.shadow_key,
        ca_file=None if provider.ca_file is None else Path(provider.ca_file),
        timeouts=provider.timeouts,
        max_connections=provider.max_connections,
        asks_usage=provider.asks_usage,
        wires={wire.value: prefix for wire, prefix in provider.paths.items()},
        cuts_version=frozenset(wire.value for wire in provider.cuts_version),
        auth=provider.shows_key_by,
        headers={wire.value: _lines(provider.headers_on(wire)) for wire in provider.paths},
    )


def _lines(headers: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("ascii"), value.encode("ascii")) for name, value in headers.items())


def _no_address(provider: Provider) -> str:
    prefix = variable(provider.name)
    return (
        f"provider {provider.name!r} has no address, found no {prefix}_URL in the environment, expected one, or its "
        f"base_url in what was applied. Type next: export {prefix}_URL=http://127.0.0.1:PORT/v1   (a server of this "
        f"machine), or providers: {{{provider.name}: {{base_url: https://HOST/v1}}}} in midshift.yaml"
    )

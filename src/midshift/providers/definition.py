"""One provider as a product's files define it: a vendor's preset, and what is said beside it.

A `Provider` keeps what was said and works out the rest from the preset of its vendor, so that it can be written back
as it was. Secrets are in it as references only; nothing is resolved or asked here.
Elsewhere: known vendors (presets), what does not go together (faults), secrets (the command line), sockets (http).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import urlsplit

from midshift.providers import presets
from midshift.providers.auth import Auth
from midshift.providers.http.settings import Timeouts
from midshift.providers.presets import Preset
from midshift.providers.secrets import SecretKind, SecretRef
from midshift.wire.protocol import WireName

MAX_CONNECTIONS = 1000


@dataclass(frozen=True, slots=True)
class Provider:
    """What is said of a provider; None or empty is what was left to the vendor's preset.

    `region` is where the provider handles data, as the contract has it; some vendors need it for their address.
    `ca_file` lies on the machine that calls. `stream_usage` is whether streams are asked for their usage.

    Raises:
        ValueError: for a vendor that has no preset.
    """

    name: str
    vendor: str
    base_url: str | None = None
    wires: tuple[WireName, ...] = ()
    auth: Auth | None = None
    key: SecretRef | None = None
    shadow_key: SecretRef | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeouts: Timeouts = Timeouts()
    max_connections: int = MAX_CONNECTIONS
    region: str | None = None
    resource: str | None = None
    project: str | None = None
    ca_file: str | None = None
    stream_usage: bool | None = None

    def __post_init__(self) -> None:
        if presets.bundled().find(self.vendor) is None:
            raise ValueError(f"provider {self.name!r}: no preset of a vendor {self.vendor!r}")
        object.__setattr__(self, "headers", MappingProxyType(dict(self.headers)))

    @property
    def preset(self) -> Preset:
        """What is known of its vendor."""
        found = presets.bundled().find(self.vendor)
        if found is None:
            raise AssertionError("a provider has a vendor with a preset")
        return found

    @property
    def address(self) -> str | None:
        """Where it answers, without a slash at the end; None if nobody said, or said enough."""
        if self.base_url is not None:
            return self.base_url.rstrip("/")
        try:
            return self.preset.address(self._said)
        except KeyError:
            return None

    @property
    def host(self) -> str | None:
        """The host of its address."""
        return None if self.address is None else urlsplit(self.address).hostname

    @property
    def paths(self) -> Mapping[WireName, str]:
        """Each wire that it speaks, with what comes between its address and the wire's own path; the first is its own.

        Raises:
            KeyError: if the vendor needs more than was said.
        """
        known = self.preset.wires
        spoken = self.wires or tuple(name for name, path in known.items() if not path.is_optional)
        return {name: known[name].prefix.format_map(self._said) for name in spoken}

    @property
    def cuts_version(self) -> frozenset[WireName]:
        """The wires whose own paths go without their version, for it stands in what comes before."""
        return frozenset(name for name, path in self.preset.wires.items() if path.cuts_version)

    def headers_on(self, wire: WireName) -> Mapping[str, str]:
        """What it wants to be told in every request on a wire, beside the key; names in lower case."""
        own = {name.lower(): value for name, value in self.headers.items()}
        return {**self.preset.wires[wire].headers, **own}

    @property
    def shows_key_by(self) -> Auth:
        """The header that its key goes into."""
        return self.auth or self.preset.auth

    @property
    def key_ref(self) -> SecretRef | None:
        """Where its key is kept; None if it is asked without one.

        The vendor's own variable is meant for the vendor's own hosts: a proxy that somebody names is not handed the
        key of the account, unless `key` says so.
        """
        if self.shows_key_by is Auth.NONE:
            return None
        if self.key is not None or self.preset.key_env is None or not self.is_at_vendor:
            return self.key
        return SecretRef(SecretKind.ENV, self.preset.key_env)

    @property
    def is_at_vendor(self) -> bool:
        """Whether its address is one of the vendor's own, over TLS."""
        try:
            own = self.preset.address(self._said)
        except KeyError:
            own = None
        if own is None or self.base_url is None:
            return own is not None
        said, vendors = urlsplit(self.base_url), urlsplit(own).hostname or ""
        host = said.hostname or ""
        return said.scheme == "https" and (host == vendors or host.endswith(f".{vendors}"))

    @property
    def asks_usage(self) -> bool:
        """Whether streams are asked for their usage."""
        return self.preset.asks_usage if self.stream_usage is None else self.stream_usage

    @property
    def known_as(self) -> frozenset[str]:
        """The names under which a workload's `data.vendors` lets it in: its own, and its vendor's.

        The kinds of host that are the user's own are no vendors: `openai_compatible` could be anybody.
        """
        return frozenset((self.name,)) if self.preset.is_own_host else frozenset((self.name, self.vendor))

    @property
    def _said(self) -> Mapping[str, str]:
        said = {"region": self.region, "resource": self.resource, "project": self.project}
        return {name: value for name, value in said.items() if value is not None}


def of_preset(name: str) -> Provider | None:
    """The provider that a vendor's bare name stands for; None where there is no such vendor, or it needs more."""
    vendor = presets.bundled().vendor(name)
    if vendor is None:
        return None
    provider = Provider(name, vendor)
    return None if provider.preset.needs else provider


def is_loopback(host: str | None) -> bool:
    """Whether only this machine can reach a host; a name other than localhost might be any."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def is_private(address: str) -> bool:
    """Whether nobody on the way can read along: over TLS, or without leaving this machine."""
    parts = urlsplit(address)
    return parts.scheme == "https" or is_loopback(parts.hostname)


def admits_region(allowed: tuple[str, ...], region: str | None) -> bool:
    """Whether a region is one of those, or within one: `eu` lets in `eu-west-1`. An unknown one never is."""
    if region is None:
        return False
    return any(re.fullmatch(rf"{re.escape(one)}(-.*)?", region, re.IGNORECASE) for one in allowed)

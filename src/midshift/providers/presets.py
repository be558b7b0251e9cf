"""Known vendors as data: where each answers, on which wires, and how it wants to be shown a key.

One JSON file (`data/presets.json`), read once. Every entry names the page that it is from, and what of it nobody has
tried. A vendor whose host is the user's own has no `base_url`; braces in an address or a prefix stand for what a
definition says (`resource`, `project`, `region`).
Elsewhere: what a product's files say of its providers (definition), prices and capabilities (catalogue).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

import msgspec

from midshift.errors import InputError
from midshift.providers.auth import Auth
from midshift.wire.protocol import WireName

FORMAT = "midshift.presets/1"


class WirePath(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a vendor speaks a wire.

    A request goes to base_url + prefix + the wire's own path (`/chat/completions`, `/responses`, `/v1/messages`,
    `/v1beta/models/MODEL:generateContent`). `cuts_version` if the version stands in what comes before, so that the
    path goes without its own. `headers` are sent where the app sends none of that name. A wire that `is_optional` is
    not spoken by every host of that kind: a definition names it.
    """

    prefix: str = ""
    cuts_version: bool = False
    headers: dict[str, str] = {}
    is_optional: bool = False


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a vendor.

    `needs` are the fields that a definition has to say. `asks_usage` is false for a server that refuses
    `stream_options`; `max_tokens_field` is what limits the answer on the vendor's first wire.
    """

    title: str
    source: str
    wires: dict[WireName, WirePath]
    base_url: str | None = None
    base_url_of: dict[str, str] = {}
    needs: tuple[str, ...] = ()
    auth: Auth = Auth.BEARER
    key_env: str | None = None
    asks_usage: bool = True
    max_tokens_field: str = "max_tokens"
    aliases: tuple[str, ...] = ()
    note: str = ""
    not_verified: tuple[str, ...] = ()

    @property
    def is_own_host(self) -> bool:
        """Whether the host is the user's: such a vendor's name says nothing about who sees the data."""
        return self.base_url is None

    def address(self, said: Mapping[str, str]) -> str | None:
        """The vendor's address with what a definition says filled in; None for a host of the user's own.

        Raises:
            KeyError: if something that it needs is not said.
        """
        pattern = self.base_url_of.get(said.get("region", ""), self.base_url)
        return None if pattern is None else pattern.format_map(said)


@dataclass(frozen=True, slots=True)
class Presets:
    """Every known vendor by name; `checked_on` is the day on which the facts were looked up."""

    checked_on: str
    by_name: Mapping[str, Preset]
    _aliases: Mapping[str, str]

    def vendor(self, name: str) -> str | None:
        """The vendor that a name or an alias stands for; None for an unknown one."""
        return name if name in self.by_name else self._aliases.get(name)

    def find(self, name: str) -> Preset | None:
        """The preset of a vendor, by name or alias; None for an unknown one."""
        vendor = self.vendor(name)
        return None if vendor is None else self.by_name[vendor]

    @property
    def names(self) -> tuple[str, ...]:
        """The vendors by name, in order."""
        return tuple(sorted(self.by_name))


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    format: str
    checked_on: str
    presets: dict[str, Preset]


@cache
def bundled() -> Presets:
    """The vendors that this version of midshift knows."""
    return read((resources.files("midshift.providers") / "data" / "presets.json").read_bytes())


def read(content: bytes) -> Presets:
    """Read a file of presets.

    Raises:
        InputError: if it is not one.
    """
    try:
        found = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"these are no presets of vendors: {error}") from None
    if found.format != FORMAT:
        raise InputError(f"these presets have the format {found.format!r}, expected {FORMAT!r}")
    aliases = {alias: name for name, preset in found.presets.items() for alias in preset.aliases}
    return Presets(found.checked_on, MappingProxyType(found.presets), MappingProxyType(aliases))

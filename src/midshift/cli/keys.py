"""From references to keys, in the process that needs them: what every command that asks a provider goes through.

A reference that leads nowhere is no error here: the caller knows whether it needs the key. A key shows nowhere, not in
a `repr`, not in a message.
Elsewhere: where references stand (config), what a key is sent with (providers).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from midshift.errors import ConfigError
from midshift.providers.definition import Provider
from midshift.providers.secrets import SecretKind, SecretRef

_LONGEST_KEY = 16 * 1024
_CARRIED = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A provider's keys. `source` is the reference, None where none is asked for; `trouble` says why there is no key.

    Without a `shadow_key` of its own, mirrored requests use `key`.
    """

    source: SecretRef | None = None
    key: str | None = field(default=None, repr=False)
    shadow_key: str | None = field(default=None, repr=False)
    trouble: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether requests can be made: with a key, or without where none is asked for."""
        return not self.trouble


def credentials(
    providers: Iterable[Provider], environment: Mapping[str, str], folder: Path = Path()
) -> dict[str, Resolved]:
    """The keys of providers by name; files are looked for in `folder`, where their references are relative."""
    return {provider.name: _resolved(provider, environment, folder) for provider in providers}


def require_key(provider: str, found: Resolved) -> None:
    """Refuse to go on without a key that is asked for.

    Raises:
        ConfigError: naming the reference, and what to type.
    """
    if found.is_usable:
        return
    do = "key: env:NAME" if found.source is None else _to_type(found.source)
    raise ConfigError(f"provider {provider!r} has no key: {found.trouble}, expected one. Type next: {do}")


def _resolved(provider: Provider, environment: Mapping[str, str], folder: Path) -> Resolved:
    source = provider.key_ref
    if source is None:
        return Resolved()
    key, trouble = _looked_up(source, environment, folder)
    if trouble or provider.shadow_key is None:
        return Resolved(source, key, None, trouble)
    shadow_key, trouble = _looked_up(provider.shadow_key, environment, folder)
    return Resolved(provider.shadow_key if trouble else source, key, shadow_key, trouble)


def _looked_up(source: SecretRef, environment: Mapping[str, str], folder: Path) -> tuple[str | None, str]:
    """The key, or why there is none."""
    if source.kind is SecretKind.ENV:
        key = environment.get(source.name, "").strip()
        missing = f"found no {source.name} in the environment"
    else:
        try:
            with (folder / source.name).open("rb") as file:
                key = file.read(_LONGEST_KEY + 1).decode("utf-8").strip()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else "no UTF-8 text"
            return None, f"{source} cannot be read ({why})"
        missing = f"found nothing in {source}"
    if not key:
        return None, missing
    if len(key) > _LONGEST_KEY or _CARRIED.fullmatch(key) is None:
        return None, f"what {source} holds (not shown) is more than one word of ASCII, which no header can carry"
    return key, ""


def _to_type(source: SecretRef) -> str:
    return f"export {source.name}=KEY" if source.kind is SecretKind.ENV else f"write the key into {source.name}"

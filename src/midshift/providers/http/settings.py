"""Where a provider answers and what a call to it may take.

Secrets are here as values, resolved, and never show: not in a `repr`, not in an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from midshift.errors import ConfigError
from midshift.providers.auth import Auth

Lines: TypeAlias = Sequence[tuple[bytes, bytes]]

_VERSION = re.compile(r"^/v1(?:beta|alpha)?(?=/)")

_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, token
_HEADER_VALUE = re.compile(rb"[!-~\x80-\xff]([\t -~\x80-\xff]*[!-~\x80-\xff])?")  # RFC 9110, field-value


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Four limits, because four things go wrong: no connection, no first byte, a stream that stalls, no end.

    An answer that is not streamed has its first byte when it is whole: it has `total_s` for that.

    Raises:
        ConfigError: for a limit that is not a finite number above 0.
    """

    connect_s: float = 5.0
    first_byte_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = 600.0

    def __post_init__(self) -> None:
        for name in ("connect_s", "first_byte_s", "idle_s", "total_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ConfigError(f"timeout {name} must be a finite number above 0, got {value!r}")


@dataclass(frozen=True, slots=True)
class Upstream:
    """One provider: where it answers, and with which key.

    `base_url` ends where the vendor's paths begin, as in the clients: `https://api.openai.com/v1`. Mirrored requests
    use `shadow_api_key` where there is one, so that they spend a quota of their own. `asks_usage` adds
    `stream_options.include_usage` to streams; switch it off for a server that refuses unknown fields. `wires` are
    those that it speaks, the preferred one first, each with what its paths need in front of them; the paths of
    `cuts_version` go without their own `/v1` or `/v1beta`. `auth` is how a key is shown; `headers` are, by wire, what
    the provider wants to be told beside it, names in lower case. Requests beyond `max_connections` wait in
    line, at most `max_waiting` of them.

    Raises:
        ConfigError: for an address that is not http(s) with a host, a header that no request can carry, or a limit
            below 1 (`max_waiting`: below 0).
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    shadow_api_key: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeouts: Timeouts = Timeouts()
    max_connections: int = 1000
    max_waiting: int = 1000
    keep_alive_s: float = 20.0
    asks_usage: bool = True
    wires: Mapping[str, str] = field(default_factory=lambda: {"openai_chat": ""})
    cuts_version: frozenset[str] = frozenset()
    auth: Auth = Auth.BEARER
    headers: Mapping[str, tuple[tuple[bytes, bytes], ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ConfigError(
                f"an upstream's base_url is http(s)://HOST[:PORT][/PATH], got scheme {parts.scheme!r}, host "
                f"{parts.hostname!r}{' and a query or fragment' if parts.query or parts.fragment else ''}"
            )
        if parts.username is not None or parts.password is not None:
            raise ConfigError(f"the base_url of {parts.hostname!r} holds a user or password; pass the key as api_key")
        for key in (self.api_key, self.shadow_api_key):
            if key is not None and (not key.isascii() or not key.isprintable() or " " in key):
                raise ConfigError(f"the key for {parts.hostname!r} has a character that no HTTP header can carry")
        for name, value in (line for lines in self.headers.values() for line in lines):
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise ConfigError(f"the header {name!r} for {parts.hostname!r} has a character that none can carry")
        if not _is_port(self.base_url):
            raise ConfigError(f"the port of {parts.hostname!r} is none, expected a number from 1 to 65535")
        if self.max_connections < 1:
            raise ConfigError(f"max_connections must be at least 1, got {self.max_connections}")
        if self.max_waiting < 0:
            raise ConfigError(f"max_waiting must be at least 0, got {self.max_waiting}")

    def target(self, wire: str, path: str) -> str:
        """Where below `base_url` a wire's own path is found."""
        own = _VERSION.sub("", path, count=1) if wire in self.cuts_version else path
        return self.wires[wire] + own

    def completed(self, wire: str, lines: Lines) -> Lines:
        """A request's header lines with those that the provider wants on a wire, where there is none of that name."""
        own = self.headers.get(wire)
        if not own:
            return lines
        said = {name.lower() for name, _ in lines}
        return [*lines, *(line for line in own if line[0] not in said)]

    def lines_with(self, api_key: str | None) -> tuple[tuple[bytes, bytes], ...]:
        """The header lines of every request that is paid for with `api_key`."""
        return tuple((name.encode(), value.encode()) for name, value in self.auth.headers(api_key))


def _is_port(url: str) -> bool:
    """Whether an address has a port that can be, or none of its own."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False

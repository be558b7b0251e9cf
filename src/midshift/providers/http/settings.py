"""Where a provider answers and what a call to it may take.

Secrets are here as values, resolved, and never show: not in a `repr`, not in an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from midshift.errors import ConfigError


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
    those that it speaks, the preferred one first, each with what its paths need in front of them.

    Raises:
        ConfigError: for an address that is not http(s) with a host, or a limit below 1.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    shadow_api_key: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeouts: Timeouts = Timeouts()
    max_connections: int = 1000
    keep_alive_s: float = 20.0
    asks_usage: bool = True
    wires: Mapping[str, str] = field(default_factory=lambda: {"openai_chat": ""})

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
        if self.max_connections < 1:
            raise ConfigError(f"max_connections must be at least 1, got {self.max_connections}")

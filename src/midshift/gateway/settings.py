"""What a gateway is told at its start. It reads no configuration and no database: the composition root does.

Secrets are here as values, resolved, and never show: not in a `repr`, not in an error.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from midshift.domain.gateways import GatewayProcess
from midshift.domain.usage import Usage
from midshift.domain.variant import Variant
from midshift.domain.workload import Workload
from midshift.errors import ConfigError
from midshift.providers.http.settings import Upstream

SHORTEST_KEY = 16
FEWEST_DIFFERENT_CHARACTERS = 6
MB = 1 << 20

Pricing: TypeAlias = Callable[[Variant, Usage], float | None]
"""What a call cost in USD; None where the price or the usage is unknown."""


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A key that an app shows. `may_label` lets its requests name their own unit and slices.

    Raises:
        ConfigError: for a key that is easily guessed.
    """

    name: str
    secret: str = field(repr=False)
    may_label: bool = False

    def __post_init__(self) -> None:
        require_strong(f"client key {self.name!r}", self.secret)


@dataclass(frozen=True, slots=True)
class Shadow:
    """The limits of mirroring, of one gateway: what is beyond them is shed or skipped, and counted.

    `max_held_bytes` bounds the requests that are under way together. `budget_usd_per_day` is None for no limit; a call
    of unknown price counts as much as the dearest known one, and at least as `unpriced_usd`.

    Raises:
        ConfigError: for a limit that is not above 0.
    """

    max_concurrent: int = 64
    timeout_s: float = 120.0
    max_request_bytes: int = 8 * MB
    max_answer_bytes: int = 8 * MB
    max_held_bytes: int = 256 * MB
    max_per_minute: int | None = None
    budget_usd_per_day: float | None = None
    unpriced_usd: float = 0.01

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None and not value > 0:
                raise ConfigError(f"shadow {one.name} must be above 0, got {value!r}")


@dataclass(frozen=True, slots=True)
class Breaker:
    """When a gateway stops asking the candidate by itself: `share` of the last `window` tries failed.

    It tries again after `pause_s`, with one request.
    """

    window: int = 20
    share: float = 0.5
    pause_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Queues:
    """How much of the record may wait for a slow disk or store; what does not fit is counted as lost.

    Sums are handed over each `sums_every_s`, records then too, and as soon as many wait.
    """

    max_exposures: int = 20_000
    max_pairs: int = 1_000
    max_pair_bytes: int = 64 * MB
    sums_every_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be under way at once, and how slow an app may be: what is beyond is refused or closed, and counted.

    A request is under way from its first byte to its answer's last; `max_held_bytes` bounds the bodies of all of them.
    A head has `head_s` to come, a body `body_s` and a second more for each `slowest_body` bytes. An app that takes
    nothing of its answer for `stall_s` is let go.

    Raises:
        ConfigError: for a limit that is not above 0.
    """

    max_in_flight: int = 4000
    max_in_flight_per_workload: int = 3000
    max_held_bytes: int = 1024 * MB
    max_connections: int = 16_384
    max_head_bytes: int = 64 * 1024
    head_s: float = 20.0
    body_s: float = 30.0
    slowest_body: int = 16 * 1024
    stall_s: float = 120.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not value > 0:
                raise ConfigError(f"limit {one.name} must be above 0, got {value!r}")

    @property
    def look_every_s(self) -> float:
        """How often connections are looked at, so that none is closed much later than it should be."""
        return min(5.0, self.head_s / 4, self.body_s / 4, self.stall_s / 4)


@dataclass(frozen=True, slots=True)
class FeedbackLimits:
    """How much feedback one client key may give, and how late; `max_waiting` may wait for a store that is away.

    Raises:
        ConfigError: for a limit that is not above 0.
    """

    per_minute: float = 600.0
    burst: float = 100.0
    keep: timedelta = timedelta(days=45)
    max_waiting: int = 10_000

    def __post_init__(self) -> None:
        if not (self.per_minute > 0 and self.burst >= 1 and self.keep > timedelta() and self.max_waiting > 0):
            raise ConfigError(f"limits of feedback must be above 0, got {self!r}")


@dataclass(frozen=True, slots=True)
class Admin:
    """The port that works with the store dead. Loopback, unless told otherwise.

    Raises:
        ConfigError: for a key that is easily guessed.
    """

    key: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8701

    def __post_init__(self) -> None:
        require_strong("the admin key", self.key)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Everything that one gateway process needs to know.

    `name` is unique to one process at a time, and `instance` to one process for good, by chance: the store knows
    reports and sums by both, so that two processes of one name are seen and take nothing from each other. Under
    `unit_key`, which all gateways of a deployment share, units become HMACs. In `state_dir` it keeps the
    last-known-good routes and local flips; None keeps neither over a restart. The mere existence of `force_file` sends
    everything to the incumbent.
    `candidate_patience_s` is how long a candidate may take for a whole answer before the incumbent is asked, and
    `candidate_hold_s` how long a stream of it is held that has begun without content. Of so many
    tokens (`max_origins`: response ids, signatures) it knows which variant made them, in about 200 bytes each.

    Raises:
        ConfigError: naming the setting, for an address beyond loopback without client keys, a repeated claim or
            workload, a workload whose incumbent's provider is not among `upstreams`, or a short unit key.
    """

    name: str
    workloads: tuple[Workload, ...]
    upstreams: Mapping[str, Upstream]
    unit_key: bytes = field(repr=False)
    client_keys: tuple[ClientKey, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8700
    admin: Admin | None = None
    state_dir: Path | None = None
    force_file: Path | None = None
    shadow: Shadow = Shadow()
    breaker: Breaker = Breaker()
    queues: Queues = Queues()
    limits: Limits = Limits()
    feedback: FeedbackLimits = FeedbackLimits()
    max_body_bytes: int = 128 * MB
    max_answer_bytes: int = 128 * MB
    candidate_patience_s: float = 120.0
    candidate_hold_s: float = 3.0
    poll_s: float = 0.1
    drain_s: float = 30.0
    max_origins: int = 100_000
    instance: str = ""

    def __post_init__(self) -> None:
        if not self.client_keys and not is_loopback(self.host):
            raise ConfigError(
                f"the gateway would listen on {self.host!r}, beyond loopback, without client keys: anybody could "
                "spend your provider keys. Pass client_keys, or listen on 127.0.0.1"
            )
        if len(self.unit_key) < SHORTEST_KEY:
            raise ConfigError(f"unit_key needs at least {SHORTEST_KEY} bytes, got {len(self.unit_key)}")
        if not 0.0 < self.poll_s <= 0.1:
            raise ConfigError(f"poll_s lies in 0..0.1, so that a flip takes less than a second; got {self.poll_s!r}")
        _require_unique("client key", [key.secret for key in self.client_keys], shown=False)
        _require_unique("workload", [workload.name for workload in self.workloads])
        _require_unique("claim", [claim for workload in self.workloads for claim in workload.claims])
        for workload in self.workloads:
            if workload.incumbent.provider not in self.upstreams:
                known = ", ".join(map(repr, sorted(self.upstreams))) or "none"
                raise ConfigError(
                    f"workload {workload.name!r} is served by provider {workload.incumbent.provider!r}, which is not "
                    f"among the upstreams: {known}"
                )

    @property
    def process(self) -> GatewayProcess:
        """Who the store takes it for."""
        return GatewayProcess(self.name, self.instance)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; a name other than localhost might be any."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_strong(what: str, key: str) -> None:
    """Refuse a key that is short or monotonous, without repeating it.

    Raises:
        ConfigError: if it is.
    """
    if len(key) < SHORTEST_KEY or len(set(key)) < FEWEST_DIFFERENT_CHARACTERS:
        raise ConfigError(
            f"{what} is too easily guessed: expected at least {SHORTEST_KEY} characters, {FEWEST_DIFFERENT_CHARACTERS} "
            "of them different. Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )


def _require_unique(what: str, names: list[str], shown: bool = True) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"{what} given twice" + (f": {', '.join(map(repr, repeated))}" if shown else ""))

"""The connections of one gateway: two pools for each provider, so that an unseen answer never takes a user's place.

Contract. `served` are for what users wait for, `unseen` for the mirror: with a key of its own where there is one, and
no more connections than it may have calls. All of them load the same authorities once.
Elsewhere: one pool (providers.http.pool), which request goes where (relay, mirror).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from midshift.gateway.settings import GatewaySettings
from midshift.providers.http.pool import Pool, PoolCounts
from midshift.providers.http.tls import Contexts


@dataclass(frozen=True, slots=True)
class PoolState:
    """What one pool says of itself. `traffic` is `served` or `unseen`."""

    provider: str
    traffic: str
    counts: PoolCounts


class Pools:
    """The pools of all upstreams, by provider.

    Raises:
        ConfigError: as `Pool`.
    """

    def __init__(self, settings: GatewaySettings, environment: Mapping[str, str]) -> None:
        contexts, most = Contexts(environment), settings.shadow.max_concurrent
        self.served = {
            name: Pool(upstream, upstream.api_key, environment, contexts)
            for name, upstream in settings.upstreams.items()
        }
        self.unseen = {
            name: Pool(
                replace(upstream, max_connections=most),
                upstream.shadow_api_key or upstream.api_key,
                environment,
                contexts,
            )
            for name, upstream in settings.upstreams.items()
        }

    def close(self) -> None:
        """Close every connection, also those in use."""
        for pool in (*self.served.values(), *self.unseen.values()):
            pool.close()

    def states(self) -> list[PoolState]:
        """What each has done and holds, by provider."""
        both = (("served", self.served), ("unseen", self.unseen))
        return [
            PoolState(name, traffic, pools[name].counts()) for name in sorted(self.served) for traffic, pools in both
        ]

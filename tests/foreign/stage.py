"""A gateway between one vendor's client and scripted providers of every wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from midshift.domain.exposure import Exposure
from midshift.domain.routing import Route
from midshift.domain.suite import Slice
from midshift.domain.variant import Json, Variant
from midshift.domain.workload import Workload
from midshift.gateway.app import Gateway
from midshift.gateway.server import serving
from midshift.gateway.settings import ClientKey, GatewaySettings
from midshift.providers.auth import Auth
from midshift.providers.http.settings import Upstream
from midshift.testing.clock import ManualClock
from midshift.wire.protocol import WireName
from tests.foreign.upstreams import Vendor
from tests.gateway.fakes import UNIT_KEY, FakeSink, FakeSource

CLAIM = "old-model"
"""The model that every app asks for."""

OLD = {wire: Variant(f"old-{wire}", f"old-{wire}-model") for wire in WireName}
NEW = {wire: Variant(f"new-{wire}", f"new-{wire}-model") for wire in WireName}


@dataclass
class Stage:
    """A running gateway, with the providers that it asks."""

    gateway: Gateway
    port: int
    old: Vendor
    new: Vendor
    source: FakeSource
    sink: FakeSink
    row: Route

    @property
    def address(self) -> str:
        """Where the gateway is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def exposures(self) -> list[Exposure]:
        """What was recorded."""
        self.gateway.recorder.hand_over()
        return self.sink.exposures

    def put(self, row: Route) -> None:
        """Change the row, and let the gateway see it."""
        self.row = row
        self.source.put(row)
        self.gateway.routes.look()


@asynccontextmanager
async def a_stage(
    old: WireName,
    new: WireName | None = None,
    share: float = 0.0,
    fails: int | None = None,
    key: str | None = None,
    behind: Upstream | None = None,
    parameters: Mapping[str, Json] | None = None,
) -> AsyncIterator[Stage]:
    """The incumbent on the wire `old`; the candidate, which may fail, on the wire `new`, at a share of the traffic.

    `behind` takes the place of the scripted provider of the incumbent, whose variant may pin `parameters`.
    """
    incumbent, candidate = replace(OLD[old], parameters=parameters or {}), NEW[new or old]
    async with AsyncExitStack() as stack:
        first, second = Vendor("old"), Vendor("new", fails)
        for vendor in (first, second):
            await stack.enter_async_context(vendor.provider.running())
        source, sink, clock = FakeSource(incumbent, candidate), FakeSink(), ManualClock()
        row = Route("support", incumbent.id, 1, share=share, candidate=candidate.id, salt="s", upgrade="up-1", step=1)
        source.put(row)
        settings = GatewaySettings(
            name="gateway-1",
            workloads=(Workload(name="support", claims=(CLAIM,), incumbent=incumbent, slices=(Slice("all"),)),),
            upstreams={
                incumbent.provider: behind or upstream(first, old),
                candidate.provider: upstream(second, new or old),
            },
            unit_key=UNIT_KEY,
            client_keys=(ClientKey("app", key),) if key else (),
            port=0,
            drain_s=0.2,
        )
        gateway = Gateway(settings, clock=clock, source=source, sink=sink, sums=sink, reports=sink, environment={})
        listening = await stack.enter_async_context(serving(gateway, clock))
        yield Stage(gateway, listening.port, first, second, source, sink, row)


def upstream(vendor: Vendor, wire: WireName) -> Upstream:
    """How a provider of this wire is asked."""
    root = f"http://127.0.0.1:{vendor.provider.port}"
    key = f"sk-{vendor.name}-provider-key"
    match wire:
        case WireName.ANTHROPIC:
            headers = {"anthropic": ((b"anthropic-version", b"2023-06-01"),)}
            return Upstream(root, key, auth=Auth.X_API_KEY, wires={wire: ""}, headers=headers)
        case WireName.GEMINI:
            return Upstream(root, key, auth=Auth.X_GOOG_API_KEY, wires={wire: ""})
        case _:
            return Upstream(f"{root}/v1", key, wires={wire: ""})

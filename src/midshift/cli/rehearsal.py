"""A whole upgrade in one process, over real sockets: providers, gateway, store and controller, on playbook time.

What is simulated is the provider and the calendar; requests go over HTTP to a real gateway that follows a real store,
and the controller decides as it would in eight weeks. One hour at a time: its requests are sent and answered, what
the gateway counted is handed over, the controller looks once, the next hour begins. So the same seed gives the same
log. For demos, rehearsals and tests; `midshift serve` runs the same parts as processes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock

from midshift.cli.evaluating import Suite, evaluate, evidence_of
from midshift.cli.playbook import PlaybookClock
from midshift.controller.evidence import Taken, taken_by
from midshift.controller.loop import Controller, Tick
from midshift.domain.capture import CapturedRequest, FeedbackRecord
from midshift.domain.evidence import EvalEvidence
from midshift.domain.exposure import Exposure, Pair, ShadowAnswer
from midshift.domain.plan import Plan
from midshift.domain.routing import Route
from midshift.domain.unseen import PairKind
from midshift.domain.upgrade import Event, Kind, Stage, Upgrade, apply, begin, route_of, settled
from midshift.domain.variant import Variant
from midshift.domain.workload import Workload
from midshift.evals.rows import Answer, Ledger, PairedRow, unanswered
from midshift.evals.table import Table
from midshift.gateway.app import Gateway
from midshift.gateway.server import serving
from midshift.gateway.settings import ClientKey, GatewaySettings, Queues, Shadow
from midshift.ports import Clock
from midshift.providers.http.pool import Pool
from midshift.providers.http.settings import Upstream
from midshift.reports.comparison import Comparison
from midshift.shadow import drift
from midshift.shadow.columns import Columns
from midshift.store.sql import SqlStore
from midshift.testing import provider_server, traffic
from midshift.testing.replay import ChatProvider

PROVIDER = "sim"
HOUR = timedelta(hours=1)
_APP_KEY = "rehearsal-key-of-the-app-0123456789"
_UNIT_KEY = b"rehearsal-unit-key-0123456789abc"
_DRIFT_AGAIN = 1.5
_SETTLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Script:
    """What a rehearsal is about. Every variant's provider is `PROVIDER`; `requests` are spread over the upgrade."""

    workload: Workload
    plan: Plan
    provider: ChatProvider
    suite: Suite
    salt: str = "rehearsal"


class Records:
    """What the gateway leaves and the controller asks for besides sums: pairs, the drift in them, evals by candidate.

    Implements `ports.Recorder` and `controller.loop.Sources`.
    """

    def __init__(self) -> None:
        self.evals: dict[str, EvalEvidence] = {}
        self.exposures = 0
        self._lock = Lock()
        self._pairs: dict[str, list[Pair]] = {}
        self._judged_at: dict[str, int] = {}
        self._flagged: dict[str, tuple[str, ...]] = {}

    def record(self, *exposures: Exposure) -> None:
        """Count exposures; a rehearsal keeps no more of them."""
        self.exposures += len(exposures)

    def record_pair(self, pair: Pair) -> None:
        """Keep one pair of a shadow; those of other kinds are another comparison's."""
        if pair.kind is not PairKind.SHADOW:
            return
        with self._lock:
            self._pairs.setdefault(pair.candidate_id, []).append(pair)

    def record_request(self, request: CapturedRequest) -> None:
        """Nothing: a rehearsal captures no texts."""

    def record_feedback(self, feedback: FeedbackRecord) -> None:
        """Nothing: nobody gives any."""

    def eval_of(self, upgrade: Upgrade) -> EvalEvidence | None:
        """The eval of the present candidate."""
        return self.evals.get(upgrade.candidate)

    def eval_trouble(self, upgrade: Upgrade) -> str:
        """None: what is kept here was just made."""
        return ""

    def flagged_drift(self, upgrade: Upgrade) -> tuple[str, ...]:
        """The drift over all pairs of the present candidate, computed again when there are half as many more."""
        with self._lock:
            pairs = list(self._pairs.get(upgrade.candidate, ()))
        before = self._judged_at.get(upgrade.candidate, 0)
        if pairs and len(pairs) >= before * _DRIFT_AGAIN:
            self._judged_at[upgrade.candidate] = len(pairs)
            self._flagged[upgrade.candidate] = tuple(
                dict.fromkeys(
                    f"{finding.kind.value}:{finding.metric}"
                    for finding in drift_of(sorted(pairs, key=lambda pair: pair.request_id))
                    if finding.flagged
                )
            )
        return self._flagged.get(upgrade.candidate, ())

    def unseen(self, upgrade: Upgrade) -> Taken | None:
        """What the candidate's shadow answers took."""
        with self._lock:
            return taken_by(pair.candidate for pair in self._pairs.get(upgrade.candidate, ()))

    def pairs(self, candidate: str) -> int:
        """How many pairs there are."""
        return len(self._pairs.get(candidate, ()))


def drift_of(pairs: Iterable[Pair]) -> list[drift.Finding]:
    """The drift table of shadow pairs: latency is left out, because a simulated provider's says nothing."""
    table, columns = Table(Ledger(unit="pair")), Columns()
    for number, pair in enumerate(pairs, start=1):
        row = PairedRow(number, pair.request_id, _as_answer(pair.incumbent), _as_answer(pair.candidate), pair.slices)
        table.append(row)
        columns.append(row)
    return drift.findings(columns, table.finish(), table.ids.__getitem__)


def _as_answer(side: ShadowAnswer) -> Answer:
    numbers = (side.tokens_in, side.tokens_out, None, None, None, side.cost_usd)
    return Answer(
        side.text,
        failure=unanswered(side.text, int(side.finish_reason == "tool_calls"), side.status != 200),
        numbers=tuple(math.nan if number is None else float(number) for number in numbers),
    )


@dataclass(slots=True, eq=False)
class House:
    """A running house: what a rehearsal and its tests hold in their hands."""

    script: Script
    clock: PlaybookClock
    store: SqlStore
    gateway: Gateway
    controller: Controller
    records: Records
    calls: provider_server.Calls
    pools: Mapping[str, Pool]
    base_url: str
    variants: dict[str, str] = field(default_factory=dict)

    def start(self, upgrade_id: str, candidate: Variant) -> Upgrade:
        """Begin an upgrade of the workload to `candidate`."""
        workload = self.script.workload
        route = self.store.route(workload.name)
        assert route is not None
        self.store.put_variant(candidate)
        upgrade = begin(
            upgrade_id,
            workload.name,
            route.incumbent,
            candidate.id,
            self.script.plan,
            self.clock.now(),
            self.script.salt,
        )
        self.store.start_upgrade(upgrade, None)
        return upgrade

    async def evaluate(self, upgrade_id: str, names: tuple[str, str]) -> Comparison:
        """Run the suite on both variants, over HTTP, and let the controller know."""
        upgrade = self.store.upgrade(upgrade_id)
        incumbent, candidate = self.store.variant(upgrade.incumbent), self.store.variant(upgrade.candidate)
        comparison = await evaluate(self.script.suite, incumbent, candidate, self.pools, self.clock, names)
        self.records.evals[candidate.id] = evidence_of(comparison, candidate)
        return comparison

    def say(
        self, upgrade_id: str, kind: Kind, who: str, why: str, what: str = "", candidate: str | None = None
    ) -> None:
        """A person's word: a waiver, an approval, another candidate."""
        before = self.store.upgrade(upgrade_id)
        event = Event(kind, self.clock.now(), who, why, what, candidate)
        after = apply(before, event)
        route = self.store.route(before.workload)
        moved = None
        if route is not None and after.stage is not before.stage:
            epoch = route.epoch + 1
            moved = settled(after, epoch) if after.stage.is_final else route_of(after, epoch, None)
        self.store.commit(before, after, event, {}, "person", moved, None)

    def tick(self) -> list[Tick]:
        """Let the controller look once, and the gateway follow at once instead of within 100 ms."""
        ticks = self.controller.tick()
        self.gateway.routes.look()
        return ticks

    async def send(self, planned: Sequence[traffic.Planned], concurrency: int = 6) -> traffic.Tally:
        """Send requests through the gateway, and wait until it has nothing under way and has handed over."""
        tally = (
            await traffic.drive(self.base_url, planned, concurrency=min(concurrency, len(planned)))
            if planned
            else traffic.Tally()
        )
        deadline_s = self.clock.monotonic_s() + _SETTLE_S
        counters = self.gateway.counters
        while counters.in_flight or counters.shadows_in_flight:
            if self.clock.monotonic_s() > deadline_s:
                raise TimeoutError(f"{counters.shadows_in_flight} shadow requests are not over after {_SETTLE_S:g} s")
            await asyncio.sleep(0.001)
        self.gateway.afterwards.record()  # which the loop does by itself, but only behind this turn
        await asyncio.to_thread(self.gateway.recorder.hand_over)
        return tally

    async def hour(self, planned: Sequence[traffic.Planned]) -> list[Tick]:
        """One hour of playbook time: its requests, the controller's look, and on to the next."""
        await self.send(planned)
        ticks = await asyncio.to_thread(self.tick)
        self.clock.advance(HOUR)
        return ticks


@asynccontextmanager
async def house(
    script: Script, folder: Path, start: datetime, machine: Clock, owner: str = "rehearsal"
) -> AsyncIterator[House]:
    """Open a house in `folder`: an SQLite store, a provider on loopback, a gateway on loopback, a controller."""
    clock = PlaybookClock(start, machine)
    calls = provider_server.Calls()
    async with AsyncExitStack() as stack:
        store = stack.enter_context(SqlStore.open(f"sqlite:///{folder / 'midshift.db'}"))
        provider_url = await stack.enter_async_context(
            provider_server.serve(script.provider, calls=calls, latency_scale=0.0, now=clock.now)
        )
        workload = script.workload
        store.put_variant(workload.incumbent)
        if store.route(workload.name) is None:
            store.put_route(Route(workload.name, workload.incumbent.id, 1), 0)
        records = Records()
        settings = GatewaySettings(
            name="gateway-1",
            workloads=(workload,),
            upstreams={PROVIDER: Upstream(provider_url)},
            unit_key=_UNIT_KEY,
            client_keys=(ClientKey("app", _APP_KEY, may_label=True),),
            port=0,
            state_dir=folder,
            shadow=Shadow(max_concurrent=256),
            queues=Queues(max_pairs=10_000, sums_every_s=3600.0),
        )
        gateway = Gateway(settings, clock=clock, source=store, sink=records, sums=store, environment={})
        where = await stack.enter_async_context(serving(gateway, clock))
        pools = {PROVIDER: Pool(settings.upstreams[PROVIDER], None)}
        stack.callback(pools[PROVIDER].close)
        yield House(
            script=script,
            clock=clock,
            store=store,
            gateway=gateway,
            controller=Controller(store, records, clock, owner),
            records=records,
            calls=calls,
            pools=pools,
            base_url=f"http://127.0.0.1:{where.port}/v1",
        )


def by_hour(planned: Iterable[traffic.Planned], start: datetime, hours: int) -> list[list[traffic.Planned]]:
    """Requests by the hour of playbook time in which they are due."""
    hourly: list[list[traffic.Planned]] = [[] for _ in range(hours)]
    for request in planned:
        index = int((request.at - start) / HOUR)
        if 0 <= index < hours:
            hourly[index].append(request)
    return hourly


def app_headers() -> dict[str, str]:
    """How the rehearsal's app shows its key."""
    return {"authorization": f"Bearer {_APP_KEY}"}


Say = Callable[[str], None]


async def play(
    house: House, upgrade_id: str, hourly: Sequence[Sequence[traffic.Planned]], on_move: Callable[[Tick], None]
) -> Stage:
    """Play hours until the upgrade is over or waits for ever; gives the stage in which it stands then."""
    for planned in hourly:
        for tick in await house.hour(planned):
            if tick.decision.kind is not None:
                on_move(tick)
        if house.store.upgrade(upgrade_id).stage in (
            Stage.DONE,
            Stage.STOPPED,
            Stage.ROLLED_BACK,
            Stage.HALTED,
            Stage.RETUNE,
        ):
            break
    return house.store.upgrade(upgrade_id).stage

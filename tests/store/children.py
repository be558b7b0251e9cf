"""What the tests of crashes and races run in processes of their own, to be killed at any moment.

Each function takes where to write and a pipe; what it sends through the pipe it has been promised by the store.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from resource import RLIMIT_FSIZE, getrlimit, setrlimit

from midshift.domain.exposure import Exposure, Fate, Sum, SumKey
from midshift.domain.light import replaced
from midshift.domain.routing import Arm, Route
from midshift.domain.sums import Sums
from midshift.domain.upgrade import TRANSITIONS, Kind, Upgrade
from midshift.errors import Fenced, StoreError
from midshift.store.recorder import Limits, SegmentWriter
from midshift.store.sql import SqlStore
from midshift.testing.contracts import INCUMBENT, START, TO_SOAK, Run

KEY = SumKey("support", "up-1", 1, Arm.CANDIDATE, "*", "error", 3)
IN_A_CELL = replace(KEY, metric="tokens_in", block=5)
WORKLOADS = ("support", "billing", "search")


def decide(url: str, told: Connection, seed: int) -> None:
    """Start upgrades and drive them on, at random; tells (upgrade, version) after each decision."""
    random = Random(seed)
    with SqlStore.open(url) as store:
        number = len(store.upgrades())
        while True:
            workload = random.choice(WORKLOADS)
            active = store.active_upgrade(workload)
            if active is None:
                number += 1
                active = Run.begun(store, workload, f"up-{number}").upgrade
            elif random.random() < 0.1:
                store.roll_back(workload, "ada", "a drill", START)
                active = store.upgrade(active.id)
            else:
                active = Run(store, active).step(random.choice(_possible(active)))
            told.send((active.id, active.version))


def merge(url: str, told: Connection, acknowledged: int) -> None:
    """Merge batches of all kinds of rows, the last acknowledged one again at first; tells the number of each."""
    with SqlStore.open(url) as store:
        sequence = acknowledged
        while True:
            sums = Sums()
            sums.add(replaced(an_exposure("r"), step=1, slices=(), block=5, tokens_in=sequence))
            sums.merge({KEY: Sum(1, float(sequence), 0.0), replace(KEY, block=4): Sum(1)})
            store.merge_sums("g1", sequence, sums.by_key, sums.histograms)
            told.send(sequence)
            sequence += 1


def record(folder: str, told: Connection, seed: int) -> None:
    """Record exposures, a few at a time; tells how many are flushed."""
    random = Random(seed)
    recorded = 0
    with SegmentWriter(Path(folder), "g1", Limits(write_ms=0.2, sync_ms=5.0, segment_bytes=200_000)) as writer:
        while True:
            for _ in range(random.randint(1, 400)):
                writer.record(an_exposure(f"{seed}-{recorded}"))
                recorded += 1
            writer.flush()
            told.send(recorded)


def lead(url: str, told: Connection, owner: str, workloads: Sequence[str]) -> None:
    """Take the lease whenever it can be had and drive each upgrade to its soak; tells how many decisions were its."""
    mine = fenced = tick = 0
    with SqlStore.open(url) as store:
        told.send("ready")
        told.recv()
        waiting = set(workloads)
        while waiting:
            tick += 1
            lease = store.take_lease(owner, START + timedelta(seconds=tick), timedelta())
            for workload in sorted(waiting):
                active = store.active_upgrade(workload)
                if active is None or active.version == len(TO_SOAK):
                    waiting.discard(workload)
                    continue
                try:
                    Run(store, active).step(TO_SOAK[active.version], lease.epoch if lease else 0)
                    mine += 1
                except Fenced:
                    fenced += 1
    told.send((mine, fenced))


def follow(url: str, told: Connection) -> None:
    """Tell the epoch of a route each time that a change is noticed."""
    with SqlStore.open(url) as store:
        store.changed()
        told.send("ready")
        while not told.poll(0.005):
            if store.changed():
                told.send([route.epoch for route in store.routes()])


def open_at_once(url: str, told: Connection, workload: str) -> None:
    """Open a store that may not be there yet, at the same time as others, and write to it."""
    told.send("ready")
    told.recv()
    with SqlStore.open(url) as store:
        store.put_variant(INCUMBENT)
        store.put_route(Route(workload, INCUMBENT.id, 1), 0)
        told.send("written")


def reopen(url: str, told: Connection) -> None:
    """Tell whether opening a store that is up to date loaded Alembic."""
    with SqlStore.open(url):
        told.send("alembic" in sys.modules)


def fill_the_disk(folder: str, told: Connection) -> None:
    """Record into files that may not grow beyond a few kilobytes, until that fails; then let them grow."""
    unlimited = getrlimit(RLIMIT_FSIZE)
    with SegmentWriter(Path(folder), "g1", Limits(write_ms=0.2, sync_ms=5.0)) as writer:
        setrlimit(RLIMIT_FSIZE, (10_000, unlimited[1]))
        for number in range(100):
            writer.record(an_exposure(f"r-{number}"))
        try:
            writer.flush()
            told.send("flushed")
        except StoreError as error:
            told.send(str(error))
        setrlimit(RLIMIT_FSIZE, unlimited)
        writer.record(an_exposure("r-100"))
        writer.flush(sync=True)
        told.send(writer.counts())


def an_exposure(request_id: str) -> Exposure:
    """A served request with something in most fields."""
    return Exposure(
        request_id=request_id,
        workload="support",
        epoch=7,
        fate=Fate.CANDIDATE,
        assigned=Arm.CANDIDATE,
        upgrade="up-1",
        step=2,
        propensity=0.25,
        unit="user-17",
        block=3,
        slices=("german", "escalations"),
        status=200,
        latency_s=1.25,
        cost_usd=0.0031,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        variant="b" * 64,
        model="model-2026-01-01",
        wire="openai_chat",
        fell_back_reason="500",
        cached_in=3,
        service_tier="flex",
        price_book="c" * 64,
        usage_unknown=False,
    )


def _possible(upgrade: Upgrade) -> list[Kind]:
    """What may happen next and needs nothing but the event; a candidate stays the same here."""
    is_last_below_all = upgrade.step + 2 >= len(upgrade.plan.steps)
    excluded = (
        Kind.CANDIDATE_CHANGED,
        Kind.EVAL_WAIVED,
        Kind.STEP_ADVANCED if is_last_below_all else Kind.FULLY_ROLLED_OUT,
    )
    leaving = [kind for stage, kind in TRANSITIONS if stage is upgrade.stage if kind not in excluded]
    return [*leaving, Kind.PAUSED, Kind.UNPAUSED]

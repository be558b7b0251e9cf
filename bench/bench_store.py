"""How fast the store is: records, sums, decisions, and how soon another process sees a change."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from midshift.domain.exposure import Exposure, Fate
from midshift.domain.light import replaced
from midshift.domain.routing import Arm, Route
from midshift.domain.sums import Sums
from midshift.domain.upgrade import Kind as Event
from midshift.store.recorder import SegmentWriter
from midshift.store.segments import Kind, Reading, exposures, segments
from midshift.store.sql import SqlStore
from midshift.testing.contracts import INCUMBENT, START, Run

EXPOSURES = 200_000
POLL_S = 0.05
FLIPS = 40
GATEWAYS = 4
EXPOSURE = Exposure(
    request_id="r-000000000001",
    workload="support",
    epoch=7,
    fate=Fate.CANDIDATE,
    assigned=Arm.CANDIDATE,
    upgrade="up-1",
    step=2,
    propensity=0.25,
    unit="user-4711",
    block=17,
    slices=("german", "escalations"),
    status=200,
    latency_s=1.234,
    tokens_in=310,
    tokens_out=120,
    cost_usd=0.0031,
    finish_reason="stop",
)


def main() -> None:
    """Measure everything, and print it."""
    with tempfile.TemporaryDirectory() as folder:
        measure_records(Path(folder))
        url = f"sqlite:///{folder}/store.db"
        SqlStore.open(url).close()
        print(f"{_seconds(lambda: SqlStore.open(url).close()) * 1000:10.1f} ms   open and close, up to date")
        with SqlStore.open(url) as store:
            measure_store(store)
            measure_flips(store, url)
            measure_rollbacks(store, url)


def measure_records(folder: Path) -> None:
    """Exposures a second, from `record` to the disk, and back."""
    rates = []
    for number in range(3):
        with SegmentWriter(folder, f"g{number}") as writer:
            began = time.perf_counter()
            for _ in range(EXPOSURES):
                writer.record(EXPOSURE)
            writer.flush(sync=True)
            rates.append(writer.counts().written / (time.perf_counter() - began))
    began = time.perf_counter()
    reading = Reading()
    for one in segments(folder, Kind.EXPOSURES):
        for _ in exposures(one.path, reading):
            pass
    print(f"{median(rates):10,.0f} /s   exposures recorded, flushed and synced")
    print(f"{reading.rows / (time.perf_counter() - began):10,.0f} /s   exposures read")


def measure_store(store: SqlStore) -> None:
    """Calls of each kind."""
    sums = Sums()
    for block in range(256):
        sums.add(replaced(EXPOSURE, slices=tuple("abcdefg"), block=block))
    number = len(sums.by_key)
    sequences = iter(range(1000))
    merge = _seconds(lambda: store.merge_sums("g1", next(sequences), sums.by_key, sums.histograms))
    print(f"{number / merge:10,.0f} /s   sums merged, in batches of {number}")
    print(f"{_seconds(lambda: store.sums('up-1')) * 1000:10.1f} ms   all {number} sums of an upgrade read")
    run = Run.begun(store)
    run.walk(Event.EVAL_CLEARED, Event.SHADOW_COMPLETED)
    decide = _seconds(lambda: run.step(Event.HALTED if run.upgrade.share else Event.RESUMED), times=50)
    print(f"{decide * 1000:10.2f} ms   decision, on the disk")
    print(
        f"{_seconds(lambda: store.roll_back('support', 'ada', 'why', START)) * 1000:10.2f} ms   rollback, on the disk"
    )
    print(f"{_seconds(store.routes, times=200) * 1e6:10.1f} µs   routes read")
    ask = _seconds(lambda: [store.changed() for _ in range(1000)], times=20) / 1000
    print(f"{ask * 1e6:10.2f} µs   question whether anything changed")


def measure_flips(store: SqlStore, url: str) -> None:
    """From before the write of a route to another process having read it."""
    context = multiprocessing.get_context("spawn")
    heard, told = context.Pipe()
    process = context.Process(target=follow, args=(url, told))
    process.start()
    heard.recv()
    store.put_variant(INCUMBENT)
    route = Route("flipped", INCUMBENT.id, 1)
    delays_ms = []
    for epoch in range(1, FLIPS + 1):
        began = time.monotonic()
        store.put_route(replace(route, epoch=epoch), epoch - 1)
        delays_ms.append((heard.recv() - began) * 1000)
    process.terminate()
    process.join()
    delays_ms.sort()
    print(f"{median(delays_ms):10.1f} ms   flip seen by another process that asks every {POLL_S * 1000:.0f} ms")
    print(f"{delays_ms[-1]:10.1f} ms   the slowest of {FLIPS}")


def measure_rollbacks(store: SqlStore, url: str) -> None:
    """Beside gateways that catch up: they merge one large batch after the other."""
    context = multiprocessing.get_context("spawn")
    heard, told = context.Pipe(duplex=False)
    gateways = [context.Process(target=catch_up, args=(url, told, f"catching-up-{n}")) for n in range(GATEWAYS)]
    for gateway in gateways:
        gateway.start()
    for _ in gateways:
        heard.recv()
    taken = []
    for _ in range(FLIPS):
        began = time.monotonic()
        store.roll_back("flipped", "ada", "why", START)
        taken.append(time.monotonic() - began)
        time.sleep(POLL_S)
    for gateway in gateways:
        gateway.terminate()
        gateway.join()
    print(f"{median(taken) * 1000:10.1f} ms   rollback beside {GATEWAYS} gateways that merge without a pause")
    print(f"{max(taken) * 1000:10.1f} ms   the slowest of {FLIPS}")


def catch_up(url: str, told: Connection, gateway: str) -> None:
    """Merge until killed; tell after a few batches."""
    sums = Sums()
    for block in range(256):
        sums.add(replaced(EXPOSURE, slices=tuple("abcdefg"), block=block))
    with SqlStore.open(url) as store:
        for sequence in range(1_000_000):
            store.merge_sums(gateway, sequence, sums.by_key, sums.histograms)
            if sequence == 3:
                told.send("busy")


def follow(url: str, told: Connection) -> None:
    """Tell when each new epoch was read."""
    epoch = 0
    with SqlStore.open(url) as store:
        told.send("ready")
        while not told.poll(POLL_S):
            if store.changed():
                route = store.route("flipped")
                if route is not None and route.epoch > epoch:
                    epoch = route.epoch
                    told.send(time.monotonic())


def _seconds(call: Callable[[], object], times: int = 5) -> float:
    """The median time of a call."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return median(taken)


if __name__ == "__main__":
    main()

"""What happened, on its way out: exposures and pairs through a bounded queue, sums by addition.

Contract. Nothing here ever waits on the path of a request. Sums are never dropped: what could not be handed over is
kept, and merges with what follows; a batch whose fate is unknown is sent again under the same number with the same
content, so the store merges it once. Exposures and pairs that find the queue full, or that the sink refuses, are
counted as lost. One thread hands over, so that the disk and the store may be as slow as they are.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from midshift.domain.exposure import Exposure, Pair, Sum, SumKey, Sums
from midshift.domain.suite import AGGREGATE
from midshift.gateway.settings import Queues
from midshift.ports import Recorder

LOG = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE_AT_STOP_S = 5.0


class SumSink(Protocol):
    """Where sums go; the part of `ports.Measurements` that a gateway needs."""

    def merge_sums(self, gateway: str, sequence: int, sums: Mapping[SumKey, Sum]) -> bool:
        """Add one batch, once."""
        ...

    def last_sequence(self, gateway: str) -> int | None:
        """The highest number that this gateway has merged."""
        ...


class RecordQueue:
    """Implements `ports.Recorder` for the path of a request; hands over to a `sink` and a `sum_sink`, if there are.

    `record` and `record_pair` belong to one thread, the loop's.
    """

    def __init__(self, gateway: str, limits: Queues, sink: Recorder | None, sum_sink: SumSink | None) -> None:
        self.lost_exposures = 0
        self.lost_pairs = 0
        self.lost_sums = 0
        self.failures = 0
        self._gateway = gateway
        self._limits = limits
        self._sink = sink
        self._sum_sink = sum_sink
        self._exposures: deque[Exposure] = deque()
        self._pairs: deque[Pair] = deque()
        self._pair_bytes = 0
        self._sums = Sums()
        self._batch: dict[SumKey, Sum] | None = None
        self._sequence: int | None = None
        self._lock = threading.Lock()
        self._handing_over = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="midshift-record", daemon=True)

    def record(self, exposure: Exposure) -> None:
        """See `ports.Recorder`."""
        if self._sum_sink is not None:
            with self._lock:
                self._sums.add(exposure)
        if self._sink is None:
            return
        if len(self._exposures) >= self._limits.max_exposures:
            self.lost_exposures += 1
            return
        self._exposures.append(exposure)
        if 2 * len(self._exposures) == self._limits.max_exposures:
            self._wake.set()

    def record_pair(self, pair: Pair) -> None:
        """See `ports.Recorder`."""
        if self._sink is None:
            return
        size = _size(pair)
        with self._lock:
            fits = self._pair_bytes + size <= self._limits.max_pair_bytes
            fits = fits and len(self._pairs) < self._limits.max_pairs
            self._pair_bytes += size if fits else 0
        if not fits:
            self.lost_pairs += 1
            return
        self._pairs.append(pair)
        if 2 * len(self._pairs) == self._limits.max_pairs:
            self._wake.set()

    def start(self) -> None:
        """Begin to hand over, once a second or as the settings say."""
        self._thread.start()

    async def stop(self) -> None:
        """Hand over what there is, for a few seconds at most; what is left then is counted as lost."""
        self._stopping.set()
        self._wake.set()
        await asyncio.to_thread(self._thread.join, PATIENCE_AT_STOP_S)
        with self._lock:
            left = _requests_in(self._sums.by_key) + _requests_in(self._batch or {})
        self.lost_sums += left
        self.lost_exposures += len(self._exposures)
        self.lost_pairs += len(self._pairs)
        if self.lost_sums or self.lost_exposures or self.lost_pairs:
            LOG.warning(
                "lost: %d exposures, %d pairs, %d requests in sums",
                self.lost_exposures,
                self.lost_pairs,
                self.lost_sums,
            )

    def hand_over(self) -> None:
        """Give away everything that waits. For the thread, and for tests instead of it."""
        with self._handing_over:
            while self._sink is not None and self._exposures:
                if not self._tried(self._sink.record, self._exposures.popleft()):
                    self.lost_exposures += 1
            while self._sink is not None and self._pairs:
                pair = self._pairs.popleft()
                with self._lock:
                    self._pair_bytes -= _size(pair)
                if not self._tried(self._sink.record_pair, pair):
                    self.lost_pairs += 1
            if self._sum_sink is not None:
                self._tried(self._hand_over_sums, self._sum_sink)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._limits.sums_every_s)
            self._wake.clear()
            self.hand_over()
        self.hand_over()

    def _hand_over_sums(self, sink: SumSink) -> None:
        is_retry = self._batch is not None
        if self._batch is None:
            with self._lock:
                if not self._sums.by_key:
                    return
                self._batch, self._sums = self._sums.by_key, Sums()
        if self._sequence is None:
            self._sequence = sink.last_sequence(self._gateway) or 0
        is_merged = sink.merge_sums(self._gateway, self._sequence + 1, self._batch)
        if not is_merged and not is_retry:  # somebody else has used the number: ask for the last one, and try again
            LOG.error("two processes share the gateway name %r; give each one of its own", self._gateway)
            self._sequence = None
            return
        self._sequence += 1
        self._batch = None

    def _tried(self, call: Callable[[T], None], item: T) -> bool:
        try:
            call(item)
        except Exception as error:  # noqa: BLE001 - a sink may fail in any way; the record goes on, and counts it
            self.failures += 1
            LOG.warning("the record cannot be handed over: %s", type(error).__name__)
            return False
        return True


def _requests_in(sums: Mapping[SumKey, Sum]) -> int:
    """How many requests these sums are made of: each adds once to the error rate of all."""
    return sum(added.n for key, added in sums.items() if key.metric == "error" and key.slice == AGGREGATE)


def _size(pair: Pair) -> int:
    return len(pair.incumbent.text or "") + len(pair.candidate.text or "") + 500

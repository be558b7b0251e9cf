"""What happened, on its way out: exposures and texts through a bounded queue, sums by addition.

Contract. The path of a request waits for no disk and no store. Exposures are added up where they are handed over, and
at once where they find the queue full. Sums are never dropped: what could not be handed over is kept, and merges with
what follows; a batch whose fate is unknown is sent again under the same number with the same content, so the store
merges it once, as long as no other process counts under the same name (`GatewayProcess.key`). Exposures, pairs and
other texts that find the queue full, or that the sink refuses, are counted as lost. One thread hands over, so that the
disk and the store may be as slow as they are.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeAlias, TypeVar

from midshift.domain.capture import CapturedRequest, FeedbackRecord
from midshift.domain.exposure import Exposure, HistogramKey, Pair, Sum, SumKey
from midshift.domain.histogram import Histogram
from midshift.domain.sums import Sums
from midshift.gateway.capture import Taken, captured_request
from midshift.gateway.settings import Queues
from midshift.ports import Recorder

LOG = logging.getLogger(__name__)
Q = TypeVar("Q", Pair, Taken | CapturedRequest | FeedbackRecord)
_Waiting: TypeAlias = deque[tuple[Q, int]]
"""Texts, each with its bytes, about."""

_EXPOSURES_AT_ONCE = 128
"""So many at most are given to the sink together; those that it refuses are lost together."""

PATIENCE_AT_STOP_S = 5.0

MANY_TEXTS, MANY_EXPOSURES = 64, 1024
"""When so many wait they are handed over: they are a megabyte or two, which the processor still has at hand. After a
whole second of them it takes a tenth more for a mirrored request, and others wait twice as long for the interpreter."""


class SumSink(Protocol):
    """Where sums go; the part of `ports.Measurements` that a gateway needs."""

    def merge_sums(
        self,
        gateway: str,
        sequence: int,
        sums: Mapping[SumKey, Sum],
        histograms: Mapping[HistogramKey, Histogram] = ...,
    ) -> bool:
        """Add one batch, once."""
        ...

    def last_sequence(self, gateway: str) -> int | None:
        """The highest number that this gateway has merged."""
        ...


class RecordQueue:
    """Implements `ports.Recorder` for the path of a request; hands over to a `sink` and a `sum_sink`, if there are.

    What records belongs to one thread, the loop's; what hands over, to one at a time.
    """

    def __init__(
        self,
        gateway: str,
        limits: Queues,
        sink: Recorder | None,
        sum_sink: SumSink | None,
        monotonic_s: Callable[[], float],
    ) -> None:
        self.lost_exposures = 0
        self.lost_pairs = 0
        self.lost_texts = 0
        self.lost_sums = 0
        self.lost_feedback = 0  # what the store never took, by those who tried (feedback)
        self.failures = 0
        self._monotonic_s = monotonic_s
        self._gateway = gateway
        self._limits = limits
        self._sink = sink
        self._sum_sink = sum_sink
        self._most_exposures = limits.max_exposures
        self._many_exposures = max(1, min(MANY_EXPOSURES, limits.max_exposures // 2))
        self._most_texts, self._most_bytes = limits.max_pairs, limits.max_pair_bytes
        self._many_texts = min(MANY_TEXTS, limits.max_pairs // 2) or MANY_TEXTS
        self._exposures: deque[Exposure] = deque()
        self._in_hands = 0  # exposures that the sink was given, while it has not answered
        self._pairs: _Waiting[Pair] = deque()
        self._texts: _Waiting[Taken | CapturedRequest | FeedbackRecord] = deque()
        self._bytes_in = 0  # of pairs and texts that came in so far: the loop's alone to change
        self._bytes_out = 0  # and of those that went out: whoever hands over
        self._sums = Sums()
        self._batch: Sums | None = None
        self._sequence: int | None = None
        self._is_doubtful = False
        self._lock = threading.Lock()
        self._handing_over = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="midshift-record", daemon=True)

    def record(self, *exposures: Exposure) -> None:
        """See `ports.Recorder`. They are summed when they are handed over; those that find no room, at once."""
        waiting = len(self._exposures)
        taken = exposures[: self._most_exposures - waiting]
        self._exposures += taken
        if len(taken) < len(exposures):
            self._turn_away(exposures[len(taken) :])
        if waiting < self._many_exposures <= waiting + len(taken):
            self._wake.set()

    def _turn_away(self, exposures: Sequence[Exposure]) -> None:
        """For want of room; a slow disk costs the log, and not the numbers that gates read."""
        with self._lock:
            self._add_up(exposures)
            self._lose_exposures(len(exposures))

    def record_pair(self, pair: Pair) -> None:
        """See `ports.Recorder`."""
        if self._sink is not None and not self._waits(self._pairs, pair, pair.size + 500):
            self.lost_pairs += 1

    def record_request(self, request: CapturedRequest | Taken) -> None:
        """See `ports.Recorder`. What is `Taken` is read when it is handed over."""
        if self._sink is None:
            return
        size = request.size if isinstance(request, Taken) else len(request.answer or "") + 5000
        if not self._waits(self._texts, request, size):
            self.lost_texts += 1

    def record_feedback(self, feedback: FeedbackRecord) -> None:
        """See `ports.Recorder`."""
        if self._sink is not None and not self._waits(self._texts, feedback, len(feedback.comment or "") + 500):
            self.lost_texts += 1

    def _waits(self, queue: _Waiting[Q], item: Q, size: int) -> bool:
        """Whether there was room for one more."""
        waiting, bytes_in = len(queue), self._bytes_in + size
        if waiting >= self._most_texts or bytes_in - self._bytes_out > self._most_bytes:
            return False
        self._bytes_in = bytes_in
        queue.append((item, size))
        if waiting + 1 == self._many_texts and not self._wake.is_set():  # if more wait, the thread sees for itself
            self._wake.set()
        return True

    def start(self) -> None:
        """Begin to hand over, once a second or as the settings say."""
        self._thread.start()

    async def stop(self, patience_s: float = PATIENCE_AT_STOP_S) -> None:
        """Hand over what there is, for a few seconds at most; what is left then is counted as lost."""
        self._stopping.set()
        self._wake.set()
        await asyncio.to_thread(self._thread.join, patience_s)
        with self._lock:
            self._add_up(self._exposures)
            self.lost_sums += self._sums.requests + (0 if self._batch is None else self._batch.requests)
            self._lose_exposures(self._in_hands + len(self._exposures))
            self._exposures.clear()  # a thread that still hangs must not add them up again
        self.lost_pairs += len(self._pairs)
        self.lost_texts += len(self._texts)
        if self.lost_sums or self.lost_exposures or self.lost_pairs or self.lost_texts:
            LOG.warning(
                "lost: %d exposures, %d pairs, %d captured texts, %d requests in sums",
                self.lost_exposures,
                self.lost_pairs,
                self.lost_texts,
                self.lost_sums,
            )

    def hand_over(self) -> None:
        """Give away everything that waits. For the thread, and for tests instead of it."""
        with self._handing_over:
            self._hand_over_records()
            if self._sum_sink is not None:
                try:
                    self._hand_over_sums(self._sum_sink)
                except Exception as error:  # noqa: BLE001 - see `_handed_over`
                    self._failed(error)

    def _hand_over_records(self) -> None:
        """Those that wait now: what comes meanwhile waits for the next time, and holds up no sums."""
        self._hand_over_exposures()
        if self._sink is None:
            return
        take_text = partial(_hand_over_text, self._sink)
        for _ in range(len(self._pairs)):
            if not self._handed_over(self._pairs, self._sink.record_pair):
                self.lost_pairs += 1
        for _ in range(len(self._texts)):
            if not self._handed_over(self._texts, take_text):
                self.lost_texts += 1

    def _hand_over_exposures(self) -> None:
        """Those that wait, a few at a time: to the sums first, which do not depend on what the sink does."""
        next_one = self._exposures.popleft
        for _ in range(0, len(self._exposures), _EXPOSURES_AT_ONCE):
            with self._lock:  # in one step: what waits is in no sum
                self._in_hands = min(len(self._exposures), _EXPOSURES_AT_ONCE)
                exposures = [next_one() for _ in range(self._in_hands)]
                self._add_up(exposures)
            try:
                if self._sink is not None:
                    self._sink.record(*exposures)
            except Exception as error:  # noqa: BLE001 - see `_handed_over`
                self._failed(error)
                self._lose_exposures(self._in_hands)
            self._in_hands = 0

    def _lose_exposures(self, count: int) -> None:
        """To the sink, where there is one."""
        if self._sink is not None:
            self.lost_exposures += count

    def _add_up(self, exposures: Iterable[Exposure]) -> None:
        """Add to the sums, the lock held. One that cannot be summed is lost to them, and costs the others nothing."""
        if self._sum_sink is None:
            return
        for exposure in exposures:
            try:
                self._sums.add(exposure)
            except Exception:  # whatever is wrong with one, the others are added
                self.lost_sums += 1
                LOG.exception("request %s cannot be summed", exposure.request_id)

    def _handed_over(self, queue: _Waiting[Q], take: Callable[[Q], None]) -> bool:
        """Whether the next one was taken."""
        item, size = queue.popleft()
        self._bytes_out += size
        try:
            take(item)
        except Exception as error:  # noqa: BLE001 - a sink may fail in any way; the record goes on, and counts it
            self._failed(error)
            return False
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            due_s = self._monotonic_s() + self._limits.sums_every_s
            while not self._stopping.is_set() and (left_s := due_s - self._monotonic_s()) > 0.0:
                if not (self._many_wait or self._wake.wait(left_s)):
                    break
                with self._handing_over:
                    self._hand_over_records()
                self._wake.clear()  # and then look: what came meanwhile has found it set
            self.hand_over()
        self.hand_over()

    @property
    def _many_wait(self) -> bool:
        """Whether there is enough to hand over, so that nobody has to say so."""
        texts = max(len(self._pairs), len(self._texts))
        return texts >= self._many_texts or len(self._exposures) >= self._many_exposures

    def _hand_over_sums(self, sink: SumSink) -> None:
        if self._batch is None:
            with self._lock:
                if self._sums.is_empty:
                    return
                self._batch, self._sums = self._sums, Sums()
        if self._sequence is None:
            self._sequence = sink.last_sequence(self._gateway) or 0
        batch = self._batch
        is_retry, self._is_doubtful = self._is_doubtful, True
        is_merged = sink.merge_sums(self._gateway, self._sequence + 1, batch.by_key, batch.histograms)
        self._is_doubtful = False
        if not is_merged and not is_retry:  # somebody else has used the number: ask for the last one, and try again
            LOG.error("two processes share the gateway name %r; give each one of its own", self._gateway)
            self._sequence = None
            return
        self._sequence += 1
        self._batch = None

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        LOG.warning("the record cannot be handed over: %s", type(error).__name__)


def _hand_over_text(sink: Recorder, item: Taken | CapturedRequest | FeedbackRecord) -> None:
    match item:
        case Taken():
            sink.record_request(captured_request(item))
        case CapturedRequest():
            sink.record_request(item)
        case FeedbackRecord():
            sink.record_feedback(item)

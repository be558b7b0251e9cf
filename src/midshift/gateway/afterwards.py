"""The numbers that a request leaves behind, recorded behind the answers of the turn of the loop in which it ended.

Contract. Nobody waits for it, and one that cannot be recorded costs the others of its turn nothing.
Elsewhere: what they are (exposing), their way out (recorder), texts (capture), counts (counters).
"""

from __future__ import annotations

import asyncio
import logging

from midshift.domain.exposure import ShadowFate
from midshift.domain.usage import Usage
from midshift.domain.variant import Variant
from midshift.gateway.exposing import exposure_of
from midshift.gateway.job import Job, Outcome
from midshift.gateway.recorder import RecordQueue
from midshift.gateway.settings import Pricing
from midshift.ports import Clock

LOG = logging.getLogger(__name__)


class Afterwards:
    """Records the requests of one gateway. `price_book` is where the prices are from. For the loop's thread."""

    def __init__(self, recorder: RecordQueue, clock: Clock, pricing: Pricing, price_book: str) -> None:
        self._recorder = recorder
        self._clock = clock
        self._pricing = pricing
        self._price_book = price_book
        self._ended: list[tuple[Job, Outcome, ShadowFate | None]] = []

    def ended(self, job: Job, outcome: Outcome, shadow: ShadowFate | None) -> None:
        """A request is over, and so is its shadow; None where there was none."""
        if not self._ended:
            asyncio.get_running_loop().call_soon(self.record)
        self._ended.append((job, outcome, shadow))

    def record(self) -> None:
        """Record what has ended. Done by itself behind each turn of the loop."""
        ended, self._ended = self._ended, []
        now, priced, exposures = self._clock.machine_now(), self.priced, []
        for job, outcome, shadow in ended:
            try:
                cost_usd = outcome.cost_usd(priced)
                exposures.append(exposure_of(job, outcome, shadow, cost_usd, self._price_book, now))
            except Exception:  # the others of this turn are recorded all the same
                LOG.exception("request %s cannot be recorded", job.id)
        self._recorder.record(*exposures)

    def priced(self, variant: Variant, usage: Usage) -> float | None:
        """What an answer cost; None where nobody knows, or the price book is in trouble."""
        try:
            return self._pricing(variant, usage)
        except Exception as error:  # noqa: BLE001 - a fence: it makes a cost unknown, and nothing else
            LOG.warning("no price for variant %s: %s", variant.short_id, type(error).__name__)
            return None

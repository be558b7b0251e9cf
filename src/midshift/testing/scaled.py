"""A clock on which weeks pass in minutes: playbook time is scaled, machine time never is.

For demos and rehearsals that run the real controller and the real gateways. Tests that need no other process take a
`ManualClock`, which waits for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

_SHORTEST_SLEEP_S = 1e-6
"""Below it a float clock may stand still, and waiting for it would never end."""


class ScaledClock:
    """Implements `ports.Clock`: from `start` on, playbook time runs `factor` times as fast as `monotonic_s`.

    The machine's clocks and the sleep are passed in: `ScaledClock(20_160, start, clock.machine_now,
    clock.monotonic_s, asyncio.sleep)` lets eight weeks pass in four minutes.

    Raises:
        ValueError: for a start without a zone, or a factor that is not a finite number above 0.
    """

    def __init__(
        self,
        factor: float,
        start: datetime,
        machine_now: Callable[[], datetime],
        monotonic_s: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        if start.tzinfo is None:
            raise ValueError(f"a clock needs a zone, got {start!r}; pass one with tzinfo, like UTC")
        if not (math.isfinite(factor) and factor > 0.0):
            raise ValueError(f"playbook time runs forward, got factor {factor!r}; expected a finite number above 0")
        self.factor = factor
        self._start = start
        self._machine_now = machine_now
        self._monotonic_s = monotonic_s
        self._sleep = sleep
        self._origin_s = monotonic_s()

    def now(self) -> datetime:
        """Playbook time: the start, and `factor` seconds for each of the machine's since then."""
        return self._start + timedelta(seconds=(self._monotonic_s() - self._origin_s) * self.factor)

    def machine_now(self) -> datetime:
        """The machine's own date, not scaled."""
        return self._machine_now()

    def monotonic_s(self) -> float:
        """The machine's own seconds, not scaled."""
        return self._monotonic_s()

    async def until(self, moment: datetime) -> None:
        """Wait for a moment of playbook time; a past one returns at once, and none returns early."""
        while (left_s := (moment - self.now()).total_seconds()) > 0.0:
            await self._sleep(max(left_s / self.factor, _SHORTEST_SLEEP_S))

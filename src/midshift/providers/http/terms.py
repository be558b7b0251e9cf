"""What the calls of a pool have in common, worked out once for all of them: the loop, and how long they may take.

Elsewhere: a call (call), when its limits are looked at (watching).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from midshift.providers.http.settings import Timeouts
from midshift.providers.http.watching import Watch


@dataclass(frozen=True, slots=True)
class Terms:
    """Of calls with the same limits; none of them is beyond one before `soonest_s`, unless it waited to begin."""

    loop: asyncio.AbstractEventLoop
    watch: Watch
    timeouts: Timeouts
    first_byte_s: float
    soonest_s: float

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop, watch: Watch, timeouts: Timeouts, streamed: bool) -> Terms:
        """An answer that is not streamed has its first byte when it is whole: it has all the time there is for that."""
        first_byte_s = timeouts.first_byte_s if streamed else timeouts.total_s
        return cls(loop, watch, timeouts, first_byte_s, min(first_byte_s, timeouts.idle_s, timeouts.total_s))

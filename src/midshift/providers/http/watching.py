"""When the limits of calls are looked at: one timer for all calls of a pool, since nearly all of them end in time.

Contract. A call is looked at no later than it asked for, by at most a millisecond or ten microseconds for each call
that is under way, whichever is more: that keeps the looking below a few percent of a processor. To begin and to end a
call costs no timer.
Elsewhere: which limits there are, and what happens beyond them (call).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Protocol

_RESOLUTION_S = 1e-3  # of the loop's clock
_SPACING_S = 1e-5


class Watched(Protocol):
    """Whoever has limits of time; `now` and what is answered are times of the loop."""

    def look_at(self, now: float) -> float:
        """When to be looked at next; a limit is over if that is not after `now`."""
        ...

    def expire(self, now: float) -> None:
        """End: a limit is over."""
        ...


class Watch:
    """Calls that are under way, and the time of the next look at them.

    `end` watches a call no more. The timer stays: the next call can use it.
    """

    __slots__ = ("_at", "_calls", "_timer", "end")

    def __init__(self) -> None:
        self._calls: set[Watched] = set()
        self.end: Callable[[Watched], None] = self._calls.discard
        self._at = inf
        self._timer: asyncio.Handle | None = None

    def begin(self, call: Watched, at: float) -> None:
        """Watch a call, and look at it no later than `at`; also for one that is watched and has less time now."""
        self._calls.add(call)
        if at < self._at:
            self._set(at)

    def close(self) -> None:
        """Look no more until another call begins."""
        self._set(inf)

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._look) if at < inf else None

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        next_at = {call: call.look_at(now) for call in self._calls}
        soonest = now + max(_RESOLUTION_S, _SPACING_S * len(next_at))
        self._set(max(soonest, min((at for at in next_at.values() if at > now), default=inf)))
        for call, at in next_at.items():
            if at <= now:
                call.expire(now)

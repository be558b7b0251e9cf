"""When a gateway stops asking a candidate by itself, long before any controller can know.

Pure: told how each try ended, asked whether the next one may be made. Nobody waits for a candidate that hangs; that
the incumbent answered instead is still counted against the candidate.
"""

from __future__ import annotations

from collections import deque

from midshift.gateway.settings import Breaker


class BreakerState:
    """The last tries of one candidate. Open: nobody asks it, but for one request after each pause."""

    __slots__ = ("_open_until_s", "_rules", "_tries")

    def __init__(self, rules: Breaker) -> None:
        self._rules = rules
        self._tries: deque[bool] = deque(maxlen=rules.window)
        self._open_until_s: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the candidate is left alone at present."""
        return self._open_until_s is not None

    def allows(self, now_s: float) -> bool:
        """Whether the next request may go to the candidate; an allowed one while open is the probe of this pause."""
        if self._open_until_s is None:
            return True
        if now_s < self._open_until_s:
            return False
        self._open_until_s = now_s + self._rules.pause_s
        return True

    def record(self, answered: bool, now_s: float) -> None:
        """How a try ended."""
        if self._open_until_s is not None:
            if answered:
                self._open_until_s = None
                self._tries.clear()
            return
        self._tries.append(answered)
        failed = self._tries.count(False)
        if len(self._tries) == self._rules.window and failed >= self._rules.share * self._rules.window:
            self._open_until_s = now_s + self._rules.pause_s

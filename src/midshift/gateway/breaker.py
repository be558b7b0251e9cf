"""When a gateway stops asking a candidate by itself, long before any controller can know.

Pure: told how each try ended, asked whether the next one may be made. Nobody waits for a candidate that hangs; that
the incumbent answered instead is still counted against the candidate.

Contract. A try counts for the time in which it began: while the breaker is open, none but a probe of this outage can
close it, and what was asked before it opened says nothing any more, nor does a probe once another has closed it. A
probe may outlast its pause; whichever is answered first closes.
"""

from __future__ import annotations

from collections import deque

from midshift.gateway.settings import Breaker


class BreakerState:
    """The last tries of one candidate. Open: nobody asks it, but for one request after each pause."""

    __slots__ = ("_open_until_s", "_rules", "_time", "_tries")

    def __init__(self, rules: Breaker) -> None:
        self._rules = rules
        self._tries: deque[bool] = deque(maxlen=rules.window)
        self._open_until_s: float | None = None
        self._time = 0  # the number of the outage, or of the time between two of them

    @property
    def is_open(self) -> bool:
        """Whether the candidate is left alone at present."""
        return self._open_until_s is not None

    def allows(self, now_s: float) -> int | None:
        """The number to record the next try under; None if the candidate is to be left alone.

        An allowed one while open is the probe of this pause.
        """
        if self._open_until_s is not None:
            if now_s < self._open_until_s:
                return None
            self._open_until_s = now_s + self._rules.pause_s
        return self._time

    def record(self, attempt: int, answered: bool, now_s: float) -> None:
        """How a try ended that `allows` gave this number."""
        if attempt != self._time:
            return
        if self._open_until_s is None:
            self._tries.append(answered)
            failed = self._tries.count(False)
            if len(self._tries) == self._rules.window and failed >= self._rules.share * self._rules.window:
                self._open_until_s = now_s + self._rules.pause_s
                self._time += 1
        elif answered:
            self._open_until_s = None
            self._tries.clear()
            self._time += 1

    def give_back(self, attempt: int, now_s: float) -> None:
        """The candidate could not be asked, through no fault of its own: the next request is the probe, if this was."""
        if attempt == self._time and self._open_until_s is not None:
            self._open_until_s = now_s

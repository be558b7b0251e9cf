"""What unseen answers may cost: so many a minute, and so many dollars a day, of one gateway.

A call is held against the budget when it begins, at the price of the dearest call so far, and settled when it is over.
One whose price nobody knows stays at that: unknown is never free. Days are UTC's.
Elsewhere: prices (whoever makes the gateway), what is counted (counters).
"""

from __future__ import annotations

from datetime import date, datetime

from midshift.gateway.settings import Shadow

_MINUTE_S = 60.0


class Budget:
    """The purse of a mirror; an endless one is never exhausted. Belongs to one thread, the loop's."""

    def __init__(self, limits: Shadow) -> None:
        self._limits = limits
        self.is_endless = limits.max_per_minute is None and limits.budget_usd_per_day is None
        self._day = date.min
        self._spent_usd = 0.0
        self._dearest_usd = limits.unpriced_usd
        self._minute = -1
        self._in_minute = 0

    def exhausted(self, now: datetime, now_s: float) -> str:
        """Why nothing more may be asked at present (`now` and `now_s` are machine time); empty if it may."""
        self._turn(now, now_s)
        per_minute, usd = self._limits.max_per_minute, self._limits.budget_usd_per_day
        if per_minute is not None and self._in_minute >= per_minute:
            return "per_minute"
        if usd is not None and self._spent_usd + self._dearest_usd > usd:
            return "budget"
        return ""

    def hold(self) -> float:
        """Begin a call; gives what is held for it."""
        self._in_minute += 1
        self._spent_usd += self._dearest_usd
        return self._dearest_usd

    def settle(self, held_usd: float, cost_usd: float | None) -> None:
        """End a call; what was held stays where the cost is unknown."""
        if cost_usd is None:
            return
        self._dearest_usd = max(self._dearest_usd, cost_usd)
        self._spent_usd = max(0.0, self._spent_usd + cost_usd - held_usd)

    def _turn(self, now: datetime, now_s: float) -> None:
        if now.date() != self._day:
            self._day, self._spent_usd = now.date(), 0.0
        minute = int(now_s // _MINUTE_S)
        if minute != self._minute:
            self._minute, self._in_minute = minute, 0

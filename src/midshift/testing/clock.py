"""A clock that moves when it is told to, so that eight weeks take no time and every run has the same dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class ManualClock:
    """Implements `ports.Clock`; starts at `start` and stands still until `advance` is called."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError(f"a clock needs a zone, got {start!r}; pass one with tzinfo, like UTC")
        self._now = start
        self._monotonic_s = 0.0

    def now(self) -> datetime:
        """The playbook time that was set."""
        return self._now

    def machine_now(self) -> datetime:
        """The same time: a manual clock has only one."""
        return self._now

    def monotonic_s(self) -> float:
        """The machine time that was set, from 0."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Move both times forward.

        Raises:
            ValueError: for a negative step; time does not run backwards.
        """
        if seconds < 0.0:
            raise ValueError(f"time does not run backwards, got {seconds} s")
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += seconds

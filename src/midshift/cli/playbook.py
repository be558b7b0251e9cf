"""Playbook time that moves when it is told to, over the machine's own clocks: for rehearsals on real sockets."""

from __future__ import annotations

from datetime import datetime, timedelta

from midshift.ports import Clock


class PlaybookClock:
    """Implements `ports.Clock`: `now` stands still until `advance`; machine time is the machine's."""

    def __init__(self, start: datetime, machine: Clock) -> None:
        self._now = start
        self._machine = machine

    def now(self) -> datetime:
        """Playbook time."""
        return self._now

    def machine_now(self) -> datetime:
        """The machine's own date."""
        return self._machine.machine_now()

    def monotonic_s(self) -> float:
        """The machine's own seconds."""
        return self._machine.monotonic_s()

    def advance(self, span: timedelta) -> None:
        """Move playbook time forward.

        Raises:
            ValueError: for a negative span.
        """
        if span < timedelta(0):
            raise ValueError(f"time does not run backwards, got {span}")
        self._now += span

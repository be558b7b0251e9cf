"""The real clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Implements `ports.Clock` on the machine's own clocks."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place where the time of day enters

    def machine_now(self) -> datetime:
        """The same: the machine's clock is not scaled."""
        return self.now()

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary origin; never runs backwards."""
        return time.monotonic()  # noqa: TID251 - the one place where machine time enters

"""The real clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial


class SystemClock:
    """Implements `ports.Clock` on the machine's own clocks, which are asked several times in each request."""

    now = staticmethod(partial(datetime.now, UTC))  # noqa: TID251 - the one place where the time of day enters
    """The time of day, in UTC."""

    machine_now = now
    """The same: the machine's clock is not scaled."""

    monotonic_s = staticmethod(time.monotonic)  # noqa: TID251 - the one place where machine time enters
    """Seconds from an arbitrary origin; never runs backwards."""

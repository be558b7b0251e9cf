"""What a gateway says of itself: from when it listens until it ends, which row it serves by, or why it is home.

Contract. Nothing is said before `open`: a gateway that never listened serves nobody, and nobody has to wait for it. A
change is said at once, and all of it every few seconds as a sign of life. For the thread that follows the routes.
Elsewhere: what it means to those who ask (domain.gateways).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

from midshift.domain.gateways import REPORTS_EVERY, GatewayProcess, Told

_NEVER = datetime(1, 1, 1, tzinfo=UTC)


class Reports(Protocol):
    """Where a gateway says what it serves; the part of `ports.GatewayReports` that it needs."""

    def report(self, process: GatewayProcess, told: Mapping[str, Told], at: datetime) -> None:
        """Take note of it."""
        ...

    def leave(self, process: GatewayProcess, at: datetime) -> None:
        """It ends."""
        ...


class Reporting:
    """Says it for one process; without a place to say it, nothing."""

    def __init__(self, process: GatewayProcess, reports: Reports | None) -> None:
        self._process = process
        self._reports = reports
        self._is_open = False
        self._told: tuple[datetime, Mapping[str, Told]] = (_NEVER, {})

    def open(self) -> None:
        """From now on requests are answered."""
        self._is_open = True

    def tell(self, told: Mapping[str, Told], now: datetime) -> None:
        """Say it, if it is new or was not said for a while."""
        if self._reports is None or not self._is_open:
            return
        at, before = self._told
        if told != before or now - at > REPORTS_EVERY:
            self._reports.report(self._process, told, now)
            self._told = (now, told)

    def leave(self, now: datetime) -> None:
        """Say that it is over, if it was ever said that it serves."""
        at, _ = self._told
        if self._reports is not None and at > _NEVER:
            self._reports.leave(self._process, now)
            self._told, self._is_open = (_NEVER, {}), False

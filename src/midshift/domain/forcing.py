"""The record of a forced upgrade: the incumbent retires, so a candidate goes on that its eval has stopped.

It opens no gate. Every failed part of the eval is waived by name besides; shadow, canary and soak stay as they are.
What it changes is the way back: from the retirement on, that leads to the safe harbour.
Elsewhere: what it lets happen (upgrade), when (controller.decide), who may say so (the command).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from midshift.domain.retirement import Source


@dataclass(frozen=True, slots=True)
class Forced:
    """Who forces an upgrade and why, when the incumbent retires and who says so, and the variant to go back to then.

    `retires_on` is the first day on which requests to the incumbent may fail, `origin` the page or endpoint that
    `source` stands for, `as_of` the day on which it was read. `harbour_says` is what was known, in words, of the safe
    harbour's own end.

    Raises:
        ValueError: without a name, a reason or a safe harbour.
    """

    who: str
    why: str
    retires_on: date
    source: Source
    safe_harbour: str
    origin: str = ""
    as_of: date | None = None
    harbour_says: str = ""

    def __post_init__(self) -> None:
        for name, value in (("who", self.who), ("why", self.why), ("a safe harbour", self.safe_harbour)):
            if not value.strip():
                raise ValueError(f"a forced upgrade needs {name}, got {value!r}")

    def is_due(self, at: datetime) -> bool:
        """Whether the incumbent may be gone: from the beginning of the day, in UTC, for nobody knows the hour."""
        return at.astimezone(UTC).date() >= self.retires_on

    @property
    def stated_by(self) -> str:
        """Who states the date, and how old that word is."""
        read = "" if self.as_of is None else f", read {self.as_of}"
        return f"{self.source.words}{read}"

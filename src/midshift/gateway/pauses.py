"""Which models a mirror leaves alone, because their provider said that it is asked too much.

Said to the mirror or to a user: a mirror without a key of its own eats the users' quota. For as long as the provider
asks, within reason; for a moment where it does not say.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TypeAlias

from midshift.ports import Clock
from midshift.providers.http.messages import Head

Model: TypeAlias = tuple[str, str]
"""A provider's name, and the model there: what its limits are about."""

LONGEST_S = 3600.0
SHORTEST_S = 1.0
TOO_MUCH = (429, 503, 529)
"""The statuses by which providers say so; 529 is Anthropic's `overloaded_error`."""


class Pauses:
    """Until when each model is left alone (machine time)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_s: dict[Model, float] = {}

    def is_on(self, model: Model) -> bool:
        """Whether this model is left alone at present."""
        until_s = self._until_s.get(model)
        return until_s is not None and self._clock.monotonic_s() < until_s

    def heard(self, model: Model, head: Head) -> None:
        """Take note of how an answer of this model began."""
        if head.status in TOO_MUCH:
            until_s = self._clock.monotonic_s() + self._asked_s(head)
            self._until_s[model] = max(until_s, self._until_s.get(model, 0.0))

    def _asked_s(self, head: Head) -> float:
        """How long a provider wants to be left alone.

        As seconds or as a date (RFC 9110 §10.2.3), or as OpenAI has it, in `retry-after-ms`.
        """
        milliseconds = head.value(b"retry-after-ms").strip()
        asked = head.value(b"retry-after").decode("latin-1").strip()
        asked_s = int(milliseconds) / 1000.0 if milliseconds.isdigit() else self._in_seconds(asked)
        return min(asked_s, LONGEST_S) if asked_s > 0.0 else SHORTEST_S

    def _in_seconds(self, asked: str) -> float:
        """0 for what cannot be read."""
        try:
            return float(asked)
        except ValueError:
            pass
        try:
            return (parsedate_to_datetime(asked) - self._clock.machine_now()).total_seconds()
        except (ValueError, TypeError):  # no date, or one without a zone
            return 0.0

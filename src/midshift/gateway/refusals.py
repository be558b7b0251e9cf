"""What waits for the store, and which of it the store will never take.

Contract. A store that is away takes nothing: that is held against nothing that waits, however long it lasts. What the
store does not take while it takes others is given up after 20 tries. Whatever failed is tried after what did not, so
nothing is held up by what is before it.
Elsewhere: what waits (spool), who tries (feedback).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from midshift.gateway.spool import Waiting

MOST_REFUSALS = 20


@dataclass(slots=True)
class _Failed:
    """How often, how often of that the store had taken something else in between, and how much it had taken then."""

    times: int = 0
    alone: int = 0
    taken: int = 0


class Refusals:
    """What became of tries, in one process."""

    def __init__(self) -> None:
        self._taken = 0
        self._failed: dict[str, _Failed] = {}

    def in_order(self, waiting: Iterable[Waiting]) -> list[Waiting]:
        """What failed least goes first; the oldest of those."""
        never = _Failed()
        return sorted(waiting, key=lambda one: self._failed.get(one.request, never).times)

    def took(self, one: Waiting) -> None:
        """The store has taken it."""
        self._taken += 1
        self._failed.pop(one.request, None)

    def is_the_last(self, one: Waiting) -> bool:
        """The store has not taken it; whether that was its last try."""
        failed = self._failed.setdefault(one.request, _Failed(taken=self._taken))
        failed.times += 1
        if self._taken > failed.taken:
            failed.alone += 1
            failed.taken = self._taken
        if failed.alone < MOST_REFUSALS:
            return False
        del self._failed[one.request]
        return True

"""Random bytes of the system, fetched many at a time.

Asking the system costs a call that lets another thread have its turn, and a request then waits to get it back. So 4 KB
are fetched at once and cut up; each byte is given away once. A process that forks would give the same bytes in both
halves: a gateway does not fork, and where several run, each is a process that began by itself.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable

AHEAD_BYTES = 4096


class Randomness:
    """Cuts up what `source` gives, the system's generator of secrets by default. For one thread."""

    def __init__(self, source: Callable[[int], bytes] = os.urandom, ahead: int = AHEAD_BYTES) -> None:
        self._source = source
        self._ahead = ahead
        self._held = io.BytesIO()

    def take(self, size: int) -> bytes:
        """So many bytes that nobody has had."""
        taken = self._held.read(size)
        if len(taken) == size:
            return taken
        self._held = io.BytesIO(self._source(max(self._ahead, size)))
        return self._held.read(size)

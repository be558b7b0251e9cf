"""A source of prices that is loaded when it is first asked.

Its version is known before, so that a book has its name at once. Who must not wait for a load asks beforehand, in a
thread of its own: as soon as one has begun to load it, others wait for that one.
Elsewhere: the sources, and the order in which they are asked (book).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from midshift.providers.prices.book import Priced, Query, Source


class Deferred:
    """Implements `book.Source` with the one that `load` gives. Any thread may ask."""

    def __init__(self, name: str, version: str, load: Callable[[], Source]) -> None:
        self.name = name
        self.version = version
        self._load = load
        self._loaded: Source | None = None
        self._loading = threading.Lock()

    def find(self, query: Query) -> Priced | None:
        """What the source says.

        Raises:
            RuntimeError: if it is of another version than was announced: prices would have the wrong origin.
        """
        return (self._loaded or self._source()).find(query)

    def _source(self) -> Source:
        with self._loading:
            if self._loaded is None:
                found = self._load()
                if (found.name, found.version) != (self.name, self.version):
                    raise RuntimeError(
                        f"prices of {found.name} {found.version} were loaded, expected {self.name} {self.version}: the "
                        "package was exchanged while this process ran. Start it again"
                    )
                self._loaded = found
            return self._loaded

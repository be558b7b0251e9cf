"""Who sends requests with one head: by which key, and what the head says to each workload.

Contract. All of it is told once for all requests with the same head. Labels count only from keys that may set them; the
key itself is no part of the query any more.
Elsewhere: which keys there are (intake), what a workload reads (reading), how a head is known again (heads).
"""

from __future__ import annotations

from midshift.gateway.heads import Head
from midshift.gateway.reading import Found, Reading, Said


class Caller:
    """One head as its app's key makes it count. `client` is the name of the key, empty where none is asked for."""

    __slots__ = ("_labels", "_lines", "_said", "client", "found", "query")

    def __init__(self, head: Head, client: str, query: str, may_label: bool) -> None:
        self.client = client
        self.query = query
        self.found: Found = head.found
        self._labels: Found = head.found if may_label else {}
        self._lines = head.lines
        self._said: dict[Reading, Said] = {}

    def says(self, reading: Reading) -> Said:
        """What the head says to a workload."""
        said = self._said.get(reading)
        if said is None:
            said = self._said[reading] = reading.said(self._lines, self._labels)
        return said

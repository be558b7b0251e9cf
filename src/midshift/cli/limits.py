"""How much one gateway takes at once, as its command line says, and the open files that this needs.

Elsewhere: what each limit is and what lies beyond it (gateway.settings, gateway.load).
"""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midshift.errors import UsageError

if TYPE_CHECKING:
    from midshift.gateway.settings import Limits

MOST_FILES = 1 << 20


@dataclass(frozen=True, slots=True)
class SaidLimits:
    """The limits as typed; None leaves the gateway's own."""

    max_in_flight: int | None = None
    max_in_flight_per_workload: int | None = None
    max_held_mb: int | None = None
    max_connections: int | None = None


def limits_of(said: SaidLimits) -> Limits:
    """The gateway's own limits, and in their place what was said.

    Raises:
        UsageError: for requests that there are not enough connections for: each has one under way.
    """
    from midshift.gateway.settings import MB, Limits

    own = Limits()
    found = Limits(
        max_in_flight=said.max_in_flight or own.max_in_flight,
        max_in_flight_per_workload=said.max_in_flight_per_workload or own.max_in_flight_per_workload,
        max_held_bytes=said.max_held_mb * MB if said.max_held_mb else own.max_held_bytes,
        max_connections=said.max_connections or own.max_connections,
    )
    if found.max_in_flight > found.max_connections:
        raise UsageError(
            f"--max-in-flight {found.max_in_flight}: found a limit of {found.max_connections} connections, expected "
            f"one for each request under way. Type next: --max-connections {found.max_in_flight}"
        )
    return found


def raise_file_limit() -> None:
    """Let this process open as many files as the system lets it: a request under way takes two, of 1,024 by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # a system that says one number and means a smaller one: as it was
        resource.setrlimit(resource.RLIMIT_NOFILE, (files_wanted(soft, hard), hard))


def files_wanted(soft: int, hard: int) -> int:
    """The soft limit to ask for: the hard one, within reason; never less than there is."""
    if soft == resource.RLIM_INFINITY:
        return soft
    return max(soft, MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES))

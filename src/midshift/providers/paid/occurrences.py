"""What happens on the way that somebody may want to hear of while it happens: a call that failed, a provider's pause.

Elsewhere: who tells it (desk, buyer), who listens (cli.eval_events).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from midshift.domain.paid_call import CallKey, Ending


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call without an answer: refused, failed for now, or of unknown outcome; `detail` is the reason for people."""

    provider: str
    model: str
    key: CallKey
    ending: Ending
    detail: str


@dataclass(frozen=True, slots=True)
class Paused:
    """A provider is left alone for `wait_s`, by all calls to it, because it answered with `status` (None: nothing)."""

    provider: str
    wait_s: float
    status: int | None


Occurrence: TypeAlias = CallEnded | Paused
Tell: TypeAlias = Callable[[Occurrence], None]


def nobody(occurrence: Occurrence) -> None:
    """Listens to nothing."""

"""What an upgrade does next, and the gates that it was asked at: the answer of `controller.decide`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from midshift.domain.upgrade import Kind

COLLECT_MORE = "collect more cases"
"""How the reason of a move begins that waits for a larger suite."""


class Answer(StrEnum):
    """What a gate says. `UNPROVEN` holds nothing back and is no pass: nothing was seen, and there may be something."""

    OPEN = "open"
    UNPROVEN = "unproven"
    WAITING = "waiting"
    WAIVED = "waived"
    SHUT = "shut"


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition, as it stood: a line of `midshift upgrade status`."""

    name: str
    answer: Answer
    reason: str

    @property
    def lets_pass(self) -> bool:
        """Whether this gate does not hold the upgrade back."""
        return self.answer in (Answer.OPEN, Answer.UNPROVEN, Answer.WAIVED)


@dataclass(frozen=True, slots=True)
class Move:
    """What an upgrade does next: an event, or nothing (`kind` is None), because of these gates."""

    kind: Kind | None
    reason: str
    gates: tuple[Gate, ...] = ()

"""What an app is told when the gateway has no answer for it: in words, and without saying where a provider lives.

Elsewhere: the shape of an error on each wire (wire), errors of a provider's own, which pass as they are (relay).
"""

from __future__ import annotations

from midshift.providers.http.messages import Failure
from midshift.wire.protocol import Problem

ILLEGIBLE = Problem(502, "The provider's answer is none that the gateway can read.", "illegible_answer")


def problem_of(failure: Failure) -> Problem:
    """A call that failed."""
    return Problem(failure.status, _words(failure), failure.value)


def stuck_in(field: str) -> Problem:
    """A request that holds, in this field, what only a model can read that gave no answer."""
    message = f"The model that can read {field!r} gave no answer, and no other can go on from it. Try again soon."
    return Problem(502, message, "state_of_another_provider", field)


def _words(failure: Failure) -> str:
    match failure:
        case Failure.BUSY:
            return "The gateway has too many requests open to the provider. Try again in a moment."
        case Failure.TOO_LARGE:
            return "The provider's answer is larger than the gateway takes."
        case Failure.UNREACHABLE | Failure.CONNECT_TIMEOUT:
            return "The gateway cannot reach the provider."
        case Failure.FIRST_BYTE_TIMEOUT | Failure.TOTAL_TIMEOUT | Failure.IDLE_TIMEOUT:
            return "The provider took too long to answer."
        case Failure.BROKEN:
            return "The provider broke its answer off."

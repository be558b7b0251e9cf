"""Whose fault it is that a candidate gave no answer: its own, the request's, or nobody's, since it was not asked.

Pure: judged by what is on the record, the failure or the status that the candidate answered with.
Elsewhere: what is made of it (relay), when a candidate is left alone (breaker).
"""

from __future__ import annotations

from midshift.providers.http.messages import Failure

UNCARRIED = "uncarried"

UNASKED = (Failure.BUSY.value, UNCARRIED)
"""Why a candidate could not be asked at all. That says nothing about it, so the breaker does not hear of it; on the
record it counts against the candidate all the same (see `sides`)."""

_REFUSED = range(400, 500)
_NOT_THE_REQUESTS_FAULT = (401, 403, 408, 409, 425, 429)


def is_the_requests(status: int) -> bool:
    """Whether a status says that the request itself is refused, whoever is asked."""
    return status in _REFUSED and status not in _NOT_THE_REQUESTS_FAULT


def may_be_the_requests(fell_back: str) -> bool:
    """Whether the candidate failed in a way that the incumbent's answer to the same request has to explain."""
    return fell_back == UNCARRIED or (fell_back.isdecimal() and is_the_requests(int(fell_back)))

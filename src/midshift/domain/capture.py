"""What is kept of the texts of a request, and for how long: the `capture` of its workload, as functions.

Pure. A share of the requests, by a hash of the request id, so that every gateway and every kind of record agree; by
default none. Beyond that only numbers stay: sums for good, and the records of single requests for `NUMBERS_KEEP`.
Elsewhere: what is blacked out (redaction), whose door it is (store.capturing), when it goes (store.retention).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from midshift.domain.light import Light
from midshift.domain.routing import position
from midshift.domain.workload import Capture, UnitKind, Workload

NUMBERS_KEEP = timedelta(days=90)
"""How long a record of numbers about a single request is kept: longer than an upgrade of eight weeks."""

KEPT_HEADERS = ("anthropic-version", "anthropic-beta", "openai-beta")
"""A header that says how a body is to be read. Any other may be a key or a name, and is not kept."""


class CapturedRequest(Light):
    """A request with its answer, as a trace that `midshift preflight` and suites are made from can be read.

    `body` is JSON as the app sent it, or, on its way to be kept, that JSON as it is written (`msgspec.Raw`); `wire` and
    `path` say how to read it. `answer` is None where there was no text.
    """

    id: str
    workload: str
    wire: str
    path: str
    body: Any
    at: datetime
    headers: dict[str, str] = {}
    slices: tuple[str, ...] = ()
    unit: str = ""
    variant: str = ""
    status: int = 0
    answer: str | None = None
    tools: str | None = None


@dataclass(frozen=True, slots=True)
class FeedbackRecord:
    """What a user said about one answer. `satisfaction` lies in 0..1; `comment` and `ticket` are texts."""

    request_id: str
    workload: str
    at: datetime
    satisfaction: float | None = None
    ticket: str | None = None
    comment: str | None = None


def is_captured(capture: Capture, request_id: str) -> bool:
    """Whether the texts of this request are kept."""
    share = capture.share
    return share > 0.0 and (share >= 1.0 or position(request_id, "capture") < share)


def unit_paths(workload: Workload) -> tuple[str, ...]:
    """Where in a body the unit stands in clear: it is kept as an HMAC only."""
    return tuple(source.name for source in workload.unit if source.kind is UnitKind.BODY)

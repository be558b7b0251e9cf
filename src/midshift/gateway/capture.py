"""A request whose texts are kept: taken as bytes on its way out, read later and elsewhere than on the request's path.

Elsewhere: which requests (domain.capture), what is blacked out before anything is written (store.capturing).
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from midshift.domain.capture import KEPT_HEADERS, CapturedRequest, is_captured
from midshift.domain.light import Light
from midshift.gateway.job import Job, Outcome
from midshift.wire.translation.tool_calls import tool_calls

_KEPT_HEADERS = {name.encode(): name for name in KEPT_HEADERS}


class Taken(Light):
    """A request and its answer as they came, with everything that is decided about it."""

    job: Job
    outcome: Outcome
    at: datetime

    @property
    def size(self) -> int:
        """Its bytes, about."""
        return len(self.job.request.body) + len(self.outcome.body or b"") + 1000


def is_kept(job: Job) -> bool:
    """Whether the texts of this request are kept."""
    return is_captured(job.workload.data.capture, job.id)


def captured_request(taken: Taken) -> CapturedRequest:
    """The request as a trace, nothing of it redacted yet.

    Raises:
        msgspec.DecodeError: if the body is no JSON.
    """
    job, outcome = taken.job, taken.outcome
    answer, tools = _answered(job, outcome)
    return CapturedRequest(
        id=job.id,
        workload=job.workload.name,
        wire=job.wire.value,
        path=job.path,
        body=msgspec.json.decode(job.request.body),
        at=taken.at,
        headers={_KEPT_HEADERS[name]: value.decode("latin-1") for name, value in job.lines if name in _KEPT_HEADERS},
        slices=job.slices,
        unit=job.unit,
        variant=outcome.by.id if outcome.by is not None else "",
        status=outcome.status,
        answer=answer,
        tools=tools,
    )


def _answered(job: Job, outcome: Outcome) -> tuple[str | None, str | None]:
    """The text and the tool calls; None where there were none."""
    streamed = job.request.stream
    answer = outcome.said(streamed)
    if answer is None or outcome.body is None:
        return None, None
    return answer.text, tool_calls(answer, outcome.body_wire, outcome.body, streamed)

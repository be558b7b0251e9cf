"""One request with everything that was decided about it, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from midshift.domain.exposure import Fate
from midshift.domain.routing import Arm
from midshift.domain.workload import Workload
from midshift.gateway.headers import Lines
from midshift.gateway.route import ServedVariant, Serving
from midshift.wire.protocol import Answer, WireName, WireRequest


@dataclass(frozen=True, slots=True)
class Job:
    """One request with everything that was decided about it. `wire` is the app's, `path` and `query` on it."""

    id: str
    workload: Workload
    wire: WireName
    path: str
    query: str
    request: WireRequest
    lines: Lines
    serving: Serving
    assigned: Arm
    unit: str
    block: int
    slices: tuple[str, ...]
    started_s: float


@dataclass(slots=True)
class Outcome:
    """What came of a job for the user. `status` is the truth about the answer, also when the head had said 200.

    `body` is what the provider sent, on `body_wire`, where `keeps_body` asked for it.
    """

    fate: Fate = Fate.REFUSED
    status: int = 0
    by: ServedVariant | None = None
    fell_back: str = ""
    unmatched: bool = False
    left: bool = False
    first_byte_s: float | None = None
    latency_s: float | None = None
    answer: Answer = field(default_factory=Answer)
    keeps_body: bool = False
    body: bytes | None = None
    body_wire: WireName = WireName.OPENAI_CHAT

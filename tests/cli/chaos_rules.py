"""What a user may see, and when: exact, for each request.

The incumbent alone is the measure. Beyond its errors a user may see one thing: a stream of the candidate that breaks
off after its first content, with exactly what the candidate had said till then, and an error event at its end. Before
that, in an answer that is no stream, and for whoever is the incumbent's, there is no such excuse. An answer that
is whole is that of its own request, word for word, from whoever its head names; a gateway that was killed excuses what
it tore, and nothing else. Elsewhere: what was seen (chaos_apps), what was asked and recorded (chaos).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from midshift.domain.exposure import Exposure, Fate
from midshift.domain.routing import Arm
from midshift.testing.replay import Completion, Failure, Reply, Silence
from tests.cli.chaos_apps import Manner, Saw, Seen

OLD, NEW = "sonnet-3.7", "sonnet-4.6"
PIECE = 16
"""Letters in each event of the provider's streams; the first event says who speaks."""

HANDED_OVER_S = 2.0
"""A record is handed over within a second, and written within 10 ms; a busy machine may take twice as long."""

BROKEN_OFF = 502
_LEFT = 499


class How(StrEnum):
    """How a provider answered."""

    WHOLE = "whole"
    CUT = "cut"
    FAILED = "failed"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a provider was asked for one request, and what it did. `text` is all that it said until the end."""

    model: str
    at_s: float
    how: How
    status: int = 200
    text: str = ""
    events: int = 0

    @classmethod
    def of(cls, model: str, at_s: float, reply: Reply) -> Asked:
        """What a reply of the scripted provider is on the wire, as a stream."""
        match reply:
            case Completion(text=text, cut_after=None):
                return cls(model, at_s, How.WHOLE, text=text or "")
            case Completion(text=text, cut_after=int(events)):
                said = (text or "")[: PIECE * max(events - 1, 0)]
                return cls(model, at_s, How.CUT, text=said, events=events)
            case Silence():
                return cls(model, at_s, How.SILENT, status=504)
            case Failure(status=status):
                return cls(model, at_s, How.FAILED, status=status)
        raise AssertionError(f"{reply!r} is no reply")

    def has_begun(self, is_stream: bool) -> bool:
        """Whether an app has something of the answer when it ends, so that nobody else can give it any more."""
        return self.how is How.WHOLE or (self.how is How.CUT and is_stream and self.events > 1)


class HasFlip(Protocol):
    """When everybody was sent home: asked for, and acknowledged by every gateway."""

    asked_s: float
    acknowledged_s: float
    variants: dict[str, str]


def faults(
    seen: Seen, asked: Sequence[Asked], alone: Asked, exposure: Exposure | None, facts: HasFlip
) -> Iterator[str]:
    """Every rule that one request has broken. `alone` is what the incumbent does with it, if nobody else is there."""
    yield from _asking(seen, asked, alone, facts)
    yield from _seeing(seen, asked, alone, facts)
    if exposure is not None:
        yield from _recording(seen, asked, exposure, facts)
    elif seen.request_id and _was_handed_over(seen):
        yield "its record is missing"


def _asking(seen: Seen, asked: Sequence[Asked], alone: Asked, facts: HasFlip) -> Iterator[str]:
    models = [one.model for one in asked]
    if models not in ([], [OLD], [NEW], [NEW, OLD]):
        yield f"asked {models}: each at most once, and the candidate first"
    if models and seen.manner is Manner.HALF:
        yield "half a request was asked"
    for one in asked:
        if one.model == NEW and seen.began_s > facts.acknowledged_s:
            yield "the candidate was asked after everybody had acknowledged that it is withdrawn"
        if one.model == OLD and (one.how, one.status, one.text) != (alone.how, alone.status, alone.text):
            yield "the incumbent was asked something else than the app has said"
    is_withdrawn = facts.asked_s <= seen.ended_s and seen.began_s <= facts.acknowledged_s
    if models == [NEW, OLD] and asked[0].has_begun(seen.is_stream) and not is_withdrawn:
        yield "the incumbent was asked although the candidate had begun"


def _seeing(seen: Seen, asked: Sequence[Asked], alone: Asked, facts: HasFlip) -> Iterator[str]:
    by = asked[-1] if asked else alone
    match seen.saw:
        case Saw.LEFT:
            return
        case Saw.NOTHING | Saw.TORN:
            if seen.saw is Saw.NOTHING or not _was_killed(seen):
                yield f"{seen.saw.value}: {seen.remark}"
            return
        case Saw.WHOLE:
            if by.how is not How.WHOLE or by.text != seen.text:
                yield "another answer than its own"
        case Saw.ERROR:
            expected = BROKEN_OFF if alone.how is How.CUT and not seen.is_stream else alone.status
            if by.model != OLD or seen.status != expected or expected == 200:
                yield f"an error {seen.status} that the incumbent alone does not give: {seen.remark}"
        case Saw.BROKEN_OFF:
            if by.how is not How.CUT or not by.has_begun(seen.is_stream) or by.text != seen.text:
                yield f"broke off, and nobody had: {seen.remark}"
    if not asked:
        yield f"{seen.saw.value}, and nobody was asked: {seen.remark}"
    elif seen.variant != facts.variants[by.model]:
        yield f"from {by.model}, and its head names {seen.variant!r}"


def _recording(seen: Seen, asked: Sequence[Asked], exposure: Exposure, facts: HasFlip) -> Iterator[str]:
    if exposure.status not in _statuses(seen):
        yield f"recorded with status {exposure.status}, expected one of {_statuses(seen)}"
    fates = {OLD: Fate.INCUMBENT, NEW: Fate.CANDIDATE}
    if seen.variant and asked and exposure.fate is not fates[asked[-1].model]:
        yield f"recorded as {exposure.fate.value}"
    if exposure.fate is Fate.CANDIDATE and exposure.assigned is not Arm.CANDIDATE:
        yield "a unit of the incumbent's got the candidate"
    if exposure.fell_back and exposure.assigned is not Arm.CANDIDATE:
        yield "fell back from a candidate that it was not assigned to"
    models = [one.model for one in asked]
    is_withdrawn = facts.asked_s <= seen.ended_s and seen.began_s <= facts.acknowledged_s
    if models == [NEW, OLD] and not exposure.fell_back and not is_withdrawn:
        yield "the candidate's failure is not recorded"
    if exposure.fell_back_reason not in (_reasons(asked, seen.is_stream) | ({""} if is_withdrawn else set())):
        yield f"fell back because of {exposure.fell_back_reason!r}"


def _statuses(seen: Seen) -> set[int]:
    match seen.saw:
        case Saw.WHOLE | Saw.ERROR:
            return {seen.status}
        case Saw.BROKEN_OFF:
            return {BROKEN_OFF}
        case _:
            return {seen.status, BROKEN_OFF, _LEFT}


def _reasons(asked: Sequence[Asked], is_stream: bool) -> set[str]:
    if [NEW, OLD] != [one.model for one in asked]:
        return {"", "breaker"}
    match asked[0].how:
        case How.FAILED:
            return {str(asked[0].status)}
        case How.CUT:
            return {"broken"}
        case How.SILENT:
            return {"first_byte_timeout" if is_stream else "total_timeout"}
        case How.WHOLE:
            return {""}


def _was_killed(seen: Seen) -> bool:
    killed_s = seen.instance.killed_s
    return killed_s is not None and seen.began_s <= killed_s <= seen.ended_s + 0.5


def _was_handed_over(seen: Seen) -> bool:
    killed_s = seen.instance.killed_s
    return killed_s is None or seen.ended_s < killed_s - HANDED_OVER_S
